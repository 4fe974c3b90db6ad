//! Streams: event by event, and over when the client has left.

use crate::stack::{PATIENCE, Stack};
use embedded::groq::{Fault, Outcome, Seen};
use futures_util::StreamExt as _;
use reqwest::StatusCode;
use tokio::time::timeout;

#[tokio::test]
async fn each_event_arrives_before_the_next_is_released() {
    let stack = Stack::start().await;
    let steps = stack.groq.step();
    let answer = stack.chat(true).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"].to_str().unwrap().split(';').next(), Some("text/event-stream"));
    let mut body = answer.bytes_stream();
    for number in 0..4 {
        steps.release(1);
        let mut event = Vec::new();
        while !event.ends_with(b"\n\n") {
            event.extend(timeout(PATIENCE, body.next()).await.expect("the event arrives").unwrap().unwrap());
        }
        assert_eq!(event.windows(2).filter(|it| it == b"\n\n").count(), 1, "one event: {number}");
        assert!(event.starts_with(b"data: "));
    }
    drop(steps);
    let mut rest = Vec::new();
    while let Some(chunk) = timeout(PATIENCE, body.next()).await.unwrap() {
        rest.extend(chunk.unwrap());
    }
    assert!(String::from_utf8(rest).unwrap().contains("data: [DONE]\n\n"));
    let Stack { spin, database, .. } = stack;
    spin.stop().await;
    let usage = database.usage().await;
    assert_eq!(usage.len(), 1);
    assert_eq!(usage[0].0, "completed");
    assert!(usage[0].1 > 0);
}

#[tokio::test]
async fn a_client_that_leaves_a_silent_stream_ends_the_upstream_s_work() {
    let stack = Stack::start().await;
    let steps = stack.groq.step();
    let answer = stack.chat(true).await;
    let mut body = answer.bytes_stream();
    steps.release(1);
    timeout(PATIENCE, body.next()).await.unwrap().unwrap().unwrap();
    drop(body);
    // No further event is released, so nothing but the client's leaving can end this.
    let over = |seen: &Seen| seen.path.ends_with("/chat/completions") && seen.outcome != Outcome::Open;
    let seen = timeout(PATIENCE, stack.groq.until(|seen| seen.iter().any(over))).await.expect("the upstream is left");
    assert_eq!(seen.iter().find(|it| over(it)).unwrap().outcome, Outcome::Aborted);
    let Stack { spin, database, .. } = stack;
    spin.stop().await;
    let outcomes: Vec<String> = database.usage().await.into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(outcomes, ["client_left"]);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_or_falls_silent_is_told_as_cut() {
    let stack = Stack::with(&[("upstream_idle_timeout_ms", "300")]).await;
    for fault in [Fault::ResetAfter { events: 3 }, Fault::StallAfter { events: 3 }] {
        stack.groq.fail_next(1, fault);
        let text = timeout(PATIENCE, stack.chat(true).await.text()).await.expect("the stream ends").unwrap();
        assert_eq!(text.matches("\"chat.completion.chunk\"").count(), 3, "{text}");
        assert!(text.contains("upstream_cut") && !text.contains("[DONE]"), "{text}");
    }
    let Stack { spin, database, .. } = stack;
    spin.stop().await;
    let outcomes: Vec<String> = database.usage().await.into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(outcomes, ["upstream_cut", "upstream_cut"]);
}

#[tokio::test]
async fn a_long_question_reaches_the_upstream_whole() {
    let stack = Stack::start().await;
    let question = "why ".repeat(250_000);
    let answer = timeout(PATIENCE, stack.ask(false, &question)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let seen = stack.groq.requests();
    let asked = seen.iter().find(|it| it.path.ends_with("/chat/completions")).unwrap();
    assert_eq!(asked.body["messages"][0]["content"].as_str().unwrap(), question);
    assert!(asked.headers.contains_key("content-length") && !asked.headers.contains_key("transfer-encoding"));
}
