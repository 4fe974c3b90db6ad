//! Crates that read a clock or draw randomness, run inside the host and checked from outside by the same crates here.

use crate::NEST;
use argon2::{Argon2, PasswordVerifier as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jwt_simple::prelude::{Ed25519PublicKey, EdDSAPublicKeyLike as _, NoCustomClaims, VerificationOptions};
use nest_contract::Smoke;
use nest_tests::{TestEdge, lasting, program::Nest};
use serde_json::json;
use sha2::Sha256;
use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};
use totp_rs::Builder;

const PAYLOAD: &str = r#"{"id":"evt_1","object":"event"}"#;

/// A header as Stripe makes it, `off_s` seconds from now.
fn signature(off_s: i64) -> String {
    let seconds = now_ms() / 1_000 + off_s;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"whsec_contract").unwrap();
    mac.update(format!("{seconds}.{PAYLOAD}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

async fn smoke(edge: &TestEdge, signature: &str, word: &str) -> Smoke {
    let ask = json!({ "payload": PAYLOAD, "signature": signature, "word": word });
    let response = edge.post("/contract/crates").json(&ask).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn crates_that_need_time_or_chance_get_the_real_ones() {
    let edge = TestEdge::start(&[]).await;
    let before_ms = now_ms();
    let smoke = smoke(&edge, &signature(0), "nothing").await;
    let after_ms = now_ms();

    let key = Ed25519PublicKey::from_pem(&smoke.jwt_key).unwrap();
    let options =
        VerificationOptions { time_tolerance: Some(jwt_simple::prelude::Duration::from_secs(2)), ..Default::default() };
    let claims = key.verify_token::<NoCustomClaims>(&smoke.jwt, Some(options)).unwrap();
    assert_eq!(claims.subject.as_deref(), Some("contract"));
    assert!(smoke.jwt_expired.contains("expired"), "{}", smoke.jwt_expired);

    assert!((before_ms - 1..=after_ms + 1).contains(&smoke.totp_at_ms));
    let totp = Builder::new().with_secret(*b"12345678901234567890").build().unwrap();
    assert_eq!(smoke.totp, totp.generate(smoke.totp_at_ms.unsigned_abs() / 1_000).to_string());

    assert!(smoke.argon2.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", smoke.argon2);
    let hash = argon2::PasswordHash::new(&smoke.argon2).unwrap();
    assert!(Argon2::default().verify_password(b"correct horse battery staple", &hash).is_ok());
    assert!(Argon2::default().verify_password(b"correct horse battery stable", &hash).is_err());

    let [one, two] = smoke.uuid_v4;
    assert!(one != two && one.get_version_num() == 4 && two.get_version_num() == 4);
    let (seconds, nanos) = smoke.uuid_v7.get_timestamp().unwrap().to_unix();
    let made_ms = i64::try_from(Duration::new(seconds, nanos).as_millis()).unwrap();
    assert!((before_ms - 1..=after_ms + 1).contains(&made_ms), "{before_ms} {made_ms} {after_ms}");
}

#[tokio::test]
async fn stripe_s_signature_is_checked_by_the_host_s_clock() {
    let edge = TestEdge::start(&[]).await;
    for (off_s, said) in [(0, "Ok(())"), (-290, "Ok(())"), (-310, "Err(OutOfTime)"), (310, "Err(OutOfTime)")] {
        assert_eq!(smoke(&edge, &signature(off_s), "nothing").await.stripe, said, "{off_s}");
    }
    edge.advance_ms(320_000);
    assert_eq!(smoke(&edge, &signature(0), "nothing").await.stripe, "Err(OutOfTime)");
    assert_eq!(smoke(&edge, "t=1,v1=00", "nothing").await.stripe, "Err(Malformed)");
}

#[tokio::test]
async fn what_is_logged_is_a_line_of_json_each() {
    let edge = TestEdge::start(&[]).await;
    let Some(log) = edge.running.log().map(Path::to_owned) else { return natively(&edge).await };
    smoke(&edge, &signature(0), "canary-4711").await;
    edge.stop().await;
    let text = fs::read_to_string(log).unwrap();
    let line = text.lines().find(|it| it.contains("canary-4711")).unwrap_or_else(|| panic!("nothing in {text}"));
    let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!((&line["level"], &line["word"]), (&json!("ERROR"), &json!("canary-4711")));
    assert!(!text.contains("whsec_contract"), "a secret is logged");
}

/// The test's own process has no log; the program has.
async fn natively(edge: &TestEdge) {
    let serve = Nest::new(NEST, &lasting::folder("serve"), "serve").env("DATABASE_URL", edge.db.url());
    let serve = serve.env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz").env("PORT", "0");
    let serve = serve.env("PUBLIC_URL", "https://nest.example").env("RESEND_API_KEY", "re_1");
    let serve = serve.env("MAIL_FROM", "no-reply@nest.example").env("APP_ENV", "production");
    let line = serve.start().line().await.expect("it says where it listens");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(line["level"], "INFO");
    assert!(line["message"].as_str().unwrap().contains("the edge listens on http://"), "{line}");
}
