//! Proving oneself again within a session.

use nest_tests::{Answer, TestEdge, edge::PASSWORD, person::Person};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const ADA: &str = "ada@example.com";
const MINUTE_MS: i64 = 60_000;

async fn reauthenticate(edge: &TestEdge, person: &Person, body: &Value) -> Answer {
    edge.ask_by(person, Method::POST, "/api/v1/auth/reauthenticate", body).await
}

async fn me(edge: &TestEdge, person: &Person) -> Answer {
    Answer::read(edge.by(person, Method::GET, "/api/v1/me").send().await.unwrap()).await
}

/// What a route that wants a fresh proof answers.
async fn sensitive(edge: &TestEdge, person: &Person) -> (u16, String) {
    let answer = edge.ask_by(person, Method::POST, "/api/v1/auth/mfa/passkeys/options", &json!({})).await;
    (answer.status.as_u16(), if answer.status.is_success() { String::new() } else { answer.code() })
}

async fn end_reasons(edge: &TestEdge) -> Vec<String> {
    let sql = "select end_reason from sessions where ended_at is not null order by ended_at";
    edge.db.connect().await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Checklist 29, 44.
#[tokio::test]
async fn a_proof_opens_a_new_session_in_the_place_of_the_old_one() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    edge.advance_ms(5 * MINUTE_MS + 1_000);
    assert_eq!(sensitive(&edge, &ada).await, (403, "reauthentication_required".to_owned()));
    let wrong = reauthenticate(&edge, &ada, &json!({ "password": "another password of mine" })).await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (401, "invalid_credentials"));
    let before = me(&edge, &ada).await.json();

    let proven = reauthenticate(&edge, &ada, &json!({ "password": PASSWORD })).await;
    let again = edge.in_session(&ada, &proven);
    let after = me(&edge, &again).await.json();
    assert_ne!(before["session_id"], after["session_id"]);
    assert!(after["auth_time"].as_i64() > before["auth_time"].as_i64());
    assert_eq!(sensitive(&edge, &again).await, (200, String::new()));

    // Nothing of the old session is left.
    assert_eq!(me(&edge, &ada).await.code(), "session_ended");
    let body = json!({ "refresh_token": ada.refresh_token });
    let refreshed = Answer::read(edge.post("/api/v1/auth/refresh").json(&body).send().await.unwrap()).await;
    assert_eq!(refreshed.code(), "session_ended");
    assert_eq!(end_reasons(&edge).await, ["replaced"]);
    let acts = edge.audited(&ada.user_id.to_string()).await;
    assert_eq!(acts.iter().filter(|it| *it == "auth.reauthenticated").count(), 1, "{acts:?}");
    // And once is once.
    assert_eq!(reauthenticate(&edge, &ada, &json!({ "password": PASSWORD })).await.code(), "session_ended");
}

/// Checklist 29, 44.
#[tokio::test]
async fn whoever_has_a_second_factor_proves_it_too() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    // A session by the password alone, from before.
    assert_eq!(sensitive(&edge, &ada.person).await, (403, "second_factor_required".to_owned()));

    let asked = reauthenticate(&edge, &ada.person, &json!({ "password": PASSWORD })).await.json();
    assert_eq!((&asked["mfa_required"], &asked["methods"]), (&json!(true), &json!(["totp", "recovery_code"])));
    assert_eq!(me(&edge, &ada.person).await.status, 200, "a challenge replaces nothing yet");
    let challenge = asked["challenge"].as_str().unwrap();
    let wrong = edge.verify_totp(challenge, &ada.app.wrong_code(edge.now())).await;
    assert_eq!(wrong.code(), "invalid_credentials");
    let proven = edge.verify_totp(challenge, &ada.app.code(edge.now())).await;
    let second = edge.in_session(&ada.person, &proven);
    assert_eq!(me(&edge, &ada.person).await.code(), "session_ended");
    assert_eq!(me(&edge, &second).await.json()["amr"], json!(["pwd", "otp", "mfa"]));
    assert_eq!(sensitive(&edge, &second).await, (200, String::new()));

    // In one call.
    edge.advance_ms(5 * MINUTE_MS + 1_000);
    assert_eq!(sensitive(&edge, &second).await, (403, "reauthentication_required".to_owned()));
    let body = |code: &str| json!({ "password": PASSWORD, "code": code });
    let wrong = reauthenticate(&edge, &second, &body(&ada.app.wrong_code(edge.now()))).await;
    assert_eq!(wrong.code(), "invalid_credentials");
    let proven = reauthenticate(&edge, &second, &body(&ada.app.code(edge.now()))).await;
    let third = edge.in_session(&ada.person, &proven);
    assert_eq!(sensitive(&edge, &third).await, (200, String::new()));
    let proven = reauthenticate(&edge, &third, &body(&ada.recovery_codes[0])).await;
    let fourth = edge.in_session(&ada.person, &proven);
    assert_eq!(me(&edge, &fourth).await.json()["amr"], json!(["pwd", "mfa"]));
    assert_eq!(end_reasons(&edge).await, ["replaced"; 3]);
}

/// Checklist 44.
#[tokio::test]
async fn a_session_that_has_ended_is_replaced_by_none() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let asked = reauthenticate(&edge, &ada.person, &json!({ "password": PASSWORD })).await.json();
    let gone = edge.by(&ada.person, Method::POST, "/api/v1/auth/logout").send().await.unwrap();
    assert_eq!(gone.status(), 204);
    let late = edge.verify_totp(asked["challenge"].as_str().unwrap(), &ada.app.code(edge.now())).await;
    assert_eq!((late.status.as_u16(), late.code().as_str()), (401, "session_ended"));
    // The code was not used up for it.
    let challenge = edge.challenge(ADA).await;
    assert_eq!(edge.verify_totp(&challenge, &ada.app.code(edge.now())).await.status, 200);
}

/// Checklist 44.
#[tokio::test]
async fn a_cookie_s_session_stays_in_a_cookie() {
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    let by_page = |request: RequestBuilder| request.header("sec-fetch-site", "same-origin");
    let login = json!({ "email": ADA, "password": PASSWORD, "cookie": true });
    let opened = Answer::read(by_page(edge.post("/api/v1/auth/login")).json(&login).send().await.unwrap()).await;
    let cookie = |answer: &Answer| answer.header("set-cookie").split(';').next().unwrap().to_owned();
    let first = cookie(&opened);
    assert!(first.starts_with("__Host-nest_session=nest_session_"), "{first}");

    let body = json!({ "password": PASSWORD });
    let request = by_page(edge.post("/api/v1/auth/reauthenticate")).header("cookie", &first).json(&body);
    let proven = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(proven.status, 200, "{}", proven.text());
    let second = cookie(&proven);
    assert!(second.starts_with("__Host-nest_session=nest_session_") && second != first, "{second}");
    assert!(!proven.text().contains("token"), "{}", proven.text());
    for (cookie, status) in [(&first, 401), (&second, 200)] {
        let me = edge.get("/api/v1/me").header("cookie", cookie).send().await.unwrap();
        assert_eq!(me.status(), status);
    }
}

/// Checklist 44: of several proofs at once one opens the one new session.
#[tokio::test]
async fn a_session_is_replaced_once() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    let body = json!({ "password": PASSWORD });
    let answers = futures_util::future::join_all((0..6).map(|_| reauthenticate(&edge, &ada, &body))).await;
    assert_eq!(answers.iter().filter(|it| it.status == 200).count(), 1);
    let lost = |it: &Answer| ["session_ended", "busy"].contains(&it.code().as_str());
    assert!(answers.iter().all(|it| it.status == 200 || lost(it)), "{answers:?}");
    assert_eq!(end_reasons(&edge).await, ["replaced"]);
}
