//! What nobody can make of a key: each fault has its code and names its field.

use super::make;
use nest_tests::TestEdge;
use reqwest::Method;
use serde_json::{Value, json};

/// A body with a name, and what else.
fn named(more: &Value) -> Value {
    let mut body = json!({ "name": "ci" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Status, code, and the field that is named.
type Told = (u16, &'static str, Option<&'static str>);

/// What is wrong in a body that makes or changes a key.
fn faults(now: i64) -> Vec<(Value, Told)> {
    let value = |field| (422, "invalid_value", Some(field));
    let json = (400, "invalid_json", None);
    vec![
        (json!({ "name": "" }), value("name")),
        (json!({ "name": " \t " }), value("name")),
        (json!({ "name": "a\u{0}b" }), value("name")),
        (json!({ "name": "a\nb" }), value("name")),
        (json!({ "name": "é".repeat(201) }), value("name")),
        (json!({ "name": 7 }), json),
        (json!({ "models": ["a b"] }), value("models")),
        (json!({ "models": ["a\u{0}"] }), value("models")),
        (json!({ "models": [""] }), value("models")),
        (json!({ "models": vec!["m"; 101] }), value("models")),
        (json!({ "models": "m" }), json),
        (json!({ "ip_allow": ["10.0.0.1/8"] }), value("ip_allow")),
        (json!({ "ip_allow": ["10.0.0.0/33"] }), value("ip_allow")),
        (json!({ "ip_allow": ["localhost"] }), value("ip_allow")),
        (json!({ "ip_allow": [""] }), value("ip_allow")),
        (json!({ "limits": { "requests_per_minute": 0 } }), value("limits.requests_per_minute")),
        (json!({ "limits": { "concurrent": 1_000_000_000_001_u64 } }), value("limits.concurrent")),
        (json!({ "limits": { "requests_per_second": 1 } }), json),
        (json!({ "limits": { "tokens_per_day": -1 } }), json),
        (json!({ "limits": { "tokens_per_day": 1.5 } }), json),
        (json!({ "spend": { "cap_usd": 1 } }), json),
        (json!({ "spend": { "cap_usd": "1", "period": "year" } }), json),
        (json!({ "spend": { "cap_usd": "-1", "period": "day" } }), json),
        (json!({ "spend": { "cap_usd": "0.0000000001", "period": "day" } }), json),
        (json!({ "spend": { "cap_usd": "1e3", "period": "day" } }), json),
        (json!({ "expires_at": now - 1 }), value("expires_at")),
        (json!({ "expires_at": now / 1_000 }), value("expires_at")),
        (json!({ "expires_at": i64::MAX }), value("expires_at")),
        (json!({ "expires_at": i64::MIN }), value("expires_at")),
        (json!({ "expires_at": "tomorrow" }), json),
        // A word that is misspelled must not make a key that may do more.
        (json!({ "ip_allowed": ["10.0.0.0/8"] }), json),
        (json!({ "created_by": "user_0190163d8694739b9c1a6b0c1b5c0000" }), json),
        (json!({ "last_four": "abcd" }), json),
    ]
}

#[tokio::test]
async fn each_fault_in_a_key_has_its_code_and_names_its_field() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let (key, _) = make(&edge, &ada, "", json!({ "name": "é".repeat(200) })).await;
    let stored = async || -> Vec<String> {
        let rows = edge.db.connect().await.query("select to_jsonb(k)::text from api_keys k", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let before = stored().await;
    let check = async |method: Method, path: &str, body: &Value, expected: (u16, &str, Option<&str>)| {
        let answer = edge.api(&ada, method.clone(), path, body.clone()).await;
        assert_eq!(answer.header("content-type"), "application/problem+json", "{body}");
        let problem = answer.json();
        let told = (answer.status.as_u16(), problem["code"].as_str().unwrap(), problem["param"].as_str());
        assert_eq!(told, expected, "{method} {body}: {}", answer.text());
    };
    let change = format!("/keys/{}", key.id);
    for (fault, expected) in faults(edge.now().0) {
        check(Method::POST, "/keys", &named(&fault), expected).await;
        check(Method::PATCH, &change, &fault, expected).await;
    }
    let mixed = (400, "scopes_mixed", Some("scopes"));
    for (body, expected) in [
        (json!({}), (400, "invalid_json", None)),
        (json!([]), (400, "invalid_json", None)),
        (named(&json!({ "scopes": [] })), (422, "invalid_value", Some("scopes"))),
        (named(&json!({ "scopes": ["models:use", "keys:read"] })), mixed),
        (named(&json!({ "scopes": ["keys:fly"] })), (400, "invalid_json", None)),
        (named(&json!({ "environment": "prod" })), (400, "invalid_json", None)),
        (named(&json!({ "disabled": true })), (400, "invalid_json", None)),
    ] {
        check(Method::POST, "/keys", &body, expected).await;
    }
    // What a key is for, and its label, are fixed.
    for body in [json!({ "scopes": ["keys:read"] }), json!({ "environment": "test" })] {
        check(Method::PATCH, &change, &body, (400, "invalid_json", None)).await;
    }
    let rotate = format!("{change}/rotate");
    for seconds in [-1, 604_801, i64::MAX] {
        let body = json!({ "overlap_seconds": seconds });
        check(Method::POST, &rotate, &body, (422, "invalid_value", Some("overlap_seconds"))).await;
    }
    for id in ["key_0190163d8694739b9c1a6b0c1b5c0000", "none", "org_0190163d8694739b9c1a6b0c1b5c0000", "%00"] {
        for (method, path, body) in [
            (Method::GET, format!("/keys/{id}"), Value::Null),
            (Method::PATCH, format!("/keys/{id}"), json!({ "name": "x" })),
            (Method::DELETE, format!("/keys/{id}"), Value::Null),
            (Method::POST, format!("/keys/{id}/rotate"), json!({})),
        ] {
            check(method, &path, &body, (404, "key_not_found", None)).await;
        }
    }
    assert_eq!(stored().await, before);
}
