//! Whole answers: health, files, refusals, settings.

use crate::stack::{Database, Stack, client, spin};
use reqwest::StatusCode;
use serde_json::Value;
use std::fs;

/// An edge whose database and upstream nobody runs.
const ALONE: [(&str, &str); 2] =
    [("database_url", "postgres://nest@127.0.0.1:9/nest"), ("database_host", "postgres://127.0.0.1:9")];

#[tokio::test]
async fn it_is_alive_alone_and_ready_with_its_database() {
    let alone = spin(&ALONE, None).await;
    let get = |url: &str, path: &str| client().get(format!("{url}{path}")).send();
    let alive = get(alone.url(), "/healthz").await.unwrap();
    assert_eq!(alive.status(), StatusCode::OK);
    assert_eq!(alive.headers()["content-length"], "18");
    let unready = get(alone.url(), "/readyz").await.unwrap();
    assert_eq!(unready.status(), StatusCode::SERVICE_UNAVAILABLE);

    let mut database = Database::start().await;
    let with_database =
        spin(&[("database_url", &database.url), ("database_host", &database.host)], Some(database.log())).await;
    let ready = get(with_database.url(), "/readyz").await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK, "{}", ready.text().await.unwrap());
    database.stop().await;
    let unready = get(with_database.url(), "/readyz").await.unwrap();
    assert_eq!(unready.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_database_that_the_manifest_does_not_list_is_refused() {
    let database = Database::start().await;
    let unlisted = [("database_url", database.url.as_str()), ("database_host", "postgres://127.0.0.1:9")];
    let spin = spin(&unlisted, Some(database.log())).await;
    let answer = client().get(format!("{}/readyz", spin.url())).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(fs::read_to_string(database.log()).unwrap().contains("is not permitted"));
}

#[tokio::test]
async fn an_upstream_that_the_manifest_does_not_list_is_never_asked() {
    let stack = Stack::with(&[("upstream_host", "https://api.groq.com:443")]).await;
    let answer = stack.chat(false).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "upstream_unreachable");
    assert!(stack.groq.requests().is_empty());
}

#[tokio::test]
async fn files_are_served_and_nothing_beside_them() {
    let spin = spin(&ALONE, None).await;
    let get = |path: &str| client().get(format!("{}{path}", spin.url())).send();
    for path in ["/", "/index.html"] {
        let page = get(path).await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert!(page.headers().contains_key("cache-control"));
        assert!(page.text().await.unwrap().contains("/v1/chat/completions"));
    }
    for path in ["/index", "/index.html/", "/%2e%2e/spin.toml", "/.index.html", "//index.html", "/healthz/index.html"] {
        let none = get(path).await.unwrap();
        assert_eq!(none.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(none.headers()["content-type"], "application/problem+json", "{path}");
    }
}

#[tokio::test]
async fn wrong_settings_answer_500_and_are_told_to_the_log_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("guest.log");
    let spin = spin(&[("secret_key", "sh0rt"), ("key_grace_ms", "s0on")], Some(log.clone())).await;
    let answer = client().get(format!("{}/healthz", spin.url())).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["code"], "misconfigured");
    let told = fs::read_to_string(log).unwrap();
    assert!(told.contains("SECRET_KEY") && told.contains("KEY_GRACE_MS"), "{told}");
    for secret in ["sh0rt", "s0on"] {
        assert!(!told.contains(secret) && !body.to_string().contains(secret));
    }
}

#[tokio::test]
async fn an_address_that_a_client_makes_up_does_not_count() {
    let spin = spin(&[&ALONE[..], &[("address_limits", "health=2/m")]].concat(), None).await;
    let mut statuses = Vec::new();
    for number in 0..5 {
        let request = client().get(format!("{}/v1/endpoints/health", spin.url()));
        let answer = request.header("spin-client-addr", format!("198.51.100.{number}:4000")).send().await.unwrap();
        statuses.push(answer.status());
    }
    // A minute may end meanwhile; then two more are answered.
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
}
