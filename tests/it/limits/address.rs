//! Limits by address, under a clock that the tests move.

use super::raw;
use edge_core::limits::Class;
use nest_tests::{Answer, TestEdge, edge::OPERATOR};
use reqwest::Method;
use serde_json::json;

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
    assert_eq!(refused.header("ratelimit-policy"), r#""address-health";q=5;w=60"#);
    assert_eq!(refused.header("ratelimit"), format!(r#""address-health";r=0;t={wait_s}"#));
    edge.advance_ms(wait_s * 1_000);
    assert_eq!(health().await.status, 200);
}

/// Checklist 65.
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
    let edge = TestEdge::start(&[("TRUSTED_PROXY_HOPS", "1"), ("ADDRESS_LIMITS", "health=1/m")]).await;
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
    let edge = TestEdge::start(&[("ADDRESS_LIMITS", "health=1/m")]).await;
    for path in ["/healthz", "/readyz"].repeat(5) {
        assert_eq!(edge.get(path).send().await.unwrap().status(), 200, "{path}");
    }
}

/// Checklist 65: of all spellings of a path at most one is the route, and every other counts as no route at all.
#[tokio::test]
async fn no_spelling_of_a_path_gets_past_its_limit() {
    let edge = TestEdge::start(&[("ADDRESS_LIMITS", "health=1/h api=1000/h models=1000/h")]).await;
    let told = |answer: &str| answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
    assert_eq!(told(&raw(&edge, "GET", HEALTH, "").await), 200);
    for path in [
        HEALTH,
        "/v1/endpoints/health?x=1",
        "/V1/endpoints/health",
        "/v1/endpoints/Health",
        "/v1/endpoints/health/",
        "//v1/endpoints/health",
        "/v1//endpoints/health",
        "/v1/endpoints/%68ealth",
        "/v1/./endpoints/health",
        "/v1/%2e/endpoints/health",
        "/v1/x/../endpoints/health",
        "/v1/x/%2e%2e/endpoints/health",
        "/v1/endpoints/health;x=1",
        "/v1/endpoints/health%00",
        "/v1/endpoints/health%2f",
        "/v1\\endpoints\\health",
    ] {
        for (method, header) in [
            ("GET", ""),
            ("HEAD", ""),
            ("POST", "x-http-method-override: GET\r\n"),
            ("POST", "x-method-override: GET\r\n"),
            ("GET", "x-original-url: /v1/endpoints/health\r\nx-rewrite-url: /healthz\r\n"),
        ] {
            let answer = raw(&edge, method, path, header).await;
            let status = told(&answer);
            assert!([400, 404, 405, 429].contains(&status), "{method} {path} {header:?}: {answer}");
        }
    }
}

/// Checklist 65.
#[tokio::test]
async fn what_is_no_route_or_no_method_counts_as_well() {
    let edge = TestEdge::start(&[("ADDRESS_LIMITS", "api=4/h")]).await;
    edge.advance_ms(3_600_000 - edge.now().0 % 3_600_000);
    let mut statuses = Vec::new();
    for (method, path) in [
        (Method::GET, "/nothing"),
        (Method::GET, "/v1/nothing"),
        (Method::DELETE, "/api/v1/orgs"),
        (Method::GET, "/api/v1/orgs"),
        (Method::GET, "/nothing"),
        (Method::DELETE, "/api/v1/orgs"),
        (Method::GET, "/api/v1/permissions"),
    ] {
        statuses.push(edge.request(method, path).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [404, 404, 405, 401, 429, 429, 429]);
}

#[tokio::test]
async fn a_try_is_counted_before_anything_of_it_is_looked_at() {
    let edge = TestEdge::start(&[("ADDRESS_LIMITS", "login=3/h auth=1000/h")]).await;
    edge.advance_ms(3_600_000 - edge.now().0 % 3_600_000);
    let login = async |body: &'static str| {
        let request = edge.post("/api/v1/auth/login").header("content-type", "application/json").body(body);
        Answer::read(request.send().await.unwrap()).await
    };
    for body in ["", "{}", r#"{"email":"nobody@example.com","password":"wrong"}"#] {
        assert_ne!(login(body).await.status, 429, "{body}");
    }
    let before = edge.statements("").await;
    let refused = login("{}").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limit_exceeded"));
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(refused.header("ratelimit-policy").starts_with(r#""address-login";q=3;w=3600"#));
    assert_eq!(edge.statements("").await, before, "nobody asked the database");
    // What proves a password elsewhere is of the same class; other classes go on.
    let change = Answer::read(edge.post("/api/v1/auth/password/reset").json(&json!({})).send().await.unwrap()).await;
    assert_eq!(change.status, 429);
    assert_eq!(edge.post("/api/v1/auth/refresh").json(&json!({})).send().await.unwrap().status(), 400);
    edge.advance_ms(3_600_000);
    assert_eq!(edge.try_log_in(OPERATOR, "wrong").await.status, 401);
}

#[test]
fn every_route_has_a_class_but_what_watches_the_service_or_is_signed() {
    let routes = edge_core::routes();
    let class = |path: &str| routes.iter().find(|it| it.path == path).unwrap_or_else(|| panic!("no {path}")).class;
    for route in &routes {
        // Stripe's messages come in bursts from few addresses, and are signed.
        let unlimited = ["/healthz", "/readyz", "/webhooks/stripe"].contains(&route.path);
        assert_eq!(route.class.is_none(), unlimited, "{}", route.path);
    }
    for (path, expected) in [
        ("/v1/endpoints/health", Class::Health),
        ("/v1/chat/completions", Class::Models),
        ("/v1/models", Class::Models),
        ("/auth/login", Class::Login),
        ("/auth/password/change", Class::Login),
        ("/auth/password/reset", Class::Login),
        ("/auth/reauthenticate", Class::Login),
        ("/auth/signup", Class::Signup),
        ("/invitations/join", Class::Signup),
        ("/auth/password/forgot", Class::Mail),
        ("/me/email", Class::Mail),
        ("/auth/mfa/verify", Class::Mfa),
        ("/auth/mfa/totp/confirm", Class::Mfa),
        ("/auth/token", Class::Oauth),
        ("/auth/introspect", Class::Oauth),
        ("/auth/oidc/{provider}/callback", Class::Oauth),
        ("/auth/refresh", Class::Auth),
        ("/nodes/heartbeat", Class::Nodes),
        ("/keys", Class::Api),
        ("/admin/users", Class::Api),
    ] {
        assert_eq!(class(path), Some(expected), "{path}");
    }
}
