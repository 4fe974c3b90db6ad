//! The node's HTTP side: OpenAI's calls under `/v1` and the node's own under `/node`, both for the edge only, and
//! open probes. It turns wire formats into engine requests and events back into wire formats, and computes nothing.

mod chat;
mod completions;
mod embeddings;
mod error;
mod limits;
mod reply;
mod signed;
mod status;

pub(crate) use signed::now;

use crate::{
    engine::Engine,
    models::{Fronts, chat::ChatModel},
    telemetry::Metrics,
};
use axum::{
    Router,
    body::Bytes,
    extract::{self, MatchedPath, Request},
    http::Uri,
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use error::Error;
use serde::de::DeserializeOwned;
use shared::node::PublicKey;
use std::sync::{
    Arc, OnceLock, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

/// What all calls share.
#[derive(Clone)]
pub(crate) struct State(Arc<Shared>);

/// See [`State`].
pub(crate) struct Shared {
    loaded: OnceLock<Loaded>,
    draining: AtomicBool,
    edge_keys: RwLock<Arc<[PublicKey]>>,
    nonces: signed::Nonces,
    /// What is counted.
    pub metrics: Metrics,
}

/// What is there once the models are.
pub(crate) struct Loaded {
    /// Models as requests see them.
    pub fronts: Fronts,
    /// The device.
    pub engine: Engine,
}

impl std::ops::Deref for State {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl State {
    /// A node without models that accepts calls signed by `edge_keys`.
    pub(crate) fn new(edge_keys: Vec<PublicKey>, metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            loaded: OnceLock::new(),
            draining: AtomicBool::new(false),
            edge_keys: RwLock::new(edge_keys.into()),
            nonces: signed::Nonces::default(),
            metrics,
        }))
    }
}

impl Shared {
    /// Makes the node ready; once.
    pub(crate) fn set_loaded(&self, loaded: Loaded) {
        // A second call would find the models that are there as good.
        self.loaded.set(loaded).ok();
    }

    /// What is loaded, if it is yet.
    pub(crate) fn loaded(&self) -> Option<&Loaded> {
        self.loaded.get()
    }

    /// Replaces the keys whose calls are accepted.
    pub(crate) fn accept_edges(&self, keys: Vec<PublicKey>) {
        *self.edge_keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
    }

    /// Takes no new calls from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Why the node takes no calls now, if it does not.
    pub(crate) fn not_ready(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::SeqCst) {
            return Some("the node is stopping");
        }
        match self.loaded() {
            None => Some("the node is loading its models"),
            Some(loaded) if !loaded.engine.is_alive() => Some("the engine has stopped"),
            Some(_) => None,
        }
    }

    fn edge_keys(&self) -> Arc<[PublicKey]> {
        self.edge_keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn open(&self) -> Result<&Loaded, Error> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(Error::Draining);
        }
        self.loaded().ok_or(Error::Loading)
    }
}

/// All routes.
pub(crate) fn router(state: State) -> Router {
    let for_edges = Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/completions", post(completions::complete))
        .route("/v1/embeddings", post(embeddings::embed))
        .route("/v1/models", get(status::models))
        .route("/v1/models/{id}", get(status::model))
        .route("/node/status", get(status::node))
        .route_layer(middleware::from_fn_with_state(state.clone(), signed::require));
    let open = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(status::ready))
        .route("/metrics", get(status::metrics));
    for_edges
        .merge(open)
        .route_layer(middleware::from_fn_with_state(state.clone(), count))
        .fallback(|uri: Uri| async move { Error::Route { path: uri.path().to_owned() } })
        .method_not_allowed_fallback(|uri: Uri| async move { Error::Method { path: uri.path().to_owned() } })
        .with_state(state)
}

/// Counts calls by route and status.
async fn count(extract::State(state): extract::State<State>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    state.metrics.requests.with_label_values(&[route, response.status().as_str()]).inc();
    response
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(Error::Json)
}

impl Loaded {
    fn chat(&self, id: &str) -> Result<Arc<ChatModel>, Error> {
        let found = self.fronts.chat.iter().find(|(name, _)| name.eq_ignore_ascii_case(id));
        found.map(|(_, model)| model.clone()).ok_or_else(|| Error::Model(id.to_owned()))
    }
}

/// Runs `work`, which may take a while for a long text, where it holds up no other call.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Failed))
}
