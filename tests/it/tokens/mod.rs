//! Access tokens, seen from outside: forgeries, each kind of secret at each place that takes one, and keys that rotate.

mod forged;
mod forgeries;
mod kinds;
mod libraries;
mod rotation;
mod signatures;
mod soak;

use nest_tests::{Answer, TestEdge};
use reqwest::{
    Method,
    header::{AUTHORIZATION, HeaderValue},
};

/// What `GET /me` says to whatever stands behind `Bearer`.
async fn me(edge: &TestEdge, token: &str) -> Answer {
    let value = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()).unwrap();
    let request = edge.request(Method::GET, "/api/v1/me").header(AUTHORIZATION, value);
    Answer::read(request.send().await.unwrap()).await
}
