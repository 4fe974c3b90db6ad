//! An upstream that sends what the fake one never would: any bytes, in pieces of any size, and secrets in its errors.

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use nest_tests::{Double, IssuedKey, TestEdge};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What the upstream says to call number `n`: a status, a content type, and the pieces of a body.
type Script = Arc<Vec<(u16, &'static str, Vec<Bytes>)>>;

/// An edge before an upstream that answers by `script`.
async fn setup(script: Script) -> (Double, TestEdge, IssuedKey) {
    let models = get(|| async { Json(json!({ "object": "list", "data": [{ "id": "scripted" }] })) });
    let router = Router::new().route("/models", models).route("/chat/completions", post(say)).with_state(script);
    let upstream = Double::serve(router).await;
    let edge = TestEdge::start(&[("OPENAI_BASE_URL", &upstream.url), ("GROQ_API_KEY", "gsk_canary_key")]).await;
    let key = edge.key().await;
    (upstream, edge, key)
}

async fn say(State(script): State<Script>, Json(body): Json<Value>) -> Response {
    let (status, content_type, pieces) = &script[usize::try_from(body["n"].as_u64().unwrap()).unwrap()];
    let pieces = stream::iter(pieces.clone().into_iter().map(Ok::<_, Infallible>));
    let headers = [
        (header::CONTENT_TYPE, *content_type),
        (header::SET_COOKIE, "canary=1"),
        (header::SERVER, "canary"),
        (header::WWW_AUTHENTICATE, "canary"),
    ];
    (StatusCode::from_u16(*status).unwrap(), headers, Body::from_stream(pieces)).into_response()
}

fn call(number: usize) -> Value {
    json!({ "model": "scripted", "stream": true, "n": number, "messages": [] })
}

/// A generator of small numbers, the same on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides as u64).unwrap()
    }
}

/// A stream as some vendor might write it: tool calls, reasoning, odd fields, comments, either line end.
fn vendor_stream(dice: &mut Dice) -> String {
    let end = ["\n\n", "\r\n\r\n"][dice.roll(2)];
    let mut text = String::new();
    for _ in 0..dice.roll(30) {
        let delta = match dice.roll(5) {
            0 => json!({ "tool_calls": [{ "index": 0, "id": "call_x", "type": "function",
                                          "function": { "name": "f", "arguments": "{\"a\":" } }] }),
            1 => json!({ "reasoning_items": [{ "id": "rs_1", "text": "häh?" }], "content": "beside" }),
            2 => json!({ "content": "😀 \u{2028} \u{0} end" }),
            3 => json!({ "role": "assistant", "refusal": null, "audio": { "data": "AAAA".repeat(dice.roll(2_000)) } }),
            _ => json!({ "content": "word " }),
        };
        let chunk = json!({ "vendor": [1.5, -0.0, 1e300], "choices": [{ "index": 0, "delta": delta }] });
        text += &match dice.roll(6) {
            0 => format!(": keep-alive{end}"),
            1 => format!("event: message\ndata: {chunk}{end}"),
            2 => format!("data:{chunk}{end}"),
            _ => format!("data: {chunk}{end}"),
        };
    }
    text + &format!("data: {}{end}data: [DONE]{end}", json!({ "choices": [{ "index": 0, "finish_reason": "stop" }] }))
}

fn pieces(text: &str, dice: &mut Dice) -> Vec<Bytes> {
    let mut rest = Bytes::from(text.to_owned());
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let size = [1, 2, 7, 100, 1_000, 5_000][dice.roll(6)].min(rest.len());
        pieces.push(rest.split_to(size));
    }
    pieces
}

#[tokio::test]
async fn two_hundred_streams_pass_byte_for_byte() {
    let mut dice = Dice(7);
    let texts: Vec<String> = (0..200).map(|_| vendor_stream(&mut dice)).collect();
    let script = texts.iter().map(|it| (200, "text/event-stream; charset=utf-8", pieces(it, &mut dice))).collect();
    let (_upstream, edge, key) = setup(Arc::new(script)).await;
    for (number, text) in texts.iter().enumerate() {
        let answer = edge.chat(&key, &call(number)).await;
        assert!(answer.body == text.as_bytes(), "stream {number} arrives changed");
        assert_eq!(answer.header("content-type"), "text/event-stream");
    }
    edge.usage_when(|rows| rows.len() == 200 && rows.iter().all(|it| it.outcome == "completed")).await;
}

#[tokio::test]
async fn the_upstream_s_own_words_about_our_key_reach_nobody() {
    let body = json!({ "error": { "message": "Invalid key gsk_canary_key", "code": "gsk_canary", "type": "canary" } });
    let body = Bytes::from(body.to_string());
    let statuses = [401, 403, 429, 500, 502, 503];
    let script = statuses.map(|status| (status, "application/json", vec![body.clone()])).to_vec();
    let (_upstream, edge, key) = setup(Arc::new(script)).await;
    for (number, status) in statuses.into_iter().enumerate() {
        let answer = edge.chat(&key, &call(number)).await;
        let seen = format!("{:?} {}", answer.headers, answer.text());
        assert!(!answer.status.is_success() && !seen.contains("canary"), "{status}: {seen}");
    }
}

#[tokio::test]
async fn the_head_of_a_stream_is_ours() {
    let script = vec![(200, "text/event-stream", vec![Bytes::from_static(b"data: [DONE]\n\n")])];
    let (_upstream, edge, key) = setup(Arc::new(script)).await;
    let answer = edge.chat(&key, &call(0)).await;
    assert!(!format!("{:?}", answer.headers).contains("canary"), "{:?}", answer.headers);
    assert_eq!((answer.header("cache-control"), answer.header("x-accel-buffering")), ("no-cache", "no"));
}

#[tokio::test]
async fn absurd_usage_is_stored_as_it_can_be_and_harms_nothing() {
    let whole = |text: &str| format!("{{\"choices\":[],\"usage\":{text}}}");
    let stream = |text: &str| format!("data: {}\n\ndata: [DONE]\n\n", whole(text));
    let said = [
        (r#"{"prompt_tokens":18446744073709551615,"completion_tokens":1}"#, "upstream"),
        (r#"{"prompt_tokens":-5,"completion_tokens":1}"#, "counted"),
        (r#"{"prompt_tokens":"many"}"#, "counted"),
        (r#"{"prompt_tokens":1e99}"#, "counted"),
        ("\"none\"", "counted"),
    ];
    let streams = said.map(|(text, _)| (200, "text/event-stream", vec![Bytes::from(stream(text))]));
    let wholes = said.map(|(text, _)| (200, "application/json", vec![Bytes::from(whole(text))]));
    let (_upstream, edge, key) = setup(Arc::new([streams, wholes].concat())).await;
    for (number, (text, source)) in said.into_iter().chain(said).enumerate() {
        let answer = edge.chat(&key, &call(number)).await;
        assert_eq!(answer.status, 200, "{text}: {}", answer.text());
        let row = edge.usage(answer.request_id()).await;
        assert_eq!((row.outcome.as_str(), row.tokens_source.as_str()), ("completed", source), "{text}");
    }
}

#[tokio::test]
async fn broken_unicode_and_endless_lines_pass_without_harm() {
    let line = Bytes::from(vec![b'x'; 8 << 20]);
    let script = vec![
        (200, "text/event-stream", vec![Bytes::from_static(b"data: \xff\xfe\n\ndata: [DONE]\n\n")]),
        (
            200,
            "text/event-stream",
            vec![Bytes::from_static(b"data: "), line.clone(), Bytes::from_static(b"\n\ndata: [DONE]\n\n")],
        ),
        (200, "text/event-stream", vec![line]),
    ];
    let (_upstream, edge, key) = setup(Arc::new(script)).await;
    for (number, outcome) in ["completed", "completed", "upstream_cut"].into_iter().enumerate() {
        let answer = edge.chat(&key, &call(number)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(edge.usage(answer.request_id()).await.outcome, outcome, "{number}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    const CHUNK: usize = 64 << 10;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let endless = post(move || async move {
        let chunks = stream::repeat_with(move || {
            count.fetch_add(CHUNK, Ordering::SeqCst);
            Ok::<_, Infallible>(Bytes::from(vec![b'x'; CHUNK]))
        });
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(chunks.take((1 << 30) / CHUNK)))
    });
    let models = get(|| async { Json(json!({ "object": "list", "data": [{ "id": "scripted" }] })) });
    let upstream = Double::serve(Router::new().route("/models", models).route("/chat/completions", endless)).await;
    let edge = TestEdge::start(&[("OPENAI_BASE_URL", &upstream.url), ("GROQ_API_KEY", "gsk")]).await;
    let key = edge.key().await;
    let response = edge.post("/v1/chat/completions").bearer_auth(&key.text).json(&call(0)).send().await.unwrap();
    // Nobody is told that a sender waits; it does when it has sent nothing for a while.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before < 64 << 20, "{before} bytes lie in buffers, of 1 GiB");
    drop(response);
    edge.usage_when(|rows| rows.len() == 1 && rows[0].outcome == "client_left").await;
}
