//! Operators: who they are, what they see and do, and what nobody does, not even they.

mod acts;
mod guard;
mod lists;
mod races;

use nest_tests::{Answer, TestEdge, edge::OPERATOR, person::Person};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use shared::id::{OrgId, UserId};

/// Asks by `person` for a path below `/api/v1/admin`, and reads the whole answer.
async fn ask(edge: &TestEdge, person: &Person, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = edge.by(person, method, &format!("/api/v1/admin{path}"));
    let request = request.header("idempotency-key", uuid::Uuid::new_v4().to_string());
    let request = body.iter().fold(request, RequestBuilder::json);
    Answer::read(request.send().await.unwrap()).await
}

async fn get(edge: &TestEdge, person: &Person, path: &str) -> Value {
    let answer = ask(edge, person, Method::GET, path, None).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// An act that is done.
async fn act(edge: &TestEdge, person: &Person, method: Method, path: &str, body: Option<Value>) {
    let answer = ask(edge, person, method, path, body).await;
    assert_eq!(answer.status, 204, "{path}: {}", answer.text());
}

/// An act that is refused: status and code.
async fn refused(edge: &TestEdge, person: &Person, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
    let answer = ask(edge, person, method, path, body).await;
    (answer.status.as_u16(), answer.code())
}

async fn suspend(edge: &TestEdge, operator: &Person, user: UserId) {
    act(edge, operator, Method::POST, &format!("/users/{user}/suspend"), Some(json!({ "reason": "spam" }))).await;
}

/// What `person` is told of themselves: 200, or the code of the refusal.
async fn me(edge: &TestEdge, person: &Person) -> String {
    let answer = Answer::read(edge.by(person, Method::GET, "/api/v1/me").send().await.unwrap()).await;
    if answer.status == 200 { "200".to_owned() } else { answer.code() }
}

/// An entry of the audit log, but for its id and time.
#[derive(Debug, PartialEq)]
struct Entry {
    actor: Option<String>,
    action: String,
    target: Option<String>,
    org: Option<OrgId>,
    detail: Value,
}

/// The entries of operators' acts, oldest first. Each must say from which request it comes.
async fn entries(edge: &TestEdge) -> Vec<Entry> {
    let all = "
        select actor_kind, actor_id, action, target, org_id::text, detail, request_id
        from audit_log where action like 'admin.%' order by id";
    let rows = edge.db.connect().await.query(all, &[]).await.unwrap();
    let entry = |row: tokio_postgres::Row| {
        assert_eq!(row.get::<_, String>(0), "user");
        assert!(row.get::<_, Option<String>>(6).is_some_and(|it| it.starts_with("req_")));
        Entry {
            actor: row.get(1),
            action: row.get(2),
            target: row.get(3),
            org: row.get::<_, Option<String>>(4).map(|it| OrgId::from_uuid(it.parse().unwrap())),
            detail: serde_json::from_str(row.get(5)).unwrap(),
        }
    };
    rows.into_iter().map(entry).collect()
}

/// What an entry of `operator` says.
fn entry(operator: &Person, action: &str, target: &impl ToString, org: Option<OrgId>, detail: Value) -> Entry {
    Entry {
        actor: Some(operator.user_id.to_string()),
        action: action.to_owned(),
        target: Some(target.to_string()),
        org,
        detail,
    }
}

/// An edge and its operator.
async fn operated() -> (TestEdge, Person) {
    let edge = TestEdge::start(&[]).await;
    let operator = edge.log_in(OPERATOR).await;
    (edge, operator)
}
