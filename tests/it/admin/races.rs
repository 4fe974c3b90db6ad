//! Operators who act on each other at the same moment.

use super::{ask, operated};
use futures_util::future::join;
use nest_tests::{PATIENCE, TestEdge, edge::PASSWORD, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

const ROUNDS: usize = 4;

/// Makes everyone what they were before the round, and their sessions live again: a log-in costs too much.
const RESET: &str = "
    update users set suspended_at = null, version = 1, operator = email <> 'ordinary@example.com';
    update sessions set ended_at = null, end_reason = null;
    update orgs set suspended_at = null";

/// `count` operators whose tokens fit `RESET`.
async fn operators(edge: &TestEdge, count: usize, first: Person) -> Vec<Person> {
    let mut all = vec![first];
    for number in 1..count {
        all.push(edge.person(&format!("operator{number}@example.com")).await);
    }
    edge.db.connect().await.batch_execute(RESET).await.unwrap();
    all
}

async fn live_operators(edge: &TestEdge) -> i64 {
    let count = "select count(*) from users where operator and suspended_at is null";
    edge.db.connect().await.query_one(count, &[]).await.unwrap().get(0)
}

/// Runs two requests that both come to wait for a person's row before either goes on.
async fn at_once<T>(edge: &TestEdge, requests: impl Future<Output = T>) -> T {
    const WAITING: &str = "
        select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let (mut holder, watcher) = (edge.db.connect().await, edge.db.connect().await);
    let held = holder.transaction().await.unwrap();
    held.batch_execute("select id from users for update").await.unwrap();
    let release = async {
        while watcher.query_one(WAITING, &[]).await.unwrap().get::<_, i64>(0) < 2 {}
        held.rollback().await.unwrap();
    };
    let (done, released) = join(requests, timeout(PATIENCE, release)).await;
    released.expect("both requests come to the row soon");
    done
}

/// Each of the first two does the same to the other at once; gives both statuses.
async fn at_each_other(edge: &TestEdge, all: &[Person], method: &Method, act: &str, body: &Value) -> [u16; 2] {
    let one = |by: usize, to: usize| {
        let path = format!("/users/{}/{act}", all[to].user_id);
        async move { ask(edge, &all[by], method.clone(), &path, Some(body.clone())).await.status.as_u16() }
    };
    let (first, second) = at_once(edge, join(one(0, 1), one(1, 0))).await;
    [first, second]
}

/// Checklist 57: the last operator stays, whoever comes first.
#[tokio::test]
async fn of_two_operators_who_remove_each_other_one_stays() {
    let (edge, operator) = operated().await;
    let all = operators(&edge, 2, operator).await;
    let suspend = (Method::POST, "suspend", json!({ "reason": "spam" }));
    let demote = (Method::PUT, "operator", json!({ "operator": false }));
    for round in 0..ROUNDS {
        let (method, act, body) = if round % 2 == 0 { &suspend } else { &demote };
        let statuses = at_each_other(&edge, &all, method, act, body).await;
        assert_eq!(live_operators(&edge).await, 1, "round {round}: {statuses:?}");
        assert_eq!(statuses.iter().filter(|it| **it == 204).count(), 1, "round {round}: {statuses:?}");
        // The other is refused as the last operator, or as none any more.
        assert!(statuses.iter().all(|it| [204, 401, 403, 409].contains(it)), "round {round}: {statuses:?}");
        edge.db.connect().await.batch_execute(RESET).await.unwrap();
    }
}

/// Checklist 57: a right that is gone when the statement runs counts no more, though others would go on.
#[tokio::test]
async fn who_is_no_operator_any_more_when_the_lock_is_theirs_changes_nothing() {
    let (edge, operator) = operated().await;
    let all = operators(&edge, 3, operator).await;
    for round in 0..ROUNDS {
        let body = json!({ "operator": false });
        let statuses = at_each_other(&edge, &all, &Method::PUT, "operator", &body).await;
        assert_eq!(live_operators(&edge).await, 2, "round {round}: {statuses:?}");
        assert_eq!(statuses.iter().filter(|it| **it == 204).count(), 1, "round {round}: {statuses:?}");
        edge.db.connect().await.batch_execute(RESET).await.unwrap();
    }
}

/// Checklist 33: a log-in that runs beside a suspension leaves no live session.
#[tokio::test]
async fn no_session_slips_in_beside_a_suspension() {
    let (edge, operator) = operated().await;
    let person = edge.person("ordinary@example.com").await;
    let path = format!("/users/{}/suspend", person.user_id);
    let spam = json!({ "reason": "spam" });
    let live = "select count(*) from sessions where ended_at is null and user_id = $1::text::uuid";
    let db = edge.db.connect().await;
    for round in 0..4 {
        let log_in = edge.try_log_in("ordinary@example.com", PASSWORD);
        let suspended = ask(&edge, &operator, Method::POST, &path, Some(spam.clone()));
        let (log_in, suspended) = at_once(&edge, join(log_in, suspended)).await;
        assert_eq!(suspended.status, 204, "{}", suspended.text());
        let left: i64 = db.query_one(live, &[&person.user_id.uuid().to_string()]).await.unwrap().get(0);
        assert_eq!(left, 0, "round {round}, where the log-in was answered with {}", log_in.status);
        let reset = "update users set suspended_at = null where email = 'ordinary@example.com'";
        db.batch_execute(reset).await.unwrap();
    }
}
