//! The edge on Spin: Postgres and variables through Spin's host API, HTTP and clocks through WASI 0.3.
//!
//! Nothing is decided here. Spin keeps an instance for some requests, 16 of them at once, so what outlives a request is
//! a static that may be gone at any time. Each request, and the work it leaves behind, is a task of its own: the
//! `inter-task-wakeup` feature of `wit-bindgen` lets one task wake another, which would trap without it.
#![cfg(target_os = "wasi")]

mod answer;
mod config;
mod fetch;
mod host;
mod log;
mod postgres;

use axum::body::Body;
#[cfg(not(feature = "contract"))]
use edge_core::{Config, Host};
use edge_core::{Edge, files, host::PeerIp, misconfigured};
use http::HeaderMap;
use spin_sdk::{
    http::Request,
    http_service,
    wasip3::http::types::{ErrorCode, Response as WasiResponse},
};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

/// The edge of this instance, once its settings were read and found right.
static EDGE: OnceLock<Edge> = OnceLock::new();

#[http_service]
async fn handle(request: Request) -> Result<WasiResponse, ErrorCode> {
    log::init();
    let request = with_peer(request.map(Body::new));
    let response = match edge().await {
        Some(edge) => match files::answer(&request, &edge.config().api_prefix, mounted) {
            Some(file) => file,
            None => {
                let host = Arc::new(host::Spin::new(edge.config()));
                call(edge, host, request).await
            }
        },
        None => misconfigured(),
    };
    answer::send(response)
}

#[cfg(feature = "contract")]
use nest_contract::{call, edge as build};

#[cfg(not(feature = "contract"))]
fn build(config: Config) -> Edge {
    Edge::new(config)
}

#[cfg(not(feature = "contract"))]
async fn call(edge: &Edge, host: Arc<dyn Host>, request: http::Request<Body>) -> http::Response<Body> {
    edge.call(host, request).await
}

/// This instance's edge; none while its settings are wrong.
///
/// Requests that start together may each read the settings; the first to be done gives the edge to all. Waiting for
/// one another would save nothing.
async fn edge() -> Option<&'static Edge> {
    if let Some(edge) = EDGE.get() {
        return Some(edge);
    }
    match config::load().await {
        Ok(config) => Some(EDGE.get_or_init(|| build(config))),
        Err(problems) => {
            tracing::error!("the settings cannot be used: {problems}");
            None
        }
    }
}

/// A static file, from where the manifest mounts `edge/public`.
fn mounted(name: &str) -> Option<Vec<u8>> {
    fs::read(Path::new("/public").join(name)).ok()
}

/// Tells the core where the request comes from.
fn with_peer(mut request: http::Request<Body>) -> http::Request<Body> {
    if let Some(peer) = peer(request.headers()) {
        request.extensions_mut().insert(PeerIp(peer.ip()));
    }
    request
}

/// The address that Spin saw. Spin appends its header after those of the client, so only the last one is Spin's.
fn peer(headers: &HeaderMap) -> Option<SocketAddr> {
    headers.get_all("spin-client-addr").iter().next_back()?.to_str().ok()?.parse().ok()
}
