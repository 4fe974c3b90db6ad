//! What calls are billed for, whatever becomes of them, and what clients are told of it.

mod chaos;
mod cost;
mod left;
mod outage;
mod receipts;
mod table;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use futures_util::stream;
use nest_tests::{Double, IssuedKey, TestEdge, UsageRow};
use serde_json::{Value, json};
use shared::id::OrgId;
use std::{io, sync::Arc};

const MODEL: &str = "scripted";

/// How an upstream of these tests answers.
#[derive(Clone, Debug)]
enum Says {
    /// A whole answer.
    Whole(Value),
    /// Events, and then the end of the body, or of the connection.
    Stream(Vec<String>, Ends),
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Well,
    Broken,
}

/// An edge before an upstream that answers call `n` with `says[n]`.
struct Scripted {
    _upstream: Double,
    edge: TestEdge,
    key: IssuedKey,
}

impl Scripted {
    async fn start(says: Vec<Says>, settings: &[(&str, &str)]) -> Self {
        let models = get(|| async { Json(json!({ "object": "list", "data": [{ "id": MODEL }] })) });
        let router = Router::new().route("/models", models).route("/chat/completions", post(say));
        let upstream = Double::serve(router.with_state(Arc::new(says))).await;
        let settings = [&[("OPENAI_BASE_URL", upstream.url.as_str()), ("GROQ_API_KEY", "gsk")], settings].concat();
        let edge = TestEdge::start(&settings).await;
        let key = edge.key().await;
        Self { _upstream: upstream, edge, key }
    }

    /// The row of call `number`, which the test's client reads to its end.
    async fn row(&self, number: usize, stream: bool) -> UsageRow {
        let answer = self.edge.chat(&self.key, &call(number, stream)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.edge.usage(answer.request_id()).await
    }
}

fn call(number: usize, stream: bool) -> Value {
    json!({ "model": MODEL, "stream": stream, "n": number, "messages": [{ "role": "user", "content": "Say it." }] })
}

/// About how many tokens the prompt of `body` has, as the edge estimates it.
fn prompt(body: &Value) -> u64 {
    (body.to_string().len() as u64).div_ceil(4)
}

async fn say(State(says): State<Arc<Vec<Says>>>, Json(body): Json<Value>) -> Response {
    match says[usize::try_from(body["n"].as_u64().unwrap()).unwrap()].clone() {
        Says::Whole(answer) => Json(answer).into_response(),
        Says::Stream(events, ends) => {
            let events = events.into_iter().map(|it| Ok(it.into_bytes()));
            let last = match ends {
                Ends::Well => None,
                Ends::Broken => Some(Err(io::Error::other("broken, as asked"))),
            };
            // Each event by itself: a break takes with it what it shares a write with.
            let spaced = stream::unfold(events.chain(last), async |mut events| {
                let next = events.next()?;
                if next.is_err() {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
                tokio::task::yield_now().await;
                Some((next, events))
            });
            ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(spaced)).into_response()
        }
    }
}

/// What each word of an answer costs where nothing else does.
pub(crate) const WORD_NANOS: i64 = 2_000;

/// Sets such prices for the fake upstream's model, and grants the tests' own organisation credit.
pub(crate) async fn words_priced(edge: &TestEdge) -> OrgId {
    let price = json!({ "input": "0", "output": "2" });
    edge.publish_prices(json!([{ "model": crate::upstream::MODEL, "price": price }])).await;
    let org = edge.own_org().await;
    edge.grant(org, "100").await;
    org
}

fn event(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn role() -> String {
    event(&json!({ "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "" } }] }))
}

fn word() -> String {
    event(&json!({ "choices": [{ "index": 0, "delta": { "content": "word " }, "finish_reason": null }] }))
}

fn finish() -> String {
    event(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }))
}

fn usage(prompt: u64, completion: u64) -> String {
    event(&json!({ "choices": [], "usage": { "prompt_tokens": prompt, "completion_tokens": completion } }))
}

fn done() -> String {
    "data: [DONE]\n\n".to_owned()
}
