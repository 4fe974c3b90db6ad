//! Authenticator apps and recovery codes, and log-ins that wait for one of them.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use edge_core::{Principal, routes};
use futures_util::future::join_all;
use nest_tests::{Answer, AuthenticatorApp, TestEdge, edge::PASSWORD};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

const MINUTE_MS: i64 = 60_000;

fn said(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), if answer.status.is_success() { String::new() } else { answer.code() })
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

const OK: (u16, String) = (200, String::new());

/// What an access token says.
fn claims(answer: &Answer) -> Value {
    let tokens = answer.json();
    let token = tokens["access_token"].as_str().unwrap();
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Checklist 25, 26.
#[tokio::test]
async fn an_app_counts_from_its_first_good_code_on() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    let begun = edge.ask_by(&ada, Method::POST, "/api/v1/auth/mfa/totp", &json!({})).await;
    assert_eq!((said(&begun), begun.header("cache-control")), (OK, "no-store"));
    let begun = begun.json();
    let secret = begun["secret"].as_str().unwrap();
    assert_eq!(secret.len() * 5, 160);
    let uri = begun["otpauth_uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/AI%20Tool%20Nest:ada%40example.com?") && uri.contains(secret), "{uri}");
    assert!(begun["qr_svg"].as_str().unwrap().starts_with("<svg "));

    // Until then nothing has changed.
    let factors = edge.ask_by(&ada, Method::GET, "/api/v1/auth/mfa", &json!({})).await.json();
    assert_eq!(factors, json!({ "totp_confirmed_at": null, "passkeys": [], "recovery_codes_left": 0 }));
    edge.log_in(ADA).await;

    let app = AuthenticatorApp::with(secret);
    let confirm = async |code: String| {
        edge.ask_by(&ada, Method::POST, "/api/v1/auth/mfa/totp/confirm", &json!({ "code": code })).await
    };
    assert_eq!(said(&confirm(app.wrong_code(edge.now())).await), refused(401, "invalid_credentials"));
    let confirmed = confirm(app.code(edge.now())).await;
    assert_eq!((said(&confirmed), confirmed.header("cache-control")), (OK, "no-store"));
    assert_eq!(confirmed.json()["recovery_codes"].as_array().unwrap().len(), 10);
    assert_eq!(said(&confirm(app.code(edge.now())).await), refused(409, "nothing_to_confirm"));

    let factors = edge.ask_by(&ada, Method::GET, "/api/v1/auth/mfa", &json!({})).await.json();
    assert!(factors["totp_confirmed_at"].is_i64() && factors["recovery_codes_left"] == 10, "{factors}");
    edge.challenge(ADA).await;
    assert_eq!(edge.mails_to(ADA).await, ["factor_changed"]);
    let acts = edge.audited(&ada.user_id.to_string()).await;
    for act in ["auth.totp_begun", "auth.second_factor_refused", "auth.totp_added"] {
        assert!(acts.iter().any(|it| it == act), "{act} in {acts:?}");
    }
    // Neither the secret nor its bytes stand in the table.
    let row = edge.db.connect().await.query_one("select sealed from totp_secrets", &[]).await.unwrap();
    let sealed: Vec<u8> = row.get(0);
    let plain = from_base32(secret);
    assert!(!sealed.windows(20).any(|it| it == plain) && !sealed.windows(32).any(|it| it == secret.as_bytes()));
}

fn from_base32(base32: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: String = base32.chars().map(|it| format!("{:05b}", ALPHABET.find(it).unwrap())).collect();
    bits.as_bytes().chunks(8).map(|it| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 2).unwrap()).collect()
}

/// Checklist 26.
#[tokio::test]
async fn setting_an_app_up_needs_a_fresh_proof_and_a_secret_does_not_wait_for_ever() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    let begun = edge.ask_by(&ada, Method::POST, "/api/v1/auth/mfa/totp", &json!({})).await.json();
    let app = AuthenticatorApp::with(begun["secret"].as_str().unwrap());
    edge.advance_ms(10 * MINUTE_MS + 1);
    let ada = edge.log_in(ADA).await;
    let late = json!({ "code": app.code(edge.now()) });
    let late = edge.ask_by(&ada, Method::POST, "/api/v1/auth/mfa/totp/confirm", &late).await;
    assert_eq!(said(&late), refused(409, "nothing_to_confirm"));

    edge.advance_ms(5 * MINUTE_MS + 1_000);
    for path in ["totp", "passkeys/options", "recovery-codes"] {
        let stale = edge.ask_by(&ada, Method::POST, &format!("/api/v1/auth/mfa/{path}"), &json!({})).await;
        assert_eq!(said(&stale), refused(403, "reauthentication_required"), "{path}");
    }
}

/// Checklist 29.
#[tokio::test]
async fn a_token_says_how_and_when_its_person_logged_in() {
    let edge = TestEdge::start(&[]).await;
    let with_app = edge.person_with_app(ADA).await;
    edge.make_account(BOB).await;
    let by_password = edge.try_log_in(BOB, PASSWORD).await;

    let challenge = edge.challenge(ADA).await;
    edge.advance_ms(2 * MINUTE_MS);
    let by_app = edge.verify_totp(&challenge, &with_app.app.code(edge.now())).await;
    let challenge = edge.challenge(ADA).await;
    let by_code = edge.verify_recovery(&challenge, &with_app.recovery_codes[0]).await;
    for (answer, amr, acr) in [
        (&by_password, json!(["pwd"]), "aal1"),
        (&by_app, json!(["pwd", "otp", "mfa"]), "aal2"),
        (&by_code, json!(["pwd", "mfa"]), "aal2"),
    ] {
        assert_eq!(said(answer), OK);
        let claims = claims(answer);
        assert_eq!((&claims["amr"], claims["acr"].as_str()), (&amr, Some(acr)));
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let me = Answer::read(edge.get("/api/v1/me").bearer_auth(token).send().await.unwrap()).await.json();
        assert_eq!(
            (&me["amr"], me["auth_time"].as_i64().unwrap() / 1_000),
            (&amr, claims["auth_time"].as_i64().unwrap())
        );
    }
    let age_s = edge.now().as_seconds() - claims(&by_app)["auth_time"].as_i64().unwrap();
    assert!((0..30).contains(&age_s), "the proof is {age_s} s old, and not as old as the password's");
}

/// Checklist 23.
#[tokio::test]
async fn a_code_is_good_once_and_an_older_one_never_again() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let now = edge.now();
    let [older, own, next] = [-30_000, 0, 30_000].map(|ms| ada.app.code(now.plus_ms(ms)));
    for (code, expected) in [
        (&own, OK),
        (&own, refused(401, "invalid_credentials")),
        (&older, refused(401, "invalid_credentials")),
        (&next, OK),
        (&own, refused(401, "invalid_credentials")),
        (&next, refused(401, "invalid_credentials")),
    ] {
        assert_eq!(said(&edge.verify_totp(&edge.challenge(ADA).await, code).await), expected);
    }
    let reasons = "select count(*) from audit_log where detail::json ->> 'reason' = 'used'";
    assert_eq!(edge.db.connect().await.query_one(reasons, &[]).await.unwrap().get::<_, i64>(0), 4);
}

/// Checklist 24.
#[tokio::test]
async fn the_client_s_time_counts_for_nothing() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let later = edge.now().plus_ms(10 * MINUTE_MS);
    let body = json!({
        "challenge": edge.challenge(ADA).await, "method": "totp", "code": ada.app.code(later),
        "time": later, "now": later, "timestamp": later.as_seconds(), "auth_time": later.as_seconds(),
    });
    let request = edge.post("/api/v1/auth/mfa/verify").header("date", "Tue, 01 Jan 2030 00:00:00 GMT").json(&body);
    assert_eq!(said(&Answer::read(request.send().await.unwrap()).await), refused(401, "invalid_credentials"));
}

/// Checklist 23.
#[tokio::test]
async fn of_32_tries_at_once_on_two_edges_one_wins() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let other = TestEdge::on(&edge.db, &[]).await;
    other.advance_ms(MINUTE_MS);
    let client = edge.db.connect().await;
    let sessions = async || {
        let live = "select count(*) from sessions where amr like '%mfa' and ended_at is null";
        client.query_one(live, &[]).await.unwrap().get::<_, i64>(0)
    };

    // One code for as many challenges: first within the hour's tries, then without that bound.
    for round in 1..=2 {
        edge.advance_ms(30_000);
        other.advance_ms(30_000);
        let code = ada.app.code(edge.now());
        let mut challenges = Vec::new();
        for _ in 0..32 {
            challenges.push(edge.challenge(ADA).await);
        }
        if round == 2 {
            let off = "
                delete from throttles;
                create or replace function second_factor_bucket(person uuid) returns bytea language sql volatile as
                    'select sha256(gen_random_uuid()::text::bytea)';";
            client.batch_execute(off).await.unwrap();
        }
        let tries = challenges.iter().enumerate().map(|(at, challenge)| {
            let edge = if at % 2 == 0 { &edge } else { &other };
            edge.verify_totp(challenge, &code)
        });
        let answers = join_all(tries).await;
        assert_eq!(answers.iter().filter(|it| it.status == 200).count(), 1, "round {round}");
        let refusals: BTreeSet<String> = answers.iter().filter(|it| it.status != 200).map(Answer::code).collect();
        let expected: &[&str] =
            if round == 1 { &["invalid_credentials", "too_many_tries"] } else { &["invalid_credentials"] };
        assert!(refusals.iter().all(|it| expected.contains(&it.as_str())), "{refusals:?}");
        assert_eq!(sessions().await, round);
    }
}

/// Checklist 27.
#[tokio::test]
async fn a_challenge_is_good_for_one_log_in_five_tries_and_five_minutes() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let over = || refused(401, "challenge_over");

    let challenge = edge.challenge(ADA).await;
    assert_eq!(said(&edge.verify_totp(&challenge, &ada.app.code(edge.now())).await), OK);
    edge.advance_ms(30_000);
    assert_eq!(said(&edge.verify_totp(&challenge, &ada.app.code(edge.now())).await), over(), "used");

    let challenge = edge.challenge(ADA).await;
    let wrong = ada.app.wrong_code(edge.now());
    for _ in 0..5 {
        assert_eq!(said(&edge.verify_totp(&challenge, &wrong).await), refused(401, "invalid_credentials"));
    }
    assert_eq!(said(&edge.verify_totp(&challenge, &ada.app.code(edge.now())).await), over(), "five tries");

    let (early, late) = (edge.challenge(ADA).await, edge.challenge(ADA).await);
    edge.advance_ms(4 * MINUTE_MS + 50_000);
    assert_eq!(said(&edge.verify_totp(&early, &ada.app.code(edge.now())).await), OK);
    edge.advance_ms(30_000);
    assert_eq!(said(&edge.verify_totp(&late, &ada.app.code(edge.now())).await), over(), "too late");
    for unknown in ["", "nest_mfa_", &late.replace("nest_mfa_", "nest_mfa_x"), &format!("nest_mfa_{}", "A".repeat(43))]
    {
        assert_eq!(said(&edge.verify_totp(unknown, "123456").await), over(), "{unknown}");
    }
    // Only its hash is stored.
    let stored = "select count(*) from challenges where token_hash = $1 or state like '%nest_mfa_%'";
    let hash = Sha256::digest(late.as_bytes()).to_vec();
    assert_eq!(edge.db.connect().await.query_one(stored, &[&hash]).await.unwrap().get::<_, i64>(0), 1);
    assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(&late["nest_mfa_".len()..]).unwrap().len() * 8, 256);
}

/// Checklist 27.
#[tokio::test]
async fn a_person_has_fifteen_wrong_tries_until_an_hour_has_passed() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let mut challenges = Vec::new();
    for _ in 0..8 {
        challenges.push(edge.challenge(ADA).await);
    }
    let wrong = ada.app.wrong_code(edge.now());
    let tries = challenges.iter().flat_map(|it| [it; 5]).map(|it| edge.verify_totp(it, &wrong));
    let answers = join_all(tries).await;
    let count = |code: &str| answers.iter().filter(|it| it.code() == code).count();
    assert_eq!((count("invalid_credentials"), count("too_many_tries")), (15, 25));
    let refused_one = answers.iter().find(|it| it.status == 429).unwrap();
    // Of requests at once, one may count a moment before another.
    assert!((3_500..=3_601).contains(&refused_one.header("retry-after").parse::<u32>().unwrap()));

    let right = async || said(&edge.verify_totp(&edge.challenge(ADA).await, &ada.app.code(edge.now())).await);
    assert_eq!(right().await, refused(429, "too_many_tries"));
    let recovery = edge.verify_recovery(&edge.challenge(ADA).await, &ada.recovery_codes[0]).await;
    assert_eq!(said(&recovery), refused(429, "too_many_tries"), "every factor counts");
    edge.advance_ms(59 * MINUTE_MS);
    assert_eq!(right().await, refused(429, "too_many_tries"));
    edge.advance_ms(MINUTE_MS);
    assert_eq!(right().await, OK);

    // Success takes nothing from the count: nobody is locked out by logging in.
    for _ in 0..16 {
        edge.advance_ms(30_000);
        assert_eq!(right().await, OK);
    }
}

/// Checklist 27: a challenge's token stands for nobody, wherever it is sent.
#[tokio::test]
async fn a_challenge_opens_no_other_route() {
    let edge = TestEdge::start(&[]).await;
    edge.person_with_app(ADA).await;
    let challenge = edge.challenge(ADA).await;
    let mut swept = 0;
    for route in routes() {
        if route.path.starts_with("/auth/mfa/verify") {
            continue;
        }
        let path = route.path.split('/').map(|it| if it.starts_with('{') { "x" } else { it });
        let path = path.collect::<Vec<_>>().join("/");
        let path = if route.prefixed { format!("/api/v1{path}") } else { path };
        let body = json!({ "challenge": &challenge, "refresh_token": &challenge, "token": &challenge, "code": "123456",
            "method": "totp", "email": ADA, "password": &challenge, "model": "none" });
        let as_bearer = edge.request(route.method.clone(), &path).bearer_auth(&challenge).json(&body);
        let as_cookie = edge.request(route.method.clone(), &path).json(&body);
        let as_cookie = as_cookie.header("cookie", format!("__Host-nest_session={challenge}"));
        let as_cookie = as_cookie.header("sec-fetch-site", "same-origin");
        for (how, request) in [("bearer", as_bearer), ("cookie", as_cookie)] {
            let answer = Answer::read(request.send().await.unwrap()).await;
            let what = format!("{} {path} {how}: {} {}", route.method, answer.status, answer.text());
            match route.access.principal {
                Principal::Anyone => assert!(!answer.text().contains("access_token"), "{what}"),
                // What a node says is in the body, and signed.
                Principal::Node => assert!(answer.status.is_client_error(), "{what}"),
                _ => assert!([401, 403, 404].contains(&answer.status.as_u16()), "{what}"),
            }
            assert!(!answer.headers.contains_key("set-cookie") || answer.status == 204, "{what}");
        }
        if !matches!(route.access.principal, Principal::Anyone | Principal::Node) {
            // No node's signature and no key either.
            let answer =
                Answer::read(edge.request(route.method, &path).bearer_auth(&challenge).send().await.unwrap()).await;
            assert_eq!(answer.status, 401, "{path}: {}", answer.text());
        }
        swept += 1;
    }
    assert!(swept > 20, "{swept} routes");
    let opened = "select count(*) from sessions where amr like '%mfa%'";
    assert_eq!(edge.db.connect().await.query_one(opened, &[]).await.unwrap().get::<_, i64>(0), 0);
}

/// Checklist 18: a password that is gone proves nothing, whoever holds a challenge for it.
#[tokio::test]
async fn a_password_that_was_replaced_ends_no_log_in_that_it_began() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let challenge = edge.challenge(ADA).await;
    let replaced = "update users set password_changed_at = to_timestamp($1::int8 / 1000.0) where email = $2";
    edge.db.connect().await.execute(replaced, &[&edge.now().0, &ADA]).await.unwrap();
    edge.advance_ms(1_000);
    let answer = edge.verify_totp(&challenge, &ada.app.code(edge.now())).await;
    assert_eq!(said(&answer), refused(401, "invalid_credentials"));
    // The factor is still there for whoever has the new one.
    let answer = edge.verify_totp(&edge.challenge(ADA).await, &ada.app.code(edge.now())).await;
    assert_eq!(said(&answer), OK);
}

/// Checklist 27: nor does a suspended person come in by a challenge from before.
#[tokio::test]
async fn who_is_suspended_ends_no_log_in() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let challenge = edge.challenge(ADA).await;
    edge.db.connect().await.execute("update users set suspended_at = now() where email = $1", &[&ADA]).await.unwrap();
    let answer = edge.verify_totp(&challenge, &ada.app.code(edge.now())).await;
    assert_eq!(said(&answer), refused(401, "invalid_credentials"));
}

/// Checklist 25.
#[tokio::test]
async fn a_secret_that_was_moved_to_another_row_opens_nothing() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let bob = edge.person_with_app(BOB).await;
    let swap = "
        update totp_secrets mine set sealed = theirs.sealed
        from totp_secrets theirs where theirs.user_id <> mine.user_id";
    assert_eq!(edge.db.connect().await.execute(swap, &[]).await.unwrap(), 2);
    for email in [ADA, BOB] {
        for app in [&ada.app, &bob.app] {
            let answer = edge.verify_totp(&edge.challenge(email).await, &app.code(edge.now())).await;
            assert_eq!(said(&answer), refused(401, "invalid_credentials"));
        }
    }
    let noted = "select count(*) from audit_log where detail::json ->> 'reason' = 'unreadable'";
    assert_eq!(edge.db.connect().await.query_one(noted, &[]).await.unwrap().get::<_, i64>(0), 4);
    // Nobody is locked out by it.
    let answer = edge.verify_recovery(&edge.challenge(ADA).await, &ada.recovery_codes[0]).await;
    assert_eq!(said(&answer), OK);
}

/// Checklist 28.
#[tokio::test]
async fn each_of_ten_recovery_codes_works_once() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let codes = &ada.recovery_codes;
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), 10);
    let client = edge.db.connect().await;
    for code in codes {
        let plain = code.replace('-', "");
        assert_eq!(plain.len() * 5, 120);
        let hash = Sha256::digest(plain.as_bytes()).to_vec();
        let stored = "select count(*) from recovery_codes where code_hash = $1";
        assert_eq!(client.query_one(stored, &[&hash]).await.unwrap().get::<_, i64>(0), 1);
    }
    for (at, code) in codes.iter().enumerate() {
        let typed = if at % 2 == 0 { code.clone() } else { code.replace('-', " ").to_uppercase() };
        assert_eq!(said(&edge.verify_recovery(&edge.challenge(ADA).await, &typed).await), OK, "{at}");
        let again = edge.verify_recovery(&edge.challenge(ADA).await, code).await;
        assert_eq!(said(&again), refused(401, "invalid_credentials"), "{at}");
        let mails = edge.mails_to(ADA).await;
        let low = mails.iter().filter(|it| *it == "recovery_codes_low").count();
        assert_eq!(low, (at + 1).saturating_sub(6), "after {} codes", at + 1);
    }
    // Somebody else's code is as good as none.
    let bob = edge.person_with_app(BOB).await;
    let answer = edge.verify_recovery(&edge.challenge(ADA).await, &bob.recovery_codes[0]).await;
    assert_eq!(said(&answer), refused(401, "invalid_credentials"));
}

/// Checklist 28.
#[tokio::test]
async fn of_32_uses_of_a_recovery_code_at_once_one_wins() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let off = "create or replace function second_factor_bucket(person uuid) returns bytea language sql volatile as
        'select sha256(gen_random_uuid()::text::bytea)'";
    edge.db.connect().await.batch_execute(off).await.unwrap();
    let mut challenges = Vec::new();
    for _ in 0..32 {
        challenges.push(edge.challenge(ADA).await);
    }
    let answers = join_all(challenges.iter().map(|it| edge.verify_recovery(it, &ada.recovery_codes[0]))).await;
    assert_eq!(answers.iter().filter(|it| it.status == 200).count(), 1);
    assert!(answers.iter().all(|it| it.status == 200 || it.code() == "invalid_credentials"));
}

/// Checklist 26, 28, 29.
#[tokio::test]
async fn new_recovery_codes_need_the_second_factor_and_void_the_old_ones() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let path = "/api/v1/auth/mfa/recovery-codes";
    let by_password = edge.ask_by(&ada.person, Method::POST, path, &json!({})).await;
    assert_eq!(said(&by_password), refused(403, "second_factor_required"));
    let session = edge.log_in_with_app(&ada).await;
    let renewed = edge.ask_by(&session, Method::POST, path, &json!({})).await;
    assert_eq!((said(&renewed), renewed.header("cache-control")), (OK, "no-store"));
    let codes: Vec<String> = serde_json::from_value(renewed.json()["recovery_codes"].clone()).unwrap();
    assert_eq!(codes.len(), 10);
    for old in &ada.recovery_codes[..3] {
        let answer = edge.verify_recovery(&edge.challenge(ADA).await, old).await;
        assert_eq!(said(&answer), refused(401, "invalid_credentials"));
    }
    assert_eq!(said(&edge.verify_recovery(&edge.challenge(ADA).await, &codes[9]).await), OK);
    assert_eq!(edge.mails_to(ADA).await, ["factor_changed"; 2]);

    // Who has no second factor has nothing to recover.
    let bob = edge.person(BOB).await;
    assert_eq!(said(&edge.ask_by(&bob, Method::POST, path, &json!({})).await), refused(403, "second_factor_required"));
}

/// Checklist 26.
#[tokio::test]
async fn an_app_is_removed_by_password_and_factor_alone() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let remove = async |password: &str, code: &str| {
        let body = json!({ "password": password, "code": code });
        said(&edge.ask_by(&ada.person, Method::DELETE, "/api/v1/auth/mfa/totp", &body).await)
    };
    let (good, wrong) = (ada.app.code(edge.now()), ada.app.wrong_code(edge.now()));
    let refusal = || refused(401, "invalid_credentials");
    assert_eq!(remove("another password of mine", &good).await, refusal());
    assert_eq!(remove(PASSWORD, &wrong).await, refusal());
    assert_eq!(remove(PASSWORD, "").await, refusal());
    // Another may not be set up in the place of the first.
    let begin = async |person| said(&edge.ask_by(person, Method::POST, "/api/v1/auth/mfa/totp", &json!({})).await);
    assert_eq!(begin(&ada.person).await, refused(403, "second_factor_required"));
    let session = edge.log_in_with_app(&ada).await;
    assert_eq!(begin(&session).await, refused(409, "totp_already_set_up"));

    assert_eq!(remove(PASSWORD, &good).await, refusal(), "older than the one that logged in");
    edge.advance_ms(30_000);
    assert_eq!(remove(PASSWORD, &ada.app.code(edge.now())).await, (204, String::new()));
    let client = edge.db.connect().await;
    for table in ["totp_secrets", "recovery_codes"] {
        let left = client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap();
        assert_eq!(left.get::<_, i64>(0), 0, "{table}");
    }
    let again = edge.log_in(ADA).await;
    assert_eq!(begin(&again).await, OK);
    assert_eq!(edge.mails_to(ADA).await, ["factor_changed"; 2]);
    assert!(edge.audited(&ada.person.user_id.to_string()).await.contains(&"auth.totp_removed".to_owned()));
}

/// Checklist 26: of two who remove and use at once, nobody is left with a factor half removed.
#[tokio::test]
async fn an_app_is_removed_once() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app(ADA).await;
    let body = json!({ "password": PASSWORD, "code": ada.app.code(edge.now()) });
    let tries = (0..8).map(|_| edge.ask_by(&ada.person, Method::DELETE, "/api/v1/auth/mfa/totp", &body));
    let answers = join_all(tries).await;
    assert_eq!(answers.iter().filter(|it| it.status == 204).count(), 1);
    assert_eq!(edge.mails_to(ADA).await, ["factor_changed"; 2]);
}
