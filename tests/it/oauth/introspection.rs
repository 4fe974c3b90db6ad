//! What others may know of a token (RFC 7662).

use super::{given, refusal};
use nest_tests::{OauthClient, TestEdge, edge::OPERATOR, mint, oauth::As};
use serde_json::{Value, json};
use shared::id::OrgId;

const GRANT: [(&str, &str); 1] = [("grant_type", "client_credentials")];

async fn told(edge: &TestEdge, caller: &OauthClient, token: &str) -> Value {
    let answer =
        edge.oauth("introspect", As::Basic(caller), &[("token", token), ("token_type_hint", "nonsense")]).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"), "{}", answer.text());
    answer.json()
}

/// Checklist 36.
#[tokio::test]
async fn the_platform_s_client_sees_what_each_token_is_worth() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let (platform, client) =
        (edge.oauth_client(None, "").await, edge.oauth_client(Some(person.org_id), "keys:read").await);
    let issuer = edge.config.public_url.clone();

    let access = told(&edge, &platform, &person.access_token).await;
    let claims = mint::claims(&person.access_token);
    for name in
        ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "client_id", "scope", "sid", "auth_time", "amr", "acr"]
    {
        assert!(!claims[name].is_null() && access[name] == claims[name], "{name}: {access}");
    }
    assert_eq!((&access["active"], &access["token_type"]), (&json!(true), &json!("Bearer")));

    let refresh = told(&edge, &platform, &person.refresh_token).await;
    assert_eq!((&refresh["active"], &refresh["iss"], &refresh["sub"]), (&json!(true), &json!(issuer), &claims["sub"]));
    let days = (refresh["exp"].as_i64().unwrap() * 1_000 - edge.now().0) / 86_400_000;
    assert!((13..=14).contains(&days) && refresh["token_type"].is_null(), "{refresh}");

    let own = given(&edge.oauth("token", As::Basic(&client), &GRANT).await, "access_token");
    let own = told(&edge, &platform, &own).await;
    assert_eq!((&own["active"], &own["sub"], &own["scope"]), (&json!(true), &json!(client.id), &json!("keys:read")));

    // A permission that the client has lost is not in its tokens any more.
    let token = given(&edge.oauth("token", As::Basic(&client), &GRANT).await, "access_token");
    let fewer = "update oauth_clients set scope = 'usage:read' where org_id is not null";
    edge.db.connect().await.batch_execute(fewer).await.unwrap();
    assert_eq!(told(&edge, &platform, &token).await["scope"], "");
}

/// Checklist 36: of what is worth nothing, nothing else is told.
#[tokio::test]
async fn a_token_that_is_worth_nothing_is_inactive_and_nothing_else() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let platform = edge.oauth_client(None, "").await;
    let nothing = json!({ "active": false });
    let key = edge.key().await.text;
    let cut = &person.access_token[..person.access_token.len() - 2];
    for rubbish in ["x", "nest_refresh_AAAA", &key, &platform.secret, cut, &"x".repeat(60_000)] {
        assert_eq!(told(&edge, &platform, rubbish).await, nothing, "{}", &rubbish[..rubbish.len().min(80)]);
    }
    let database = edge.db.connect().await;
    for (end, back) in [
        ("update users set suspended_at = now()", "update users set suspended_at = null"),
        ("update sessions set ended_at = now()", "update sessions set ended_at = null"),
        (
            "update sessions set idle_until = now() - interval '1 h'",
            "update sessions set idle_until = now() + interval '1 d'",
        ),
        (
            "update sessions set expires_at = now() - interval '1 h'",
            "update sessions set expires_at = now() + interval '1 d'",
        ),
    ] {
        database.batch_execute(end).await.unwrap();
        for token in [&person.access_token, &person.refresh_token] {
            assert_eq!(told(&edge, &platform, token).await, nothing, "{end}");
        }
        database.batch_execute(back).await.unwrap();
        assert_eq!(told(&edge, &platform, &person.refresh_token).await["active"], true, "{back}");
    }
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", person.refresh_token.as_str())];
    given(&edge.oauth("token", As::Nest, &refresh).await, "access_token");
    assert_eq!(told(&edge, &platform, &person.refresh_token).await, nothing, "it was turned");
    database.batch_execute("update users set version = version + 1").await.unwrap();
    assert_eq!(told(&edge, &platform, &person.access_token).await, nothing, "it is of an older version");
    edge.advance_ms(630_000);
    assert_eq!(told(&edge, &platform, &person.access_token).await, nothing, "it is too old");
}

/// Checklist 36.
#[tokio::test]
async fn an_organisation_s_client_sees_its_own_organisation_s_clients_alone() {
    let edge = TestEdge::start(&[]).await;
    let (ada, bob) = (edge.person("ada@example.com").await, edge.person("bob@example.com").await);
    let made = async |org: OrgId| edge.oauth_client(Some(org), "keys:read").await;
    let (first, second, foreign) = (made(ada.org_id).await, made(ada.org_id).await, made(bob.org_id).await);
    let platform = edge.oauth_client(None, "usage:read").await;
    let token =
        async |client: &OauthClient| given(&edge.oauth("token", As::Basic(client), &GRANT).await, "access_token");
    for (of, seen) in [(&first, true), (&second, true), (&foreign, false), (&platform, false)] {
        let told = told(&edge, &first, &token(of).await).await;
        if seen {
            assert_eq!((&told["active"], &told["sub"]), (&json!(true), &json!(of.id)));
        } else {
            assert_eq!(told, json!({ "active": false }));
        }
    }
    // A person's session belongs to nobody's organisation, unless it was opened through a client of one.
    assert_eq!(told(&edge, &first, &ada.access_token).await, json!({ "active": false }));
    let through = "update sessions set client_id = $1 where user_id = (select id from users where email = $2)";
    edge.db.connect().await.execute(through, &[&second.id.to_string(), &ada.email]).await.unwrap();
    for (caller, seen) in [(&first, true), (&foreign, false), (&platform, true)] {
        for token in [&ada.access_token, &ada.refresh_token] {
            assert_eq!(told(&edge, caller, token).await["active"], seen);
        }
    }
    for who in [As::Nest, As::Form] {
        let answer = edge.oauth("introspect", who, &[("token", &ada.access_token)]).await;
        assert_eq!(refusal(&answer), (401, "invalid_client".to_owned()));
    }
}
