//! Outbound HTTP by the runtime's `fetch`.

use crate::border;
use axum::body::Body;
use bytes::Bytes;
use edge_core::host::{BoxError, FetchError};
use futures_util::future::{Either, select};
use http::{Request, Response, Uri, header};
use std::time::Duration;
use wasm_bindgen::{JsCast as _, JsValue, prelude::wasm_bindgen};
use worker::{
    Delay, Socket,
    js_sys::{Promise, Uint8Array, futures::JsFuture},
    web_sys::{self, AbortController, AbortSignal},
};

#[wasm_bindgen(module = "/src/border.js")]
extern "C" {
    fn send(url: &str, method: &str, headers: &str, body: JsValue, signal: &AbortSignal) -> Promise;
    #[wasm_bindgen(js_name = responseHead)]
    fn response_head(response: &web_sys::Response) -> String;
}

/// Answers up to here cross in one piece.
const ANSWER_IN_ONE_BYTES: u64 = 64 * 1024;

/// What Cloudflare's network answers in place of an upstream that it could not connect to.
const NOT_REACHED: [u16; 6] = [521, 522, 523, 525, 526, 530];

/// Longest wait of a look whether anything listens at an address.
const LOOK: Duration = Duration::from_secs(1);

/// An answer whose body is still with the runtime.
pub(crate) struct Answer {
    /// Status and headers.
    pub(crate) head: Response<()>,
    pub(crate) raw: web_sys::Response,
    pub(crate) call: Call,
}

/// Sends a request and waits for the head of its answer.
pub(crate) async fn fetch(request: Request<Bytes>) -> Result<Answer, FetchError> {
    let (head, body) = request.into_parts();
    let call = Call::new()?;
    let body = if body.is_empty() { JsValue::NULL } else { Uint8Array::from(&body[..]).into() };
    let url = head.uri.to_string();
    let sent = send(&url, head.method.as_str(), &border::flat(&head.headers), body, &call.0.signal());
    let raw: web_sys::Response = match JsFuture::from(sent).await {
        Ok(response) => response.unchecked_into(),
        Err(thrown) => return Err(failure(&head.uri, border::cause(&thrown)).await),
    };
    let text = response_head(&raw);
    let mut lines = text.split('\n');
    let status = lines.next().unwrap_or_default();
    let mut head = Response::builder().status(status).body(()).map_err(|error| FetchError::Broken(error.into()))?;
    *head.headers_mut() = border::headers(lines);
    let of_cloudflare = head.headers().get(header::SERVER).is_some_and(|it| it == "cloudflare");
    if of_cloudflare && NOT_REACHED.contains(&head.status().as_u16()) {
        return Err(FetchError::Connect(format!("the network answered {status}").into()));
    }
    Ok(Answer { head, raw, call })
}

impl Answer {
    /// The answer with a body that crosses into the core.
    pub(crate) fn into_response(self) -> Response<Body> {
        let Self { head, raw, call } = self;
        let body = match border::text::<u64>(head.headers(), header::CONTENT_LENGTH.as_str()) {
            Some(length) if length <= ANSWER_IN_ONE_BYTES => border::in_one(move || {
                // From here on the runtime reads to the end by itself.
                call.release();
                raw.array_buffer()
            }),
            _ => {
                // A streamed body that is dropped cancels its call itself.
                call.release();
                raw.body().map_or_else(Body::empty, border::streamed)
            }
        };
        head.map(|()| body)
    }
}

/// A call that is aborted when it is dropped, so that an upstream does not work for nobody.
pub(crate) struct Call(AbortController);

impl Call {
    fn new() -> Result<Self, FetchError> {
        AbortController::new().map(Self).map_err(|thrown| FetchError::Broken(border::cause(&thrown)))
    }

    /// Leaves the call to whoever reads its answer.
    pub(crate) fn release(self) -> AbortController {
        let controller = self.0.clone();
        std::mem::forget(self);
        controller
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there was no answer. Workerd says the same of a connection that was refused and of one that broke, so a look at
/// the address decides: where nothing listens, nothing can be at work. On Cloudflare's network a fetch over TLS that
/// does not get through is answered by the network instead, and the look would say nothing of an address behind it.
async fn failure(uri: &Uri, cause: BoxError) -> FetchError {
    if uri.scheme_str() == Some("http") && !listens(uri).await {
        FetchError::Connect(cause)
    } else {
        FetchError::Broken(cause)
    }
}

async fn listens(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let Ok(mut socket) = Socket::builder().connect(host, uri.port_u16().unwrap_or(80)) else { return false };
    let opened = {
        let (opened, limit) = (std::pin::pin!(socket.opened()), Delay::from(LOOK));
        matches!(select(opened, limit).await, Either::Left((Ok(_), _)))
    };
    // Whether it closes in good order is of no matter: nothing was said on it.
    let _ = socket.close().await;
    opened
}
