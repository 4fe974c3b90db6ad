//! A process that dies in the middle of a refresh, or of recording what was used.

use crate::{NEST, upstream::count_to};
use embedded::groq::{API_KEY, FakeGroq};
use nest_tests::{
    Answer, Gate, TestEdge,
    edge::{OPERATOR, client},
    gate::Way,
    lasting,
    program::{Nest, Running},
    usage::assert_rolled_up,
};
use reqwest::Method;
use serde_json::{Value, json};

/// `nest serve` on a database behind a gate.
struct Served {
    gate: Gate,
    url: String,
    program: Running,
}

impl Served {
    async fn start(edge: &TestEdge, settings: &[(&str, &str)]) -> Self {
        let gate = Gate::listen().await;
        let mut database = reqwest::Url::parse(edge.db.url()).unwrap();
        gate.lead_to(format!("127.0.0.1:{}", database.port().unwrap()).parse().unwrap());
        database.set_port(Some(gate.address.port())).unwrap();
        let port = embedded::port::free().unwrap();
        let serve = Nest::new(NEST, &lasting::folder("serve"), "serve").env("DATABASE_URL", database.as_str());
        let serve = serve.env("PORT", &port.to_string());
        let serve = serve.env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz");
        let serve = settings.iter().fold(serve, |serve, (name, value)| serve.env(name, value));
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

/// What one caller after the other waits for cannot be mixed up.
const ONE_CONNECTION: (&str, &str) = ("DATABASE_CONNECTIONS", "1");

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
    let served = Served::start(&edge, &[ONE_CONNECTION]).await;
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
    let served = Served::start(&edge, &[ONE_CONNECTION]).await;
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

/// Checklist 52: a process that is killed before its rows get to the database loses them and their sums together, and
/// one that is killed before it hears that they are there has written both.
#[tokio::test]
async fn what_was_used_is_exact_after_a_process_has_died() {
    let edge = TestEdge::start(&[]).await;
    let groq = FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let key = edge.key().await;
    let database = edge.db.connect().await;
    let chat = async |url: &str| {
        let request = client().post(format!("{url}/v1/chat/completions")).bearer_auth(&key.text);
        let answer = Answer::read(request.json(&count_to(3)).send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let mut recorded = 0;
    for (way, arrives) in [(Way::There, 0), (Way::Back, 1), (Way::There, 0), (Way::Back, 1)] {
        let mut served = Served::start(&edge, &[("OPENAI_BASE_URL", &groq.url()), ("GROQ_API_KEY", API_KEY)]).await;
        chat(&served.url).await;
        recorded += 1;
        edge.usage_when(|rows| rows.len() == recorded).await;
        served.gate.shut(way);
        chat(&served.url).await;
        served.gate.caught().await;
        recorded += arrives;
        edge.usage_when(|rows| rows.len() == recorded).await;
        // SIGKILL: nothing of the process runs after it.
        served.program.child.kill().await.unwrap();
        assert_eq!(assert_rolled_up(&database).await, recorded as i64);
    }
    let operator = edge.log_in(OPERATOR).await;
    let told = edge.api(&operator, Method::GET, "/usage?group_by=outcome", Value::Null).await.json();
    assert_eq!(told["totals"]["calls"], recorded, "{told}");
    let used = "
        select used.last_used_at = (select max(started_at) from usage)
        from api_keys key cross join lateral key_usage(key.org_id, key.id, now()) used where key.id = $1::text::uuid";
    let row = database.query_one(used, &[&key.id.uuid().to_string()]).await.unwrap();
    assert!(row.get::<_, bool>(0), "the last use is that of the last row");
}
