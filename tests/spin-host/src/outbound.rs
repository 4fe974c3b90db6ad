//! Outbound HTTP of a guest: only to the hosts that the manifest lists, over pooled connections, without redirects.

use crate::allowed::AllowedHosts;
use bytes::Bytes;
use http::{Request, Response, header::HOST};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p3::{RequestOptions, WasiHttpHooks, bindings::http::types::ErrorCode};

type Body = UnsyncBoxBody<Bytes, ErrorCode>;
type Transmission = Box<dyn Future<Output = Result<(), ErrorCode>> + Send>;
type Sent = Result<(Response<Body>, Transmission), TrappableError<ErrorCode>>;

/// What Spin waits for a connection, and for the head of an answer, when the guest sets no limit.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// Clients by their connect timeout, which is a client's and not a request's.
#[derive(Default)]
pub(crate) struct Clients(Mutex<HashMap<Duration, reqwest::Client>>);

/// Stands between a guest and the network.
pub(crate) struct Outbound {
    pub(crate) allowed: Arc<AllowedHosts>,
    pub(crate) clients: Arc<Clients>,
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<Body>,
        options: Option<RequestOptions>,
        _: Transmission,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !self.allowed.allows(&request.uri().to_string(), "https") {
            return Box::new(async { Err(ErrorCode::HttpRequestDenied.into()) });
        }
        let limit = |of: fn(&RequestOptions) -> Option<Duration>| options.as_ref().and_then(of);
        let client = self.clients.of(limit(|it| it.connect_timeout).unwrap_or(DEFAULT_TIMEOUT));
        let head_within = limit(|it| it.first_byte_timeout).unwrap_or(DEFAULT_TIMEOUT);
        Box::new(async move {
            let sent = tokio::time::timeout(head_within, send(client?, request)).await;
            let response = sent.unwrap_or(Err(ErrorCode::ConnectionReadTimeout))?;
            Ok((response, Box::new(async { Ok(()) }) as Transmission))
        })
    }
}

impl Clients {
    fn of(&self, connect_timeout: Duration) -> Result<reqwest::Client, ErrorCode> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&connect_timeout) {
            return Ok(client.clone());
        }
        let builder = reqwest::Client::builder().connect_timeout(connect_timeout).tcp_nodelay(true).no_proxy();
        let client = builder.redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        clients.insert(connect_timeout, client.clone());
        Ok(client)
    }
}

async fn send(client: reqwest::Client, request: Request<Body>) -> Result<Response<Body>, ErrorCode> {
    let (mut head, body) = request.into_parts();
    head.headers.remove(HOST);
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    let request =
        reqwest::Request::try_from(Request::from_parts(head, body)).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let response = client.execute(request).await.map_err(|error| match () {
        () if error.is_connect() && error.is_timeout() => ErrorCode::ConnectionTimeout,
        () if error.is_connect() => ErrorCode::ConnectionRefused,
        () => ErrorCode::HttpProtocolError,
    })?;
    let response = Response::<reqwest::Body>::from(response);
    Ok(response.map(|body| body.map_err(|_| ErrorCode::HttpProtocolError).boxed_unsync()))
}
