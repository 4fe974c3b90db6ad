//! Sign-up, from the first call to the first log-in.

use super::{ADA, SECRET, count, forgot, post, seen, sign_up, verify};
use futures_util::future::join_all;
use nest_tests::{Answer, TestEdge, edge::OPERATOR};
use serde_json::json;

/// Checklist 16: what only fetches uses nothing up.
#[tokio::test]
async fn a_person_signs_up_proves_the_address_and_logs_in() {
    let edge = TestEdge::start(&[]).await;
    assert_eq!(sign_up(&edge, "Ada@Example.COM").await.status, 202);
    assert_eq!(count(&edge, "select count(*) from users where not operator").await, 0, "nobody before the proof");
    assert_eq!(edge.try_log_in(ADA, SECRET).await.code(), "invalid_credentials");

    let mail = edge.last_mail(ADA).await;
    assert_eq!(mail.template, "verify");
    assert!(mail.link().starts_with("http://127.0.0.1:8787/account.html#verify=nest_once_"), "{mail:?}");
    for path in
        [format!("/account.html#verify={}", mail.token()), format!("/api/v1/auth/verify?token={}", mail.token())]
    {
        edge.get(&path).send().await.unwrap();
    }
    let verified = verify(&edge, mail.token()).await;
    assert_eq!((verified.status.as_u16(), verified.json()), (200, json!({ "email": ADA })));
    assert_eq!(verified.header("set-cookie"), "", "nobody is logged in");
    assert_eq!(count(&edge, "select count(*) from sessions").await, 0);

    assert_eq!(edge.try_log_in(ADA, SECRET).await.status, 200);
    let made = "
        select count(*) from users join memberships on memberships.user_id = users.id and role = 'owner'
        join orgs on orgs.id = memberships.org_id and orgs.personal
        where users.email = 'ada@example.com' and users.name = 'Ada' and not users.operator";
    assert_eq!(count(&edge, made).await, 1);
    let acts = "select count(*) from audit_log where action in ('auth.signup', 'auth.account_created', 'auth.login')";
    assert_eq!(count(&edge, acts).await, 3);
    assert_eq!(verify(&edge, mail.token()).await.code(), "invalid_one_time_token");
}

/// Checklist 8: sign-up and reset answer alike for everyone; only the mailbox knows.
#[tokio::test]
async fn whether_an_address_has_an_account_is_told_to_its_mailbox_alone() {
    let edge = TestEdge::start(&[]).await;
    let (new, taken) = (sign_up(&edge, ADA).await, sign_up(&edge, OPERATOR).await);
    assert_eq!(seen(&new), seen(&taken));
    assert_eq!(new.status, 202);
    assert_eq!(edge.last_mail(ADA).await.template, "verify");
    assert_eq!(edge.last_mail(OPERATOR).await.template, "account_exists");

    let (known, unknown) = (forgot(&edge, OPERATOR).await, forgot(&edge, "bob@example.com").await);
    assert_eq!(seen(&known), seen(&unknown));
    assert_eq!(known.status, 202);
    assert_eq!(edge.last_mail(OPERATOR).await.template, "password_reset");
    assert!(edge.mails("bob@example.com").await.is_empty());
    // Not proven yet: there is nothing to reset.
    assert_eq!(seen(&forgot(&edge, ADA).await), seen(&known));
    assert_eq!(edge.mails(ADA).await.len(), 1);
}

/// Checklist 17.
#[tokio::test]
async fn of_32_proofs_at_once_one_counts() {
    let edge = TestEdge::start(&[]).await;
    sign_up(&edge, ADA).await;
    let mail = edge.last_mail(ADA).await;
    let answers: Vec<Answer> = join_all((0..32).map(|_| verify(&edge, mail.token()))).await;
    let won = answers.iter().filter(|it| it.status.is_success()).count();
    assert_eq!(won, 1, "{answers:?}");
    assert!(answers.iter().all(|it| it.status.is_success() || it.code() == "invalid_one_time_token"), "{answers:?}");
    assert_eq!(count(&edge, "select count(*) from users where not operator").await, 1);
    let founded = "
        select count(*) from orgs join memberships on memberships.org_id = orgs.id
        join users on users.id = memberships.user_id where orgs.personal and not users.operator";
    assert_eq!(count(&edge, founded).await, 1);
}

/// Whoever proves the address decides which of several sign-ups counts.
#[tokio::test]
async fn of_two_sign_ups_the_one_that_is_proven_sets_the_password() {
    let edge = TestEdge::start(&[]).await;
    sign_up(&edge, ADA).await;
    let other = json!({ "email": ADA, "password": "quite another phrase 7" });
    post(&edge, "/auth/signup", &other).await;
    let mails = edge.mails(ADA).await;
    assert_eq!(verify(&edge, mails[0].token()).await.status, 200);
    assert_eq!(verify(&edge, mails[1].token()).await.code(), "invalid_one_time_token");
    assert_eq!(edge.try_log_in(ADA, SECRET).await.status, 200);
    assert_eq!(edge.try_log_in(ADA, "quite another phrase 7").await.status, 401);
}

#[tokio::test]
async fn a_closed_sign_up_is_closed_for_everyone_alike() {
    let edge = TestEdge::start(&[("SIGNUP_OPEN", "false")]).await;
    let answers = [sign_up(&edge, ADA).await, sign_up(&edge, OPERATOR).await];
    assert_eq!(seen(&answers[0]), seen(&answers[1]));
    assert_eq!((answers[0].status.as_u16(), answers[0].code().as_str()), (403, "signup_closed"));
    assert_eq!(count(&edge, "select count(*) from mail_outbox").await, 0);
}

#[tokio::test]
async fn strangers_fill_no_mailbox() {
    let edge = TestEdge::start(&[]).await;
    for _ in 0..4 {
        sign_up(&edge, ADA).await;
        forgot(&edge, OPERATOR).await;
    }
    for email in [ADA, OPERATOR] {
        let all = [sign_up(&edge, email).await, sign_up(&edge, email).await, forgot(&edge, email).await];
        assert!(all.iter().all(|it| it.status == 202), "{all:?}");
        assert_eq!(edge.mails(email).await.len(), 5, "{email}");
    }
    edge.advance_ms(3_600_000);
    forgot(&edge, OPERATOR).await;
    assert_eq!(edge.mails(OPERATOR).await.len(), 6);
}

/// Checklist 20: a link leads to the configured address, whatever a request says of itself.
#[tokio::test]
async fn no_header_changes_where_a_link_leads() {
    let edge = TestEdge::start(&[("PUBLIC_URL", "https://nest.example.com")]).await;
    let evil = "evil.example";
    let cases = [
        ("host", evil),
        ("host", "evil.example:8787"),
        ("x-forwarded-host", evil),
        ("x-forwarded-server", evil),
        ("x-original-host", evil),
        ("x-host", evil),
        ("x-forwarded-proto", "javascript"),
        ("x-forwarded-prefix", "//evil.example"),
        ("forwarded", "host=evil.example;proto=http"),
        ("referer", "https://evil.example/x"),
        ("x-original-url", "//evil.example/x"),
        ("x-rewrite-url", "//evil.example/x"),
    ];
    for (at, (name, value)) in cases.into_iter().enumerate() {
        let email = format!("ada{at}@example.com");
        let body = json!({ "email": email, "password": SECRET });
        let answer = edge.post("/api/v1/auth/signup").header(name, value).json(&body).send().await.unwrap();
        if answer.status() == 202 {
            let mail = edge.last_mail(&email).await;
            assert!(mail.link().starts_with("https://nest.example.com/account.html#verify="), "{name}: {mail:?}");
            assert!(!mail.text.contains("evil") && !mail.html.contains("evil"), "{name}: {mail:?}");
        } else {
            // A host may refuse a name that it does not serve.
            assert!(name == "host" && answer.status().is_client_error(), "{name}: {}", answer.status());
        }
    }
}
