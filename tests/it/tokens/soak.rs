//! Requests without a pause while keys change: none is refused that should not be.

use super::me;
use futures_util::{StreamExt as _, stream};
use nest_tests::{Answer, Kind, TestEdge, answer::unless_busy, edge::OPERATOR, mint::PERIOD_MS};
use serde_json::json;

const ONE: &str = "one root secret of at least 32 characters";
const TWO: &str = "two root secrets of at least 32 characters";

/// Requests at a time.
const AT_ONCE: usize = 8;

/// Requests in each stage; fewer on the WASM hosts, whose rounds are slower.
fn requests() -> usize {
    if Kind::chosen() == Kind::Native { 500 } else { 50 }
}

/// A session that goes on across edges.
struct Visitor {
    access_token: String,
    refresh_token: String,
}

impl Visitor {
    /// Takes the next tokens at `edge`, which knows the root secrets of now.
    async fn refresh(&mut self, edge: &TestEdge) {
        let body = json!({ "refresh_token": self.refresh_token });
        let ask = async || Answer::read(edge.post("/api/v1/auth/refresh").json(&body).send().await.unwrap()).await;
        let answer = unless_busy(ask).await;
        assert_eq!(answer.status, 200, "a refresh is refused: {}", answer.text());
        let tokens = answer.json();
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        *self = Self { access_token: text("access_token"), refresh_token: text("refresh_token") };
    }
}

/// Asks both edges, by turns, with the tokens of all visitors.
async fn ask(edges: [&TestEdge; 2], visitors: &[Visitor]) {
    let asked = (0..requests()).map(|nth| (edges[nth % 2], &visitors[nth / 2 % visitors.len()].access_token));
    let refused: Vec<u16> = stream::iter(asked)
        .map(async |(edge, token)| unless_busy(async || me(edge, token).await).await.status.as_u16())
        .buffer_unordered(AT_ONCE)
        .filter(|status| std::future::ready(*status != 200))
        .collect()
        .await;
    assert!(refused.is_empty(), "{} of {} were refused: {refused:?}", refused.len(), requests());
}

/// Checklist 32: a rolling deploy replaces the root secret, one edge after the other, in the order that docs/oauth.md
/// gives. 6,000 requests natively, 600 on the WASM hosts.
#[tokio::test]
async fn of_6000_requests_while_the_root_secret_is_replaced_none_is_refused() {
    let first = TestEdge::start(&[("SECRET_KEY", ONE)]).await;
    let person = first.log_in(OPERATOR).await;
    let mut visitors = vec![Visitor { access_token: person.access_token, refresh_token: person.refresh_token }];
    let settled = [("SECRET_KEY", ONE)];
    let announced = [("SECRET_KEY", ONE), ("NEXT_SECRET_KEY", TWO)];
    let replaced = [("SECRET_KEY", TWO), ("PREVIOUS_SECRET_KEY", ONE)];
    let done = [("SECRET_KEY", TWO)];
    let steps: [[&[(&str, &str)]; 2]; 6] = [
        [&announced, &settled],
        [&announced, &announced],
        [&replaced, &announced],
        [&replaced, &replaced],
        [&done, &replaced],
        [&done, &done],
    ];
    for (nth, [one, other]) in steps.into_iter().enumerate() {
        let (one, other) = (TestEdge::on(&first.db, one).await, TestEdge::on(&first.db, other).await);
        // Tokens of the step before first, and then those of each edge at the other.
        ask([&one, &other], &visitors).await;
        for edge in [&one, &other] {
            let person = edge.log_in(OPERATOR).await;
            visitors.push(Visitor { access_token: person.access_token, refresh_token: person.refresh_token });
        }
        for (nth, visitor) in visitors.iter_mut().enumerate() {
            visitor.refresh([&one, &other][nth % 2]).await;
        }
        // A secret is dropped once nothing that it has signed is in use: by then every session was refreshed since.
        if nth == 3 {
            for visitor in &mut visitors {
                visitor.refresh(&other).await;
            }
        }
        ask([&other, &one], &visitors[visitors.len().saturating_sub(4)..]).await;
    }
}

/// Checklist 32: across a border of periods, with clocks of edges that differ by 25 seconds. 3,000 requests natively, 300
/// on the WASM hosts.
#[tokio::test]
async fn of_3000_requests_across_a_border_of_periods_none_is_refused() {
    let ahead = TestEdge::start(&[]).await;
    let behind = TestEdge::on(&ahead.db, &[]).await;
    let to_border = PERIOD_MS - ahead.now().0.rem_euclid(PERIOD_MS);
    ahead.advance_ms(to_border - 60_000);
    behind.advance_ms(to_border - 85_000);
    let mut visitors = Vec::new();
    for edge in [&ahead, &behind] {
        let person = edge.log_in(OPERATOR).await;
        visitors.push(Visitor { access_token: person.access_token, refresh_token: person.refresh_token });
    }
    for step in 0..6 {
        ask([&ahead, &behind], &visitors).await;
        visitors[step % 2].refresh(if step % 4 < 2 { &ahead } else { &behind }).await;
        for edge in [&ahead, &behind] {
            edge.advance_ms(25_000);
        }
    }
}
