//! A GPU node that is killed while it answers: who got how much, and what it costs.

use crate::NEST;
use futures_util::future::join_all;
use nest_tests::{IssuedKey, PATIENCE, Stack, TestEdge, UsageRow, answer, node::CHAT, usage::assert_rolled_up};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Callers at a time.
const CALLERS: usize = 4;

/// What a token costs, be it read or said, in nano-dollars: a million is a dollar.
const TOKEN_NANOS: i64 = 1_000;

/// What a client saw of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saw {
    /// The end, and the node's own count of its answer.
    Whole(u64),
    /// So many events with words, and then an error.
    Cut(u64),
    /// A refusal, before any word.
    Refused,
}

/// How often the node is killed: a few times, unless `NEST_KILLS` says more.
fn kills() -> u64 {
    std::env::var("NEST_KILLS").ok().map_or(3, |it| it.parse().expect("NEST_KILLS is a number"))
}

/// One call, as its client sees it.
async fn call(edge: &TestEdge, key: &IssuedKey, number: u64) -> (String, Saw) {
    let body = json!({
        "model": CHAT, "max_tokens": 4 + number % 20, "temperature": 0, "stream": !number.is_multiple_of(3),
        "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": format!("Tell me the story of the number {number}.") }],
    });
    let request = edge.post("/v1/chat/completions").bearer_auth(&key.text).json(&body);
    let response = timeout(PATIENCE, request.send()).await.expect("a call never hangs").unwrap();
    let (status, id) = (response.status(), answer::request_id(response.headers()).uuid().to_string());
    let stream = response.headers()["content-type"] == "text/event-stream";
    let body = timeout(PATIENCE, response.bytes()).await.expect("an answer never hangs").unwrap();
    let saw = match (status.as_u16(), stream) {
        (200, true) => of_stream(&answer::events(&body)),
        (200, false) => Saw::Whole(said(&serde_json::from_slice(&body).unwrap()).expect("a whole answer is counted")),
        // Nobody is there, or whoever was has died before a word.
        (502 | 503, _) => Saw::Refused,
        (status, _) => panic!("{status}: {}", String::from_utf8_lossy(&body)),
    };
    (id, saw)
}

fn of_stream(events: &[String]) -> Saw {
    if events.last().is_some_and(|it| it == "[DONE]") {
        let counted = events.iter().filter_map(|it| said(&serde_json::from_str(it).ok()?)).next_back();
        return Saw::Whole(counted.expect("the client asked for the count"));
    }
    let events: Vec<Value> = events.iter().map(|it| serde_json::from_str(it).unwrap()).collect();
    let (error, said) = events.split_last().expect("a stream that was cut says so");
    assert_eq!(error["error"]["code"], "upstream_cut", "{error}");
    assert!(said.iter().all(|it| it["error"].is_null()), "an error is told once");
    // The first event carries the role.
    let spoken = said.iter().filter(|it| !it["choices"][0]["delta"]["content"].is_null());
    Saw::Cut(spoken.count().saturating_sub(1) as u64)
}

fn said(answer: &Value) -> Option<u64> {
    answer["usage"]["completion_tokens"].as_u64()
}

/// Checklist 84 to 86, for nodes: whatever dies, each call has one row, that says what its client got, and costs that.
#[tokio::test]
async fn a_node_that_is_killed_costs_nobody_more_than_what_came() {
    let mut stack = Stack::start(NEST, &[], &[]).await;
    let (key, org) = (Arc::new(stack.edge.key().await), stack.edge.own_org().await);
    let price = json!({ "input": "1", "output": "1" });
    stack.edge.publish_prices(json!([{ "model": CHAT, "price": price }])).await;
    stack.edge.grant(org, "1000").await;
    let (seen, over) = (Mutex::new(HashMap::new()), AtomicBool::new(false));
    let edge = &stack.edge;
    let callers = (0..CALLERS).map(|caller| {
        let (seen, over, key) = (&seen, &over, key.clone());
        async move {
            for number in (caller as u64..).step_by(CALLERS) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (id, saw) = call(edge, &key, number).await;
                assert!(seen.lock().unwrap().insert(id, saw).is_none(), "an id comes once");
                if saw == Saw::Refused {
                    // The node is dead, or not there yet.
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    let node = &mut stack.node;
    let killer = async {
        for kill in 0..kills() {
            let before = seen.lock().unwrap().values().filter(|it| matches!(it, Saw::Whole(_))).count();
            let answers = async {
                while seen.lock().unwrap().values().filter(|it| matches!(it, Saw::Whole(_))).count() <= before + 1 {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(PATIENCE, answers).await.expect("the node answers");
            sleep(Duration::from_millis(kill * 7_919 % 400)).await;
            node.kill().await;
            node.start_again(edge).await;
        }
        over.store(true, Ordering::SeqCst);
    };
    futures_util::join!(join_all(callers), killer);
    let seen = seen.into_inner().unwrap();
    let rows = settled(edge, &seen).await;
    assert!(seen.values().any(|it| matches!(it, Saw::Cut(_))), "no answer was cut: {seen:?}");
    for (id, saw) in &seen {
        let Some(row) = rows.get(id) else {
            assert_eq!(*saw, Saw::Refused, "{id}");
            continue;
        };
        let expected = match saw {
            Saw::Whole(tokens) => ("completed", *tokens),
            Saw::Cut(words) => ("upstream_cut", *words),
            Saw::Refused => ("failed", 0),
        };
        assert_eq!((row.outcome.as_str(), row.completion_tokens), expected, "{row:?}");
        let tokens = i64::try_from(row.prompt_tokens + row.completion_tokens).unwrap();
        assert_eq!(row.cost_nanos, tokens * TOKEN_NANOS, "{row:?}");
    }
    let cost: i64 = rows.values().map(|it| it.cost_nanos).sum();
    assert_eq!(edge.wallet(org).await.revenue_nanos, cost, "each call is charged once");
    assert_rolled_up(&edge.db.connect().await).await;
    let cut = seen.values().filter(|it| matches!(it, Saw::Cut(_))).count();
    let whole = seen.values().filter(|it| matches!(it, Saw::Whole(_))).count();
    println!("{} kills: {} calls, {whole} whole, {cut} cut", kills(), seen.len());
}

/// The rows, as soon as every call that had a word has one.
async fn settled(edge: &TestEdge, seen: &HashMap<String, Saw>) -> HashMap<String, UsageRow> {
    let client = edge.db.connect().await;
    let read = async || {
        let rows = nest_tests::usage::rows(&client).await;
        let ids = rows.len();
        let rows: HashMap<_, _> = rows.into_iter().map(|it| (it.request_id.clone(), it)).collect();
        assert_eq!(rows.len(), ids, "a call has one row");
        rows
    };
    let mut rows = read().await;
    let all = async {
        while seen.iter().any(|(id, saw)| *saw != Saw::Refused && !rows.contains_key(id)) {
            sleep(Duration::from_millis(50)).await;
            rows = read().await;
        }
    };
    timeout(PATIENCE, all).await.expect("calls are recorded soon");
    rows
}
