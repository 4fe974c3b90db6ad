//! A person's address and name, changed by themselves.

use super::{ADA, NEW_SECRET, count, forgot, reset, verify};
use nest_tests::{
    Answer, TestEdge,
    edge::{OPERATOR, PASSWORD},
    person::Person,
};
use reqwest::Method;
use serde_json::json;

const NEW: &str = "countess@example.com";

async fn ask(edge: &TestEdge, person: &Person, email: &str) -> Answer {
    let request = edge.by(person, Method::POST, "/api/v1/me/email").json(&json!({ "email": email }));
    Answer::read(request.send().await.unwrap()).await
}

/// Checklist 19: the change voids pending tokens, and the old address is told.
#[tokio::test]
async fn another_address_counts_once_it_is_proven() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    forgot(&edge, ADA).await;
    let pending = edge.last_mail(ADA).await;
    assert_eq!(ask(&edge, &ada, "Countess@example.com").await.status, 202);
    assert_eq!(edge.try_log_in(NEW, PASSWORD).await.status, 401, "not yet");
    assert_eq!(edge.mails(ADA).await.len(), 1, "the proof goes to the new address alone");

    let proof = edge.last_mail(NEW).await;
    let verified = verify(&edge, proof.token()).await;
    assert_eq!(verified.json(), json!({ "email": NEW }));
    let told = edge.last_mail(ADA).await;
    assert_eq!((told.template.as_str(), told.text.contains(NEW)), ("email_changed", true));
    assert_eq!(reset(&edge, pending.token(), NEW_SECRET).await.code(), "invalid_one_time_token");
    assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 401);
    assert_eq!(edge.try_log_in(NEW, PASSWORD).await.status, 200);
    let acts = "select count(*) from audit_log where action in ('auth.email_change_requested', 'auth.email_changed')";
    assert_eq!(count(&edge, acts).await, 2);
    edge.advance_ms(300_001);
    assert_eq!(ask(&edge, &ada, ADA).await.code(), "reauthentication_required");
}

#[tokio::test]
async fn an_address_of_another_account_is_refused_by_mail_alone() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    let (taken, free) = (ask(&edge, &ada, OPERATOR).await, ask(&edge, &ada, NEW).await);
    assert_eq!(super::seen(&taken), super::seen(&free));
    assert_eq!(edge.last_mail(OPERATOR).await.template, "account_exists");
    // Someone else proves it first.
    let proof = edge.last_mail(NEW).await;
    edge.make_account(NEW).await;
    let late = verify(&edge, proof.token()).await;
    assert_eq!((late.status.as_u16(), late.code().as_str()), (409, "email_taken"));
    assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_name_is_changed() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    let rename = async |name: &str| {
        let request = edge.by(&ada, Method::PATCH, "/api/v1/me").json(&json!({ "name": name }));
        Answer::read(request.send().await.unwrap()).await
    };
    assert_eq!(rename(" Ada King ").await.json()["name"], "Ada King");
    let me = Answer::read(edge.by(&ada, Method::GET, "/api/v1/me").send().await.unwrap()).await;
    assert_eq!(me.json()["name"], "Ada King");
    for wrong in ["a\nb", "a\0b", &"x".repeat(201)] {
        let refused = rename(wrong).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "invalid_value"), "{wrong:?}");
    }
    let anonymous = edge.request(Method::PATCH, "/api/v1/me").json(&json!({ "name": "x" })).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
}
