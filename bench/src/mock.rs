//! An OpenAI-compatible upstream that costs next to nothing: it always says the same.
//!
//! It answers `POST …/chat/completions`, plain or as 52 server-sent events, and `GET …/models`, under any base
//! path (`/v1`, `/openai/v1`). `GET /count` tells how many completions were begun and how many streams ran to
//! their end, so that a test can see what a gateway did with a cut stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::serve::serve;
use crate::usage::find;

/// What every plain completion says.
pub const TEXT: &str = "The quick brown fox jumps over the lazy dog and keeps running through the quiet forest \
                        until the sun goes down behind the distant hills of the valley.";
/// Events in a stream: the deltas, the usage, and `[DONE]`.
pub const EVENTS: usize = DELTAS + 2;
const DELTAS: usize = 50;

/// How the mock behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The one model that it lists and claims to be.
    pub model: String,
    /// The wait before the first byte.
    pub delay: Duration,
    /// The wait between two events of a stream.
    pub gap: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { model: "gpt-4o-mini".to_owned(), delay: Duration::ZERO, gap: Duration::ZERO }
    }
}

/// Serves the mock on `listener`; never returns.
pub async fn run(listener: TcpListener, settings: Settings) {
    let mock = Arc::new(Mock::new(settings));
    let service = service_fn(move |request| {
        let mock = mock.clone();
        async move { Ok::<_, Infallible>(answer(mock, request).await) }
    });
    serve(listener, service).await;
}

type Body = BoxBody<Bytes, Infallible>;

struct Mock {
    settings: Settings,
    models: Bytes,
    completion: Bytes,
    events: Vec<Bytes>,
    begun: AtomicU64,
    streamed: AtomicU64,
}

impl Mock {
    fn new(settings: Settings) -> Self {
        Self {
            models: models(&settings.model),
            completion: completion(&settings.model),
            events: events(&settings.model),
            begun: AtomicU64::new(0),
            streamed: AtomicU64::new(0),
            settings,
        }
    }
}

async fn answer(mock: Arc<Mock>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    if request.method() == Method::POST && path.ends_with("/chat/completions") {
        // A body cut short is answered like any other: nobody is left to read the answer.
        let asked = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
        return complete(mock, &asked).await;
    }
    if path.ends_with("/models") {
        return respond("application/json", full(mock.models.clone()));
    }
    if path == "/count" {
        let (begun, streamed) = (mock.begun.load(Ordering::Relaxed), mock.streamed.load(Ordering::Relaxed));
        return respond("text/plain", full(Bytes::from(format!("{begun} {streamed}\n"))));
    }
    let mut response =
        respond("application/json", full(Bytes::from_static(br#"{"error":{"message":"no such route"}}"#)));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

async fn complete(mock: Arc<Mock>, asked: &[u8]) -> Response<Body> {
    mock.begun.fetch_add(1, Ordering::Relaxed);
    pause(mock.settings.delay).await;
    if asks_for_stream(asked) {
        respond("text/event-stream", event_stream(mock))
    } else {
        respond("application/json", full(mock.completion.clone()))
    }
}

/// Looks instead of parsing: the mock has to stay far cheaper than what stands in front of it.
fn asks_for_stream(asked: &[u8]) -> bool {
    find(asked, b"\"stream\":true").or_else(|| find(asked, b"\"stream\": true")).is_some()
}

fn event_stream(mock: Arc<Mock>) -> Body {
    let frames = stream::unfold((mock, 0), |(mock, next)| async move {
        let Some(event) = mock.events.get(next).cloned() else {
            mock.streamed.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if next > 0 {
            pause(mock.settings.gap).await;
        }
        Some((Ok(Frame::data(event)), (mock, next + 1)))
    });
    BodyExt::boxed(StreamBody::new(frames))
}

async fn pause(length: Duration) {
    // Even a sleep of nothing goes through the timer, which would be most of the mock's cost.
    if !length.is_zero() {
        tokio::time::sleep(length).await;
    }
}

fn respond(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).boxed()
}

fn models(model: &str) -> Bytes {
    let entry = json!({ "id": model, "object": "model", "created": 1, "owned_by": "mock" });
    Bytes::from(json!({ "object": "list", "data": [entry] }).to_string())
}

fn completion(model: &str) -> Bytes {
    let completion = json!({
        "id": "chatcmpl-mock", "object": "chat.completion", "created": 1_700_000_000, "model": model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": TEXT, "refusal": null },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(),
        "system_fingerprint": "fp_mock",
    });
    Bytes::from(completion.to_string())
}

fn events(model: &str) -> Vec<Bytes> {
    let mut events: Vec<Bytes> = (0..DELTAS).map(|index| event(&delta(model, index))).collect();
    let mut last = chunk(model, &json!([]));
    last["usage"] = usage();
    // Groq's own place for the same figures; a client of Groq reads either.
    last["x_groq"] = json!({ "id": "req_mock", "usage": usage() });
    events.push(event(&last));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn delta(model: &str, index: usize) -> Value {
    let delta = if index == 0 { json!({ "role": "assistant", "content": "" }) } else { json!({ "content": " token" }) };
    let finish_reason = if index == DELTAS - 1 { json!("stop") } else { Value::Null };
    chunk(model, &json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason }]))
}

fn chunk(model: &str, choices: &Value) -> Value {
    json!({
        "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model,
        "system_fingerprint": "fp_mock", "choices": choices,
    })
}

fn usage() -> Value {
    json!({
        "prompt_tokens": 25, "completion_tokens": 50, "total_tokens": 75,
        "prompt_tokens_details": { "cached_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": 0 },
    })
}

fn event(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_its_events_and_ends_as_openai_ends_it() {
        let events = events("m");
        assert_eq!(events.len(), EVENTS);
        assert_eq!(crate::usage::total_tokens(&events[EVENTS - 2]), Some(75));
        assert_eq!(events[EVENTS - 1], "data: [DONE]\n\n");
    }

    #[test]
    fn a_stream_is_asked_for_with_or_without_a_space() {
        for (asked, stream) in
            [(r#"{"stream":true}"#, true), (r#"{"stream": true}"#, true), (r#"{"stream":false}"#, false), ("", false)]
        {
            assert_eq!(asks_for_stream(asked.as_bytes()), stream, "{asked}");
        }
    }
}
