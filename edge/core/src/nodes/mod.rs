//! GPU nodes: who can compute?
//!
//! Takes registrations and heartbeats, and chooses a node for a call. Owns `gpu_nodes` and `node_invites`.
//! What is sent to a node, and what comes back, is the proxy's.

mod registry;
mod rules;
mod sql;

pub(crate) use registry::{CallGuard, Chosen, Node, Registry};
pub(crate) use sql::statements;

use crate::{
    App, Error, Host, Store,
    access::Access,
    audit::{Actor, Entry, Origin},
    host::random,
    payload::Payload,
    route::{Route, get, post},
    sql::SqlError,
};
use axum::Json;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use http::{HeaderMap, Method, Uri};
use rules::Choice;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use shared::{
    id::{InviteId, NodeId},
    node::{Heartbeat, HeartbeatAnswer, PublicKey, Registered, Registration, ServedModel, Task, VerifiedCall, verify},
};
use url::Url;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        post("/nodes/register", Access::NODE, register, "Takes a GPU node's registration, signed by the node.")
            .takes::<Registration>(),
        post("/nodes/heartbeat", Access::NODE, heartbeat, "Takes a GPU node's heartbeat, signed by the node.")
            .takes::<Heartbeat>(),
        get("/nodes/edge-keys", Access::ANYONE, edge_keys, "The keys that sign this edge's calls, for nodes to pin."),
    ]
}

/// A node joins, or comes back with another address or other models.
async fn register(
    app: App,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Json<Registered>, Error> {
    let node: Registration = json(&body)?;
    // Whoever holds the key that the body names has signed the body; whether that key may join, Postgres says.
    let call = signed(&app, &[node.public_key], &method, &uri, &headers, &body)?;
    check_node(&node)?;
    let token_hash = node.join_token.as_ref().map_or_else(Vec::new, |token| Sha256::digest(token.as_bytes()).to_vec());
    let new_id = NodeId::new(app.host.now(), random(&*app.host));
    let node_id = app.store.register_node(new_id, token_hash, node, call.time).await?.ok_or(Error::JoinRefused)?;
    app.nodes.forget();
    tracing::info!(node.id = %node_id, "node {node_id} registered");
    Ok(Json(Registered { node_id, edge_keys: app.config.call_keys.clone(), heartbeat_ms: rules::HEARTBEAT_MS }))
}

async fn heartbeat(
    app: App,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Json<HeartbeatAnswer>, Error> {
    let beat: Heartbeat = json(&body)?;
    // The signer is taken at its word here; the statement finds the row only if id and key belong together.
    let claimed: PublicKey = header(&headers, "x-nest-key").unwrap_or_default().parse()?;
    let call = signed(&app, &[claimed], &method, &uri, &headers, &body)?;
    let known = app.store.heartbeat(beat, claimed.to_string(), call.time).await?;
    if known { Ok(Json(HeartbeatAnswer { edge_keys: app.config.call_keys.clone() })) } else { Err(Error::UnknownNode) }
}

#[derive(serde::Serialize, utoipa::ToSchema)]
struct EdgeKeys(Vec<PublicKey>);

/// The keys that sign this edge's calls, for nodes that pin them: the present one, and those before and after it.
async fn edge_keys(app: App) -> Json<EdgeKeys> {
    Json(EdgeKeys(app.config.call_keys.clone()))
}

fn signed(
    app: &App,
    accepted: &[PublicKey],
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<VerifiedCall, Error> {
    // A nested route sees its path without the prefix, but the prefix was signed.
    let path = format!("{}{}", app.config.api_prefix, uri.path_and_query().map_or("/", |it| it.as_str()));
    Ok(verify(accepted, method.as_str(), &path, body, |name| header(headers, name), app.host.now())?)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Json { detail: error.to_string() })
}

/// What a node says of itself becomes an address to call and names to show, so it is looked at first.
fn check_node(node: &Registration) -> Result<(), Error> {
    let invalid = |message: &str, param| Err(Error::Invalid { message: message.to_owned(), param: Some(param) });
    let url = Url::parse(&node.base_url).ok();
    if !url.is_some_and(|it| ["http", "https"].contains(&it.scheme()) && it.path() == "/" && it.query().is_none()) {
        return invalid("base_url must be http(s)://host:port without a path", "base_url");
    }
    if node.name.is_empty() || node.name.len() > 200 || node.name.chars().any(char::is_control) {
        return invalid("name must have 1 to 200 printable characters", "name");
    }
    if node.models.len() > 1_000 || node.models.iter().any(|it| !is_model_id(&it.id)) {
        return invalid("models must be at most 1000, each with a printable id of at most 256 bytes", "models");
    }
    Ok(())
}

/// Whether `text` can be a model's id: short and printable, so that it can go into logs, headers and JSON as it is.
pub(crate) fn is_model_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && !text.chars().any(|it| it.is_control() || it.is_whitespace())
}

/// Chooses a node for a call. `Ok(None)`: no node knows the model, so it may be an upstream's.
pub(crate) async fn choose(app: &App, model: &str, task: Task, tried: &[NodeId]) -> Result<Option<Chosen>, Error> {
    match registry::choose(app, model, task, tried).await? {
        Ok(chosen) => Ok(Some(chosen)),
        Err(Choice::Unknown) => Ok(None),
        Err(Choice::WrongTask(other)) => Err(Error::WrongTask { model: model.to_owned(), task: name(other) }),
        Err(Choice::Away | Choice::Node(_)) => Err(Error::NodeAway { model: model.to_owned() }),
    }
}

fn name(task: Task) -> &'static str {
    match task {
        Task::Chat => "chat and completions",
        Task::Embedding => "embeddings",
    }
}

/// Ids of the models that present nodes serve, in order and each once.
pub(crate) async fn models(app: &App) -> Result<Vec<String>, Error> {
    let now = app.host.now();
    let nodes = registry::known(app).await?;
    let present = nodes.iter().filter(|it| it.ready && now.since_ms(it.heartbeat_at) <= rules::SILENT_MS);
    let mut ids: Vec<String> = present.flat_map(|it| it.models.iter().map(|model| model.id.clone())).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Makes a single-use token with which a node may join within `valid_ms`; `by` says who lets it.
pub async fn invite(
    host: &dyn Host,
    store: &Store,
    valid_ms: i64,
    by: (&Actor, &Origin),
) -> Result<SecretString, SqlError> {
    let token = format!("nest_join_{}", BASE64.encode(random::<32>(host)));
    let id = InviteId::new(host.now(), random(host));
    let entry = Entry::new(host.now(), by.0, by.1, "nodes.invited").target(id);
    let entry = entry.detail(&serde_json::json!({ "valid_ms": valid_ms }));
    store.insert_invite(id, Sha256::digest(token.as_bytes()).to_vec(), valid_ms, entry).await?;
    Ok(token.into())
}

/// Forgets invites that nobody will ask about any more.
pub(crate) async fn sweep(app: &App) {
    match app.store.sweep_invites().await {
        Ok(0) => {}
        Ok(invites) => tracing::info!(invites, "deleted {invites} invites that expired long ago"),
        Err(error) => tracing::warn!(error = %crate::error::chain(&error), "old invites could not be deleted"),
    }
}

/// A node as an operator sees it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct NodeSummary {
    pub id: NodeId,
    pub name: String,
    pub base_url: String,
    pub models: Vec<ServedModel>,
    pub ready: bool,
    pub running: i64,
    pub queued: i64,
    pub silent_ms: i64,
}

/// Every node that has joined and was not removed.
pub async fn list(store: &Store) -> Result<Vec<NodeSummary>, SqlError> {
    let rows = store.node_rows().await?;
    Ok(rows
        .into_iter()
        .map(|row| NodeSummary {
            id: row.id,
            name: row.name,
            base_url: row.base_url,
            models: serde_json::from_str(&row.models).unwrap_or_default(),
            ready: row.ready && row.silent_ms <= rules::SILENT_MS,
            running: row.running,
            queued: row.queued,
            silent_ms: row.silent_ms,
        })
        .collect())
}
