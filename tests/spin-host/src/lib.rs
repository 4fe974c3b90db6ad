//! A small host for Spin components, so that tests can run the edge as Spin would.
//!
//! It runs one HTTP component of one `spin.toml` on the same engine as Spin 4.1 (wasmtime 47), by the same rules as far
//! as the edge can notice: how instances are reused, which hosts may be reached, how Postgres values are bound and
//! read, how errors look, which headers a request gets. Where Spin is odd, this is odd in the same way.
//!
//! It is not Spin. It has no triggers but HTTP, no other interfaces than those that the edge imports, no TLS to
//! Postgres, no limits on memory or time, and nobody has looked at it as a border against hostile components. It is
//! for development and tests alone.

mod allowed;
mod bindings;
mod component;
mod edge;
mod guest;
mod manifest;
mod outbound;
mod postgres;
mod serve;
mod variables;
mod workers;

use anyhow::Context as _;
use guest::App;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use workers::Workers;

pub use edge::{edge_component, edge_manifest};
pub use manifest::{Manifest, Variable};

/// How long work may run on after the order to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// What to run, and where.
pub struct Options {
    /// The `spin.toml`.
    pub manifest: PathBuf,
    /// Runs this file instead of the manifest's source.
    pub component: Option<PathBuf>,
    /// Values of application variables; they win over the manifest's defaults.
    pub variables: Vec<(String, String)>,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What the guest writes to stderr is appended here; to this process' own stderr when there is none.
    pub log: Option<PathBuf>,
}

/// A component that answers requests.
pub struct SpinHost {
    url: String,
    stop: CancellationToken,
    server: JoinHandle<()>,
    workers: Workers,
}

impl SpinHost {
    /// Compiles the component, unless it is known, and listens.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let manifest = Manifest::read(&options.manifest)?;
        let settings = manifest.resolve(&options.variables)?;
        let file = options.component.unwrap_or_else(|| manifest.source());
        let compiled = tokio::task::spawn_blocking(move || component::compile(&file)).await??;
        let app = Arc::new(App::new(settings, options.log.as_deref())?);
        let stop = CancellationToken::new();
        let workers = Workers::new(&compiled, app, stop.clone())?;
        let listener = tokio::net::TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("cannot listen on {}", options.listen))?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(serve::serve(listener, workers.clone(), stop.clone()));
        Ok(Self { url, stop, server, workers })
    }

    /// Where it listens, such as `http://127.0.0.1:3000`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes no more requests, and returns when running answers, and the work behind them, are done.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = async {
            // The server only ends early by a panic, which has been reported.
            let _ = (&mut self.server).await;
            self.workers.ended().await;
        };
        if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
            eprintln!("spin-host: some work did not end in time");
        }
    }
}

impl Drop for SpinHost {
    fn drop(&mut self) {
        self.stop.cancel();
        self.server.abort();
    }
}
