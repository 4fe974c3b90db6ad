//! A process that dies in the middle of a refresh.

use crate::NEST;
use nest_tests::{
    Answer, Gate, TestEdge,
    edge::{OPERATOR, client},
    gate::Way,
    lasting,
    program::{Nest, Running},
};
use serde_json::json;

/// `nest serve` on a database behind a gate, with one connection.
struct Served {
    gate: Gate,
    url: String,
    program: Running,
}

impl Served {
    async fn start(edge: &TestEdge) -> Self {
        let gate = Gate::listen().await;
        let mut database = reqwest::Url::parse(edge.db.url()).unwrap();
        gate.lead_to(format!("127.0.0.1:{}", database.port().unwrap()).parse().unwrap());
        database.set_port(Some(gate.address.port())).unwrap();
        let port = embedded::port::free().unwrap();
        let serve = Nest::new(NEST, &lasting::folder("serve"), "serve").env("DATABASE_URL", database.as_str());
        let serve = serve.env("DATABASE_CONNECTIONS", "1").env("PORT", &port.to_string());
        let serve = serve.env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz");
        let mut program = serve.start();
        program.until("the edge listens on").await;
        Self { gate, url: format!("http://127.0.0.1:{port}"), program }
    }

    /// Sends a refresh that gets no answer: the process is killed once the gate holds what should have passed.
    async fn dies_refreshing(mut self, token: &str, way: Way) {
        self.gate.shut(way);
        let request = client().post(format!("{}/api/v1/auth/refresh", self.url));
        let answer = tokio::spawn(request.json(&json!({ "refresh_token": token })).send());
        self.gate.caught().await;
        // SIGKILL: nothing of the process runs after it.
        self.program.child.kill().await.unwrap();
        assert!(answer.await.unwrap().is_err(), "the process is dead, and yet it answers");
    }
}

async fn refresh(url: &str, token: &str) -> Answer {
    let body = json!({ "refresh_token": token });
    Answer::read(client().post(format!("{url}/api/v1/auth/refresh")).json(&body).send().await.unwrap()).await
}

async fn generation(edge: &TestEdge) -> i64 {
    edge.db.connect().await.query_one("select generation from sessions", &[]).await.unwrap().get(0)
}

/// Checklist 42: the one statement never reached the database, so nothing has happened.
#[tokio::test]
async fn a_process_that_dies_before_the_turn_leaves_the_token_as_it_was() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let served = Served::start(&edge).await;
    served.dies_refreshing(&person.refresh_token, Way::There).await;
    assert_eq!(generation(&edge).await, 1);
    assert_eq!(refresh(&edge.url, &person.refresh_token).await.status, 200);
}

/// Checklist 42: the statement ran and its answer is lost. The token is turned, and exactly once: no second branch, and
/// whoever has neither token logs in again.
#[tokio::test]
async fn a_process_that_dies_after_the_turn_has_turned_the_token_once() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let served = Served::start(&edge).await;
    // The first refresh prepares the statement, so that what the gate holds later is its result.
    let first = refresh(&served.url, &person.refresh_token).await;
    let token = first.json()["refresh_token"].as_str().unwrap().to_owned();
    served.dies_refreshing(&token, Way::Back).await;
    assert_eq!(generation(&edge).await, 3);
    let retry = refresh(&edge.url, &token).await;
    assert_eq!((retry.status.as_u16(), retry.code().as_str()), (409, "refresh_in_progress"));
    assert_eq!(generation(&edge).await, 3);
    edge.advance_ms(10_001);
    assert_eq!(refresh(&edge.url, &token).await.code(), "session_ended");
}
