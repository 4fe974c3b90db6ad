//! Tokens: reserved before a call, settled after it.

use super::{Limited, at_most};
use crate::upstream::{count_to, streamed};
use edge_core::limits::Quota;
use embedded::groq::Fault;
use nest_tests::{EventReader, IssuedKey, PATIENCE, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const LIMIT: u64 = 3_000;

struct Setup {
    limited: Limited,
    key: IssuedKey,
    owner: Person,
}

impl Setup {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let limited = Limited::start(settings).await;
        let key = limited.key(Quota { tokens_per_day: Some(LIMIT), ..Quota::default() }).await;
        let owner = limited.edge.log_in(nest_tests::edge::OPERATOR).await;
        Self { limited, key, owner }
    }

    /// What the store has counted of the key's tokens.
    async fn used(&self) -> u64 {
        let path = format!("/limits?org_id={}&key_id={}", self.owner.org_id, self.key.id);
        let answer = self.limited.edge.api(&self.owner, Method::GET, &path, Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["key"][0]["used"].as_u64().unwrap()
    }

    /// Waits until it has counted so many: what is settled is told when the key rests.
    async fn until_used(&self, tokens: impl Fn(u64) -> bool, what: &str) {
        let wait = async {
            while !tokens(self.used().await) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            panic!("{what}: {}", self.used().await);
        }
    }
}

/// Bytes of the body that the test's client sends, by four.
fn prompt(body: &Value) -> u64 {
    (body.to_string().len() as u64).div_ceil(4)
}

#[tokio::test]
async fn what_a_call_did_not_use_comes_back() {
    let setup = Setup::start(&[]).await;
    let mut used = 0;
    // Each reserves more than a third of the limit.
    for _ in 0..6 {
        let answer = setup.limited.edge.chat(&setup.key, &at_most(1_200)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        used += answer.json()["usage"]["total_tokens"].as_u64().unwrap();
    }
    assert!(used > 0);
    setup.until_used(|it| it == used, "what the upstream says was used").await;
}

#[tokio::test]
async fn streams_are_settled_at_their_end_whole_or_cut_or_left() {
    let setup = Setup::start(&[("UPSTREAM_IDLE_TIMEOUT_MS", "500"), ("DRAIN_MS", "0")]).await;
    let body = streamed(&count_to(5));
    let answer = setup.limited.edge.chat(&setup.key, &body).await;
    assert_eq!(answer.status, 200);
    let row = setup.limited.edge.usage(answer.request_id()).await;
    let mut used = row.prompt_tokens + row.completion_tokens;
    setup.until_used(|it| it == used, "a whole stream").await;

    setup.limited.groq.set_fault(Fault::StallAfter { events: 3 });
    let answer = setup.limited.edge.chat(&setup.key, &body).await;
    let row = setup.limited.edge.usage(answer.request_id()).await;
    assert_eq!((row.outcome.as_str(), row.tokens_source.as_str()), ("upstream_cut", "counted"));
    used += prompt(&body) + row.completion_tokens;
    setup.until_used(|it| it == used, "a cut stream: its prompt, and the events that passed").await;
    setup.limited.groq.clear_faults();

    let steps = setup.limited.groq.step();
    let request = setup.limited.edge.post("/v1/chat/completions").bearer_auth(&setup.key.text).json(&body);
    let mut reader = EventReader::new(request.send().await.unwrap());
    steps.release(3);
    for _ in 0..3 {
        reader.next().await.unwrap();
    }
    drop(reader);
    let least = used + prompt(&body);
    let seen = |it| {
        // An edge may notice by the next event alone; the rest of them at once would be a whole stream.
        steps.release(1);
        it > least && it < least + 10
    };
    setup.until_used(seen, "a stream that its client left").await;
}

#[tokio::test]
async fn a_call_that_gets_nothing_pays_no_tokens() {
    let setup = Setup::start(&[]).await;
    for fault in ["500", "400", "reset-head"] {
        setup.limited.groq.set_fault(fault.parse().unwrap());
        for _ in 0..3 {
            let answer = setup.limited.edge.chat(&setup.key, &at_most(2_000)).await;
            assert_ne!(answer.status, 429, "{fault}: {}", answer.text());
        }
    }
    setup.limited.groq.clear_faults();
    let mut unknown = at_most(2_000);
    unknown["model"] = "nothing".into();
    for _ in 0..3 {
        assert_eq!(setup.limited.edge.chat(&setup.key, &unknown).await.status, 404);
    }
    setup.until_used(|it| it == 0, "nothing").await;
}

#[tokio::test]
async fn a_prompt_counts_by_its_bytes_and_embeddings_have_no_answer() {
    let setup = Setup::start(&[]).await;
    let long = "word ".repeat(3_000);
    let body = json!({ "model": "nothing", "input": long });
    let refused = setup.limited.edge.ask("/v1/embeddings", &setup.key, &body).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "tokens_exceed_limit"));
    assert!(refused.text().contains(&format!("may take {} tokens", prompt(&body))), "{}", refused.text());
    // Nor does one of a size that would fit but for an answer.
    let body = json!({ "model": "nothing", "input": "word ".repeat(2_200) });
    assert_eq!(setup.limited.edge.ask("/v1/embeddings", &setup.key, &body).await.status, 404);
}
