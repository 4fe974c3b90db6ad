//! A new secret for a key that is in use.

use super::{admitted, make, refused, verdict};
use futures_util::future::join_all;
use nest_tests::{Answer, IssuedKey, Kind, Person, TestEdge};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

async fn rotate(edge: &TestEdge, person: &Person, key: &IssuedKey, body: Value) -> Answer {
    edge.api(person, Method::POST, &format!("/keys/{}/rotate", key.id), body).await
}

fn renewed(answer: &Answer) -> IssuedKey {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let about = answer.json();
    IssuedKey { id: about["id"].as_str().unwrap().parse().unwrap(), text: about["key"].as_str().unwrap().to_owned() }
}

/// Checklist 51's part: both are good for the chosen time, and then the new one is.
#[tokio::test]
async fn the_old_secret_works_on_for_as_long_as_was_asked() {
    let edge = TestEdge::start(&[("KEY_CACHE_MS", "1000")]).await;
    let ada = edge.person("ada@example.com").await;
    let (first, made) = make(&edge, &ada, "", json!({ "name": "ci", "environment": "test" })).await;
    assert_eq!(verdict(&edge, &first).await, admitted());
    let answer = rotate(&edge, &ada, &first, json!({ "overlap_seconds": 60 })).await;
    let second = renewed(&answer);
    assert!(second.id == first.id && second.text != first.text && second.text.starts_with("nest_test_"));
    assert_eq!(answer.json()["name"], made["name"]);
    let until = answer.json()["previous_until"].as_i64().unwrap() - edge.now().0;
    assert!((50_000..=60_000).contains(&until), "{until}");
    // At once, though this edge has the row of before.
    for key in [&second, &first, &second] {
        assert_eq!(verdict(&edge, key).await, admitted());
    }
    // Three good secrets would be one too many; whoever wants the first one dead can have that.
    let running = rotate(&edge, &ada, &first, json!({})).await;
    assert_eq!((running.status.as_u16(), running.code().as_str()), (409, "rotation_running"));
    edge.advance_ms(60_000);
    assert_eq!(verdict(&edge, &first).await, refused("invalid_api_key"));
    assert_eq!(verdict(&edge, &second).await, admitted());
    // A day unless something else is asked for.
    let answer = rotate(&edge, &ada, &second, json!({})).await;
    let third = renewed(&answer);
    let until = answer.json()["previous_until"].as_i64().unwrap() - edge.now().0;
    assert!((86_300_000..=86_400_000).contains(&until), "{until}");
    let answer = rotate(&edge, &ada, &third, json!({ "overlap_seconds": 0 })).await;
    let fourth = renewed(&answer);
    assert_eq!(answer.json()["previous_until"], Value::Null);
    edge.advance_ms(1_000);
    for key in [&first, &second, &third] {
        assert_eq!(verdict(&edge, key).await, refused("invalid_api_key"));
    }
    assert_eq!(verdict(&edge, &fourth).await, admitted());
    let entries = "select count(*) from audit_log where action = 'keys.rotated' and target = $1 and org_id is not null";
    let count: i64 = edge.db.connect().await.query_one(entries, &[&first.id.to_string()]).await.unwrap().get(0);
    assert_eq!(count, 3);
}

#[tokio::test]
async fn a_revocation_ends_both_secrets() {
    let edge = TestEdge::start(&[("KEY_CACHE_MS", "1000")]).await;
    let ada = edge.person("ada@example.com").await;
    let (old, _) = make(&edge, &ada, "", json!({ "name": "ci" })).await;
    let new = renewed(&rotate(&edge, &ada, &old, json!({})).await);
    assert_eq!((verdict(&edge, &old).await, verdict(&edge, &new).await), (admitted(), admitted()));
    assert_eq!(edge.api(&ada, Method::DELETE, &format!("/keys/{}", old.id), Value::Null).await.status, 204);
    edge.advance_ms(1_000);
    assert_eq!(verdict(&edge, &new).await, refused("revoked_api_key"));
    assert_eq!(verdict(&edge, &old).await, refused("invalid_api_key"));
}

/// Calls of the rotation under load: what `NEST_ROTATION_CALLS` says, or as many as every run has time for.
fn calls() -> usize {
    let usual = if Kind::chosen() == Kind::Native { 2_400 } else { 480 };
    std::env::var("NEST_ROTATION_CALLS").map_or(usual, |it| it.parse().unwrap())
}

/// Checklist 51, whose fifty thousand calls are in bench/results/rotation.md: callers that change over one after another, and none of their calls fails.
#[tokio::test]
async fn no_call_fails_while_a_key_is_rotated_under_load() {
    const CALLERS: usize = 8;
    let calls_each = calls() / CALLERS;
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let (old, _) = make(&edge, &ada, "", json!({ "name": "ci" })).await;
    let (done, new) = (AtomicUsize::new(0), tokio::sync::OnceCell::new());
    let caller = |number: usize| {
        let (edge, old, new, done) = (&edge, &old, &new, &done);
        async move {
            for call in 0..calls_each {
                // The callers learn of the new key at different times.
                let knows = call > calls_each / 2 + number;
                let key = if knows { new.get().unwrap_or(old) } else { old };
                assert_eq!(verdict(edge, key).await, admitted(), "call {call} of caller {number}");
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let switch = async {
        while done.load(Ordering::Relaxed) < CALLERS * calls_each / 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        new.set(renewed(&rotate(&edge, &ada, &old, json!({ "overlap_seconds": 3_600 })).await)).ok().unwrap();
    };
    tokio::join!(join_all((0..CALLERS).map(caller)), switch);
    assert_eq!(verdict(&edge, new.get().unwrap()).await, admitted());
    assert_eq!(done.load(Ordering::Relaxed), CALLERS * calls_each);
}

/// Whoever has half of a key makes an edge read little more than whoever has all of it.
#[tokio::test]
async fn wrong_secrets_of_a_known_key_are_looked_up_ten_times_a_second_at_most() {
    if Kind::chosen() == Kind::Spin {
        // It may remember nothing between requests, and then each asks in any case.
        return;
    }
    let edge = TestEdge::start(&[("KEY_CACHE_MS", "600000")]).await;
    let ada = edge.person("ada@example.com").await;
    let (old, _) = make(&edge, &ada, "", json!({ "name": "ci" })).await;
    let new = renewed(&rotate(&edge, &ada, &old, json!({ "overlap_seconds": 0 })).await);
    assert_eq!(verdict(&edge, &new).await, admitted());
    let (before, began) = (edge.statements("where key.id =").await, Instant::now());
    // On a busy machine the database may be out of reach for a moment, which is never told as a wrong key.
    let away = (503, "database_unavailable".to_owned());
    for _ in 0..40 {
        let tries = join_all((0..5).map(|_| verdict(&edge, &old))).await;
        assert!(tries.iter().all(|it| *it == refused("invalid_api_key") || *it == away), "{tries:?}");
    }
    let looked_up = edge.statements("where key.id =").await - before;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    assert!((1..=10 * seconds).contains(&looked_up), "{looked_up} in {seconds} s");
    assert_eq!(verdict(&edge, &new).await, admitted());
}

/// Checklist 50: by the clock on the wall, under load, whatever the cache is doing at that moment.
#[tokio::test]
async fn no_call_that_begins_a_second_after_its_key_was_revoked_is_let_in() {
    let edge = TestEdge::start(&[("KEY_CACHE_MS", "1000")]).await;
    let ada = edge.person("ada@example.com").await;
    let probes = (0..6).map(|number| {
        let (edge, ada) = (&edge, &ada);
        async move {
            let (key, _) = make(edge, ada, "", json!({ "name": format!("probe {number}") })).await;
            let (revoked, over) = (tokio::sync::OnceCell::new(), AtomicBool::new(false));
            let revoke = async {
                tokio::time::sleep(Duration::from_millis(400 + 130 * number)).await;
                let answer = edge.api(ada, Method::DELETE, &format!("/keys/{}", key.id), Value::Null).await;
                assert_eq!(answer.status, 204);
                revoked.set(Instant::now()).unwrap();
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                over.store(true, Ordering::Relaxed);
            };
            let call = async {
                let mut late = 0;
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let verdict = verdict(edge, &key).await;
                    let since = revoked.get().and_then(|at| began.checked_duration_since(*at));
                    if since.is_some_and(|it| it >= Duration::from_secs(1)) {
                        late += 1;
                        assert_eq!(verdict, refused("revoked_api_key"), "after {since:?}");
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                late
            };
            let ((), late) = tokio::join!(revoke, call);
            assert!(late > 0, "no call was late enough to tell");
        }
    });
    join_all(probes).await;
}
