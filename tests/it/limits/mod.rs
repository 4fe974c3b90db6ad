//! Limits of addresses, keys and organisations, over HTTP. What processes do together is in `leases`.

mod address;
mod calls;
mod orgs;
mod streams;
mod tokens;

use crate::upstream::{MODEL, count_to};
use edge_core::{auth, keys, limits::Quota};
use embedded::groq::{API_KEY, FakeGroq};
use nest_tests::{Answer, FakeUpstash, IssuedKey, PATIENCE, TestEdge, edge::OPERATOR};
use reqwest::Method;
use serde_json::{Value, json};
use shared::id::OrgId;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// An edge with an upstream and a store of counters, both fake.
pub(crate) struct Limited {
    pub(crate) upstash: FakeUpstash,
    pub(crate) groq: FakeGroq,
    pub(crate) edge: TestEdge,
}

impl Limited {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let groq = FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let upstash = FakeUpstash::start().await;
        let url = groq.url();
        let base = [("OPENAI_BASE_URL", url.as_str()), ("GROQ_API_KEY", API_KEY)];
        let edge = TestEdge::start(&[&base, &upstash.settings()[..], settings].concat()).await;
        let limited = Self { upstash, groq, edge };
        // From the beginning of a minute, so that none ends within a test.
        limited.next_minute();
        limited
    }

    /// Moves both clocks to the beginning of the minute after the next.
    pub(crate) fn next_minute(&self) {
        self.advance_ms(120_000 - self.edge.now().0 % 60_000);
    }

    pub(crate) fn advance_ms(&self, ms: i64) {
        self.upstash.advance_ms(ms);
        self.edge.advance_ms(ms);
    }

    pub(crate) async fn key(&self, limits: Quota) -> IssuedKey {
        key(&self.edge, limits).await
    }

    pub(crate) async fn chat(&self, key: &IssuedKey) -> Answer {
        self.edge.chat(key, &count_to(3)).await
    }

    /// Waits until the store has counted `used` of the organisation's first limit: what edges take ahead goes back when
    /// they rest.
    pub(crate) async fn until_used(&self, used: u64) {
        let owner = self.edge.log_in(OPERATOR).await;
        let counted = async || {
            let answer = self.edge.api(&owner, Method::GET, "/limits", Value::Null).await;
            answer.json()["org"][0]["used"].as_u64().unwrap()
        };
        let wait = async {
            while counted().await != used {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("what was taken ahead goes back");
    }

    /// Statuses of `calls` calls, one after another.
    pub(crate) async fn statuses(&self, key: &IssuedKey, calls: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..calls {
            statuses.push(self.chat(key).await.status.as_u16());
        }
        statuses
    }
}

/// A key of the operator's own organisation, with limits.
pub(crate) async fn key(edge: &TestEdge, limits: Quota) -> IssuedKey {
    let new = keys::NewKey { limits, ..keys::NewKey::inference(org(edge).await, "limited") };
    edge.key_of(new).await
}

/// The operator's own organisation.
pub(crate) async fn org(edge: &TestEdge) -> OrgId {
    auth::find_owner(&edge.store(), OPERATOR).await.unwrap().unwrap().org_id
}

/// A chat whose answer may have so many tokens.
pub(crate) fn at_most(tokens: u64) -> Value {
    json!({ "model": MODEL, "messages": [{ "role": "user", "content": "Count to 3" }], "max_tokens": tokens })
}

/// What a call is answered whose request line no client would write.
pub(crate) async fn raw(edge: &TestEdge, method: &str, path: &str, headers: &str) -> String {
    let address = edge.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n{headers}\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that cannot read a request line may break the connection once it has said so.
    let _ = connection.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
