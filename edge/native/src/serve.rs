//! The listener: HTTP/1.1 connections, the peer's address, and an orderly end.

use crate::{Native, metrics::Metrics, public};
use anyhow::Context as _;
use axum::{body::Body, response::Response};
use edge_core::{Config, Edge, Host, files, host::PeerIp};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

/// A client that has not sent its headers by then is cut off.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);

/// How long running answers may go on after the order to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// How often the edge does what is due by the clock.
const TICK: Duration = Duration::from_secs(60);

/// How long usage rows may take to be written after that.
const FLUSH: Duration = Duration::from_secs(10);

/// An edge that listens.
pub struct Server {
    edge: Arc<Edge>,
    native: Arc<Native>,
    host: Arc<dyn Host>,
    listener: TcpListener,
    metrics: Arc<Metrics>,
}

/// Serves the edge that `config` describes until `stop` resolves, then drains.
pub async fn serve(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    migrations::check(&config.database_url).await?;
    let native = Arc::new(Native::new(&config)?.with_journal(&config)?);
    Server::bind(Edge::new(config), native.clone(), native).await?.run(stop).await
}

impl Server {
    /// Binds the configured address. `host` may be `native` itself or something that wraps it.
    pub async fn bind(edge: Edge, native: Arc<Native>, host: Arc<dyn Host>) -> anyhow::Result<Self> {
        let address = format!("{}:{}", edge.config().host, edge.config().port);
        let listener = TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
        Ok(Self { edge: Arc::new(edge), native, host, listener, metrics: Arc::new(Metrics::new()?) })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` resolves; then takes no more connections and lets running answers end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        // Before anything is added to it.
        self.edge.recover(self.host.clone()).await;
        tracing::info!(address = %self.address()?, "the edge listens on http://{}", self.address()?);
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        let ticking = AbortOnDropHandle::new(tokio::spawn(tick(self.edge.clone(), self.host.clone())));
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.serve_connection(stream, peer, &graceful),
                    // Too many open files and the like: wait a moment instead of spinning.
                    Err(error) => {
                        tracing::error!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                () = &mut stop => break,
            }
        }
        drop((self.listener, ticking));
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("some answers did not end in time");
        }
        self.native.finish_deferred(FLUSH).await;
        self.edge.flush(self.host).await;
        Ok(())
    }

    fn serve_connection(&self, stream: TcpStream, peer: SocketAddr, graceful: &GracefulShutdown) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let (edge, host, metrics) = (self.edge.clone(), self.host.clone(), self.metrics.clone());
        let service = service_fn(move |request| answer(edge.clone(), host.clone(), metrics.clone(), peer, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_WITHIN)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}

async fn tick(edge: Arc<Edge>, host: Arc<dyn Host>) {
    let mut due = tokio::time::interval_at(Instant::now() + TICK, TICK);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        edge.tick(host.clone()).await;
    }
}

async fn answer(
    edge: Arc<Edge>,
    host: Arc<dyn Host>,
    metrics: Arc<Metrics>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    // This process' own counters; the core knows nothing of them, since no other host can be scraped.
    if request.uri().path() == "/metrics" {
        return Ok(metrics.render(edge.clock_ahead_ms()));
    }
    let timer = metrics.begin(request.uri().path());
    let mut request = request.map(Body::new);
    if let Some(file) = files::answer(&request, &edge.config().api_prefix, public::read) {
        timer.answered(file.status());
        return Ok(file);
    }
    request.extensions_mut().insert(PeerIp(peer.ip()));
    let response = edge.call(host, request).await;
    timer.answered(response.status());
    Ok(response)
}
