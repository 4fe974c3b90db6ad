//! The node's life: listen, load, register, serve, drain.

use crate::{
    config::Config,
    engine::Engine,
    http::{self, Loaded, State},
    models::{self, Fronts, LoadError, Store, Weights},
    register::{Member, own_key},
    telemetry::Metrics,
};
use axum::serve::ListenerExt as _;
use candle_core::Device;
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    time::{sleep, timeout},
};
use tracing::{info, warn};
use url::Url;

/// Time for the last bytes of answers that are computed, once nothing runs any more.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// Why the node can't start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A model is missing or broken.
    #[error(transparent)]
    Models(#[from] LoadError),
    /// The device can't be used.
    #[error("the device can't be used")]
    Device(#[from] candle_core::Error),
    /// The address is taken, or not ours.
    #[error("the node can't listen on {address}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The node's own key.
    #[error("the node's key in {} can't be used", .path.display())]
    Key {
        /// Where it is kept.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// No client for the edge.
    #[error("no web client can be made")]
    Client(#[source] reqwest::Error),
    /// The device's thread is gone.
    #[error("the engine has stopped")]
    EngineStopped,
}

/// Runs a node until `shutdown` is ready, then finishes running answers for as long as the configuration allows.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    let store = Store::new(&config.models_dir);
    models::require(&store, &config.models)?;
    let key = own_key(&config.key_file).map_err(|cause| ServeError::Key { path: config.key_file.clone(), cause })?;
    let (listener, address) = listen(&config).await?;
    info!("listening on http://{address}");

    let metrics = Metrics::new();
    let state = State::new(config.edge_keys.clone().unwrap_or_default(), metrics.clone());
    let public_url = config.public_url.clone().unwrap_or_else(|| reachable(address));
    let member = Member::new(&config, &public_url, key, state.clone()).map_err(ServeError::Client)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let listener = listener.tap_io(|stream| {
        // Tokens are small and must not wait for one another.
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "TCP_NODELAY can't be set");
        }
    });
    let server = axum::serve(listener, http::router(state.clone())).with_graceful_shutdown(async {
        stopped.await.ok();
    });
    let server = tokio::spawn(server.into_future());

    // The probes answer while the models load.
    let loaded = load(&config, store, metrics).await?;
    state.set_loaded(loaded);
    let (readiness, changed) = watch::channel(());
    let member = tokio::spawn(member.run(changed));

    let ended = tokio::select! {
        () = shutdown => Ok(()),
        () = engine_stopped(&state) => Err(ServeError::EngineStopped),
    };
    state.drain();
    // The edge shall know before it sends the next call.
    readiness.send(()).ok();
    drain(&state, Duration::from_millis(config.drain_ms)).await;
    stop.send(()).ok();
    if timeout(LAST_BYTES, server).await.is_err() {
        warn!("some connections were still open");
    }
    member.abort();
    info!("stopped");
    ended
}

async fn listen(config: &Config) -> Result<(TcpListener, SocketAddr), ServeError> {
    let cannot = |cause| ServeError::Listen { address: format!("{}:{}", config.host, config.port), cause };
    let listener = TcpListener::bind((config.host.as_str(), config.port)).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok((listener, address))
}

/// An address on this machine for a node that listens on all of its own.
fn reachable(address: SocketAddr) -> Url {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    };
    format!("http://{}", SocketAddr::new(ip, address.port())).parse().expect("an address makes a URL")
}

async fn load(config: &Config, store: Store, metrics: Metrics) -> Result<Loaded, ServeError> {
    let (entries, threads, waiting, started) = (config.models.clone(), config.threads, config.queue, Instant::now());
    let loading = tokio::task::spawn_blocking(move || -> Result<(Fronts, Weights), ServeError> {
        Ok(models::load(&store, &entries, &device()?, threads)?)
    });
    let (fronts, weights) = match loading.await {
        Ok(loaded) => loaded?,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    };
    info!(took_ms = started.elapsed().as_millis() as u64, threads, "models are loaded");
    let engine = Engine::start(weights, &fronts, waiting, metrics);
    Ok(Loaded { fronts, engine })
}

/// The first GPU that this build knows how to use, else the CPU.
fn device() -> candle_core::Result<Device> {
    if cfg!(feature = "cuda") {
        Device::new_cuda(0)
    } else if cfg!(feature = "metal") {
        Device::new_metal(0)
    } else {
        Ok(Device::Cpu)
    }
}

/// Ready when the device's thread has died, which only a defect can make it do.
async fn engine_stopped(state: &State) {
    while state.loaded().is_some_and(|it| it.engine.is_alive()) {
        sleep(Duration::from_millis(500)).await;
    }
}

/// Waits until nothing runs or waits, but no longer than `longest`.
async fn drain(state: &State, longest: Duration) {
    let busy = || state.metrics.running.get() > 0 || state.loaded().is_some_and(|it| it.engine.queued() > 0);
    let idle = async {
        while busy() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    info!("stopping: running answers may finish");
    if timeout(longest, idle).await.is_err() {
        warn!("some answers took too long to finish");
    }
}
