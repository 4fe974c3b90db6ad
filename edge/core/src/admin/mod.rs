//! The operators' view: health, so far. Owns no table.

use crate::{
    App, Error, limits,
    sql::{row, sql},
};
use axum::{
    Json, Router,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{Extensions, HeaderMap, StatusCode};
use serde_json::json;

row! {
    struct One {
        one: i64,
    }
}

sql! {
    PING() -> One = "select 1::int8 as one";
}

pub(crate) fn routes() -> Router {
    Router::new().route("/v1/endpoints/health", get(health)).route("/healthz", get(alive)).route("/readyz", get(ready))
}

/// The public health check, limited by address; it says that the edge answers, not that all it needs is there.
async fn health(app: App, extensions: Extensions, headers: HeaderMap) -> Result<Response, Error> {
    limits::take(&app, &extensions, &headers, app.config.health_per_minute)?;
    Ok(Json(json!({"status": "healthy"})).into_response())
}

/// Alive: an orchestrator restarts a process that does not answer this.
async fn alive() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// Ready: a load balancer sends requests only where this is 200.
async fn ready(app: App) -> Response {
    match app.store.first(&PING, ()).await {
        Ok(Some(row)) if row.one == 1 => Json(json!({"status": "ready"})).into_response(),
        Ok(_) => unready("the database gives wrong answers"),
        Err(error) => {
            tracing::warn!(error = %crate::error::chain(&error), "not ready");
            unready("the database cannot be reached")
        }
    }
}

fn unready(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "unready", "reason": reason}))).into_response()
}
