//! Mail to a real mail server, which the native edge alone can reach.

use nest_tests::{MailServer, TestEdge, double::nowhere};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const MINUTE_MS: i64 = 60_000;

/// Checklist 21.
#[tokio::test]
async fn mail_of_ten_minutes_without_a_server_arrives_once_when_it_is_back() {
    let first = MailServer::start().await;
    let port = first.port;
    let edge = TestEdge::start(&[("SMTP_URL", &first.url())]).await;
    // One and the same edge all along, with its pool of connections.
    let ticker = edge.ticker();
    edge.mail("before@example.com", "password_changed", None, json!({})).await;
    edge.mails_when(|rows| rows.iter().all(|it| it.sent)).await;
    assert_eq!(first.stop().await.len(), 1);
    for number in 0..12 {
        edge.mail(&format!("{number:02}@example.com"), "verify", Some("/verify#token=t"), json!({})).await;
    }
    let away = |rows: &[nest_tests::mail::MailRow]| rows.iter().filter(|it| it.error.is_some()).count() == 12;
    edge.mails_when(away).await;
    for _ in 0..10 {
        edge.advance_ms(MINUTE_MS);
        ticker.tick().await;
    }
    let mut server = MailServer::at(port).await;
    server.answers("later").await;
    // It is back, and has no room yet: the try shows which Message-ID it saw.
    edge.advance_ms(15 * MINUTE_MS);
    // A tick stops where nothing goes out, so this takes two.
    ticker.tick().await;
    ticker.tick().await;
    let deferred = server.offers("take").await;
    assert!(deferred.iter().all(|it| it.verdict == "later"));
    assert_eq!(deferred.len(), 12);
    for _ in 0..3 {
        edge.advance_ms(60 * MINUTE_MS);
        ticker.tick().await;
    }
    let rows = edge.mails_when(|rows| rows.iter().all(|it| it.sent)).await;
    assert_eq!(rows.len(), 13);
    assert!(rows.iter().all(|it| !it.sealed && it.error.is_none()), "{rows:?}");
    let offers = server.offers("take").await;
    let taken: Vec<_> = offers.iter().filter(|it| it.verdict == "take").collect();
    let recipients: BTreeSet<&str> = taken.iter().map(|it| it.envelope.1[0].as_str()).collect();
    assert_eq!((taken.len(), recipients.len()), (12, 12), "each once");
    // Each recipient has seen one Message-ID, over all tries, and no two recipients the same.
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for offer in &offers {
        ids.entry(&offer.envelope.1[0]).or_default().extend(offer.header("Message-ID"));
    }
    assert!(ids.values().all(|it| it.len() == 1), "{ids:?}");
    assert_eq!(ids.values().flatten().collect::<BTreeSet<_>>().len(), 12);
}

/// Checklist 13.
#[tokio::test]
async fn what_people_chose_reaches_no_header_and_no_tag() {
    let mut server = MailServer::start().await;
    let from = "Nest, Inc. <no-reply@nest.example>";
    let edge = TestEdge::start(&[("SMTP_URL", &server.url()), ("MAIL_FROM", from)]).await;
    let evil = "Evil\r\nBcc: victim@example.com\r\n\r\n<script>alert(1)</script>";
    let fill = json!({ "org": evil, "inviter": "Jürgen\nX-Evil: 1", "role": "owner" });
    edge.mail("jürgen@bücher.example", "invitation", Some("/invitations/x"), fill).await;
    edge.mails_when(|rows| rows.iter().all(|it| it.sent)).await;
    let offers = server.offers("take").await;
    let [offer] = &offers[..] else { panic!("{offers:?}") };
    assert_eq!(offer.envelope.0, "no-reply@nest.example");
    assert_eq!(offer.envelope.1.len(), 1, "nobody else gets it");
    let names: Vec<&str> = offer.headers.iter().map(|it| it.0.as_str()).collect();
    let mut sorted: Vec<String> = names.iter().map(|it| it.to_lowercase()).collect();
    sorted.sort_unstable();
    let expected = ["auto-submitted", "content-type", "date", "from", "message-id", "mime-version", "subject", "to"];
    assert_eq!(sorted, expected);
    let subject = offer.header("Subject")[0];
    assert!(subject.starts_with("Jürgen X-Evil: 1 invites you to Evil Bcc: victim@example.com <script>"), "{subject}");
    assert_eq!(offer.header("From"), ["\"Nest, Inc.\" <no-reply@nest.example>"]);
    assert!(offer.text.contains("http://127.0.0.1:8787/invitations/x"), "{}", offer.text);
    assert!(!offer.html.contains("<script>") && offer.html.contains("&lt;script&gt;"), "{}", offer.html);
}

#[tokio::test]
async fn a_mailbox_that_does_not_exist_is_not_tried_again() {
    let mut server = MailServer::start().await;
    server.answers("never").await;
    let edge = TestEdge::start(&[("SMTP_URL", &server.url())]).await;
    edge.mail("nobody@example.com", "password_changed", None, json!({})).await;
    let rows = edge.mails_when(|rows| rows.iter().all(|it| it.failed)).await;
    assert!(!rows[0].sealed && rows[0].error.as_ref().unwrap().contains("550"), "{rows:?}");
    edge.advance_ms(60 * MINUTE_MS);
    edge.tick().await;
    assert_eq!(server.offers("take").await.len(), 1);
}

#[tokio::test]
async fn a_server_without_tls_gets_nothing_where_tls_is_required() {
    let mut server = MailServer::start().await;
    let edge = TestEdge::start(&[("SMTP_URL", &format!("{}?tls=required", server.url()))]).await;
    edge.mail("a@example.com", "verify", Some("/verify#token=t"), json!({})).await;
    let rows = edge.mails_when(|rows| rows.iter().all(|it| it.error.is_some())).await;
    assert!(rows[0].sealed && !rows[0].failed, "somebody may mend it: {rows:?}");
    assert_eq!(server.offers("take").await.len(), 0);
}

#[tokio::test]
async fn a_server_that_nobody_finds_keeps_no_answer_waiting() {
    let url = nowhere().replace("http://", "smtp://");
    let edge = TestEdge::start(&[("SMTP_URL", &url)]).await;
    edge.mail("a@example.com", "password_changed", None, json!({})).await;
    let rows = edge.mails_when(|rows| rows.iter().all(|it| it.error.is_some())).await;
    assert!(rows[0].sealed && !rows[0].failed && rows[0].attempts == 1, "{rows:?}");
}
