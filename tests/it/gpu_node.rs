//! The real node under an edge: whom it obeys, and what becomes of calls when it dies, drains, or comes back.

use crate::NEST;
use nest_tests::{
    Answer, EventReader, IssuedKey, PATIENCE, SignedCall, Stack, TestEdge, edge::client, node::CHAT, signed::now,
};
use serde_json::{Value, json};
use shared::node::{CallKey, HEADERS};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const PATH: &str = "/v1/chat/completions";

fn ask(max_tokens: u32) -> Value {
    json!({ "model": CHAT, "messages": [{ "role": "user", "content": "Tell me a long story." }],
            "max_tokens": max_tokens, "temperature": 0 })
}

fn streamed(max_tokens: u32) -> Value {
    let mut body = ask(max_tokens);
    body["stream"] = true.into();
    body
}

/// A stream that has begun: its head and two events are here.
async fn begin(edge: &TestEdge, key: &IssuedKey, max_tokens: u32) -> (EventReader, reqwest::header::HeaderMap) {
    let response = edge.post(PATH).bearer_auth(&key.text).json(&streamed(max_tokens)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let mut reader = EventReader::new(response);
    for _ in 0..2 {
        timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    }
    (reader, headers)
}

#[tokio::test]
async fn a_node_obeys_its_edge_alone_and_each_call_once() {
    let stack = Stack::shared(NEST).await;
    let (key, stranger) = (&stack.edge.config.call_key, CallKey::from_seed([99; 32]));
    let url = &stack.node.url;
    let body = ask(1);
    assert_eq!(client().post(format!("{url}{PATH}")).json(&body).send().await.unwrap().status(), 401, "unsigned");
    assert_eq!(client().get(format!("{url}/v1/models")).send().await.unwrap().status(), 401, "unsigned");
    assert_eq!(SignedCall::new(&stranger, url, PATH, &body).send().await, 401, "by another key");
    for off_ms in [-31_000, 31_000] {
        assert_eq!(SignedCall::at(now().plus_ms(off_ms), key, url, PATH, &body).send().await, 401, "{off_ms} ms away");
    }
    let call = SignedCall::new(key, url, PATH, &body);
    let swapped = serde_json::to_vec(&ask(2)).unwrap();
    assert_eq!(SignedCall { body: swapped, ..call.clone() }.send().await, 401, "another body");
    assert_eq!(SignedCall { url: format!("{url}/v1/completions"), ..call.clone() }.send().await, 401, "another path");
    for (at, name) in HEADERS.into_iter().enumerate() {
        let mut without = call.clone();
        without.headers[at] = String::new();
        assert_eq!(without.send().await, 401, "without {name}");
    }
    assert_eq!(call.send().await, 200, "none of these spends the call");
    let copy = Answer::read(call.request().send().await.unwrap()).await;
    assert_eq!((copy.status.as_u16(), copy.code().as_str()), (401, "call_replayed"));
    for probe in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(client().get(format!("{url}{probe}")).send().await.unwrap().status(), 200, "{probe} is open");
    }
}

#[tokio::test]
async fn a_node_that_is_killed_in_the_middle_of_an_answer_ends_it_with_an_error_and_comes_back() {
    let mut stack = Stack::start(NEST, &[], &[]).await;
    let key = stack.edge.key().await;
    let (mut reader, headers) = begin(&stack.edge, &key, 2_000).await;
    stack.node.kill().await;
    let mut last = Vec::new();
    while let Some(event) = timeout(PATIENCE, reader.next()).await.expect("a stream never hangs") {
        last = event;
    }
    let error: Value = serde_json::from_slice(last.strip_prefix(b"data: ").unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "upstream_cut");
    assert_eq!(error["error"]["request_id"], headers["x-request-id"].to_str().unwrap());
    let row = stack.edge.usage(nest_tests::answer::request_id(&headers)).await;
    assert_eq!((row.outcome.as_str(), row.status, row.tokens_source.as_str()), ("upstream_cut", 200, "counted"));
    assert!(row.completion_tokens >= 1, "what has passed is counted");
    assert_eq!(row.upstream, Some(format!("node:{}", stack.node.id)));

    // Gone: told at once, and never as the client's fault.
    for body in [ask(2), streamed(2)] {
        let asked = Instant::now();
        let answer = stack.edge.chat(&key, &body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "node_away"));
        assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
        assert!(asked.elapsed() < Duration::from_secs(10));
    }

    // Back, with nothing done to the edge.
    stack.node.start_again(&stack.edge).await;
    let answer = stack.edge.chat(&key, &ask(2)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_finishes_what_it_has_and_takes_no_more() {
    let mut stack = Stack::start(NEST, &[], &[]).await;
    let key = stack.edge.key().await;
    let (mut reader, headers) = begin(&stack.edge, &key, 40).await;
    let mut changes = stack.edge.db.changes().await;
    stack.node.terminate();
    // The node says at once that it drains: its next heartbeat comes before its end.
    timeout(PATIENCE, changes.next()).await.unwrap();
    let ready = "select ready from gpu_nodes";
    let client = stack.edge.db.connect().await;
    while client.query_one(ready, &[]).await.unwrap().get::<_, bool>(0) {
        timeout(PATIENCE, changes.next()).await.unwrap();
    }
    stack.edge.advance_ms(5_000);
    let refused = stack.edge.chat(&key, &ask(1)).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "node_away"));
    let mut last = Vec::new();
    while let Some(event) = timeout(PATIENCE, reader.next()).await.unwrap() {
        last = event;
    }
    assert_eq!(last, b"data: [DONE]\n\n");
    let row = stack.edge.usage(nest_tests::answer::request_id(&headers)).await;
    assert_eq!((row.outcome.as_str(), row.tokens_source.as_str()), ("completed", "upstream"));
    assert!(stack.node.ended().await.success());
}

#[tokio::test]
async fn a_node_stops_computing_when_the_client_leaves() {
    let stack = Stack::shared(NEST).await;
    let key = stack.edge.key().await;
    let cancelled = stack.node.metric("nest_node_cancelled_total").await;
    let (reader, headers) = begin(&stack.edge, &key, 4_000).await;
    drop(reader);
    let row = stack.edge.usage(nest_tests::answer::request_id(&headers)).await;
    assert_eq!((row.outcome.as_str(), row.tokens_source.as_str()), ("client_left", "counted"));
    // The node runs one sequence at a time, so that the next answer means that this one is over.
    assert_eq!(stack.edge.chat(&key, &ask(1)).await.status, 200);
    assert!(stack.node.metric("nest_node_cancelled_total").await >= cancelled + 1.0);
}

#[tokio::test]
async fn more_calls_than_a_node_can_queue_are_told_to_come_back() {
    let stack = Stack::start(NEST, &[], &[("NODE_QUEUE", "1")]).await;
    let key = stack.edge.key().await;
    // One runs and one waits; both are there before the third comes.
    let (_running, _) = begin(&stack.edge, &key, 4_000).await;
    let waiting = stack.edge.post(PATH).bearer_auth(&key.text).json(&streamed(1)).send().await.unwrap();
    assert_eq!(waiting.status(), 200);
    let answer = stack.edge.chat(&key, &ask(1)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "upstream_busy"));
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(stack.edge.usage(answer.request_id()).await.outcome, "failed");
}

#[tokio::test]
async fn edges_of_one_database_share_its_nodes() {
    let stack = Stack::shared(NEST).await;
    let other = TestEdge::on(&stack.edge.db, &[]).await;
    let key = stack.edge.key().await;
    for edge in [&stack.edge, &other] {
        let answer = edge.chat(&key, &ask(1)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    other.stop().await;
}
