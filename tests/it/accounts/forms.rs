//! Hostile text in every field: refused, or kept as it is, and never a failure of ours.

use super::{ADA, SECRET, count, post, sign_up, verify};
use nest_tests::TestEdge;
use serde_json::{Value, json};

/// Checklist 13: one person has one account, however the address is written; and what only looks alike stays apart.
#[tokio::test]
async fn addresses_that_are_one_have_one_account() {
    let edge = TestEdge::start(&[]).await;
    for (first, same) in [
        ("ada@example.com", ["ADA@EXAMPLE.com", "ａｄａ@example.com"]),
        ("bob@bücher.example", ["bob@xn--bcher-kva.example", "Bob@BÜCHER.example"]),
        ("e\u{301}ve@example.com", ["éve@example.com", "ÉVE@example.com"]),
        ("strasse@example.com", ["straße@example.com", "STRASSE@example.com"]),
    ] {
        sign_up(&edge, first).await;
        let newest = "select recipient from mail_outbox order by created_at desc, id desc limit 1";
        let row = edge.db.connect().await.query_one(newest, &[]).await.unwrap();
        let address: String = row.get(0);
        assert_eq!(verify(&edge, edge.last_mail(&address).await.token()).await.status, 200);
        for other in same {
            assert_eq!(sign_up(&edge, other).await.status, 202);
            assert_eq!(edge.last_mail(&address).await.template, "account_exists", "{other}");
            assert_eq!(edge.try_log_in(other, SECRET).await.status, 200, "{other}");
        }
    }
    let people = count(&edge, "select count(*) from users").await;
    // Cyrillic, plus, dot: others, who may have accounts of their own.
    for other in ["аda@example.com", "ada+x@example.com", "a.da@example.com", "ada@examp1e.com"] {
        sign_up(&edge, other).await;
        assert_eq!(verify(&edge, edge.last_mail(other).await.token()).await.status, 200, "{other}");
    }
    assert_eq!(count(&edge, "select count(*) from users").await, people + 4);
}

/// Checklist 13 and 101: control characters in each field of each form.
#[tokio::test]
async fn no_field_takes_what_ends_a_header_or_a_text() {
    let edge = TestEdge::start(&[]).await;
    let forms: [(&str, Value); 6] = [
        ("/auth/signup", json!({ "email": ADA, "password": SECRET, "name": "Ada" })),
        ("/auth/verify", json!({ "token": "nest_once_x" })),
        ("/auth/password/forgot", json!({ "email": ADA })),
        ("/auth/password/reset", json!({ "token": "nest_once_x", "password": SECRET })),
        ("/auth/login", json!({ "email": ADA, "password": SECRET, "device_token": "x" })),
        ("/auth/password/strength", json!({ "email": ADA, "password": SECRET, "name": "Ada" })),
    ];
    let hostile =
        ["\r\nBcc: eve@example.com", "\n", "\r", "\0", "\u{b}", "\u{1b}[31m", "\u{202e}", "\u{feff}", "\u{ffff}"];
    for (path, form) in &forms {
        for field in form.as_object().unwrap().keys() {
            for text in hostile {
                let mut body = form.clone();
                let before = body[field].as_str().unwrap().to_owned();
                body[field] = format!("{before}{text}x").into();
                let answer = post(&edge, path, &body).await;
                assert!(!answer.status.is_server_error(), "{path} {field} {text:?}: {answer:?}");
                let sent = "select count(*) from mail_outbox where recipient ~ '[[:cntrl:]]'";
                assert_eq!(count(&edge, sent).await, 0, "{path} {field} {text:?}");
                let refused = ["email", "name"].contains(&field.as_str()) && text.chars().all(char::is_control);
                if refused && *path != "/auth/login" && *path != "/auth/password/strength" {
                    assert_eq!(answer.status, 422, "{path} {field} {text:?}");
                }
            }
            for wrong in [Value::Null, json!(1), json!([ADA]), json!({ "a": 1 }), json!("x".repeat(100_000))] {
                let mut body = form.clone();
                body[field] = wrong;
                let answer = post(&edge, path, &body).await;
                assert!(!answer.status.is_server_error(), "{path} {field}: {answer:?}");
            }
        }
    }
    let lone = r#"{"email": "ada\ud800@example.com", "password": "kxo94 plm22 vbb17"}"#;
    let answer = edge.post("/api/v1/auth/signup").header("content-type", "application/json").body(lone);
    assert_eq!(answer.send().await.unwrap().status(), 400);
}
