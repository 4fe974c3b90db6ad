//! What the official libraries of Stripe sign, our verifier takes; and nothing beside it.

use edge_core::billing::stripe::signature::{SignatureError, TOLERANCE_MS, verify};
use nest_tests::{Script, npm, python};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::time::Timestamp;

const AT_S: i64 = 1_790_000_000;
/// By each library.
const CASES: usize = 100;

/// Payloads of every kind of text that JSON may hold, under several secrets and at several times.
fn cases() -> Vec<Value> {
    let texts =
        ["", "plain", "ümläut €", "\u{1f985}", "line\nbreak", "\"quoted\"", "a,v1=b,t=1", "\u{200f}rtl", "%2e%00", " "];
    let secrets = ["whsec_a", "whsec_0123456789abcdefghijklmnopqrstuvwxyz0123456789", "whsec_+/=", "x"];
    let case = |number: usize| {
        let text = texts[number % texts.len()].repeat(1 + number * number % 97);
        let at = AT_S + i64::try_from(number).unwrap() * 86_399;
        json!({ "at": at, "payload": json!({ "id": number, "name": text }).to_string(), "secret": secrets[number % secrets.len()] })
    };
    (0..CASES).map(case).collect()
}

async fn holds_for(script: Script) {
    let cases = cases();
    let headers = script.env("CASES", &Value::from(cases.clone()).to_string()).run().await;
    let headers: Vec<&str> = headers.lines().collect();
    assert_eq!(headers.len(), CASES);
    for (case, header) in cases.iter().zip(headers) {
        let (payload, secret) = (case["payload"].as_str().unwrap(), case["secret"].as_str().unwrap());
        let now = Timestamp(case["at"].as_i64().unwrap() * 1_000);
        let secrets = |last: &str| -> Vec<SecretString> { vec!["whsec_before".into(), last.into()] };
        let check =
            |payload: &str, header: &str, secret: &str, now| verify(payload.as_bytes(), header, &secrets(secret), now);
        for off_ms in [-TOLERANCE_MS, 0, TOLERANCE_MS] {
            assert_eq!(check(payload, header, secret, now.plus_ms(off_ms)), Ok(()), "{case}");
        }
        for off_ms in [-TOLERANCE_MS - 1, TOLERANCE_MS + 1] {
            assert_eq!(check(payload, header, secret, now.plus_ms(off_ms)), Err(SignatureError::OutOfTime), "{case}");
        }
        let rolled = format!("{header},v1={}", "0".repeat(64));
        assert_eq!(check(payload, &rolled, secret, now), Ok(()), "one of several");
        for (name, verdict) in [
            ("another byte", check(&payload.replacen('{', "[", 1), header, secret, now)),
            ("one more byte", check(&format!("{payload}\n"), header, secret, now)),
            ("another secret", check(payload, header, "whsec_other", now)),
            ("no secret", verify(payload.as_bytes(), header, &[], now)),
            ("another time", check(payload, &header.replacen("t=1", "t=2", 1), secret, now)),
        ] {
            assert_eq!(verdict, Err(SignatureError::Mismatch), "{name}: {case}");
        }
        let other_scheme = header.replace("v1=", "v2=");
        assert_eq!(check(payload, &other_scheme, secret, now), Err(SignatureError::Malformed), "{case}");
    }
}

/// Checklist 89: a hundred cases by the official Python library.
#[tokio::test]
async fn what_python_signs_counts() {
    holds_for(python::script("stripe_signatures.py")).await;
}

/// Checklist 89: and a hundred by that for Node.
#[tokio::test]
async fn what_node_signs_counts() {
    holds_for(npm::script("stripe_signatures.mjs")).await;
}
