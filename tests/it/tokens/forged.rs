//! None of the forged tokens gets in.

use super::{
    forgeries::{self, Known},
    me,
};
use futures_util::{StreamExt as _, stream};
use nest_tests::{
    Mint, TestEdge,
    answer::unless_busy,
    edge::OPERATOR,
    mint,
    oauth::{As, form},
};
use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::json;

/// Requests at a time.
const AT_ONCE: usize = 8;

/// Checklist 30: at least 300 of them, at both doors that read tokens; each is refused as what it is, and none upsets
/// the edge.
#[tokio::test]
async fn no_forged_token_gets_in() {
    let edge = TestEdge::start(&[]).await;
    let (ada, bob) = (edge.person("ada@example.com").await, edge.person("bob@example.com").await);
    let platform = edge.oauth_client(None, "").await;
    let own = Mint::of(&edge, 0);
    // What is forged differs from a good token in what the forgery is about, and in nothing else.
    assert_eq!(me(&edge, &own.token(&mint::claims(&ada.access_token))).await.status, 200);
    assert_eq!(own.header(), header_of(&ada.access_token));
    for published in [Mint::of(&edge, -1), Mint::of(&edge, 1)] {
        assert_eq!(me(&edge, &published.token(&mint::claims(&ada.access_token))).await.status, 200);
    }
    let (past, future) = (Mint::of(&edge, -2), Mint::of(&edge, 2));
    let known = Known { good: &ada.access_token, other: &bob.access_token, own: &own, unpublished: [&past, &future] };
    let all = forgeries::all(&known);
    assert!(all.len() >= 300, "{}", all.len());
    let tries = all.iter().filter(|(_, token)| *token != ada.access_token && *token != bob.access_token);
    let wrong: Vec<String> = stream::iter(tries)
        .map(async |(name, token)| {
            let answer = me(&edge, token).await;
            let asked = [("token", token.as_str())];
            let told = unless_busy(async || edge.oauth("introspect", As::Basic(&platform), &asked).await).await;
            let refused = answer.status == 401 && answer.code() == "invalid_token";
            let inactive = told.status == 200 && told.json() == json!({ "active": false });
            (!refused || !inactive).then(|| format!("{name}: {} {}: {token}", answer.status, told.text()))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |it| it)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), all.len());
    assert_eq!(me(&edge, &ada.access_token).await.status, 200);
}

fn header_of(token: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

/// Checklist 30: a token of 10 MB is refused before anything reads it.
#[tokio::test]
async fn a_huge_token_is_refused_unread() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let platform = edge.oauth_client(None, "").await;
    let own = Mint::of(&edge, 0);
    let huge = |bytes: usize| {
        let mut claims = mint::claims(&person.access_token);
        claims["padding"] = json!("x".repeat(bytes));
        own.token(&claims)
    };
    assert_eq!(me(&edge, &huge(1_000)).await.status, 200, "what is a little longer is a good token");
    assert_eq!(me(&edge, &huge(8_000)).await.status, 401);
    let token = huge(10_000_000);
    let sent = edge.request(Method::GET, "/api/v1/me").header(AUTHORIZATION, format!("Bearer {token}")).send().await;
    // A host may hang up on such a header, or say what is wrong with it.
    if let Ok(answer) = sent {
        assert!(answer.status().is_client_error(), "{}", answer.status());
    }
    let told = edge.post("/api/v1/auth/introspect").basic_auth(platform.id.to_string(), Some(&platform.secret));
    let told = told.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(&[("token", &token)]));
    // An answer before the end of a body may be lost when the host closes what still brings it.
    if let Ok(answer) = told.send().await {
        assert_eq!(answer.status(), 413);
    }
    assert_eq!(me(&edge, &person.access_token).await.status, 200);
}

/// Of two headers, a proxy in front may have judged the other.
#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let good = format!("Bearer {}", person.access_token);
    for (first, second) in [(good.as_str(), "Bearer x"), ("Bearer x", good.as_str()), (&good, &good)] {
        let request =
            edge.request(Method::GET, "/api/v1/me").header(AUTHORIZATION, first).header(AUTHORIZATION, second);
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
}

/// Checklist 31: what each claim must say, over HTTP; the unit tests of `auth::token` have the finer table.
#[tokio::test]
async fn a_claim_that_is_missing_or_wrong_spoils_the_token() {
    let edge = TestEdge::start(&[]).await;
    let (ada, bob) = (edge.person("ada@example.com").await, edge.person("bob@example.com").await);
    let own = Mint::of(&edge, 0);
    let good = mint::claims(&ada.access_token);
    let now = edge.now().as_seconds();
    for name in ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "client_id", "scope", "sid", "ver"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(me(&edge, &own.token(&claims)).await.code(), "invalid_token", "no {name}");
    }
    for (name, value, code) in [
        ("iss", json!("https://elsewhere.example"), "invalid_token"),
        ("aud", json!("https://elsewhere.example"), "invalid_token"),
        ("sub", mint::claims(&bob.access_token)["sub"].clone(), "invalid_token"),
        ("sid", json!("sess_00000000000070008000000000000000"), "session_ended"),
        ("ver", json!(0), "expired_token"),
        ("ver", json!(2), "expired_token"),
        ("exp", json!(now + 601 + 60), "invalid_token"),
        ("exp", json!(now + 86_400), "invalid_token"),
        ("iat", json!(now + 120), "invalid_token"),
        ("nbf", json!(now + 120), "invalid_token"),
    ] {
        let mut claims = good.clone();
        claims[name] = value.clone();
        assert_eq!(me(&edge, &own.token(&claims)).await.code(), code, "{name}: {value}");
    }
}

/// Checklist 31: by the edge's own clock.
#[tokio::test]
async fn a_token_lives_ten_minutes_and_half_a_minute_of_leeway() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let own = Mint::of(&edge, 0);
    let claims = mint::claims(&person.access_token);
    edge.advance_ms(600_000);
    assert_eq!(me(&edge, &person.access_token).await.status, 200);
    edge.advance_ms(31_000);
    assert_eq!(me(&edge, &person.access_token).await.code(), "expired_token");
    // The same session under a token whose time has not come.
    let begins = |seconds: i64| {
        let mut claims = claims.clone();
        let at = edge.now().as_seconds() + seconds;
        (claims["iat"], claims["nbf"], claims["exp"]) = (json!(at), json!(at), json!(at + 600));
        own.token(&claims)
    };
    assert_eq!(me(&edge, &begins(20)).await.status, 200);
    assert_eq!(me(&edge, &begins(40)).await.code(), "invalid_token");
}
