//! OAuth 2.0: what each endpoint gives and refuses, and clients that others wrote.

mod clients;
mod foreign;
mod introspection;
mod password;
mod revocation;
mod writing;

use nest_tests::{Answer, TestEdge};
use reqwest::{Method, StatusCode};

/// The status and the word of a refusal, which has RFC 6749's shape and may not be kept.
fn refusal(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("cache-control"), "no-store", "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json", "{}", answer.text());
    let body = answer.json();
    assert!(body["error_description"].is_string(), "{body}");
    let plain = |it: &str| it.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\');
    assert!(plain(body["error_description"].as_str().unwrap()), "{body}");
    (answer.status.as_u16(), body["error"].as_str().unwrap().to_owned())
}

/// A field of the tokens that were given.
fn given(answer: &Answer, name: &str) -> String {
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"), "{}", answer.text());
    answer.json()[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", answer.text())).to_owned()
}

/// What `GET /me` says to a token.
async fn me(edge: &TestEdge, token: &str) -> u16 {
    edge.request(Method::GET, "/api/v1/me").bearer_auth(token).send().await.unwrap().status().as_u16()
}

/// How many entries of the audit log have this action.
async fn audited(edge: &TestEdge, action: &str) -> i64 {
    let count = "select count(*) from audit_log where action = $1";
    edge.db.connect().await.query_one(count, &[&action]).await.unwrap().get(0)
}
