//! How requests and answers are written (RFC 6749, sections 3.2 and 5.2; RFC 8414).

use super::{given, refusal};
use nest_tests::{
    Answer, TestEdge,
    oauth::{As, form},
};
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::json;

const FORM: &str = "application/x-www-form-urlencoded";

async fn post(edge: &TestEdge, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = edge.post(&format!("/api/v1/auth/{path}")).header(CONTENT_TYPE, media_type).body(body);
    Answer::read(request.send().await.unwrap()).await
}

/// Checklist 37.
#[tokio::test]
async fn a_request_is_read_strictly_and_refused_in_the_words_of_the_rfc() {
    let edge = TestEdge::start(&[]).await;
    let good = form(&[("grant_type", "refresh_token"), ("client_id", "nest"), ("refresh_token", "x")]);
    let long = format!("{good}&x={}", "x".repeat(70_000));
    for (body, status, error) in [
        (good.as_str(), 400, "invalid_grant"),
        ("", 400, "invalid_request"),
        ("grant_type=", 400, "invalid_request"),
        ("grant_type=refresh_token&client_id=nest", 400, "invalid_request"),
        ("grant_type=refresh_token&client_id=nest&refresh_token=", 400, "invalid_request"),
        ("grant_type=refresh_token&grant_type=refresh_token&client_id=nest&refresh_token=x", 400, "invalid_request"),
        ("grant_type=refresh_token&client_id=nest&refresh_token=x&scope=&scope=", 400, "invalid_request"),
        ("grant_type=refresh_token&client_id=nest&refresh_token=%zz", 400, "invalid_request"),
        ("grant_type=refresh_token&client_id=nest&refresh_token=%FF", 400, "invalid_request"),
        ("grant_type=refresh_token&client_id=nest&refresh_token=%00", 400, "invalid_grant"),
        ("grant_type=refresh_token&client_id=%00&refresh_token=x", 401, "invalid_client"),
        ("grant_type=refresh_token&refresh_token=x", 401, "invalid_client"),
        ("grant_type=implicit&client_id=nest", 400, "unsupported_grant_type"),
        ("grant_type=authorization_code&client_id=nest&code=x", 400, "unsupported_grant_type"),
        ("grant_type=Password&client_id=nest", 400, "unsupported_grant_type"),
        (&long, 413, "body_too_large"),
    ] {
        let answer = post(&edge, "token", FORM, body.to_owned()).await;
        assert_eq!(refusal(&answer), (status, error.to_owned()), "{}", &body[..body.len().min(200)]);
    }
    let with_charset = post(&edge, "token", "Application/X-WWW-Form-urlencoded; charset=UTF-8", good.clone()).await;
    assert_eq!(refusal(&with_charset).1, "invalid_grant");
    for media_type in ["application/json", "text/plain", "multipart/form-data"] {
        assert_eq!(refusal(&post(&edge, "token", media_type, good.clone()).await), (400, "invalid_request".to_owned()));
    }
    assert_eq!(refusal(&post(&edge, "token?client_id=nest", FORM, good.clone()).await).1, "invalid_request");
    assert_eq!(refusal(&post(&edge, "token", FORM, vec![0xff, 0xfe]).await).1, "invalid_request");
    let client = edge.oauth_client(None, "usage:read").await;
    let twice = [("grant_type", "client_credentials"), ("client_secret", client.secret.as_str())];
    assert_eq!(refusal(&edge.oauth("token", As::Basic(&client), &twice).await).1, "invalid_request");
    let other_id = [("grant_type", "client_credentials"), ("client_id", "nest")];
    assert_eq!(refusal(&edge.oauth("token", As::Basic(&client), &other_id).await).1, "invalid_request");
    let bearer = edge.post("/api/v1/auth/token").header(CONTENT_TYPE, FORM).bearer_auth("x").body(good);
    let bearer = Answer::read(bearer.send().await.unwrap()).await;
    assert_eq!(refusal(&bearer), (401, "invalid_client".to_owned()));
}

/// Checklist 37: what is in a Basic header is form-encoded within.
#[tokio::test]
async fn a_basic_header_is_decoded_as_forms_are() {
    let edge = TestEdge::start(&[]).await;
    let client = edge.oauth_client(None, "usage:read").await;
    // Any byte may be written as a percentage.
    let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    for (id, secret) in
        [(client.id.to_string(), client.secret.clone()), (percent(&client.id.to_string()), percent(&client.secret))]
    {
        let request = edge.post("/api/v1/auth/token").basic_auth(id, Some(secret)).header(CONTENT_TYPE, FORM);
        let answer = request.body("grant_type=client_credentials").send().await.unwrap();
        given(&Answer::read(answer).await, "access_token");
    }
}

/// Checklist 34 and 35.
#[tokio::test]
async fn the_metadata_names_this_server_and_what_it_offers_to_others() {
    let url = "https://nest.example.com";
    let edge = TestEdge::start(&[("PUBLIC_URL", url)]).await;
    let answer = edge.request(Method::GET, "/.well-known/oauth-authorization-server").send().await.unwrap();
    let answer = Answer::read(answer).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=3600");
    let told = answer.json();
    assert_eq!(told["issuer"], url);
    for (name, path) in [
        ("token_endpoint", "/api/v1/auth/token"),
        ("revocation_endpoint", "/api/v1/auth/revoke"),
        ("introspection_endpoint", "/api/v1/auth/introspect"),
        ("jwks_uri", "/.well-known/jwks.json"),
    ] {
        assert_eq!(told[name], format!("{url}{path}"), "{name}");
    }
    assert_eq!(told["grant_types_supported"], json!(["client_credentials", "refresh_token"]));
    assert_eq!(told["response_types_supported"], json!([]));
    assert!(!answer.text().contains("password") && !answer.text().contains("implicit"), "{told}");
}
