//! Outbound HTTP by WASI: no redirects, no proxies, streams with back-pressure.

use crate::host::sleep;
use axum::body::Body;
use bytes::Bytes;
use edge_core::host::{BoxError, FetchError, RelayOptions, Relayed, relayed};
use futures_util::future::{self, Either};
use http::{
    Request, Response, Uri,
    header::{CONTENT_LENGTH, HOST},
};
use spin_sdk::wasip3::{
    http::{
        client,
        types::{ErrorCode, Fields, Request as WasiRequest, RequestOptions, Scheme},
    },
    http_compat::http_from_wasi_response,
    spawn, wit_future, wit_stream,
};
use std::{future::Future, pin::pin};

/// Sends `request` and returns with the head of the answer.
pub(crate) async fn fetch(request: Request<Bytes>, connect_timeout_ms: u64) -> Result<Response<Body>, FetchError> {
    let (request, body) = outgoing(request, connect_timeout_ms).map_err(FetchError::Connect)?;
    let response = match future::select(pin!(client::send(request)), Box::pin(body)).await {
        Either::Left((response, rest)) => {
            // The upstream answers before it has read all. Dropping the rest would break the connection.
            spawn(rest);
            response
        }
        Either::Right(((), response)) => response.await,
    };
    let response = response.and_then(http_from_wasi_response).map_err(failure)?;
    Ok(response.map(Body::new))
}

/// As [`fetch`], but an event stream counts as it passes.
pub(crate) async fn relay(
    request: Request<Bytes>,
    connect_timeout_ms: u64,
    options: RelayOptions,
) -> Result<Relayed, FetchError> {
    Ok(relayed(fetch(request, connect_timeout_ms).await?, sleep, options))
}

/// The request as WASI has it, and the future that writes its body.
fn outgoing(
    request: Request<Bytes>,
    connect_timeout_ms: u64,
) -> Result<(WasiRequest, impl Future<Output = ()> + Send + use<>), BoxError> {
    let (mut head, body) = request.into_parts();
    // WASI takes the host from the address alone, and sends bodies of unknown length in chunks.
    head.headers.remove(HOST);
    if !body.is_empty() {
        head.headers.insert(CONTENT_LENGTH, body.len().into());
    }
    let options = RequestOptions::new();
    let limit_ns = connect_timeout_ms.saturating_mul(1_000_000);
    options.set_connect_timeout(Some(limit_ns)).map_err(|error| format!("no connect timeout: {error:?}"))?;
    let (mut contents, contents_end) = wit_stream::new();
    let (trailers, trailers_end) = wit_future::new(|| Ok(None));
    let has_body = (!body.is_empty()).then_some(contents_end);
    let (outgoing, _sent) = WasiRequest::new(Fields::try_from(head.headers)?, has_body, trailers_end, Some(options));
    outgoing.set_method(&head.method.into()).map_err(|()| "the method cannot be sent")?;
    address(&outgoing, &head.uri).map_err(|()| "the address cannot be used")?;
    let write = async move {
        contents.write_all(body.into()).await;
        drop(contents);
        // Nobody takes the trailers of a request that has failed; `send` tells of it.
        let _ = trailers.write(Ok(None)).await;
    };
    Ok((outgoing, write))
}

fn address(request: &WasiRequest, uri: &Uri) -> Result<(), ()> {
    let scheme: Option<Scheme> = uri.scheme().map(Into::into);
    request.set_scheme(scheme.as_ref())?;
    request.set_authority(uri.authority().map(http::uri::Authority::as_str))?;
    request.set_path_with_query(uri.path_and_query().map(http::uri::PathAndQuery::as_str))
}

/// Tells what certainly never reached the upstream from what may have.
fn failure(error: ErrorCode) -> FetchError {
    match error {
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_)
        // Spin's word for an address that `allowed_outbound_hosts` does not list.
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid => FetchError::Connect(error.into()),
        other => FetchError::Broken(other.into()),
    }
}
