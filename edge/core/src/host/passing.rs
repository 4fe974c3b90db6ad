//! A body that counts as it passes: how hosts with plain HTTP bodies relay a stream.

use super::{EndCause, RelayOptions, Relayed, StreamEnd, TAIL_BYTES};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_channel::oneshot;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body as HttpBody, Frame, SizeHint};
use shared::openai::sse::EventCounter;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Whether an upstream's answer is a stream to be relayed: a `200` with `text/event-stream`.
pub fn is_event_stream(status: StatusCode, headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    status == StatusCode::OK && media_type.eq_ignore_ascii_case("text/event-stream")
}

/// Relays `answer` if it is a stream, for hosts whose bodies are plain; `sleep` makes their timers.
pub fn relayed(
    answer: Response<Body>,
    sleep: impl Fn(u64) -> BoxFuture<'static, ()> + Send + 'static,
    options: RelayOptions,
) -> Relayed {
    if !is_event_stream(answer.status(), answer.headers()) {
        return Relayed::Answer(answer);
    }
    let (head, upstream) = answer.into_parts();
    let (body, end) = pass_through(upstream, sleep, options);
    Relayed::Stream { response: Response::from_parts(head, body), end }
}

/// Wraps `upstream` so that its chunks pass at once, unchanged, with the reader's own back-pressure.
///
/// `sleep` makes the timer for [`RelayOptions::idle_ms`]. The future resolves when the stream is over; dropping the
/// body early is how a client leaves, and drops `upstream` with it.
fn pass_through(
    upstream: Body,
    sleep: impl Fn(u64) -> BoxFuture<'static, ()> + Send + 'static,
    options: RelayOptions,
) -> (Body, BoxFuture<'static, StreamEnd>) {
    let (sender, receiver) = oneshot::channel();
    let RelayOptions { idle_ms, close } = options;
    let passing = Passing {
        upstream,
        idle: sleep(idle_ms),
        renew: Box::new(move || sleep(idle_ms)),
        heard: false,
        meter: Meter::default(),
        open: Some((sender, close)),
    };
    let end = receiver.map(|end| end.expect("a passing body reports its end, at the latest when it is dropped"));
    (Body::new(passing), end.boxed())
}

type Close = Box<dyn FnOnce(&StreamEnd) -> Bytes + Send>;

struct Passing {
    upstream: Body,
    idle: BoxFuture<'static, ()>,
    renew: Box<dyn Fn() -> BoxFuture<'static, ()> + Send>,
    /// Whether the upstream sent something since the timer was set. A chunk only raises this flag, since setting a
    /// timer a chunk costs more than passing the chunk does; so silence is noticed after one to two spans.
    heard: bool,
    meter: Meter,
    /// Taken when the stream ends.
    open: Option<(oneshot::Sender<StreamEnd>, Close)>,
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.open.is_none() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.upstream).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    this.meter.push(data);
                }
                this.heard = true;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => Poll::Ready(this.end(EndCause::Eof)),
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(error = %error, "upstream broke off its stream");
                Poll::Ready(this.end(EndCause::Broken))
            }
            Poll::Pending => {
                while this.idle.poll_unpin(cx).is_ready() {
                    if !std::mem::take(&mut this.heard) {
                        return Poll::Ready(this.end(EndCause::Idle));
                    }
                    this.idle = (this.renew)();
                }
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Passing {
    /// Reports the end and gives the frame that closes the client's stream.
    fn end(&mut self, cause: EndCause) -> Option<Result<Frame<Bytes>, axum::Error>> {
        let (sender, close) = self.open.take()?;
        let end = self.meter.end(cause);
        let closing = close(&end);
        // Nobody may be listening any more; then there is nothing to report to.
        let _ = sender.send(end);
        (!closing.is_empty()).then(|| Ok(Frame::data(closing)))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Some((sender, _)) = self.open.take() {
            let _ = sender.send(self.meter.end(EndCause::ClientLeft));
        }
    }
}

/// Counts events and keeps the last bytes.
#[derive(Default)]
struct Meter {
    tail: BytesMut,
    counter: EventCounter,
}

impl Meter {
    fn push(&mut self, chunk: &[u8]) {
        self.counter.push(chunk);
        let chunk = &chunk[chunk.len().saturating_sub(TAIL_BYTES)..];
        // Trimmed at twice the size, so that the copy is paid once per `TAIL_BYTES`, not once per chunk.
        if self.tail.len() + chunk.len() > 2 * TAIL_BYTES {
            let keep_from = self.tail.len().saturating_sub(TAIL_BYTES);
            self.tail = BytesMut::from(&self.tail[keep_from..]);
        }
        self.tail.extend_from_slice(chunk);
    }

    fn end(&mut self, cause: EndCause) -> StreamEnd {
        let mut tail = std::mem::take(&mut self.tail);
        let tail = tail.split_off(tail.len().saturating_sub(TAIL_BYTES)).freeze();
        StreamEnd::new(cause, tail, self.counter.events())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    #[test]
    fn an_event_stream_is_known_by_its_type() {
        for (status, content_type, is_stream) in [
            (200, "text/event-stream", true),
            (200, "Text/Event-Stream; charset=utf-8", true),
            (200, "application/json", false),
            (200, "text/event-stream-not", false),
            (429, "text/event-stream", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_event_stream(status, &headers), is_stream, "{status} {content_type}");
        }
        assert!(!is_event_stream(StatusCode::OK, &HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn the_tail_is_the_end_of_all_that_passed(sizes in prop::collection::vec(0_usize..40_000, 0..12)) {
            let (mut meter, mut all) = (Meter::default(), Vec::new());
            for (at, size) in sizes.into_iter().enumerate() {
                let chunk = vec![at as u8; size];
                meter.push(&chunk);
                all.extend_from_slice(&chunk);
            }
            let end = meter.end(EndCause::Eof);
            prop_assert_eq!(&end.tail[..], &all[all.len().saturating_sub(TAIL_BYTES)..]);
        }
    }
}
