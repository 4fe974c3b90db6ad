//! What the node says about itself.

use super::{Loaded, State, error::Error};
use crate::models::Entry;
use axum::{
    Json, extract,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;
use shared::openai::models::{Model, ModelList};

/// The node's state, at `/readyz` and `/node/status`.
#[derive(Serialize)]
pub(super) struct Status {
    ready: bool,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    models: Vec<&'static str>,
    running: i64,
    queued: usize,
}

/// 200 when calls are taken, else 503 with the reason.
pub(super) async fn ready(extract::State(state): extract::State<State>) -> (StatusCode, Json<Status>) {
    let status = status(&state);
    (if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(status))
}

/// The same for the edge, always 200.
pub(super) async fn node(extract::State(state): extract::State<State>) -> Json<Status> {
    Json(status(&state))
}

/// Counts in Prometheus' format.
pub(super) async fn metrics(extract::State(state): extract::State<State>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.text())
}

/// All models.
pub(super) async fn models(extract::State(state): extract::State<State>) -> Result<Json<ModelList>, Error> {
    Ok(Json(ModelList::new(entries(state.open()?).map(describe).collect())))
}

/// One model.
pub(super) async fn model(
    extract::State(state): extract::State<State>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<Model>, Error> {
    let found = entries(state.open()?).find(|it| it.id.eq_ignore_ascii_case(&id)).map(describe);
    found.map(Json).ok_or(Error::Model(id))
}

fn status(state: &State) -> Status {
    let reason = state.not_ready();
    Status {
        ready: reason.is_none(),
        reason,
        models: state.loaded().into_iter().flat_map(entries).map(|it| it.id).collect(),
        running: state.metrics.running.get(),
        queued: state.loaded().map_or(0, |it| it.engine.queued()),
    }
}

fn entries(loaded: &Loaded) -> impl Iterator<Item = &'static Entry> {
    loaded.fronts.chat.values().map(|it| it.entry).chain(loaded.fronts.embedding.values().map(|it| it.entry))
}

fn describe(entry: &Entry) -> Model {
    Model {
        id: entry.id.to_owned(),
        object: "model".to_owned(),
        created: entry.released,
        owned_by: entry.owner.to_owned(),
        context_window: Some(entry.context_tokens),
    }
}
