//! Sessions: tokens, refreshing, and everything that ends one.

mod ends;
mod own;
mod pages;
mod races;

use nest_tests::{Answer, TestEdge, edge::OPERATOR};
use reqwest::Method;
use serde_json::{Value, json};

async fn refresh(edge: &TestEdge, token: &str) -> Answer {
    let body = json!({ "refresh_token": token });
    Answer::read(edge.post("/api/v1/auth/refresh").json(&body).send().await.unwrap()).await
}

fn field(answer: &Answer, name: &str) -> String {
    let body: Value = serde_json::from_str(answer.text()).unwrap();
    body[name].as_str().unwrap_or_else(|| panic!("{name} in {body}")).to_owned()
}

/// What `GET /me` says to an access token: the status, and the code of a refusal.
async fn me(edge: &TestEdge, token: &str) -> (u16, String) {
    let answer = Answer::read(edge.get("/api/v1/me").bearer_auth(token).send().await.unwrap()).await;
    (answer.status.as_u16(), answer.code())
}

/// How many sessions nobody has ended.
async fn live(edge: &TestEdge) -> i64 {
    let live = "select count(*) from sessions where ended_at is null";
    edge.db.connect().await.query_one(live, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_log_in_opens_a_session_that_refreshes_and_ends() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let me = edge.by(&person, Method::GET, "/api/v1/me").send().await.unwrap();
    assert_eq!(me.status(), 200);
    let me: Value = me.json().await.unwrap();
    assert_eq!((me["email"].as_str(), me["operator"].as_bool()), (Some(OPERATOR), Some(true)));

    let second = refresh(&edge, &person.refresh_token).await;
    assert_eq!((second.status.as_u16(), second.header("cache-control")), (200, "no-store"), "{}", second.text());
    let again = refresh(&edge, &person.refresh_token).await;
    assert_eq!((again.status.as_u16(), again.code().as_str()), (409, "refresh_in_progress"));
    let third = refresh(&edge, &field(&second, "refresh_token")).await;
    assert_eq!(third.status, 200);

    let gone = edge.by(&person, Method::POST, "/api/v1/auth/logout").send().await.unwrap();
    assert_eq!(gone.status(), 204);
    let me = Answer::read(edge.by(&person, Method::GET, "/api/v1/me").send().await.unwrap()).await;
    assert_eq!((me.status.as_u16(), me.code().as_str()), (401, "session_ended"));
    let dead = refresh(&edge, &field(&third, "refresh_token")).await;
    assert_eq!((dead.status.as_u16(), dead.code().as_str()), (401, "session_ended"));
}

/// Checklist 40.
#[tokio::test]
async fn a_used_refresh_token_that_comes_again_ends_the_session() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let newest = field(&refresh(&edge, &person.refresh_token).await, "refresh_token");
    edge.advance_ms(10_001);
    assert_eq!(refresh(&edge, &person.refresh_token).await.code(), "session_ended");
    assert_eq!(refresh(&edge, &newest).await.code(), "session_ended");
    assert_eq!(live(&edge).await, 0);
}
