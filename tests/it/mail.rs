//! Mail: written with the act that it tells of, sent behind the answer or by the clock, once.

use nest_tests::{
    Answer, FakeResend, Kind, PATIENCE, TestEdge,
    fake_resend::{API_KEY, Does},
    mail::MailRow,
};
use reqwest::header::ACCEPT;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::timeout;

const MINUTE_MS: i64 = 60_000;
/// As long as whoever tries a mail is alone with it, and a bit.
const CLAIM_MS: i64 = 121_000;

/// An edge that sends by a fake.
async fn sending(resend: &FakeResend) -> TestEdge {
    let more = [("MAIL_FROM", "Nest <no-reply@nest.example>"), ("PUBLIC_URL", "http://nest.example")];
    TestEdge::start(&[&resend.settings()[..], &more].concat()).await
}

async fn verify(edge: &TestEdge, to: &str) {
    edge.mail(to, "verify", Some("/verify#token=s3cret-link-token"), json!({})).await;
}

fn sent(rows: &[MailRow]) -> bool {
    rows.iter().all(|it| it.sent)
}

/// Every mail was tried without success, and waits.
fn waits(rows: &[MailRow]) -> bool {
    rows.iter().all(|it| it.error.is_some() && it.sealed && !it.failed)
}

#[tokio::test]
async fn a_mail_goes_out_behind_the_answer_and_leaves_nothing_of_its_content() {
    let resend = FakeResend::start().await;
    let edge = sending(&resend).await;
    verify(&edge, "ann@example.com").await;
    let rows = edge.mails_when(sent).await;
    let tries = resend.tries();
    assert_eq!((rows.len(), tries.len()), (1, 1));
    assert!(!rows[0].sealed && rows[0].error.is_none() && rows[0].attempts == 1, "{rows:?}");
    let (id, body) = (rows[0].id.replace('-', ""), &tries[0].body);
    assert_eq!(tries[0].idempotency_key, format!("mail_{id}"));
    assert_eq!(body["headers"]["Message-ID"], format!("<mail_{id}@nest.example>"));
    assert_eq!(body["headers"]["Auto-Submitted"], "auto-generated");
    assert_eq!((&body["from"], &body["to"]), (&json!("Nest <no-reply@nest.example>"), &json!(["ann@example.com"])));
    assert_eq!(body["subject"], "Confirm your e-mail address for AI Tool Nest");
    assert!(body["text"].as_str().unwrap().contains("\nhttp://nest.example/verify#token=s3cret-link-token\n"));
    assert!(body["html"].as_str().unwrap().starts_with("<!doctype html>"));
}

/// Checklist 20.
#[tokio::test]
async fn a_link_begins_with_the_configured_address_whatever_a_request_says() {
    let edge = TestEdge::start(&[("PUBLIC_URL", "http://nest.example/base/")]).await;
    let mail = json!({ "to": "ann@example.com", "template": "verify", "path": "/verify#token=t", "fill": {} });
    for name in ["x-forwarded-host", "x-forwarded-proto", "forwarded", "x-original-host", "x-host", "origin", "referer"]
    {
        let value = if name == "forwarded" { "host=evil.example;proto=https" } else { "evil.example" };
        let answer = edge.post("/contract/mail").header(name, value).json(&mail).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{name}");
    }
    // The address that the request itself names, too: front doors pass it on.
    let answer = edge.post("/contract/mail").header("host", "evil.example").json(&mail).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mails = edge.outbox("ann@example.com").await;
    assert_eq!(mails.len(), 8);
    for mail in mails {
        assert_eq!(mail.links, ["http://nest.example/base/verify#token=t"]);
        assert!(!format!("{mail:?}").contains("evil.example"));
    }
}

#[tokio::test]
async fn what_waits_is_sealed_and_what_is_sent_is_gone() {
    let resend = FakeResend::start().await;
    resend.does(Does::Refuse(503));
    let edge = sending(&resend).await;
    verify(&edge, "ann@example.com").await;
    edge.mails_when(waits).await;
    let client = edge.db.connect().await;
    let sealed =
        async || -> Option<Vec<u8>> { client.query_one("select sealed from mail_outbox", &[]).await.unwrap().get(0) };
    let bytes = sealed().await.unwrap();
    for part in ["s3cret", "token", "nest.example", "link"] {
        assert!(!bytes.windows(part.len()).any(|it| it == part.as_bytes()), "{part}");
    }
    // It opens, so it holds the link.
    assert_eq!(edge.last_mail("ann@example.com").await.link(), "http://nest.example/verify#token=s3cret-link-token");
    let row: String = client.query_one("select mail_outbox::text from mail_outbox", &[]).await.unwrap().get(0);
    assert!(!row.contains("s3cret"), "{row}");
    resend.does(Does::Take);
    edge.advance_ms(MINUTE_MS);
    edge.tick().await;
    edge.mails_when(sent).await;
    assert_eq!(sealed().await, None);
    assert!(edge.outbox("ann@example.com").await.is_empty());
}

/// Checklist 21.
#[tokio::test]
async fn an_act_that_fails_has_written_no_mail() {
    let edge = TestEdge::start(&[]).await;
    let client = edge.db.connect().await;
    let letter = json!({ "id": "01a2017d-765a-7add-b989-ddcb9b6214b3", "recipient": "ann@example.com",
                         "template": "verify", "sealed": "00", "at_ms": 0 });
    let act =
        "with act as (insert into orgs (id, name) values ('01a2017d-765a-7add-b989-ddcb9b6214b3', 'Acme') returning id)
        select enqueue_mail($1::text), 1 / $2::int8 from act";
    let divided = async |by: i64| client.query(act, &[&letter.to_string(), &by]).await.map(|rows| rows.len());
    assert!(divided(0).await.is_err());
    assert_eq!(edge.mails_when(|_| true).await.len(), 0);
    assert_eq!(divided(1).await.unwrap(), 1);
    assert_eq!(edge.mails_when(|_| true).await.len(), 1);
}

/// Checklist 21.
#[tokio::test]
async fn mail_of_ten_minutes_without_a_service_arrives_once_when_it_is_back() {
    let resend = FakeResend::start().await;
    let edge = sending(&resend).await;
    // Whichever way it is away: it says so, it is overrun, it says nothing of what it has done, it minds the key.
    let ways = [Does::Refuse(503), Does::Refuse(429), Does::TakeAndRefuse(500), Does::Refuse(401)];
    for (number, does) in ways.into_iter().enumerate() {
        resend.does(does);
        for part in 0..3 {
            verify(&edge, &format!("{number}-{part}@example.com")).await;
        }
        edge.mails_when(waits).await;
    }
    resend.does(Does::Refuse(500));
    for _ in 0..10 {
        edge.advance_ms(MINUTE_MS);
        edge.tick().await;
    }
    resend.does(Does::Take);
    for _ in 0..3 {
        edge.advance_ms(60 * MINUTE_MS);
        edge.tick().await;
    }
    let rows = edge.mails_when(sent).await;
    assert_eq!(rows.len(), 12);
    let taken = resend.taken();
    let recipients: BTreeSet<&str> = taken.values().map(|it| it["to"][0].as_str().unwrap()).collect();
    assert_eq!((taken.len(), recipients.len()), (12, 12), "each once");
    // Over all tries a mail is one and the same: its ids, and every byte.
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let tries = resend.tries();
    for one in &tries {
        seen.entry(one.to().to_owned()).or_default().insert(format!("{} {}", one.idempotency_key, one.body));
    }
    assert!(tries.len() >= 36, "each was tried several times: {}", tries.len());
    assert_eq!(seen.len(), 12);
    assert!(seen.values().all(|it| it.len() == 1), "{seen:?}");
    let ids: BTreeSet<&str> = tries.iter().map(nest_tests::fake_resend::Try::message_id).collect();
    assert_eq!(ids.len(), 12);
}

#[tokio::test]
async fn what_the_service_refuses_for_ever_is_given_up_and_what_somebody_can_mend_is_not() {
    let resend = FakeResend::start().await;
    let edge = sending(&resend).await;
    for (status, for_ever) in [(422, true), (400, true), (403, false), (409, false), (429, false), (302, false)] {
        let to = format!("{status}@example.com");
        resend.does(Does::Refuse(status));
        verify(&edge, &to).await;
        let rows = edge.mails_when(|rows| rows.iter().all(|it| it.error.is_some())).await;
        let row = rows.iter().find(|it| it.recipient == to).unwrap();
        assert_eq!((row.failed, row.sealed), (for_ever, !for_ever), "{row:?}");
        assert!(row.error.as_ref().unwrap().contains(&status.to_string()), "{row:?}");
        assert!(!row.error.as_ref().unwrap().contains(API_KEY));
    }
}

#[tokio::test]
async fn after_a_day_of_tries_a_mail_is_given_up() {
    let resend = FakeResend::start().await;
    resend.does(Does::Refuse(500));
    let edge = sending(&resend).await;
    verify(&edge, "ann@example.com").await;
    edge.mails_when(waits).await;
    for hour in 1..=24 {
        edge.advance_ms(60 * MINUTE_MS);
        edge.tick().await;
        let rows = edge.mails_when(|_| true).await;
        // The try of the 23rd hour is the last: the next one would come after a day.
        assert_eq!(rows[0].failed, hour >= 23, "{hour}: {rows:?}");
    }
    let tries = resend.tries().len();
    edge.advance_ms(60 * MINUTE_MS);
    edge.tick().await;
    assert_eq!(resend.tries().len(), tries, "what is given up is not tried");
    assert!(edge.outbox("ann@example.com").await.is_empty(), "and has no content");
}

#[tokio::test]
async fn edges_that_send_at_once_send_each_mail_once() {
    let resend = FakeResend::start().await;
    resend.does(Does::Refuse(503));
    let edge = sending(&resend).await;
    for number in 0..40 {
        verify(&edge, &format!("{number}@example.com")).await;
    }
    edge.mails_when(waits).await;
    let before = resend.tries().len();
    resend.does(Does::Take);
    edge.advance_ms(2 * 60 * MINUTE_MS);
    let (a, b, c) = (edge.ticker(), edge.ticker(), edge.ticker());
    tokio::join!(a.tick(), b.tick(), c.tick());
    let rows = edge.mails_when(sent).await;
    assert_eq!(rows.len(), 40);
    assert_eq!(resend.tries().len() - before, 40, "not even offered twice");
    assert_eq!(resend.taken().len(), 40);
}

#[tokio::test]
async fn a_mail_whose_sender_dies_is_sent_by_another_when_its_claim_has_run_out() {
    let resend = FakeResend::start().await;
    resend.does(Does::Refuse(503));
    let edge = sending(&resend).await;
    verify(&edge, "ann@example.com").await;
    edge.mails_when(waits).await;
    resend.does(Does::Hang);
    edge.advance_ms(MINUTE_MS);
    let dying = edge.ticker();
    let dying = tokio::spawn(async move { dying.tick().await });
    timeout(PATIENCE, resend.tried(2)).await.expect("it is claimed and offered");
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    resend.does(Does::Take);
    edge.tick().await;
    assert_eq!(resend.tries().len(), 2, "nobody takes it from one who may be alive");
    edge.advance_ms(CLAIM_MS);
    edge.tick().await;
    let rows = edge.mails_when(sent).await;
    assert_eq!(rows[0].attempts, 3);
    assert_eq!(resend.taken().len(), 1);
}

#[tokio::test]
async fn a_service_that_never_answers_holds_nobody_up() {
    let resend = FakeResend::start().await;
    resend.does(Does::Hang);
    let edge = sending(&resend).await;
    // The act is answered, though its mail hangs.
    verify(&edge, "ann@example.com").await;
    timeout(PATIENCE, resend.tried(1)).await.expect("it is offered");
    let rows = edge.mails_when(waits).await;
    assert!(rows[0].error.as_ref().unwrap().contains("no answer within"), "{rows:?}");
}

#[tokio::test]
async fn mail_that_nobody_takes_stays_in_the_outbox_for_developers() {
    let edge = TestEdge::start(&[("PUBLIC_URL", "http://nest.example")]).await;
    verify(&edge, "ann@example.com").await;
    let fill = json!({ "org": "<b>Acme</b>", "inviter": "Ann", "role": "owner" });
    edge.mail("bob@example.com", "invitation", Some("/invitations/x"), fill).await;
    edge.advance_ms(48 * 60 * MINUTE_MS);
    edge.tick().await;
    let rows = edge.mails_when(|rows| rows.len() == 2).await;
    assert!(rows.iter().all(|it| it.sealed && !it.sent && !it.failed && it.attempts == 0), "{rows:?}");
    let listed = Answer::read(edge.get("/dev/outbox").send().await.unwrap()).await;
    assert_eq!((listed.status.as_u16(), listed.header("content-type")), (200, "application/json"));
    assert_eq!(listed.header("cache-control"), "no-store");
    let mails = &listed.json()["mails"];
    let [bob, ann] = &mails.as_array().unwrap()[..] else { panic!("{mails}") };
    assert_eq!((&bob["to"], &ann["to"]), (&json!("bob@example.com"), &json!("ann@example.com")), "newest first");
    assert_eq!(bob["subject"], "Ann invites you to <b>Acme</b> at AI Tool Nest");
    assert_eq!(ann["links"], json!(["http://nest.example/verify#token=s3cret-link-token"]));
    assert_eq!(edge.last_mail("bob@example.com").await.link(), "http://nest.example/invitations/x");
    let page = Answer::read(edge.get("/dev/outbox").header(ACCEPT, "text/html").send().await.unwrap()).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(page.text().contains("s3cret-link-token") && !page.text().contains("<b>Acme"), "{}", page.text());
}

#[tokio::test]
async fn the_outbox_is_shown_nowhere_but_in_development_without_mail() {
    let resend = FakeResend::start().await;
    let production =
        [("APP_ENV", "production"), ("PUBLIC_URL", "https://nest.example"), ("MAIL_FROM", "no-reply@nest.example")];
    for more in [&[][..], &production] {
        let edge = TestEdge::start(&[&resend.settings()[..], more].concat()).await;
        let answer = Answer::read(edge.get("/dev/outbox").send().await.unwrap()).await;
        assert_eq!(answer.status, 404);
    }
}

#[tokio::test]
async fn a_mail_that_is_moved_or_changed_is_not_sent() {
    let resend = FakeResend::start().await;
    resend.does(Does::Refuse(503));
    let edge = sending(&resend).await;
    verify(&edge, "ann@example.com").await;
    verify(&edge, "mallory@example.com").await;
    edge.mails_when(waits).await;
    resend.does(Does::Take);
    // Whoever can write to the database, and not read the keys, sends Ann's link to Mallory.
    let swap = "
        update mail_outbox set sealed = (select sealed from mail_outbox where recipient = 'ann@example.com')
        where recipient = 'mallory@example.com'";
    edge.db.connect().await.batch_execute(swap).await.unwrap();
    edge.advance_ms(MINUTE_MS);
    edge.tick().await;
    let rows = edge.mails_when(|rows| rows.iter().all(|it| it.sent || it.failed)).await;
    assert_eq!(rows.iter().filter(|it| it.failed).count(), 1);
    assert!(rows.iter().find(|it| it.failed).unwrap().recipient.starts_with("mallory"));
    let taken: Vec<_> = resend.taken().into_values().map(|it| it["to"][0].clone()).collect();
    assert_eq!(taken, ["ann@example.com"]);
}

#[tokio::test]
async fn what_was_dealt_with_a_month_ago_is_forgotten_and_what_waits_is_not() {
    let resend = FakeResend::start().await;
    let edge = sending(&resend).await;
    verify(&edge, "sent@example.com").await;
    edge.mails_when(sent).await;
    edge.advance_ms(29 * 24 * 60 * MINUTE_MS);
    resend.does(Does::Refuse(503));
    verify(&edge, "waits@example.com").await;
    edge.mails_when(|rows| rows.iter().filter(|it| it.error.is_some()).count() == 1).await;
    edge.tick().await;
    assert_eq!(edge.mails_when(|_| true).await.len(), 2);
    edge.advance_ms(2 * 24 * 60 * MINUTE_MS);
    resend.does(Does::Take);
    edge.tick().await;
    let rows = edge.mails_when(|_| true).await;
    let left: Vec<&str> = rows.iter().map(|it| it.recipient.as_str()).collect();
    assert_eq!(left, ["waits@example.com"]);
}

#[tokio::test]
async fn a_host_that_speaks_no_smtp_says_so() {
    let settings = [("SMTP_URL", "smtps://user:canary@mail.example.com:465")];
    match Kind::chosen() {
        Kind::Native => {
            let edge = TestEdge::start(&settings).await;
            assert_eq!(edge.get("/healthz").send().await.unwrap().status(), 200, "it speaks SMTP");
            return;
        }
        Kind::Spin => {
            // The setting cannot reach the component: the manifest has no such variable.
            let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../spin.toml");
            assert!(!std::fs::read_to_string(manifest).unwrap().contains("smtp_url"));
            return;
        }
        Kind::Cloudflare => {}
    }
    let edge = TestEdge::raw(&settings).await;
    let answer = Answer::read(edge.get("/healthz").send().await.unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].clone()), (500, json!("misconfigured")));
    let log = edge.running.log().expect("a WASM host keeps a log").to_owned();
    edge.stop().await;
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("SMTP_URL") && !log.contains("canary"), "{log}");
}
