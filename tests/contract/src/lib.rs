//! The contract that every host must pass, as routes: what a host lends the edge, reachable from outside.
//!
//! A WASM host lives inside its runtime, where a test cannot call it. So the build that is tested (feature `contract` of
//! the host crates; never the one that is deployed) answers these routes beside the edge's own, each of which asks its
//! host for one thing and tells what came of it. `tests/it/host.rs` asks, looks from both sides, and compares.
//!
//! It also lends tests two things that they have natively: a clock that they move, and a count of statements.

mod act;
mod crates;
mod host;
mod mail;
mod watched;
mod wire;

pub use crates::Smoke;
pub use host::{ANSWER, CUT_MS, Clock, DRAIN_MS, FAILURE, IDLE_MS, NOTE, Query, THROUGH_CORE, URL};
pub use mail::Post;
pub use watched::{AHEAD_MS, Watch, Watched};
pub use wire::Wire;

use axum::{Json, body::Body, response::Response, routing::get};
use edge_core::{Config, Edge, Host};
use http::Request;
use std::sync::{Arc, LazyLock};

/// The edge, and the contract's own routes.
pub fn edge(config: Config) -> Edge {
    let routes = host::routes().merge(crates::routes()).merge(act::routes()).merge(mail::routes());
    Edge::with_routes(config, routes.route("/contract/statements", get(statements)))
}

/// Answers as [`Edge::call`] does, on a host that is watched.
pub async fn call(edge: &Edge, host: Arc<dyn Host>, request: Request<Body>) -> Response {
    WATCH.follow(request.headers());
    edge.call(Arc::new(Watched::new(host, WATCH.clone())), request).await
}

/// What [`call`] watches outlives a request as caches do: as long as the instance.
static WATCH: LazyLock<Arc<Watch>> = LazyLock::new(Arc::default);

/// The statements that this instance has begun.
async fn statements() -> Json<Vec<&'static str>> {
    Json(WATCH.statements())
}
