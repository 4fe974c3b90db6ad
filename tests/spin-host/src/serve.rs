//! The listener: HTTP/1.1, and requests as Spin's HTTP trigger hands them to a component.

use crate::workers::Workers;
use anyhow::Context as _;
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONNECTION, HOST},
};
use http_body_util::{BodyExt as _, Empty, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use std::{convert::Infallible, net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::{
    handler::{self, ErrorCode},
    p3::bindings::http::types::ErrorCode as P3,
};

/// Answers until `stop`, then lets running answers end.
pub(crate) async fn serve(listener: TcpListener, workers: Workers, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => serve_connection(stream, peer, &workers, &graceful),
                // Too many open files and the like: wait a moment instead of spinning.
                Err(error) => {
                    eprintln!("spin-host: a connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

fn serve_connection(stream: TcpStream, peer: SocketAddr, workers: &Workers, graceful: &GracefulShutdown) {
    // A socket that refuses the option still works, only slower.
    let _ = stream.set_nodelay(true);
    let workers = workers.clone();
    let service = service_fn(move |request| answer(workers.clone(), peer, request));
    let connection = graceful.watch(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    // A client that leaves early is no error of ours.
    tokio::spawn(async move { connection.await.ok() });
}

async fn answer(
    workers: Workers,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, anyhow::Error>>, Infallible> {
    let answered = match as_spin_has_it(request, peer) {
        Ok(request) => workers.handle(request).await,
        Err(error) => Err(error),
    };
    Ok(match answered {
        Ok(response) => response.map(|body| body.map_err(anyhow::Error::from).boxed_unsync()),
        Err(error) => {
            eprintln!("spin-host: a request failed: {error:?}");
            let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
            let mut response = Response::new(empty);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    })
}

/// The whole address as URI, no `connection` header, and Spin's own headers after those of the client.
///
/// Spin appends, so that a client's own `spin-client-addr` comes first, and a component must read the last.
fn as_spin_has_it(request: Request<Incoming>, peer: SocketAddr) -> anyhow::Result<handler::Request> {
    let (mut head, body) = request.into_parts();
    let host = head.headers.get(HOST).context("a request names its host")?.to_str()?.to_owned();
    let path = head.uri.path_and_query().map_or("/", |it| it.as_str()).to_owned();
    head.uri = Uri::builder().scheme("http").authority(host.as_str()).path_and_query(&path).build()?;
    head.headers.remove(CONNECTION);
    let full_url = head.uri.to_string();
    let peer = peer.to_string();
    for (name, value) in [
        ("spin-path-info", head.uri.path()),
        ("spin-full-url", &full_url),
        ("spin-matched-route", "/..."),
        ("spin-base-path", "/"),
        ("spin-raw-component-route", "/..."),
        ("spin-component-route", ""),
        ("spin-client-addr", &peer),
    ] {
        head.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value)?);
    }
    let body = body.map_err(|_| ErrorCode::P3(P3::HttpProtocolError)).boxed_unsync();
    Ok(Request::from_parts(head, body))
}
