//! Event streams that the runtime passes on by itself: the core gets a handle, and is told how the stream ended. A stream
//! that the core changes on its way crosses chunk by chunk instead.

use crate::{border, fetch};
use axum::body::Body;
use bytes::Bytes;
use edge_core::host::{
    DRAIN_BYTES, EndCause, FetchError, RelayOptions, Relayed, StreamEnd, StreamReader, TAIL_BYTES, is_event_stream,
};
use futures_channel::oneshot;
use futures_util::{FutureExt as _, future};
use http::{Request, Response};
use std::{cell::Cell, rc::Rc};
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure, prelude::wasm_bindgen};
use worker::{
    js_sys::Uint8Array,
    send::SendWrapper,
    web_sys::{self, AbortController, AbortSignal, ReadableStream},
};

#[wasm_bindgen(module = "/src/relay.js")]
extern "C" {
    fn pass(
        response: &web_sys::Response,
        controller: &AbortController,
        client: &AbortSignal,
        cut: &AbortSignal,
        idle_ms: f64,
        drain_ms: f64,
        drain_bytes: usize,
        tail_bytes: usize,
        ended: &JsValue,
    ) -> ReadableStream;
}

/// A stream on its way through the core, in the extensions of its response.
#[derive(Clone)]
pub(crate) struct Handle(SendWrapper<Rc<Passing>>);

struct Passing {
    stream: ReadableStream,
    /// Whether the runtime has it, which reads it to the end or cancels it.
    taken: Cell<bool>,
}

impl Handle {
    fn new(stream: ReadableStream) -> Self {
        Self(SendWrapper::new(Rc::new(Passing { stream, taken: Cell::new(false) })))
    }

    /// The stream, for the response that goes out.
    pub(crate) fn take(&self) -> ReadableStream {
        self.0.taken.set(true);
        self.0.stream.clone()
    }
}

impl Drop for Passing {
    /// A response that the core dropped has no client any more.
    fn drop(&mut self) {
        if !self.taken.get() {
            let _ = self.stream.cancel();
        }
    }
}

/// Sends a request; an event stream becomes a handle, anything else an answer. `client` is the signal that the client
/// has left.
pub(crate) async fn relay(
    request: Request<Bytes>,
    options: RelayOptions,
    client: AbortSignal,
) -> Result<Relayed, FetchError> {
    let answer = fetch::fetch(request).await?;
    if !is_event_stream(answer.head.status(), answer.head.headers()) || answer.raw.body().is_none() {
        return Ok(Relayed::Answer(answer.into_response()));
    }
    let knife = AbortController::new().map_err(|thrown| FetchError::Broken(border::cause(&thrown)))?;
    let (sender, receiver) = oneshot::channel();
    let RelayOptions { idle_ms, drain_ms, reader, close } = options;
    let ended = Closure::once_into_js(move |cause: u8, tail: Vec<u8>, events: f64| -> Uint8Array {
        let end = StreamEnd::new(cause_of(cause), tail.into(), events as u64);
        let closing = if end.cause == EndCause::ClientLeft { Bytes::new() } else { close(&end) };
        // Nobody may be listening any more; then there is nothing to report to.
        let _ = sender.send(end);
        Uint8Array::from(&closing[..])
    });
    let call = answer.call.release();
    let (idle_ms, drain_ms, ended) = (idle_ms as f64, drain_ms as f64, ended.unchecked_ref());
    let knife_signal = knife.signal();
    let stream = pass(&answer.raw, &call, &client, &knife_signal, idle_ms, drain_ms, DRAIN_BYTES, TAIL_BYTES, ended);
    let response = match reader {
        StreamReader::Core => answer.head.map(|()| border::streamed(stream)),
        StreamReader::Client => {
            let mut response: Response<Body> = answer.head.map(|()| Body::empty());
            response.extensions_mut().insert(Handle::new(stream));
            response
        }
    };
    // Without a word the stream was lost with its request: nothing is left to settle it with.
    let end = receiver.then(|end| async {
        match end {
            Ok(end) => end,
            Err(_) => future::pending().await,
        }
    });
    let knife = SendWrapper::new(knife);
    Ok(Relayed::Stream { response, end: end.boxed(), cut: Box::new(move || knife.abort()) })
}

/// In the order of `relay.js`.
fn cause_of(code: u8) -> EndCause {
    match code {
        0 => EndCause::Eof,
        1 => EndCause::Broken,
        2 => EndCause::Idle,
        4 => EndCause::Cut,
        _ => EndCause::ClientLeft,
    }
}
