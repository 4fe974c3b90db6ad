//! Limits by address, under a clock that the tests move.

use nest_tests::{Answer, TestEdge};

const HEALTH: &str = "/v1/endpoints/health";

/// Moves the clock to the beginning of the next minute.
fn next_minute(edge: &TestEdge) {
    edge.advance_ms(60_000 - edge.now().0 % 60_000);
}

#[tokio::test]
async fn health_is_told_five_times_a_minute_to_each_address() {
    let edge = TestEdge::start(&[]).await;
    next_minute(&edge);
    let health = || async { Answer::read(edge.get(HEALTH).send().await.unwrap()).await };
    for _ in 0..5 {
        let answer = health().await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, r#"{"status":"healthy"}"#));
    }
    let refused = health().await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limit_exceeded"));
    let wait_s: i64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait_s), "{wait_s}");
    edge.advance_ms(wait_s * 1_000);
    assert_eq!(health().await.status, 200);
}

#[tokio::test]
async fn nobody_talks_himself_into_another_address() {
    let edge = TestEdge::start(&[]).await;
    next_minute(&edge);
    let mut statuses = Vec::new();
    for (number, header) in
        ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip", "x-forwarded-for"]
            .into_iter()
            .enumerate()
    {
        let value = if header == "forwarded" { format!("for=10.0.0.{number}") } else { format!("10.0.0.{number}") };
        statuses.push(edge.get(HEALTH).header(header, value).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
}

#[tokio::test]
async fn behind_a_trusted_proxy_addresses_are_those_that_it_names() {
    let edge = TestEdge::start(&[("TRUSTED_PROXY_HOPS", "1"), ("HEALTH_REQUESTS_PER_MINUTE", "1")]).await;
    next_minute(&edge);
    for (header, status) in [
        ("10.0.0.1", 200),
        ("10.0.0.1", 429),
        ("10.0.0.2", 200),
        // The proxy appends what it sees; what the client wrote before that counts for nothing.
        ("10.0.0.9, 10.0.0.2", 429),
        ("2001:db8:1:2::1", 200),
        ("2001:db8:1:2::2", 429),
    ] {
        let response = edge.get(HEALTH).header("x-forwarded-for", header).send().await.unwrap();
        assert_eq!(response.status(), status, "{header}");
    }
}

#[tokio::test]
async fn probes_are_not_limited() {
    let edge = TestEdge::start(&[("HEALTH_REQUESTS_PER_MINUTE", "1")]).await;
    for path in ["/healthz", "/readyz"].repeat(5) {
        assert_eq!(edge.get(path).send().await.unwrap().status(), 200, "{path}");
    }
}
