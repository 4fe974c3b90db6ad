//! The table of docs/settlement.md, end to end.

use super::{Ends, Says, Scripted, call, done, event, finish, prompt, role, usage, word};
use axum::{Json, Router, http::StatusCode, routing::post};
use nest_tests::{ScriptedNode, TestEdge, scripted_node};
use serde_json::{Value, json};

/// What the upstream sends and how it ends, then the row: its outcome, tokens of prompt and answer, and who counted.
type Case = (Vec<String>, Ends, &'static str, u64, u64, &'static str);

/// Checklist 77 and 84: what a stream is billed for.
#[tokio::test]
async fn a_stream_is_billed_for_what_its_upstream_said_or_sent() {
    let error = || event(&json!({ "error": { "message": "a text of many words that nobody pays for" } }));
    // Most that is believed: 4 times the estimate and 100,000 of a prompt, 250,000 of an answer.
    let believed = 4 * prompt(&call(0, true)) + 100_000;
    let own = prompt(&call(0, true));
    let cases: Vec<Case> = vec![
        (vec![role(), word(), finish(), usage(12, 30), done()], Ends::Well, "completed", 12, 30, "upstream"),
        (vec![role(), word(), word(), finish(), done()], Ends::Well, "completed", own, 2, "counted"),
        (vec![role(), finish(), usage(0, 0), done()], Ends::Well, "completed", 0, 0, "upstream"),
        (
            vec![role(), word(), finish(), usage(u64::MAX, u64::MAX), done()],
            Ends::Well,
            "completed",
            believed,
            250_000,
            "upstream",
        ),
        (vec![role(), word(), error()], Ends::Well, "completed", own, 1, "counted"),
        (vec![error()], Ends::Well, "completed", 0, 0, "none"),
        (vec![role(), word(), word(), word()], Ends::Well, "upstream_cut", own, 3, "counted"),
        (vec![role(), word(), word()], Ends::Broken, "upstream_cut", own, 2, "counted"),
        (vec![role(), word(), usage(12, 30)], Ends::Broken, "upstream_cut", 12, 30, "upstream"),
        (vec![role(), usage(12, 1), word(), usage(12, 30), done()], Ends::Well, "completed", 12, 30, "upstream"),
    ];
    let says = cases.iter().map(|(events, ends, ..)| Says::Stream(events.clone(), *ends)).collect();
    let scripted = Scripted::start(says, &[]).await;
    for (number, (events, ends, outcome, prompt_tokens, completion_tokens, source)) in cases.iter().enumerate() {
        let row = scripted.row(number, true).await;
        let seen = (row.outcome.as_str(), row.prompt_tokens, row.completion_tokens, row.tokens_source.as_str());
        assert_eq!(seen, (*outcome, *prompt_tokens, *completion_tokens, *source), "{ends:?} {events:?}");
    }
    let rows = scripted.edge.usage_when(|_| true).await;
    assert_eq!(rows.len(), cases.len(), "exactly one row for each call");
}

/// Checklist 77 and 84: what a whole answer is billed for.
#[tokio::test]
async fn an_answer_is_billed_for_its_count_or_for_its_text() {
    let says = |usage: Value| {
        let message = json!({ "role": "assistant", "content": "twelve bytes" });
        json!({ "choices": [{ "message": message, "finish_reason": "stop" }], "usage": usage })
    };
    let own = prompt(&call(0, false));
    let cases: Vec<(Value, u64, u64, &str)> = vec![
        (says(json!({ "prompt_tokens": 12, "completion_tokens": 30 })), 12, 30, "upstream"),
        (says(json!({ "prompt_tokens": 0, "completion_tokens": 0 })), 0, 0, "upstream"),
        (says(json!({ "prompt_tokens": 12, "completion_tokens": u64::MAX })), 12, 250_000, "upstream"),
        (says(json!({ "prompt_tokens": -12, "completion_tokens": 30 })), own, 3, "counted"),
        (says(Value::Null), own, 3, "counted"),
        (json!({ "choices": [] }), own, 0, "counted"),
        (json!({ "error": { "message": "a text of many words that nobody pays for" } }), 0, 0, "none"),
    ];
    let scripted = Scripted::start(cases.iter().map(|it| Says::Whole(it.0.clone())).collect(), &[]).await;
    for (number, (answer, prompt_tokens, completion_tokens, source)) in cases.iter().enumerate() {
        let row = scripted.row(number, false).await;
        let seen = (row.prompt_tokens, row.completion_tokens, row.tokens_source.as_str());
        assert_eq!(seen, (*prompt_tokens, *completion_tokens, *source), "{answer}");
    }
    assert_eq!(scripted.edge.usage_when(|_| true).await.len(), cases.len(), "exactly one row for each call");
}

/// Only the node that answered is in the bill.
#[tokio::test]
async fn a_call_that_a_second_node_answers_is_billed_once() {
    let edge = TestEdge::start(&[]).await;
    let busy = post(|| async { StatusCode::SERVICE_UNAVAILABLE });
    let _busy = ScriptedNode::join(&edge, Router::new().route("/v1/chat/completions", busy)).await;
    let body = json!({ "choices": [], "usage": { "prompt_tokens": 5, "completion_tokens": 6 } });
    let answering = post(move || async move { Json(body) });
    let answering = ScriptedNode::join(&edge, Router::new().route("/v1/chat/completions", answering)).await;
    let key = edge.key().await;
    let ask = json!({ "model": scripted_node::MODEL, "messages": [{ "role": "user", "content": "Hello" }] });
    for _ in 0..4 {
        assert_eq!(edge.chat(&key, &ask).await.status, 200);
    }
    let rows = edge.usage_when(|rows| rows.len() == 4).await;
    for row in rows {
        assert_eq!(row.upstream, Some(format!("node:{}", answering.id)));
        assert_eq!((row.prompt_tokens, row.completion_tokens), (5, 6));
    }
}
