//! Money: funds that many want at once, caps and their periods, leases of those who die, and books that nobody forges.

mod audit;
mod billing;
mod caps;
mod hooks;
mod idempotency;
mod killed;
mod leases;
mod ledger;
mod prices;
mod races;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use nest_tests::{Answer, Double, IssuedKey, PATIENCE, TestDb, TestEdge};
use serde_json::{Value, json};
use shared::id::{OrgId, RequestId};
use std::sync::Arc;
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_postgres::Client;

const MODEL: &str = "priced";

/// An upstream that answers a call when it is let.
struct Upstream {
    double: Double,
    state: Arc<Held>,
}

struct Held {
    arrived: watch::Sender<usize>,
    answers: Semaphore,
}

impl Upstream {
    async fn start() -> Self {
        let state = Arc::new(Held { arrived: watch::channel(0).0, answers: Semaphore::new(0) });
        let models = get(|| async { Json(json!({ "object": "list", "data": [{ "id": MODEL }] })) });
        let router = Router::new().route("/models", models).route("/chat/completions", post(answer));
        Self { double: Double::serve(router.with_state(state.clone())).await, state }
    }

    /// Lets so many calls be answered.
    fn answer(&self, calls: usize) {
        self.state.answers.add_permits(calls);
    }

    /// Waits until so many calls have arrived.
    async fn arrived(&self, calls: usize) {
        let mut arrived = self.state.arrived.subscribe();
        timeout(PATIENCE, arrived.wait_for(|it| *it >= calls)).await.expect("they arrive soon").unwrap();
    }

    fn arrivals(&self) -> usize {
        *self.state.arrived.borrow()
    }
}

/// No tokens of a prompt, and as many of an answer as `used` says.
async fn answer(State(held): State<Arc<Held>>, Json(body): Json<Value>) -> Json<Value> {
    held.arrived.send_modify(|it| *it += 1);
    held.answers.acquire().await.unwrap().forget();
    let used = body["used"].as_u64().unwrap_or(0);
    let message = json!({ "role": "assistant", "content": "word" });
    Json(json!({
        "object": "chat.completion", "model": MODEL,
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 0, "completion_tokens": used, "total_tokens": used },
    }))
}

/// An edge before an upstream, on a database that others may share.
struct Priced {
    upstream: Upstream,
    edge: TestEdge,
    org: OrgId,
    key: IssuedKey,
}

impl Priced {
    /// An organisation that begins with `usd`, and a model that costs `price`. It is noon, so that no test is about the
    /// turn of a day that is not meant to be.
    async fn start(usd: &str, price: Value) -> Self {
        let upstream = Upstream::start().await;
        let edge = edge(&TestDb::migrated().await, &upstream).await;
        const DAY_MS: i64 = 86_400_000;
        edge.advance_ms(DAY_MS + DAY_MS / 2 - edge.now().0.rem_euclid(DAY_MS));
        edge.publish_prices(json!([{ "model": MODEL, "price": price }])).await;
        let (org, key) = (edge.own_org().await, edge.key().await);
        if usd != "0" {
            edge.grant(org, usd).await;
        }
        Self { upstream, edge, org, key }
    }

    /// A call of at most `most` tokens, of which `used` are used.
    async fn call(&self, most: u64, used: u64) -> Answer {
        self.edge.chat(&self.key, &call(most, used)).await
    }

    /// The same, which must be answered; returns when it is charged.
    async fn charged(&self, most: u64, used: u64) -> RequestId {
        let answer = self.call(most, used).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = answer.request_id();
        self.edge.usage(id).await;
        id
    }

    /// The code of the refusal of a call.
    async fn refused(&self, most: u64) -> (u16, String) {
        let answer = self.call(most, 0).await;
        (answer.status.as_u16(), answer.code())
    }

    async fn sql(&self) -> Client {
        self.edge.db.connect().await
    }
}

async fn edge(db: &TestDb, upstream: &Upstream) -> TestEdge {
    let settings = [("OPENAI_BASE_URL", upstream.double.url.as_str()), ("GROQ_API_KEY", "gsk")];
    TestEdge::on(db, &settings).await
}

fn call(most: u64, used: u64) -> Value {
    json!({ "model": MODEL, "max_tokens": most, "used": used, "messages": [{ "role": "user", "content": "Say it." }] })
}

/// A function of migration 14, by itself.
async fn act(client: &Client, call: &str, org: OrgId) -> bool {
    client.query_one(&format!("select {call}"), &[&org.uuid().to_string()]).await.unwrap().get(0)
}

/// A dollar for each request, and nothing else.
fn a_dollar() -> Value {
    json!({ "input": 0, "output": 0, "request": 1 })
}

/// A dollar for each token of an answer.
fn a_dollar_a_token() -> Value {
    json!({ "input": 0, "output": 1_000_000 })
}

/// Dollars, in billionths.
const fn usd(dollars: i64) -> i64 {
    dollars * 1_000_000_000
}
