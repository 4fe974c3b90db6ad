//! A client that leaves a stream, at each of its events.

use crate::upstream::{Setup, count_to};
use axum::{Router, body::Body, http::header, routing::post};
use embedded::groq::Outcome;
use futures_util::{StreamExt as _, stream};
use nest_tests::{EventReader, Kind, PATIENCE, ScriptedNode, TestEdge, UsageRow, answer::request_id, scripted_node};
use serde_json::json;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// The events of a stream of five words: the role, the words, the finish, and `[DONE]`.
const EVENTS: usize = 8;

/// The row of a stream that the client leaves after `read` events; `more` says whether the upstream goes on then.
async fn left_after(setup: &Setup, read: usize, more: bool) -> UsageRow {
    let steps = setup.groq.step();
    let response = setup.stream(&count_to(5)).await;
    let id = request_id(response.headers());
    let mut reader = EventReader::new(response);
    steps.release(read);
    for _ in 0..read {
        timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    }
    drop(reader);
    if more {
        // The end of the body is let out as an event is.
        steps.release(EVENTS + 1);
    }
    setup.edge.usage(id).await
}

/// Checklist 84: the upstream is heard to its end behind a client that left, and its own count is what is billed.
#[tokio::test]
async fn a_client_that_leaves_pays_for_what_the_upstream_counts() {
    // An edge each; a few at a time, so that none waits long for its turn.
    let left = stream::iter(0..=EVENTS).map(|read| async move {
        let setup = Setup::with(&[]).await;
        let row = left_after(&setup, read, true).await;
        let seen = timeout(PATIENCE, setup.groq.until(|it| it[0].outcome != Outcome::Open)).await.unwrap();
        assert_eq!(seen[0].outcome, Outcome::Finished, "the upstream was not cut off after {read}");
        assert_eq!(setup.edge.usage_when(|_| true).await.len(), 1);
        (read, row)
    });
    let rows: Vec<(usize, UsageRow)> = left.buffer_unordered(3).collect().await;
    for (read, row) in rows {
        assert_eq!((row.completion_tokens, row.tokens_source.as_str()), (5, "upstream"), "after {read}");
        assert!(row.prompt_tokens > 0);
        // After the last event it may have stayed for the end of the body; and other hosts may notice later than that.
        let noticed = read == EVENTS || Kind::chosen() != Kind::Native;
        assert!(row.outcome == "client_left" || (noticed && row.outcome == "completed"), "{read}: {}", row.outcome);
    }
}

/// Checklist 84: an upstream that says no more is left after `DRAIN_MS`, and billed by our own count.
#[tokio::test]
async fn a_drain_ends_by_itself() {
    for (drain_ms, read, words) in [("0", 4, 3), ("300", 4, 3), ("300", 1, 0)] {
        let setup = Setup::with(&[("DRAIN_MS", drain_ms)]).await;
        let row = left_after(&setup, read, false).await;
        timeout(PATIENCE, setup.groq.until(|seen| seen[0].outcome == Outcome::Aborted)).await.unwrap();
        assert_eq!((row.outcome.as_str(), row.tokens_source.as_str()), ("client_left", "counted"), "{drain_ms}");
        assert_eq!(row.completion_tokens, words, "{drain_ms} {read}");
        assert!(row.prompt_tokens > 0, "the prompt was read, whoever left");
    }
}

/// A node costs nothing but its time: it is told at once that nobody listens.
#[tokio::test]
async fn a_node_is_not_drained() {
    let edge = TestEdge::start(&[]).await;
    let gone = Arc::new(AtomicBool::new(false));
    let tell = gone.clone();
    let endless = post(move || {
        let told = Told(tell.clone());
        async move {
            let events = stream::unfold(told, async |told| {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Ok::<_, Infallible>("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"), told))
            });
            let headers = [(header::CONTENT_TYPE, "text/event-stream")];
            (headers, Body::from_stream(events))
        }
    });
    let _node = ScriptedNode::join(&edge, Router::new().route("/v1/chat/completions", endless)).await;
    let key = edge.key().await;
    let ask = json!({ "model": scripted_node::MODEL, "stream": true, "messages": [] });
    let response = edge.post("/v1/chat/completions").bearer_auth(&key.text).json(&ask).send().await.unwrap();
    let mut reader = EventReader::new(response);
    for _ in 0..3 {
        timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    }
    drop(reader);
    let rows = edge.usage_when(|rows| !rows.is_empty()).await;
    assert_eq!((rows[0].outcome.as_str(), rows[0].tokens_source.as_str()), ("client_left", "counted"));
    assert!(rows[0].latency_ms < 8_000, "the default drain of ten seconds is for others");
    let wait = async {
        while !gone.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("the node is let go");
}

/// Tells when it is dropped.
struct Told(Arc<AtomicBool>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
