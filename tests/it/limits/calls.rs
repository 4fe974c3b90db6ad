//! Requests of a key and of its organisation, and what answers say of them.

use super::{Limited, at_most};
use crate::upstream::{count_to, streamed};
use edge_core::limits::Quota;
use nest_tests::Answer;
use serde_json::json;

fn a_minute(requests: u64) -> Quota {
    Quota { requests_per_minute: Some(requests), ..Quota::default() }
}

/// Checklist 66.
#[tokio::test]
async fn a_key_has_its_requests_a_minute_and_is_told_what_it_exceeds() {
    let limited = Limited::start(&[]).await;
    let (key, other) = (limited.key(a_minute(3)).await, limited.key(a_minute(3)).await);
    for left in ["2", "1", "0"] {
        let answer = limited.chat(&key).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-ratelimit-remaining-requests")), (200, left));
        assert_eq!(answer.header("x-ratelimit-limit-requests"), "3");
    }
    let refused = limited.chat(&key).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limit_exceeded"));
    let body = refused.json();
    assert_eq!(body["error"]["type"], "rate_limit_error");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("this API key has a limit of 3 requests a minute"), "{message}");
    let wait_s: i64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=120).contains(&wait_s), "{wait_s}");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    assert_eq!(limited.chat(&other).await.status, 200, "keys do not take from each other");
    // After the time that it was told, and not before the present window is over.
    limited.advance_ms(wait_s * 1_000);
    assert_eq!(limited.chat(&key).await.status, 200);
}

#[tokio::test]
async fn an_organisation_s_keys_share_its_requests() {
    let limited = Limited::start(&[("ORG_LIMITS", "requests_per_day=4")]).await;
    let (first, second) = (limited.key(Quota::default()).await, limited.key(a_minute(100)).await);
    assert_eq!(limited.statuses(&first, 2).await, [200, 200]);
    limited.until_used(2).await;
    assert_eq!(limited.statuses(&second, 3).await, [200, 200, 429]);
    let refused = limited.chat(&second).await;
    assert!(refused.text().contains("this organisation has a limit of 4 requests a day"), "{}", refused.text());
}

/// Checklist 61: a request that is refused for what it says costs nothing.
#[tokio::test]
async fn what_is_refused_before_costs_nothing() {
    let limited = Limited::start(&[]).await;
    let key = limited.key(Quota { tokens_per_minute: Some(5_000), ..a_minute(2) }).await;
    for body in [json!([]), json!({}), json!({ "model": "" })] {
        assert_eq!(limited.edge.chat(&key, &body).await.status, 400, "{body}");
    }
    for _ in 0..3 {
        let refused = limited.edge.chat(&key, &at_most(5_000)).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "tokens_exceed_limit"));
        assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), ("", "false"));
        assert!(refused.text().contains("limit of 5000 tokens a minute"), "{}", refused.text());
        assert!(refused.text().contains("may take 50"), "{}", refused.text());
    }
    assert_eq!(limited.upstash.takes(), 0, "nobody was asked, either");
    assert_eq!(limited.statuses(&key, 3).await, [200, 200, 429]);
}

/// Checklist 66.
#[tokio::test]
async fn every_answer_to_a_key_tells_its_limits() {
    let limited = Limited::start(&[("ORG_LIMITS", "tokens_per_day=100000 concurrent=9")]).await;
    let key = limited.key(a_minute(4)).await;
    let get =
        async |path: &str| Answer::read(limited.edge.get(path).bearer_auth(&key.text).send().await.unwrap()).await;
    let unknown = json!({ "model": "nothing", "messages": [] });
    let answers = [
        (400, limited.edge.chat(&key, &json!({})).await),
        (200, get("/v1/models").await),
        (404, get("/v1/models/nothing").await),
        (200, limited.chat(&key).await),
        (200, limited.edge.chat(&key, &streamed(&count_to(3))).await),
        (404, limited.edge.chat(&key, &unknown).await),
        (200, limited.chat(&key).await),
        (429, limited.chat(&key).await),
    ];
    for (number, (status, answer)) in answers.iter().enumerate() {
        assert_eq!(answer.status, *status, "{number}: {}", answer.text());
        assert_eq!(
            answer.header("ratelimit-policy"),
            r#""org-tokens-day";q=100000;qu="tokens";w=86400, "org-concurrent";q=9;qu="concurrent-requests", "key-requests-minute";q=4;w=60"#,
            "{number}"
        );
        let names: Vec<&str> = answer.header("ratelimit").split(", ").map(|it| it.split(';').next().unwrap()).collect();
        assert_eq!(names, [r#""org-tokens-day""#, r#""org-concurrent""#, r#""key-requests-minute""#], "{number}");
        for (name, limit) in [("requests", "4"), ("tokens", "100000")] {
            assert_eq!(answer.header(&format!("x-ratelimit-limit-{name}")), limit, "{number}");
            let remaining: u64 = answer.header(&format!("x-ratelimit-remaining-{name}")).parse().unwrap();
            assert!(remaining <= limit.parse().unwrap(), "{number}");
            let reset = answer.header(&format!("x-ratelimit-reset-{name}"));
            assert!(reset.ends_with('s') && reset.starts_with(|it: char| it.is_ascii_digit()), "{number}: {reset}");
        }
    }
    // Whoever has no key is told nothing.
    let stranger = Answer::read(limited.edge.get("/v1/models").send().await.unwrap()).await;
    assert_eq!((stranger.status.as_u16(), stranger.header("ratelimit-policy")), (401, ""));
}

/// Checklist 62.
#[tokio::test]
async fn everything_in_the_store_is_forgotten_some_time_and_names_nobody() {
    let limited = Limited::start(&[]).await;
    let quota = Quota {
        requests_per_minute: Some(10),
        requests_per_day: Some(10),
        tokens_per_minute: Some(10_000),
        tokens_per_day: Some(10_000),
        concurrent: Some(2),
    };
    let key = limited.key(quota).await;
    assert_eq!(limited.statuses(&key, 2).await, [200, 200]);
    assert_eq!(limited.edge.try_log_in("ada@example.com", "wrong").await.status, 401);
    let kept = limited.upstash.redis.lifetimes().await;
    assert!(kept.len() >= 6, "{kept:?}");
    for (name, lives_ms) in kept {
        assert!(lives_ms > 0, "{name} is kept for ever");
        assert!(name.starts_with("nest:{") && !name.contains("127.0.0.1") && !name.contains('@'), "{name}");
    }
}
