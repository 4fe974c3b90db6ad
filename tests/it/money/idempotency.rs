//! What is asked for with one idempotency key happens once.

use super::{Priced, a_dollar, usd};
use futures_util::future::join_all;
use nest_tests::{Answer, edge::OPERATOR, person::Person};
use reqwest::Method;
use serde_json::{Value, json};

/// Grants credit with this key, or without any.
async fn grant(priced: &Priced, operator: &Person, key: Option<&str>, body: &Value) -> Answer {
    let path = format!("/api/v1/admin/orgs/{}/credit", priced.org);
    let request = priced.edge.by(operator, Method::POST, &path).json(body);
    let request = key.iter().fold(request, |request, key| request.header("Idempotency-Key", *key));
    Answer::read(request.send().await.unwrap()).await
}

/// Checklist 87.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_tries_with_one_key_have_one_effect_and_one_answer() {
    let priced = Priced::start("0", a_dollar()).await;
    let operator = priced.edge.log_in(OPERATOR).await;
    let body = json!({ "usd": 5, "note": "Welcome" });
    let answers = join_all((0..32).map(|_| grant(&priced, &operator, Some("one"), &body))).await;
    let told = grant(&priced, &operator, Some("one"), &body).await;
    assert_eq!((told.status.as_u16(), told.header("idempotent-replayed")), (200, "true"), "{}", told.text());
    let mut done = 0;
    for answer in &answers {
        match answer.status.as_u16() {
            200 => {
                assert_eq!(answer.text(), told.text());
                done += usize::from(answer.header("idempotent-replayed").is_empty());
            }
            409 => assert_eq!(answer.code(), "idempotency_in_flight"),
            status => panic!("{status}: {}", answer.text()),
        }
    }
    assert_eq!(done, 1, "one of them acted");
    assert_eq!(priced.edge.wallet(priced.org).await.credit_nanos, usd(5));
    let entries = "select count(*) from audit_log where action = 'billing.credit_granted'";
    assert_eq!(priced.sql().await.query_one(entries, &[]).await.unwrap().get::<_, i64>(0), 1);
}

/// Checklist 87.
#[tokio::test]
async fn a_key_is_for_one_request_of_one_principal_and_for_a_day() {
    let priced = Priced::start("0", a_dollar()).await;
    let operator = priced.edge.log_in(OPERATOR).await;
    let five = json!({ "usd": 5 });
    assert_eq!(grant(&priced, &operator, Some("k"), &five).await.status, 200);
    let other = grant(&priced, &operator, Some("k"), &json!({ "usd": 6 })).await;
    assert_eq!((other.status.as_u16(), other.code().as_str()), (422, "idempotency_key_reused"));
    for missing in [None, Some(""), Some("x".repeat(256).as_str())] {
        let refused = grant(&priced, &operator, missing, &five).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "idempotency_key_missing"), "{missing:?}");
    }
    // What fails may be tried again, with the same key.
    let nothing = json!({ "usd": 0 });
    for _ in 0..2 {
        assert_eq!(grant(&priced, &operator, Some("zero"), &nothing).await.code(), "invalid_value");
    }
    assert_eq!(grant(&priced, &operator, Some("zero"), &five).await.status, 200);
    // Another operator's key of the same text is another key.
    let second = priced.edge.person("second@example.com").await;
    priced.sql().await.execute("update users set operator = true where email = $1", &[&second.email]).await.unwrap();
    assert_eq!(grant(&priced, &second, Some("k"), &five).await.header("idempotent-replayed"), "");
    assert_eq!(priced.edge.wallet(priced.org).await.credit_nanos, usd(15));
    // A day later it is new.
    priced.edge.advance_ms(86_400_001);
    let operator = priced.edge.log_in(OPERATOR).await;
    assert_eq!(grant(&priced, &operator, Some("k"), &json!({ "usd": 6 })).await.status, 200);
    assert_eq!(priced.edge.wallet(priced.org).await.credit_nanos, usd(21));
    priced.edge.advance_ms(86_400_001);
    priced.edge.tick().await;
    let kept = priced.sql().await.query_one("select count(*) from idempotency_keys", &[]).await.unwrap();
    assert_eq!(kept.get::<_, i64>(0), 0, "forgotten by the clock");
}

/// Checklist 87: a process that ends between the effect and its note leaves the key to the next try, which finds the
/// effect done.
#[tokio::test]
async fn a_try_after_one_that_died_has_the_same_effect_and_no_second_one() {
    let priced = Priced::start("0", a_dollar()).await;
    let operator = priced.edge.log_in(OPERATOR).await;
    let body = json!({ "usd": 5 });
    let first = grant(&priced, &operator, Some("k"), &body).await;
    let sql = priced.sql().await;
    sql.batch_execute("update idempotency_keys set status = null, body = null").await.unwrap();
    let meanwhile = grant(&priced, &operator, Some("k"), &body).await;
    assert_eq!((meanwhile.status.as_u16(), meanwhile.code().as_str()), (409, "idempotency_in_flight"));
    priced.edge.advance_ms(60_000);
    let again = grant(&priced, &operator, Some("k"), &body).await;
    assert_eq!((again.status.as_u16(), again.text()), (200, first.text()));
    assert_eq!(priced.edge.wallet(priced.org).await.credit_nanos, usd(5));
}
