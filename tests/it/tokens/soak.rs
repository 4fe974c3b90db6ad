//! Requests without a pause while keys change: none is refused that should not be.

use super::me;
use futures_util::{StreamExt as _, stream};
use nest_tests::{Answer, Kind, Mint, TestEdge, answer::unless_busy, edge::OPERATOR, mint::PERIOD_MS};
use serde_json::json;

const ONE: &str = "one root secret of at least 32 characters";
const TWO: &str = "two root secrets of at least 32 characters";

/// Requests at a time.
const AT_ONCE: usize = 8;

/// Requests of a soak: what `NEST_ROTATION_CALLS` says, or `usual`, and a tenth of it on the WASM hosts, whose rounds are
/// slower.
fn requests(usual: usize) -> usize {
    let usual = if Kind::chosen() == Kind::Native { usual } else { usual / 10 };
    std::env::var("NEST_ROTATION_CALLS").map_or(usual, |it| it.parse().unwrap())
}

/// How many of `all` requests stage `nth` of `stages` makes; together they make them all.
fn share(all: usize, nth: usize, stages: usize) -> usize {
    all * (nth + 1) / stages - all * nth / stages
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

/// Asks both edges so often, by turns, with the tokens of all visitors.
async fn ask(edges: [&TestEdge; 2], visitors: &[Visitor], requests: usize) {
    let asked = (0..requests).map(|nth| (edges[nth % 2], &visitors[nth / 2 % visitors.len()].access_token));
    let refused: Vec<u16> = stream::iter(asked)
        .map(async |(edge, token)| unless_busy(async || me(edge, token).await).await.status.as_u16())
        .buffer_unordered(AT_ONCE)
        .filter(|status| std::future::ready(*status != 200))
        .collect()
        .await;
    assert!(refused.is_empty(), "{} of {requests} were refused: {refused:?}", refused.len());
}

/// Checklist 32: a rolling deploy replaces the root secret, one edge after the other, in the order that docs/oauth.md
/// gives. The hundred thousand requests are in bench/results/rotation.md.
#[tokio::test]
async fn no_request_is_refused_while_the_root_secret_is_replaced() {
    let all = requests(6_000);
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
        ask([&one, &other], &visitors, share(all, 2 * nth, 12)).await;
        for edge in [&one, &other] {
            let person = edge.log_in(OPERATOR).await;
            visitors.push(Visitor { access_token: person.access_token, refresh_token: person.refresh_token });
        }
        for (number, visitor) in visitors.iter_mut().enumerate() {
            visitor.refresh([&one, &other][number % 2]).await;
        }
        // A secret is dropped once nothing that it has signed is in use: by then every session was refreshed since.
        if nth == 3 {
            for visitor in &mut visitors {
                visitor.refresh(&other).await;
            }
        }
        let newest = &visitors[visitors.len().saturating_sub(4)..];
        ask([&other, &one], newest, share(all, 2 * nth + 1, 12)).await;
    }
}

/// Checklist 32: across a border of periods, with clocks of edges that differ by 25 seconds. The hundred thousand requests
/// are in bench/results/rotation.md.
#[tokio::test]
async fn no_request_is_refused_across_a_border_of_periods() {
    let all = requests(3_000);
    let ahead = TestEdge::start(&[]).await;
    let behind = TestEdge::on(&ahead.db, &[]).await;
    let to_border = PERIOD_MS - ahead.now().0.rem_euclid(PERIOD_MS);
    ahead.advance_ms(to_border - 60_000);
    behind.advance_ms(to_border - 85_000);
    let before = Mint::of(&ahead, 0).kid;
    let mut visitors = Vec::new();
    for edge in [&ahead, &behind] {
        let person = edge.log_in(OPERATOR).await;
        visitors.push(Visitor { access_token: person.access_token, refresh_token: person.refresh_token });
    }
    for step in 0..6 {
        ask([&ahead, &behind], &visitors, share(all, step, 6)).await;
        visitors[step % 2].refresh(if step % 4 < 2 { &ahead } else { &behind }).await;
        for edge in [&ahead, &behind] {
            edge.advance_ms(25_000);
        }
    }
    assert_ne!(Mint::of(&behind, 0).kid, before, "both edges have passed the border");
}
