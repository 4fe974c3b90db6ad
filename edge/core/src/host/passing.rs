//! A body that counts as it passes: how hosts with plain HTTP bodies relay a stream.

use super::{Cut, EndCause, RelayOptions, Relayed, StreamEnd, TAIL_BYTES};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_channel::oneshot;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body as HttpBody, Frame, SizeHint};
use shared::openai::sse::EventCounter;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
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
    let (body, end, cut) = pass_through(upstream, sleep, options);
    Relayed::Stream { response: Response::from_parts(head, body), end, cut }
}

/// Wraps `upstream` so that its chunks pass at once, unchanged, with the reader's own back-pressure.
///
/// `sleep` makes the timer for [`RelayOptions::idle_ms`]. The future resolves when the stream is over; dropping the
/// body early is how a client leaves, and drops `upstream` with it.
fn pass_through(
    upstream: Body,
    sleep: impl Fn(u64) -> BoxFuture<'static, ()> + Send + 'static,
    options: RelayOptions,
) -> (Body, BoxFuture<'static, StreamEnd>, Cut) {
    let (sender, receiver) = oneshot::channel();
    let RelayOptions { idle_ms, close } = options;
    let stream = Arc::new(Mutex::new(Stream {
        upstream,
        idle: sleep(idle_ms),
        renew: Box::new(move || sleep(idle_ms)),
        heard: false,
        meter: Meter::default(),
        open: Some((sender, close)),
        closing: None,
        reader: None,
    }));
    let end = receiver.map(|end| end.expect("a passing body reports its end, at the latest when it is dropped"));
    // The stream is its body's: whoever may cut it does not keep it.
    let known = Arc::downgrade(&stream);
    let cut = move || {
        if let Some(stream) = known.upgrade() {
            cut(&stream);
        }
    };
    (Body::new(Passing(stream)), end.boxed(), Box::new(cut))
}

type Close = Box<dyn FnOnce(&StreamEnd) -> Bytes + Send>;

/// The body that the client reads.
struct Passing(Arc<Mutex<Stream>>);

/// What the body shares with whoever may cut it. Nobody holds the lock for longer than one look at the upstream.
struct Stream {
    upstream: Body,
    idle: BoxFuture<'static, ()>,
    renew: Box<dyn Fn() -> BoxFuture<'static, ()> + Send>,
    /// Whether the upstream sent something since the timer was set. A chunk only raises this flag, since setting a
    /// timer a chunk costs more than passing the chunk does; so silence is noticed after one to two spans.
    heard: bool,
    meter: Meter,
    /// Taken when the stream ends.
    open: Option<(oneshot::Sender<StreamEnd>, Close)>,
    /// What the client is still to be sent after a cut.
    closing: Option<Bytes>,
    /// Who waits for the next chunk.
    reader: Option<Waker>,
}

fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a stream from outside. The upstream is let go here and now: a client that does not read would keep it.
fn cut(stream: &Mutex<Stream>) {
    let (upstream, reader) = {
        let mut stream = lock(stream);
        if stream.open.is_none() {
            return;
        }
        stream.closing = stream.end(EndCause::Cut);
        (std::mem::take(&mut stream.upstream), stream.reader.take())
    };
    drop(upstream);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        lock(&self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Stream {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.open.is_none() {
            return Poll::Ready(self.closing.take().map(|bytes| Ok(Frame::data(bytes))));
        }
        match Pin::new(&mut self.upstream).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.meter.push(data);
                }
                self.heard = true;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => Poll::Ready(self.last(EndCause::Eof)),
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(error = %error, "upstream broke off its stream");
                Poll::Ready(self.last(EndCause::Broken))
            }
            Poll::Pending => {
                while self.idle.poll_unpin(cx).is_ready() {
                    if !std::mem::take(&mut self.heard) {
                        return Poll::Ready(self.last(EndCause::Idle));
                    }
                    self.idle = (self.renew)();
                }
                if !self.reader.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
                    self.reader = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// The frame that closes the client's stream, if there is one.
    fn last(&mut self, cause: EndCause) -> Option<Result<Frame<Bytes>, axum::Error>> {
        self.end(cause).map(|bytes| Ok(Frame::data(bytes)))
    }

    /// Reports the end, and says what follows the upstream's last byte.
    fn end(&mut self, cause: EndCause) -> Option<Bytes> {
        let (sender, close) = self.open.take()?;
        let end = self.meter.end(cause);
        let closing = close(&end);
        // Nobody may be listening any more; then there is nothing to report to.
        let _ = sender.send(end);
        (!closing.is_empty()).then_some(closing)
    }
}

impl Drop for Stream {
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
    use std::{
        collections::VecDeque,
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

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

    /// An upstream that sends its chunks and then nothing more, and tells when it is let go.
    struct Silent {
        chunks: VecDeque<&'static str>,
        gone: Arc<AtomicUsize>,
    }

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            let chunk = self.chunks.pop_front().map(|it| Ok(Frame::data(Bytes::from_static(it.as_bytes()))));
            chunk.map_or(Poll::Pending, |it| Poll::Ready(Some(it)))
        }
    }

    impl Drop for Silent {
        fn drop(&mut self) {
            self.gone.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Counts how often a reader is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A stream of `chunks` whose closing bytes name the cause, and the count of upstreams that were let go.
    fn passing(chunks: &[&'static str]) -> (Body, BoxFuture<'static, StreamEnd>, Cut, Arc<AtomicUsize>) {
        let gone = Arc::new(AtomicUsize::new(0));
        let upstream = Body::new(Silent { chunks: chunks.iter().copied().collect(), gone: gone.clone() });
        let close = Box::new(|end: &StreamEnd| format!("<{:?}>", end.cause).into());
        let (body, end, cut) = pass_through(upstream, |_| pending().boxed(), RelayOptions { idle_ms: 1, close });
        (body, end, cut, gone)
    }

    /// What a reader gets now: a chunk, nothing yet, or the end.
    fn read(body: &mut Body, reader: &Arc<Woken>) -> Poll<Option<String>> {
        let waker = Waker::from(reader.clone());
        let frame = Pin::new(body).poll_frame(&mut Context::from_waker(&waker));
        frame.map(|it| it.map(|it| String::from_utf8(it.unwrap().into_data().unwrap().to_vec()).unwrap()))
    }

    /// Checklist 50's part.
    #[test]
    fn a_stream_that_is_cut_lets_its_upstream_go_and_ends_with_a_word() {
        let (mut body, end, cut, gone) = passing(&["data: 1\n\n", "data: 2\n\n"]);
        let reader = Arc::new(Woken::default());
        assert_eq!(read(&mut body, &reader), Poll::Ready(Some("data: 1\n\n".to_owned())));
        assert_eq!(read(&mut body, &reader), Poll::Ready(Some("data: 2\n\n".to_owned())));
        assert_eq!(read(&mut body, &reader), Poll::Pending);
        cut();
        assert_eq!((gone.load(Ordering::SeqCst), reader.0.load(Ordering::SeqCst)), (1, 1));
        let end = end.now_or_never().unwrap();
        assert_eq!((end.cause, end.events), (EndCause::Cut, 2));
        assert_eq!(read(&mut body, &reader), Poll::Ready(Some("<Cut>".to_owned())));
        assert_eq!(read(&mut body, &reader), Poll::Ready(None));
        assert_eq!(read(&mut body, &reader), Poll::Ready(None));
    }

    /// Checklist 50's part: whoever reads nothing keeps no upstream at work, and the call is settled.
    #[test]
    fn a_stream_that_nobody_reads_is_cut_too() {
        let (mut body, end, cut, gone) = passing(&["data: 1\n\n", "data: 2\n\n"]);
        let reader = Arc::new(Woken::default());
        assert_eq!(read(&mut body, &reader), Poll::Ready(Some("data: 1\n\n".to_owned())));
        cut();
        assert_eq!(gone.load(Ordering::SeqCst), 1);
        assert_eq!(end.now_or_never().unwrap().events, 1);
        assert_eq!(read(&mut body, &reader), Poll::Ready(Some("<Cut>".to_owned())));
    }

    #[test]
    fn a_stream_that_is_over_cannot_be_cut() {
        let (body, end, cut, gone) = passing(&[]);
        drop(body);
        assert_eq!(gone.load(Ordering::SeqCst), 1);
        cut();
        assert_eq!(end.now_or_never().unwrap().cause, EndCause::ClientLeft);
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
