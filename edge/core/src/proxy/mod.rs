//! `/v1`: admit, route, relay, meter.
//!
//! A call goes to a node that serves its model, else to the upstream. What comes back is what they said, byte for
//! byte. Owns no table: calls are recorded by `usage`, nodes chosen by `nodes`.

mod bill;
mod call;
mod generations;
mod groq;
mod include;
mod limits;
mod meter;
mod refusal;
mod relay;
mod settlement;
mod watch;

pub(crate) use groq::Catalogue;

use crate::{
    App, Error,
    access::Access,
    app::Id,
    billing,
    keys::{Caller, KeyError},
    limits::{Ask, take},
    nodes,
    payload::Payload,
    route::{Route, get, post},
};
use axum::{Json, extract::Path, response::Response};
use call::{Call, Endpoint};
use meter::Meter;
use shared::openai::{
    chat::{ChatChunk, ChatCompletion, ChatRequest},
    completions::{Completion, CompletionRequest},
    embeddings::{EmbeddingRequest, EmbeddingResponse},
    models::{Model, ModelList},
};
use shared::permission::Permission;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        post("/v1/chat/completions", Access::KEY, chat_completions, "Answers a chat, as OpenAI does.")
            .at_root()
            .takes::<ChatRequest>()
            .gives::<ChatCompletion>()
            .streams::<ChatChunk>(),
        post("/v1/completions", Access::KEY, completions, "Completes a prompt, as OpenAI does.")
            .at_root()
            .takes::<CompletionRequest>()
            .gives::<Completion>()
            .streams::<Completion>(),
        post("/v1/embeddings", Access::KEY, embeddings, "Embeds texts, as OpenAI does.")
            .at_root()
            .takes::<EmbeddingRequest>()
            .gives::<EmbeddingResponse>(),
        get("/v1/models", Access::KEY, list_models, "Lists the models that a call may name.").at_root(),
        get(
            "/limits",
            Access::member(Permission::UsageRead),
            limits::show,
            "Shows an organisation's limits and a key's, and what is left of them.",
        ),
        get(
            "/v1/generations/{generation}",
            Access::KEY,
            generations::of_key,
            "Shows what became of a call of the key.",
        )
        .at_root(),
        get(
            "/generations/{generation}",
            Access::member(Permission::UsageRead),
            generations::of_org,
            "Shows what became of a call of the organisation, what it cost, and its receipt.",
        ),
        get("/.well-known/receipt-keys.json", Access::ANYONE, generations::keys, "The keys that verify our receipts.")
            .at_root(),
        // A model's id may hold slashes, as Hugging Face's do.
        get("/v1/models/{*model}", Access::KEY, show_model, "Shows one model.").at_root(),
    ]
}

async fn chat_completions(app: App, id: Id, caller: Caller, payload: Payload) -> Result<Response, Error> {
    relay(app, id, caller, Endpoint::ChatCompletions, payload).await
}

async fn completions(app: App, id: Id, caller: Caller, payload: Payload) -> Result<Response, Error> {
    relay(app, id, caller, Endpoint::Completions, payload).await
}

async fn embeddings(app: App, id: Id, caller: Caller, payload: Payload) -> Result<Response, Error> {
    relay(app, id, caller, Endpoint::Embeddings, payload).await
}

async fn relay(
    app: App,
    Id(id): Id,
    caller: Caller,
    endpoint: Endpoint,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let call = Call::parse(endpoint, body)?;
    if !caller.models.allow(&call.model) {
        return Err(KeyError::Model { model: call.model }.into());
    }
    tracing::Span::current().record("model", call.model.as_str());
    // What was refused so far has cost nothing.
    let ask = Ask::new(&app, caller.org_id, caller.key_id, caller.quotas, call.estimate.total());
    let permit = take(&app, ask).await?;
    let hold = billing::hold(&app, &caller, &call.model, call.worst).await?;
    let meter = Meter::start(&app, &caller, id, &call, permit, hold);
    relay::run(&app, id, caller, call, meter).await
}

/// `GET /v1/models`: those that the key may use.
async fn list_models(app: App, caller: Caller) -> Result<Json<ModelList>, Error> {
    let served = served(&app).await?;
    let allowed = served.into_iter().filter(|it| caller.models.allow(&it.id));
    Ok(Json(ModelList::new(allowed.map(entry).collect())))
}

async fn show_model(app: App, caller: Caller, Path(model): Path<String>) -> Result<Json<Model>, Error> {
    if !caller.models.allow(&model) {
        return Err(KeyError::Model { model }.into());
    }
    let served = served(&app).await?;
    served.into_iter().find(|it| it.id == model).map(|it| Json(entry(it))).ok_or(Error::NoModel { model })
}

/// A model and who serves it.
struct Served {
    id: String,
    owner: &'static str,
}

/// Every model that a call may name; a node's goes before an upstream's of the same id.
async fn served(app: &App) -> Result<Vec<Served>, Error> {
    let of_nodes = nodes::models(app).await?;
    let of_upstream = groq::models(app).await;
    let others = of_upstream.iter().filter(|id| !of_nodes.contains(id)).cloned().collect::<Vec<_>>();
    let served = |owner| move |id| Served { id, owner };
    Ok(of_nodes.into_iter().map(served("nest")).chain(others.into_iter().map(served("groq"))).collect())
}

fn entry(model: Served) -> Model {
    // OpenAI's clients expect a time of creation; none of the upstreams knows one that would mean something.
    Model {
        id: model.id,
        object: "model".to_owned(),
        created: 0,
        owned_by: model.owner.to_owned(),
        context_window: None,
    }
}
