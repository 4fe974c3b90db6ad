//! What a token must say, whoever has signed it.

use super::*;
use crate::root::Root;
use serde_json::{Value, json};

const OURS: &str = "https://nest.example.com";
const NOW: i64 = 1_800_000_000;

fn key() -> Key {
    Key::derive(&Root::new(&"a secret of ours".into()), 7)
}

fn good() -> Value {
    json!({
        "iss": OURS, "aud": OURS, "sub": "user_00000000000000000000000000000001", "jti": "x",
        "iat": NOW, "nbf": NOW, "exp": NOW + LIFE_S, "client_id": "nest", "scope": "all",
        "sid": "sess_00000000000000000000000000000002", "ver": 1, "auth_time": NOW, "amr": ["pwd"], "acr": "aal1",
    })
}

/// Signs anything at all.
fn signed(key: &Key, claims: &str) -> String {
    let signed = format!("{}.{}", key.header, BASE64URL.encode(claims));
    format!("{signed}.{}", BASE64URL.encode(key.pair.sk.sign(&signed, None).as_slice()))
}

fn read(claims: &Value, now: i64) -> Result<(), AuthError> {
    let key = key();
    let text = signed(&key, &claims.to_string());
    open(&[key], OURS, now, &text).map(drop)
}

/// Checklist 31.
#[test]
fn a_claim_that_is_missing_or_wrong_spoils_the_token() {
    assert_eq!(read(&good(), NOW), Ok(()));
    let needed = ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "client_id", "scope", "sid", "ver"];
    for name in needed {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(read(&claims, NOW), Err(AuthError::InvalidToken), "no {name}");
    }
    for (name, wrong) in [
        ("iss", json!("https://nest.example.com/")),
        ("iss", json!("HTTPS://nest.example.com")),
        ("iss", json!(null)),
        ("aud", json!("https://elsewhere.example.com")),
        ("aud", json!([OURS, "https://elsewhere.example.com"])),
        ("sub", json!("client_00000000000000000000000000000001")),
        ("sub", json!("")),
        ("sid", json!("user_00000000000000000000000000000001")),
        ("sid", json!(null)),
        ("ver", json!("1")),
        ("iat", json!("now")),
        ("exp", json!(1e300)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(u64::MAX)),
        ("iat", json!(i64::MIN)),
        ("nbf", json!(i64::MAX)),
    ] {
        let mut claims = good();
        claims[name] = wrong.clone();
        assert_eq!(read(&claims, NOW), Err(AuthError::InvalidToken), "{name}: {wrong}");
    }
}

/// Checklist 31.
#[test]
fn a_token_lives_ten_minutes_and_clocks_may_differ_by_half_a_minute() {
    for (since, answer) in [
        (-31, Err(AuthError::InvalidToken)),
        (-30, Ok(())),
        (0, Ok(())),
        (LIFE_S, Ok(())),
        (LIFE_S + 29, Ok(())),
        (LIFE_S + 30, Err(AuthError::ExpiredToken)),
        (LIFE_S * 1_000, Err(AuthError::ExpiredToken)),
    ] {
        assert_eq!(read(&good(), NOW + since), answer, "{since} s after it was signed");
    }
    for life in [LIFE_S + 1, 86_400, 0, -1] {
        let mut claims = good();
        claims["exp"] = json!(NOW + life);
        assert_eq!(read(&claims, NOW), Err(AuthError::InvalidToken), "a life of {life} s");
    }
    // Too old is said of a token only that is right in all else.
    let mut elsewhere = good();
    elsewhere["aud"] = json!("https://elsewhere.example.com");
    assert_eq!(read(&elsewhere, NOW + LIFE_S * 2), Err(AuthError::InvalidToken));
}

/// Checklist 30.
#[test]
fn claims_that_are_said_twice_are_not_read() {
    for name in ["iss", "sub", "exp", "sid", "scope"] {
        let text = good().to_string();
        let twice = format!("{{\"{name}\":{},{}", good()[name], &text[1..]);
        let key = key();
        let token = signed(&key, &twice);
        assert_eq!(open(&[key], OURS, NOW, &token).map(drop), Err(AuthError::InvalidToken), "{name}");
    }
}

#[test]
fn a_client_speaks_for_itself_and_for_no_session() {
    let client = "client_00000000000000000000000000000003";
    let mut claims = good();
    for name in ["sid", "ver", "auth_time", "amr", "acr"] {
        claims.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(read(&claims, NOW), Err(AuthError::InvalidToken), "the subject is a person");
    claims["sub"] = json!(client);
    assert_eq!(read(&claims, NOW), Err(AuthError::InvalidToken), "the subject is another client");
    claims["client_id"] = json!(client);
    assert_eq!(read(&claims, NOW), Ok(()));
}
