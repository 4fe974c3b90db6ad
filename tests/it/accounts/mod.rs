//! Accounts: how they come to be, and how their owner gets back in.

mod address;
mod forms;
mod password;
mod signup;
mod tokens;

use nest_tests::{Answer, TestEdge};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

const ADA: &str = "ada@example.com";
const SECRET: &str = "kxo94 plm22 vbb17";
const NEW_SECRET: &str = "wq0 zz4 trombone 88";

async fn post(edge: &TestEdge, path: &str, body: &Value) -> Answer {
    Answer::read(edge.post(&format!("/api/v1{path}")).json(body).send().await.unwrap()).await
}

async fn sign_up(edge: &TestEdge, email: &str) -> Answer {
    post(edge, "/auth/signup", &json!({ "email": email, "password": SECRET, "name": "Ada" })).await
}

async fn verify(edge: &TestEdge, token: &str) -> Answer {
    post(edge, "/auth/verify", &json!({ "token": token })).await
}

async fn forgot(edge: &TestEdge, email: &str) -> Answer {
    post(edge, "/auth/password/forgot", &json!({ "email": email })).await
}

async fn reset(edge: &TestEdge, token: &str, password: &str) -> Answer {
    post(edge, "/auth/password/reset", &json!({ "token": token, "password": password })).await
}

/// The number that a statement counts.
async fn count(edge: &TestEdge, select: &str) -> i64 {
    edge.db.connect().await.query_one(select, &[]).await.unwrap().get(0)
}

/// What a stranger can compare: status, headers and body, without what differs with every answer.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let varying = ["date", "x-request-id"];
    let text = |headers: &HeaderMap| {
        let all = headers.iter().filter(|(name, _)| !varying.contains(&name.as_str()));
        all.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
    };
    let id = answer.request_id().to_string();
    (answer.status.as_u16(), text(&answer.headers), answer.text().replace(&id, "ID"))
}
