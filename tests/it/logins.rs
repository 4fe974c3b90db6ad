//! Log-in and its limits: what strangers learn, how often they may try, and that they keep no owner out.

use futures_util::future::join_all;
use nest_tests::{
    Answer, TestDb, TestEdge,
    edge::{OPERATOR, PASSWORD},
};
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

const ADA: &str = "ada@example.com";
const WRONG: &str = "wrong, and long enough";
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Behind one trusted proxy, so that a test has as many addresses as it wants.
const BEHIND_A_PROXY: (&str, &str) = ("TRUSTED_PROXY_HOPS", "1");

/// A log-in from `ip`, by a device that was known before or not.
async fn log_in_from(edge: &TestEdge, ip: &str, email: &str, password: &str, device: Option<&str>) -> Answer {
    let body = json!({ "email": email, "password": password, "device_token": device });
    let request = edge.post("/api/v1/auth/login").header("x-forwarded-for", ip).json(&body);
    Answer::read(request.send().await.unwrap()).await
}

fn device(answer: &Answer) -> String {
    answer.json()["device_token"].as_str().unwrap_or_else(|| panic!("no device in {answer:?}")).to_owned()
}

async fn count(edge: &TestEdge, select: &str) -> i64 {
    edge.db.connect().await.query_one(select, &[]).await.unwrap().get(0)
}

/// How many log-ins failed for `reason`, as the audit log has it.
async fn failed(edge: &TestEdge, reason: &str) -> i64 {
    let select = format!(
        "select count(*) from audit_log
         where action = 'auth.login_failed' and detail::json->>'reason' = '{reason}'"
    );
    count(edge, &select).await
}

/// Fails so often that strangers have to wait.
async fn lock(edge: &TestEdge, email: &str) {
    for _ in 0..7 {
        assert_eq!(edge.try_log_in(email, WRONG).await.status, 401);
    }
}

/// What a stranger can compare: the raw head's names in their order, and the body, less what differs with every answer.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let varying = ["date", "x-request-id"];
    let show = |headers: &HeaderMap| {
        let value = |name: &str, value: &str| if varying.contains(&name) { String::new() } else { value.to_owned() };
        let pairs = headers.iter().map(|(name, it)| (name.to_string(), value(name.as_str(), it.to_str().unwrap())));
        pairs.collect()
    };
    let id = answer.request_id().to_string();
    (answer.status.as_u16(), show(&answer.headers), answer.text().replace(&id, "ID"))
}

/// Checklist 7.
#[tokio::test]
async fn whatever_is_wrong_with_a_log_in_looks_the_same() {
    let edge = TestEdge::start(&[]).await;
    let signup = json!({ "email": "unverified@example.com", "password": PASSWORD });
    assert_eq!(edge.post("/api/v1/auth/signup").json(&signup).send().await.unwrap().status(), 202);
    for email in ["wrong@example.com", "locked@example.com", "disabled@example.com"] {
        edge.make_account(email).await;
    }
    let client = edge.db.connect().await;
    client.execute("update users set suspended_at = now() where email like 'disabled%'", &[]).await.unwrap();
    client.execute("update users set password_hash = null where email = 'nobody'", &[]).await.unwrap();
    lock(&edge, "locked@example.com").await;
    let answers = [
        ("unknown", edge.try_log_in("unknown@example.com", PASSWORD).await),
        ("wrong password", edge.try_log_in("wrong@example.com", WRONG).await),
        ("unverified", edge.try_log_in("unverified@example.com", PASSWORD).await),
        ("locked", edge.try_log_in("locked@example.com", PASSWORD).await),
        ("disabled", edge.try_log_in("disabled@example.com", PASSWORD).await),
        ("no address", edge.try_log_in("nobody", PASSWORD).await),
        ("no password that could be set", edge.try_log_in("wrong@example.com", &"x".repeat(5_000)).await),
        ("empty", edge.try_log_in("", "").await),
    ];
    assert_eq!((answers[0].1.status.as_u16(), answers[0].1.code().as_str()), (401, "invalid_credentials"));
    for (state, answer) in &answers {
        assert_eq!(seen(answer), seen(&answers[0].1), "{state}");
    }
    assert_eq!((failed(&edge, "locked").await, failed(&edge, "suspended").await), (1, 1));
    assert!(failed(&edge, "unknown").await >= 2, "the log knows what the answer does not say");
}

/// Checklist 4: a weaker hash is replaced by the next log-in, and the database holds nothing else of the password.
#[tokio::test]
async fn a_log_in_strengthens_a_weak_hash() {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8_192, 1, 1, None).unwrap());
    let weak = weak.hash_password_with_salt(PASSWORD.as_bytes(), &[7; 16]).unwrap().to_string();
    let client = edge.db.connect().await;
    client.execute("update users set password_hash = $1 where email = $2", &[&weak, &ADA]).await.unwrap();
    assert_eq!(edge.try_log_in(ADA, WRONG).await.status, 401);
    let stored = async || -> String {
        client.query_one("select password_hash from users where email = $1", &[&ADA]).await.unwrap().get(0)
    };
    assert_eq!(stored().await, weak, "a wrong password changes nothing");
    assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 200);
    let strong = stored().await;
    assert!(strong.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{strong}");
    assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 200);
    assert_eq!(stored().await, strong);

    let tables = "select table_name::text from information_schema.tables where table_schema = 'public'";
    for row in client.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let rows = client.query(&format!("select it::text from \"{table}\" it"), &[]).await.unwrap();
        for row in rows {
            let text: String = row.get(0);
            assert!(!text.contains(PASSWORD), "{table}: {text}");
        }
    }
}

/// Checklist 10: the pauses grow, and no day sees more than a hundred wrong passwords.
#[tokio::test]
async fn a_stranger_s_pauses_grow() {
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    let pauses_ms = |failures: i64| match failures {
        ..7 => 0,
        7..10 => MINUTE_MS,
        10..15 => 10 * MINUTE_MS,
        15..20 => 15 * MINUTE_MS,
        20..25 => HOUR_MS,
        _ => 24 * HOUR_MS,
    };
    for failures in 1..=25 {
        assert_eq!(edge.try_log_in(ADA, WRONG).await.status, 401);
        assert_eq!(failed(&edge, "password").await, failures, "try {failures} is a try");
        let pause_ms = pauses_ms(failures);
        if pause_ms > 0 {
            edge.advance_ms(pause_ms - 2_000);
            let early = edge.try_log_in(ADA, PASSWORD).await;
            assert_eq!(early.status, 401, "after {failures} failures even the right password waits");
            edge.advance_ms(2_000);
        }
    }
    // A day has passed since the 25th.
    assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 200);
}

/// Checklist 10: strangers at 200 addresses, all at once, get as many tries as one of them would, and keep no owner out.
#[tokio::test]
async fn two_hundred_strangers_share_an_account_s_tries_and_the_owner_gets_in() {
    let edge = TestEdge::start(&[BEHIND_A_PROXY]).await;
    edge.make_account(ADA).await;
    let known = device(&log_in_from(&edge, "192.0.2.1", ADA, PASSWORD, None).await);
    let ips: Vec<String> = (0..200).map(|at| format!("198.51.{}.{}", at / 100, at % 100)).collect();
    for some in ips.chunks(20) {
        let answers = join_all(some.iter().map(|ip| log_in_from(&edge, ip, ADA, WRONG, None))).await;
        assert!(answers.iter().all(|it| it.status == 401), "{answers:?}");
    }
    assert_eq!((failed(&edge, "password").await, failed(&edge, "locked").await), (7, 193));
    assert_eq!(log_in_from(&edge, "192.0.2.1", ADA, PASSWORD, None).await.status, 401, "an unknown device waits");
    for ip in ["192.0.2.1", "203.0.113.9"] {
        assert_eq!(log_in_from(&edge, ip, ADA, PASSWORD, Some(&known)).await.status, 200, "{ip}");
    }
    // The owner's log-in gave the strangers nothing.
    assert_eq!(log_in_from(&edge, "198.51.100.7", ADA, WRONG, None).await.status, 401);
    assert_eq!(failed(&edge, "password").await, 7);

    // A day of the same, by whoever tries whenever a try is to be had.
    for _ in 0..144 {
        edge.advance_ms(10 * MINUTE_MS);
        log_in_from(&edge, "198.51.100.8", ADA, WRONG, None).await;
    }
    let tries = failed(&edge, "password").await;
    assert!((10..=25).contains(&tries), "{tries}");
    assert_eq!(log_in_from(&edge, "192.0.2.1", ADA, PASSWORD, Some(&known)).await.status, 200);
}

/// Checklist 10: a thousand tries at once count as a thousand in a row.
#[tokio::test]
async fn tries_at_once_are_counted_like_tries_in_a_row() {
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    let answers = join_all((0..30).map(|_| edge.try_log_in(ADA, WRONG))).await;
    assert!(answers.iter().all(|it| it.status == 401), "{answers:?}");
    assert_eq!((failed(&edge, "password").await, failed(&edge, "locked").await), (7, 23));
}

/// A right password is no try, so a person who knows theirs may log in as often as they like.
#[tokio::test]
async fn a_right_password_is_given_back() {
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    for _ in 0..6 {
        edge.try_log_in(ADA, WRONG).await;
    }
    for _ in 0..3 {
        assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 200);
    }
    // It does not wipe out what strangers have used up.
    assert_eq!(edge.try_log_in(ADA, WRONG).await.status, 401);
    assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 401);
}

#[tokio::test]
async fn a_known_device_has_tries_of_its_own_for_one_account() {
    let edge = TestEdge::start(&[]).await;
    for email in [ADA, "bob@example.com"] {
        edge.make_account(email).await;
    }
    let known = device(&edge.try_log_in(ADA, PASSWORD).await);
    let by = async |email: &str, password: &str, device: &str| {
        log_in_from(&edge, "", email, password, Some(device)).await.status.as_u16()
    };
    for email in [ADA, "bob@example.com"] {
        lock(&edge, email).await;
    }
    assert_eq!(by("bob@example.com", PASSWORD, &known).await, 401, "it is known for Ada alone");
    for forged in [known.replace("device", "once"), format!("{known}A"), known.to_lowercase()] {
        assert_eq!(by(ADA, PASSWORD, &forged).await, 401, "{forged}");
    }
    assert_eq!(by(ADA, PASSWORD, &known).await, 200);
    // It waits, too, when it fails too often; and a success starts its count anew.
    for _ in 0..6 {
        assert_eq!(by(ADA, WRONG, &known).await, 401);
    }
    assert_eq!(by(ADA, PASSWORD, &known).await, 200);
    for _ in 0..7 {
        assert_eq!(by(ADA, WRONG, &known).await, 401);
    }
    assert_eq!(by(ADA, PASSWORD, &known).await, 401);
    edge.advance_ms(MINUTE_MS);
    assert_eq!(by(ADA, PASSWORD, &known).await, 200);
    edge.advance_ms(90 * 24 * HOUR_MS + 2_000);
    lock(&edge, ADA).await;
    assert_eq!(by(ADA, PASSWORD, &known).await, 401, "ninety days are over");
}

#[tokio::test]
async fn the_console_s_device_is_known_by_a_cookie() {
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    let body = json!({ "email": ADA, "password": PASSWORD, "cookie": true });
    let first = edge.post("/api/v1/auth/login").json(&body).send().await.unwrap();
    let cookies: Vec<String> =
        first.headers().get_all("set-cookie").iter().map(|it| it.to_str().unwrap().to_owned()).collect();
    let cookie = cookies.iter().find(|it| it.starts_with("__Host-nest_device=")).unwrap();
    for part in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict", "Max-Age=7776000"] {
        assert!(cookie.split("; ").any(|it| it == part), "{cookie}");
    }
    lock(&edge, ADA).await;
    assert_eq!(edge.post("/api/v1/auth/login").json(&body).send().await.unwrap().status(), 401);
    let pair = cookie.split(';').next().unwrap();
    let again = edge.post("/api/v1/auth/login").header("cookie", format!("a=b; {pair}")).json(&body);
    assert_eq!(again.send().await.unwrap().status(), 200);
}

/// Whoever has reset the password is not held up by those whose tries made them reset it.
#[tokio::test]
async fn a_reset_makes_the_device_known() {
    let edge = TestEdge::start(&[]).await;
    edge.make_account(ADA).await;
    lock(&edge, ADA).await;
    edge.post("/api/v1/auth/password/forgot").json(&json!({ "email": ADA })).send().await.unwrap();
    let token = edge.last_mail(ADA).await.token().to_owned();
    let body = json!({ "token": token, "password": "wq0 zz4 trombone 88" });
    let reset = Answer::read(edge.post("/api/v1/auth/password/reset").json(&body).send().await.unwrap()).await;
    assert_eq!(edge.try_log_in(ADA, "wq0 zz4 trombone 88").await.status, 401);
    let again = log_in_from(&edge, "", ADA, "wq0 zz4 trombone 88", Some(&device(&reset))).await;
    assert_eq!(again.status, 200, "{again:?}");
}

/// Checklist 11: two edges, tried in turn, count together; and a third that starts later goes on from there.
#[tokio::test]
async fn counts_are_shared_by_all_edges_and_outlive_each() {
    let db = TestDb::migrated().await;
    let (one, two) = (TestEdge::on(&db, &[]).await, TestEdge::on(&db, &[]).await);
    one.make_account(ADA).await;
    for at in 0..12 {
        let edge = if at % 2 == 0 { &one } else { &two };
        assert_eq!(edge.try_log_in(ADA, WRONG).await.status, 401);
    }
    assert_eq!((failed(&one, "password").await, failed(&one, "locked").await), (7, 5));
    one.stop().await;
    two.stop().await;
    let three = TestEdge::on(&db, &[]).await;
    assert_eq!(three.try_log_in(ADA, PASSWORD).await.status, 401);
    three.advance_ms(MINUTE_MS);
    assert_eq!(three.try_log_in(ADA, PASSWORD).await.status, 200);
}

fn waits_s(answer: &Answer) -> i64 {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "too_many_tries"), "{answer:?}");
    answer.header("retry-after").parse().unwrap()
}

/// Checklist 10 and 65: an address has its tries of everything that a guess could profit from, a /64 counts as one, and
/// what a client says of itself does not count.
#[tokio::test]
async fn an_address_has_a_hundred_tries_an_hour() {
    let edge = TestEdge::start(&[BEHIND_A_PROXY, ("LOGIN_TRIES_PER_ADDRESS", "6")]).await;
    let token = format!("nest_once_{}", "A".repeat(43));
    let forms: [(&str, Value); 5] = [
        ("login", json!({ "email": OPERATOR, "password": WRONG })),
        ("signup", json!({ "email": ADA, "password": "kxo94 plm22 vbb17" })),
        ("password/forgot", json!({ "email": ADA })),
        ("password/reset", json!({ "token": token, "password": "kxo94 plm22 vbb17" })),
        ("verify", json!({ "token": token })),
    ];
    let send = async |path: &str, form: &Value, forwarded: &str| {
        let request = edge.post(&format!("/api/v1/auth/{path}")).header("x-forwarded-for", forwarded);
        let request = request.header("cf-connecting-ip", "10.0.0.1").header("forwarded", "for=10.0.0.1");
        Answer::read(request.json(form).send().await.unwrap()).await
    };
    for (at, (path, form)) in forms.iter().enumerate() {
        // Whatever stands before the proxy's entry is the client's own invention.
        let answer = send(path, form, &format!("10.9.8.{at}, 2001:db8:1:1::{at}")).await;
        assert_ne!(answer.status, 429, "{path}");
    }
    assert_ne!(send("verify", &forms[4].1, "2001:db8:1:1:ffff::1").await.status, 429);
    for (path, form) in &forms {
        let wait_s = waits_s(&send(path, form, "2001:db8:1:1:8000::9").await);
        assert!((3_500..=3_600).contains(&wait_s), "{path}: {wait_s}");
    }
    assert_eq!(send("login", &forms[0].1, "2001:db8:1:2::1").await.status, 401, "the neighbour's network");
    // The answer does not depend on the account, nor does the right password help.
    let right = json!({ "email": OPERATOR, "password": PASSWORD });
    waits_s(&send("login", &right, "2001:db8:1:1::1").await);
    edge.advance_ms(HOUR_MS);
    assert_eq!(send("login", &right, "2001:db8:1:1::1").await.status, 200);
}

/// Checklist 10: when the whole service sees too many failures, known devices alone may try.
#[tokio::test]
async fn a_flood_of_failures_leaves_known_devices_alone() {
    let edge = TestEdge::start(&[BEHIND_A_PROXY, ("LOGIN_FAILURES_PER_MINUTE", "20")]).await;
    let known = device(&log_in_from(&edge, "192.0.2.1", OPERATOR, PASSWORD, None).await);
    for at in 0..20 {
        let (ip, email) = (format!("198.51.100.{at}"), format!("victim{at}@example.com"));
        assert_eq!(log_in_from(&edge, &ip, &email, WRONG, None).await.status, 401);
    }
    for (email, password) in [("victim@example.com", WRONG), (OPERATOR, PASSWORD)] {
        let wait_s = waits_s(&log_in_from(&edge, "203.0.113.1", email, password, None).await);
        assert!((1..=60).contains(&wait_s), "{wait_s}");
    }
    assert_eq!(log_in_from(&edge, "203.0.113.1", OPERATOR, PASSWORD, Some(&known)).await.status, 200);
    edge.advance_ms(MINUTE_MS);
    assert_eq!(log_in_from(&edge, "203.0.113.1", OPERATOR, PASSWORD, None).await.status, 200);
}

/// A password that is replaced while somebody logs in with it opens no session.
#[tokio::test]
async fn a_session_is_not_earned_by_a_password_that_was_replaced_meanwhile() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person(ADA).await;
    let later = edge.now().plus_ms(HOUR_MS).0;
    let replace = "update users set password_changed_at = to_timestamp($1::int8 / 1000.0) where email = $2";
    edge.db.connect().await.execute(replace, &[&later, &ADA]).await.unwrap();
    assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 401, "the proof is older than the password");
    assert_eq!(edge.by(&ada, Method::GET, "/api/v1/me").send().await.unwrap().status(), 200);
    edge.advance_ms(HOUR_MS + 1_000);
    assert_eq!(edge.try_log_in(ADA, PASSWORD).await.status, 200);
}
