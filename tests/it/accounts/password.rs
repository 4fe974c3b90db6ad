//! Setting passwords: which are taken, and what a new one ends.

use super::{ADA, NEW_SECRET, SECRET, count, forgot, post, reset, seen};
use edge_core::{keys, orgs::Owner};
use nest_tests::{
    Answer, TestEdge,
    edge::{IssuedKey, PASSWORD},
    person::Person,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn change(edge: &TestEdge, person: &Person, current: &str, new: &str) -> Answer {
    let body = json!({ "current_password": current, "new_password": new });
    let request = edge.by(person, Method::POST, "/api/v1/auth/password/change");
    Answer::read(request.json(&body).send().await.unwrap()).await
}

async fn me(edge: &TestEdge, person: &Person) -> Answer {
    Answer::read(edge.by(person, Method::GET, "/api/v1/me").send().await.unwrap()).await
}

/// Checklist 1 and 2, at every place where a password is set.
#[tokio::test]
async fn sign_up_change_and_reset_take_the_same_passwords() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    forgot(&edge, ADA).await;
    let token = edge.last_mail(ADA).await.token().to_owned();
    let long = |bytes: usize| "kxo94 plm22 vbb17 wq0 zz4 ".chars().cycle().take(bytes).collect::<String>();
    for (password, good) in [
        ("password1234567".to_owned(), false),
        ("AI Tool Nest 2026".to_owned(), false),
        ("ada@example.com".to_owned(), false),
        ("aaaaaaaaaaaaaaaaaaaa".to_owned(), false),
        (long(14), false),
        (long(1_025), false),
        (long(15), true),
        (long(64), true),
        (long(1_024), true),
    ] {
        let answers = [
            post(&edge, "/auth/signup", &json!({ "email": ADA, "password": password })).await,
            post(&edge, "/auth/password/strength", &json!({ "email": ADA, "password": password })).await,
        ];
        if good {
            assert_eq!(answers[0].status, 202, "{password}");
        } else {
            let set = [change(&edge, &ada, PASSWORD, &password).await, reset(&edge, &token, &password).await];
            for answer in [&answers[0], &set[0], &set[1]] {
                assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "password_refused"), "{password}");
            }
        }
        assert_eq!(answers[1].json()["acceptable"], Value::Bool(good), "{password}");
    }
    // A refused password uses nothing up.
    assert_eq!(reset(&edge, &token, NEW_SECRET).await.status, 200);
}

/// Checklist 1: nothing is cut off.
#[tokio::test]
async fn the_last_of_1024_bytes_counts() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    let long = "kxo94 plm22 vbb17 wq0 zz4 ".chars().cycle().take(1_023).collect::<String>();
    assert_eq!(change(&edge, &ada, PASSWORD, &format!("{long}a")).await.status, 204);
    assert_eq!(edge.try_log_in(ADA, &format!("{long}b")).await.status, 401);
    assert_eq!(edge.try_log_in(ADA, &long).await.status, 401);
    assert_eq!(edge.try_log_in(ADA, &format!("{long}a")).await.status, 200);
}

/// Checklist 12.
#[tokio::test]
async fn a_change_needs_the_old_password_and_a_fresh_proof_and_ends_all_other_sessions() {
    let edge = TestEdge::start(&[]).await;
    let (other, ada) = (edge.person(ADA).await, edge.log_in(ADA).await);
    let wrong = change(&edge, &ada, "wrong, and long enough", NEW_SECRET).await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (401, "invalid_credentials"));
    forgot(&edge, ADA).await;
    let pending = edge.last_mail(ADA).await;

    assert_eq!(change(&edge, &ada, PASSWORD, NEW_SECRET).await.status, 204);
    assert_eq!(me(&edge, &ada).await.status, 200, "this session stays");
    assert_eq!(me(&edge, &other).await.code(), "session_ended");
    let dead = post(&edge, "/auth/refresh", &json!({ "refresh_token": other.refresh_token })).await;
    assert_eq!(dead.code(), "session_ended");
    assert_eq!(edge.last_mail(ADA).await.template, "password_changed");
    assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 401);
    assert_eq!(edge.try_log_in(ADA, NEW_SECRET).await.status, 200);
    assert_eq!(reset(&edge, pending.token(), SECRET).await.code(), "invalid_one_time_token", "a change voids it");
    assert_eq!(count(&edge, "select count(*) from audit_log where action = 'auth.password_changed'").await, 1);

    edge.advance_ms(300_001);
    let stale = change(&edge, &ada, NEW_SECRET, SECRET).await;
    assert_eq!((stale.status.as_u16(), stale.code().as_str()), (403, "reauthentication_required"));
}

/// Whoever found a session guesses the password no faster than a stranger, and does not hold up the owner's log-in.
#[tokio::test]
async fn guesses_within_a_session_are_counted_by_themselves() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    for _ in 0..7 {
        assert_eq!(change(&edge, &ada, "wrong, and long enough", NEW_SECRET).await.status, 401);
    }
    assert_eq!(change(&edge, &ada, PASSWORD, NEW_SECRET).await.status, 401, "it waits by now");
    assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 200);
    edge.advance_ms(60_000);
    assert_eq!(change(&edge, &ada, PASSWORD, NEW_SECRET).await.status, 204);
}

async fn key_of(edge: &TestEdge, person: &Person) -> IssuedKey {
    let of_hers = keys::NewKey::inference(person.org_id, "ada's");
    edge.key_of(keys::NewKey { owner: Owner::User(person.user_id), ..of_hers }).await
}

/// Checklist 18.
#[tokio::test]
async fn a_reset_ends_every_session_and_logs_nobody_in() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    let (kept, key) = (edge.key().await, key_of(&edge, &ada).await);
    let totp = "
        insert into totp_secrets (user_id, sealed, created_at, confirmed_at)
        select id, 'sealed', now(), now() from users where email = 'ada@example.com'";
    edge.db.connect().await.execute(totp, &[]).await.unwrap();
    for (secret, revoke) in [(NEW_SECRET, false), (SECRET, true)] {
        forgot(&edge, ADA).await;
        let mail = edge.last_mail(ADA).await;
        let body = json!({ "token": mail.token(), "password": secret, "revoke_api_keys": revoke });
        let answer = post(&edge, "/auth/password/reset", &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
        let told: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(told, ["device_token"], "no token that acts");
        assert!(!answer.header("set-cookie").contains("session"));
        edge.advance_ms(5_000);
        let lives = Answer::read(edge.get("/v1/models").bearer_auth(&key.text).send().await.unwrap()).await;
        assert_eq!(lives.status == 200, !revoke, "{lives:?}");
    }
    assert_eq!(edge.get("/v1/models").bearer_auth(&kept.text).send().await.unwrap().status(), 200);
    assert_eq!(me(&edge, &ada).await.code(), "session_ended");
    let dead = post(&edge, "/auth/refresh", &json!({ "refresh_token": ada.refresh_token })).await;
    assert_eq!(dead.code(), "session_ended");
    assert_eq!(count(&edge, "select count(*) from sessions where ended_at is null").await, 0);
    assert_eq!(count(&edge, "select count(*) from totp_secrets where confirmed_at is not null").await, 1);
    assert_eq!(edge.last_mail(ADA).await.template, "password_changed");
}

/// A suspended person gets no link, and an older one is of no use.
#[tokio::test]
async fn a_suspended_person_resets_nothing() {
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    let known = forgot(&edge, ADA).await;
    let mail = edge.last_mail(ADA).await;
    let suspend = "update users set suspended_at = now() where email = 'ada@example.com'";
    edge.db.connect().await.execute(suspend, &[]).await.unwrap();
    assert_eq!(seen(&forgot(&edge, ADA).await), seen(&known));
    assert_eq!(edge.mails(ADA).await.len(), 1);
    assert_eq!(reset(&edge, mail.token(), NEW_SECRET).await.code(), "invalid_one_time_token");
}

#[tokio::test]
async fn the_meter_says_what_is_wrong() {
    let edge = TestEdge::start(&[]).await;
    for (password, name, score, warned) in [
        ("password", "", 0, true),
        ("Lovelace Lovelace", "Ada Lovelace", 1, true),
        ("correct horse battery", "", 4, false),
    ] {
        let found = post(&edge, "/auth/password/strength", &json!({ "password": password, "name": name })).await.json();
        assert_eq!(
            (found["score"].as_u64(), found["warning"].is_string()),
            (Some(score), warned),
            "{password}: {found}"
        );
        assert_eq!(found["suggestions"].as_array().unwrap().is_empty(), score == 4, "{found}");
    }
    assert_eq!(edge.statements("").await, 0);
}
