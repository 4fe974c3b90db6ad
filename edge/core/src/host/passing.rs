//! A body that counts as it passes: how hosts with plain HTTP bodies relay a stream.

use super::{Cut, DRAIN_BYTES, EndCause, RelayOptions, Relayed, StreamEnd, TAIL_BYTES};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_channel::oneshot;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Either, select},
};
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
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
    sleep: impl Fn(u64) -> BoxFuture<'static, ()> + Send + Sync + 'static,
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
/// `sleep` makes the timers. The future resolves when the stream is over. Dropping the body early is how a client
/// leaves: then whoever polls the future reads `upstream` on, within [`RelayOptions::drain_ms`].
fn pass_through(
    upstream: Body,
    sleep: impl Fn(u64) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    options: RelayOptions,
) -> (Body, BoxFuture<'static, StreamEnd>, Cut) {
    let (sender, receiver) = oneshot::channel();
    let RelayOptions { idle_ms, drain_ms, close, .. } = options;
    let sleep = Arc::new(sleep);
    let renew = sleep.clone();
    let stream = Arc::new(Mutex::new(Stream {
        upstream,
        idle: sleep(idle_ms),
        renew: Box::new(move || renew(idle_ms)),
        heard: false,
        drains: drain_ms > 0,
        meter: Meter::default(),
        open: Some((sender, close)),
        closing: None,
        reader: None,
    }));
    let end = receiver.then(move |over| async move {
        match over.expect("a passing body reports its end, at the latest when it is dropped") {
            Over::Ended(end) => end,
            Over::Left(rest) => rest.drain(sleep(drain_ms)).await,
        }
    });
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
    /// Whether the upstream is read on when the client has left.
    drains: bool,
    meter: Meter,
    /// Taken when the stream ends.
    open: Option<(oneshot::Sender<Over>, Close)>,
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
        let _ = sender.send(Over::Ended(end));
        (!closing.is_empty()).then_some(closing)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some((sender, _)) = self.open.take() else { return };
        let rest = Rest { upstream: std::mem::take(&mut self.upstream), meter: std::mem::take(&mut self.meter) };
        // Where nobody listens the rest is dropped here, and with it the call to the upstream.
        let _ = sender.send(if self.drains { Over::Left(Box::new(rest)) } else { Over::Ended(rest.leave()) });
    }
}

/// What whoever waits for the end of a stream is told.
enum Over {
    Ended(StreamEnd),
    /// The client has left, and this is still to come.
    Left(Box<Rest>),
}

/// A stream without its client.
struct Rest {
    upstream: Body,
    meter: Meter,
}

impl Rest {
    fn leave(mut self) -> StreamEnd {
        self.meter.end(EndCause::ClientLeft)
    }

    /// Reads on to the end, but neither past `limit` nor past [`DRAIN_BYTES`].
    async fn drain(mut self: Box<Self>, mut limit: BoxFuture<'static, ()>) -> StreamEnd {
        let mut left = DRAIN_BYTES;
        while left > 0 {
            let frame = match select(self.upstream.frame(), &mut limit).await {
                Either::Left((Some(Ok(frame)), _)) => frame,
                Either::Left((None | Some(Err(_)), _)) | Either::Right(_) => break,
            };
            let data = frame.data_ref().map_or(&[][..], |it| &it[..]);
            self.meter.push(data);
            left = left.saturating_sub(data.len());
            // All has been said, whenever the connection ends.
            if data.ends_with(b"[DONE]\n\n") {
                break;
            }
        }
        self.leave()
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

    fn options(drain_ms: u64, close: Close) -> RelayOptions {
        RelayOptions { idle_ms: 1, drain_ms, reader: super::super::StreamReader::Client, close }
    }

    /// A stream of `chunks` whose closing bytes name the cause, and the count of upstreams that were let go.
    fn passing(chunks: &[&'static str]) -> (Body, BoxFuture<'static, StreamEnd>, Cut, Arc<AtomicUsize>) {
        let gone = Arc::new(AtomicUsize::new(0));
        let upstream = Body::new(Silent { chunks: chunks.iter().copied().collect(), gone: gone.clone() });
        let close = Box::new(|end: &StreamEnd| format!("<{:?}>", end.cause).into());
        let (body, end, cut) = pass_through(upstream, |_| pending().boxed(), options(0, close));
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

    /// Checklist 84: what the upstream still says is heard behind a client that has left.
    #[test]
    fn a_stream_is_read_on_behind_its_client() {
        for (drain_ms, sent, events) in [(0, 3, 1), (50, 3, 3)] {
            let gone = Arc::new(AtomicUsize::new(0));
            let chunks = ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"].into_iter().take(sent).collect();
            let upstream = Body::new(Silent { chunks, gone: gone.clone() });
            // The drain's own timer ends at once when nothing is there to read; that of silence never does.
            let sleep = |ms| if ms == 50 { futures_util::future::ready(()).boxed() } else { pending().boxed() };
            let (mut body, end, _cut) = pass_through(upstream, sleep, options(drain_ms, Box::new(|_| Bytes::new())));
            assert!(read(&mut body, &Arc::new(Woken::default())).is_ready());
            drop(body);
            let end = end.now_or_never().expect("the limit has passed");
            assert_eq!((end.cause, end.events), (EndCause::ClientLeft, events), "{drain_ms}");
            assert_eq!(gone.load(Ordering::SeqCst), 1, "the upstream is let go");
        }
    }

    /// An upstream that talks without end is left after some megabytes.
    #[test]
    fn a_drain_has_an_end() {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, axum::Error>(Bytes::from_static(&[b'x'; 65_536])));
        let (body, end, _cut) =
            pass_through(Body::from_stream(chunks), |_| pending().boxed(), options(1, Box::new(|_| Bytes::new())));
        drop(body);
        let end = end.now_or_never().expect("so many bytes are enough");
        assert_eq!((end.cause, end.tail.len()), (EndCause::ClientLeft, TAIL_BYTES));
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
