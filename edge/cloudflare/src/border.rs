//! Between the runtime's requests and responses and the core's.

use crate::relay::Handle;
use axum::{body::Body, response::Response};
use bytes::Bytes;
use edge_core::host::{BoxError, PeerIp};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header::CONTENT_LENGTH};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use std::net::IpAddr;
use wasm_bindgen::{JsCast as _, JsValue, prelude::wasm_bindgen};
use worker::{
    js_sys::{self, Promise, Uint8Array, futures::JsFuture},
    send::SendFuture,
    web_sys,
};

#[wasm_bindgen(module = "/src/border.js")]
extern "C" {
    #[wasm_bindgen(js_name = requestHead)]
    fn request_head(request: &web_sys::Request) -> String;
    #[wasm_bindgen(catch)]
    fn reply(status: u16, headers: &str, body: JsValue) -> Result<web_sys::Response, JsValue>;
}

/// Request bodies up to here cross in one piece.
const REQUEST_IN_ONE_BYTES: u64 = 8 * 1024 * 1024;

/// The runtime's request as the core reads it.
pub(crate) fn request(raw: web_sys::Request) -> worker::Result<Request<Body>> {
    let head = request_head(&raw);
    let mut lines = head.split('\n');
    let (method, url) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut request = Request::builder().method(method).uri(url).body(())?;
    *request.headers_mut() = headers(lines);
    // Cloudflare sets this header itself, whatever the client sent.
    if let Some(ip) = text::<IpAddr>(request.headers(), "cf-connecting-ip") {
        request.extensions_mut().insert(PeerIp(ip));
    }
    let body = match text::<u64>(request.headers(), CONTENT_LENGTH.as_str()) {
        Some(0) => Body::empty(),
        Some(length) if length <= REQUEST_IN_ONE_BYTES => in_one(move || raw.array_buffer()),
        _ => raw.body().map_or_else(Body::empty, streamed),
    };
    Ok(request.map(|()| body))
}

/// The core's response as the runtime sends it.
pub(crate) async fn response(response: Response) -> worker::Result<web_sys::Response> {
    let (head, body) = response.into_parts();
    let (status, headers) = (head.status.as_u16(), flat(&head.headers));
    if let Some(handle) = head.extensions.get::<Handle>() {
        return Ok(reply(status, &headers, handle.take().into())?);
    }
    let body = match body.size_hint().exact() {
        Some(0) => JsValue::NULL,
        // The core holds it whole: there is nothing to wait for.
        Some(_) => match body.collect().await {
            Ok(whole) => Uint8Array::from(&whole.to_bytes()[..]).into(),
            Err(error) => return Err(worker::Error::RustError(error.to_string())),
        },
        None => worker::Body::from_stream(body.into_data_stream())?.into_inner().into(),
    };
    Ok(reply(status, &headers, body)?)
}

/// A body that crosses in one piece when it is first asked for.
pub(crate) fn in_one(read: impl FnOnce() -> Result<Promise, JsValue> + 'static) -> Body {
    let whole = async move {
        let buffer = JsFuture::from(read().map_err(|thrown| cause(&thrown))?).await.map_err(|thrown| cause(&thrown))?;
        Ok::<_, BoxError>(Bytes::from(Uint8Array::new(&buffer).to_vec()))
    };
    Body::from_stream(stream::once(SendFuture::new(whole)))
}

/// A body that crosses chunk by chunk.
pub(crate) fn streamed(stream: web_sys::ReadableStream) -> Body {
    Body::new(worker::Body::new(stream))
}

/// Headers from names and values in turn; what no header can hold is left out.
pub(crate) fn headers<'a>(mut lines: impl Iterator<Item = &'a str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// The opposite of [`headers`]; a value that is no text is left out.
pub(crate) fn flat(headers: &HeaderMap) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        if !text.is_empty() {
            text.push('\n');
        }
        text.extend([name.as_str(), "\n", value]);
    }
    text
}

/// A header's value, if it is there and of type `T`.
pub(crate) fn text<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// What JavaScript threw, in words.
pub(crate) fn cause(thrown: &JsValue) -> BoxError {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()).into(),
        None => format!("{thrown:?}").into(),
    }
}
