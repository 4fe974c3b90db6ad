//! API keys at a served edge: how soon a revocation counts, and what an outage does.

mod hidden;
mod manage;
mod owners;
mod refusals;
mod rotation;
mod wrong;

use nest_tests::{Answer, IssuedKey, Person, PrivateDb, TestEdge};
use reqwest::Method;
use serde_json::Value;
use shared::time::Timestamp;

/// A key that `person` makes in an organisation of theirs, and what the edge answers.
async fn make(edge: &TestEdge, person: &Person, query: &str, body: Value) -> (IssuedKey, Value) {
    let answer = edge.api(person, Method::POST, &format!("/keys{query}"), body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let about = answer.json();
    let text = about["key"].as_str().unwrap().to_owned();
    (IssuedKey { id: about["id"].as_str().unwrap().parse().unwrap(), text }, about)
}

/// A call below the API's prefix with a key.
async fn by_key(edge: &TestEdge, key: &IssuedKey, method: Method, path: &str, body: Value) -> Answer {
    let request = edge.request(method, &format!("/api/v1{path}")).bearer_auth(&key.text);
    let request = if body.is_null() { request } else { request.json(&body) };
    Answer::read(request.send().await.unwrap()).await
}

async fn models(edge: &TestEdge, key: &IssuedKey) -> Answer {
    Answer::read(edge.get("/v1/models").bearer_auth(&key.text).send().await.unwrap()).await
}

/// Status, and the code of an error.
pub(crate) async fn verdict(edge: &TestEdge, key: &IssuedKey) -> (u16, String) {
    let answer = models(edge, key).await;
    let code = if answer.status == 200 { String::new() } else { answer.code() };
    (answer.status.as_u16(), code)
}

pub(crate) fn refused(code: &str) -> (u16, String) {
    (401, code.to_owned())
}

pub(crate) fn admitted() -> (u16, String) {
    (200, String::new())
}

/// Checklist 50: wherever an edge is, at the age that it is set to.
#[tokio::test]
async fn a_revoked_key_is_refused_within_five_seconds() {
    let edge = TestEdge::start(&[]).await;
    let key = edge.key().await;
    assert_eq!(verdict(&edge, &key).await, admitted());
    edge.revoke(&key).await;
    edge.advance_ms(5_000);
    assert_eq!(verdict(&edge, &key).await, refused("revoked_api_key"));
}

#[tokio::test]
async fn a_key_that_was_unknown_works_as_soon_as_it_exists() {
    let (edge, other) = (TestEdge::start(&[]).await, TestEdge::start(&[]).await);
    let key = other.key().await;
    assert_eq!(verdict(&edge, &key).await, refused("invalid_api_key"));
    let row = "select to_jsonb(api_keys)::text from api_keys";
    let row: String = other.db.connect().await.query_one(row, &[]).await.unwrap().get(0);
    // Databases of tests are copies of one, so that the organisation is there.
    let copy = "insert into api_keys select (jsonb_populate_record(null::api_keys, $1::text::jsonb)).*";
    edge.db.connect().await.execute(copy, &[&row]).await.unwrap();
    assert_eq!(verdict(&edge, &key).await, admitted());
}

#[tokio::test]
async fn a_key_dies_at_the_instant_it_expires() {
    let edge = TestEdge::start(&[]).await;
    let key = edge.key_until(Some(Timestamp(edge.now().0 + 60_000))).await;
    assert_eq!(verdict(&edge, &key).await, admitted());
    edge.advance_ms(60_000);
    assert_eq!(verdict(&edge, &key).await, refused("expired_api_key"));
}

#[tokio::test]
async fn the_text_of_a_key_is_stored_nowhere() {
    let edge = TestEdge::start(&[]).await;
    let key = edge.key().await;
    assert_eq!(verdict(&edge, &key).await, admitted());
    let client = edge.db.connect().await;
    let tables = "select table_name::text from information_schema.tables where table_schema = 'public'";
    for table in client.query(tables, &[]).await.unwrap() {
        let table: &str = table.get(0);
        let rows = client.query(&format!("select t::text from {table} t"), &[]).await.unwrap();
        let secret = &key.text[14..key.text.len() - 4];
        assert!(rows.iter().all(|row| !row.get::<_, String>(0).contains(secret)), "{table} holds a key");
    }
}

#[tokio::test]
async fn an_outage_of_the_database_is_never_told_as_a_wrong_key() {
    let mut private = PrivateDb::start().await;
    let edge = TestEdge::on(&private.db, &[]).await;
    let (known, unseen) = (edge.key().await, edge.key().await);
    assert_eq!(verdict(&edge, &known).await, admitted());
    private.stop().await;

    // The entry is too old to be used while Postgres answers, and goes on being used since it does not.
    edge.advance_ms(5_000);
    assert_eq!(verdict(&edge, &known).await, admitted());
    let answer = models(&edge, &unseen).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "database_unavailable"));
    assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
    // Alive and ready are two questions.
    assert_eq!(edge.get("/healthz").send().await.unwrap().status(), 200);
    assert_eq!(edge.get("/readyz").send().await.unwrap().status(), 503);
    // After the grace a known key is not known any more, and still not wrong.
    edge.advance_ms(900_000);
    assert_eq!(verdict(&edge, &known).await, (503, "database_unavailable".to_owned()));

    private.start_again().await;
    for key in [&known, &unseen] {
        assert_eq!(verdict(&edge, key).await, admitted());
    }
    assert_eq!(edge.get("/readyz").send().await.unwrap().status(), 200);
    edge.revoke(&known).await;
    edge.advance_ms(5_000);
    assert_eq!(verdict(&edge, &known).await, refused("revoked_api_key"));
    private.stop().await;
}
