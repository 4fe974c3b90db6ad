//! Tokens of mails: what is kept of them, how long they work, and for what alone.

use super::{ADA, NEW_SECRET, count, forgot, post, reset, sign_up, verify};
use edge_core::Edge;
use futures_util::future::join_all;
use nest_tests::{Answer, TestEdge, edge::config};
use reqwest::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};

const MINUTE_MS: i64 = 60_000;

/// Checklist 15: 256 bits, of which a hash is kept; single use; half an hour.
#[tokio::test]
async fn a_token_is_kept_as_its_hash_and_works_for_half_an_hour() {
    let edge = TestEdge::start(&[]).await;
    sign_up(&edge, ADA).await;
    let token = edge.last_mail(ADA).await.token().to_owned();
    assert_eq!(token.len(), "nest_once_".len() + 43, "32 bytes in base64url");
    let row = edge.db.connect().await.query_one("select signups::text, token_hash from signups", &[]).await.unwrap();
    let (text, hash): (String, Vec<u8>) = (row.get(0), row.get(1));
    assert_eq!(hash, Sha256::digest(token.as_bytes()).to_vec());
    assert!(!text.contains(&token[10..]), "{text}");

    edge.advance_ms(30 * MINUTE_MS - 5_000);
    sign_up(&edge, "bob@example.com").await;
    assert_eq!(verify(&edge, &token).await.status, 200);
    assert_eq!(verify(&edge, &token).await.code(), "invalid_one_time_token");
    let late = edge.last_mail("bob@example.com").await;
    edge.advance_ms(30 * MINUTE_MS);
    assert_eq!(verify(&edge, late.token()).await.code(), "invalid_one_time_token");

    forgot(&edge, ADA).await;
    let late = edge.last_mail(ADA).await;
    edge.advance_ms(30 * MINUTE_MS);
    assert_eq!(reset(&edge, late.token(), NEW_SECRET).await.code(), "invalid_one_time_token");
}

/// Checklist 15: a purpose never works for another. And what is no token is none.
#[tokio::test]
async fn a_token_is_good_for_its_purpose_alone() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    sign_up(&edge, "bob@example.com").await;
    forgot(&edge, ADA).await;
    let ask = edge.by(&ada, Method::POST, "/api/v1/me/email").json(&json!({ "email": "new@example.com" }));
    assert_eq!(ask.send().await.unwrap().status(), 202);
    let (signup, change) = (edge.last_mail("bob@example.com").await, edge.last_mail("new@example.com").await);
    let forgotten = edge.last_mail(ADA).await;
    assert_eq!((change.template.as_str(), forgotten.template.as_str()), ("email_change", "password_reset"));
    let others = [ada.access_token.as_str(), ada.refresh_token.as_str(), "nest_once_AAAA", "", "'; drop table users"];
    for wrong in [signup.token(), change.token()].into_iter().chain(others) {
        assert_eq!(reset(&edge, wrong, NEW_SECRET).await.code(), "invalid_one_time_token", "{wrong}");
    }
    for wrong in [forgotten.token()].into_iter().chain(others) {
        assert_eq!(verify(&edge, wrong).await.code(), "invalid_one_time_token", "{wrong}");
        let refreshed = post(&edge, "/auth/refresh", &json!({ "refresh_token": wrong })).await;
        assert!(wrong == ada.refresh_token || refreshed.code() == "invalid_token", "{wrong}: {refreshed:?}");
    }
    for once in [signup.token(), change.token(), forgotten.token()] {
        let me = Answer::read(edge.get("/api/v1/me").bearer_auth(once).send().await.unwrap()).await;
        assert_eq!(me.code(), "invalid_token");
    }
    // None of these tries used one up.
    assert_eq!(verify(&edge, signup.token()).await.status, 200);
    assert_eq!(reset(&edge, forgotten.token(), NEW_SECRET).await.status, 200);
    assert_eq!(verify(&edge, change.token()).await.code(), "invalid_one_time_token", "a reset voids it");
}

/// Checklist 17.
#[tokio::test]
async fn of_32_resets_at_once_one_counts() {
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    forgot(&edge, ADA).await;
    let mail = edge.last_mail(ADA).await;
    let secrets: Vec<String> = (0..32).map(|at| format!("{NEW_SECRET} {at}")).collect();
    let answers = join_all(secrets.iter().map(|it| reset(&edge, mail.token(), it))).await;
    let won: Vec<&String> = secrets.iter().zip(&answers).filter(|(_, it)| it.status == 200).map(|(it, _)| it).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert_eq!(edge.try_log_in(ADA, won[0]).await.status, 200);
    let told = edge.mails(ADA).await.into_iter().filter(|it| it.template == "password_changed").count();
    assert_eq!(told, 1);
}

/// Checklist 19: a newer request voids the older token.
#[tokio::test]
async fn a_newer_token_voids_the_older() {
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    forgot(&edge, ADA).await;
    forgot(&edge, ADA).await;
    let mails = edge.mails(ADA).await;
    assert_eq!(reset(&edge, mails[0].token(), NEW_SECRET).await.code(), "invalid_one_time_token");
    assert_eq!(reset(&edge, mails[1].token(), NEW_SECRET).await.status, 200);
}

#[tokio::test]
async fn the_clock_s_work_forgets_what_has_expired() {
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    sign_up(&edge, "bob@example.com").await;
    forgot(&edge, ADA).await;
    edge.try_log_in(ADA, "wrong, and long enough").await;
    let all = "select (select count(*) from signups) + (select count(*) from mailed_tokens)";
    let throttles = "select count(*) from throttles";
    let tick = async || Edge::new(config(&edge.db, &[])).tick(edge.native.clone()).await;
    tick().await;
    assert_eq!(count(&edge, all).await, 2, "they are good still");
    assert!(count(&edge, throttles).await > 3);
    let age = "
        update signups set expires_at = now() - interval '1 second';
        update mailed_tokens set expires_at = now() - interval '1 second';
        update throttles set window_started_at = now() - interval '25 hours';
        update throttles set blocked_until = now() + interval '1 hour'
            where bucket = (select bucket from throttles limit 1)";
    edge.db.connect().await.batch_execute(age).await.unwrap();
    tick().await;
    assert_eq!((count(&edge, all).await, count(&edge, throttles).await), (0, 1), "what still blocks stays");
}
