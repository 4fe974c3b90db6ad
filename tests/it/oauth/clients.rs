//! Clients that act in their own name, and how they are made.

use super::{audited, given, me, refusal};
use crate::NEST;
use nest_tests::{OauthClient, TestEdge, edge::OPERATOR, lasting, mint, oauth::As, program::Nest};
use serde_json::json;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

/// Checklist 36.
#[tokio::test]
async fn a_client_gets_tokens_for_what_it_may_do_and_no_more() {
    let edge = TestEdge::start(&[]).await;
    let org = edge.log_in(OPERATOR).await.org_id;
    let client = edge.oauth_client(Some(org), "keys:read usage:read").await;
    for (asked, granted) in [
        (None, Some("keys:read usage:read")),
        (Some("usage:read"), Some("usage:read")),
        (Some(""), Some("keys:read usage:read")),
        (Some("keys:write"), None),
        (Some("usage:read keys:write"), None),
        (Some("all"), None),
        (Some("nonsense"), None),
    ] {
        let scope = asked.map(|it| ("scope", it));
        let fields: Vec<_> = [GRANT].into_iter().chain(scope).collect();
        for who in [As::Basic(&client), As::Post(&client)] {
            let answer = edge.oauth("token", who, &fields).await;
            let Some(granted) = granted else {
                assert_eq!(refusal(&answer), (400, "invalid_scope".to_owned()), "{asked:?}");
                continue;
            };
            assert_eq!(given(&answer, "scope"), granted, "{asked:?}");
            assert_eq!(answer.json()["refresh_token"], json!(null));
            let claims = mint::claims(&given(&answer, "access_token"));
            assert_eq!((&claims["sub"], &claims["scope"]), (&json!(client.id), &json!(granted)));
            assert!(claims["sid"].is_null(), "{claims}");
        }
    }
    assert_eq!(audited(&edge, "auth.client_token").await, 6);
    let token = given(&edge.oauth("token", As::Basic(&client), &[GRANT]).await, "access_token");
    assert_eq!(me(&edge, &token).await, 403, "a client is no person");
}

/// Checklist 36 and 37: whatever is wrong with a client, the answer is the same.
#[tokio::test]
async fn a_client_that_is_not_who_it_says_gets_one_answer() {
    let edge = TestEdge::start(&[]).await;
    let org = edge.log_in(OPERATOR).await.org_id;
    let good = edge.oauth_client(Some(org), "keys:read").await;
    let other = edge.oauth_client(Some(org), "keys:read").await;
    let with = |id: String, secret: &str| OauthClient { id: id.parse().unwrap(), secret: secret.to_owned() };
    let cases = [
        with(good.id.to_string(), &other.secret),
        with(good.id.to_string(), ""),
        with(good.id.to_string(), &good.secret[..good.secret.len() - 1]),
        with(good.id.to_string(), &format!("{} ", good.secret)),
        with(good.id.to_string(), &good.secret.to_uppercase()),
        with("client_00000000000070008000000000000000".to_owned(), &good.secret),
    ];
    let mut bodies = Vec::new();
    for case in &cases {
        for who in [As::Basic(case), As::Post(case)] {
            for endpoint in ["token", "revoke", "introspect"] {
                let answer = edge.oauth(endpoint, who, &[GRANT, ("token", "x")]).await;
                assert_eq!(refusal(&answer), (401, "invalid_client".to_owned()), "{endpoint}");
                assert!(answer.header("www-authenticate").starts_with("Basic "), "{:?}", answer.headers);
                bodies.push(answer.body);
            }
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    // Our own client has no secret: one that brings a secret is another.
    let with_secret = [GRANT, ("client_id", "nest"), ("client_secret", "x")];
    assert_eq!(refusal(&edge.oauth("token", As::Form, &with_secret).await).1, "invalid_client");
    assert_eq!(refusal(&edge.oauth("token", As::Nest, &[GRANT]).await).1, "unauthorized_client");
}

#[tokio::test]
async fn a_client_ends_with_its_organisation_or_when_it_is_revoked() {
    let edge = TestEdge::start(&[]).await;
    let org = edge.log_in(OPERATOR).await.org_id;
    let caller = edge.oauth_client(None, "").await;
    let database = edge.db.connect().await;
    for (end, back) in [
        (
            "update oauth_clients set revoked_at = now() where org_id is not null",
            "update oauth_clients set revoked_at = null",
        ),
        ("update orgs set suspended_at = now()", "update orgs set suspended_at = null"),
        ("update orgs set deleted_at = now()", "update orgs set deleted_at = null"),
    ] {
        let client = edge.oauth_client(Some(org), "keys:read").await;
        let token = given(&edge.oauth("token", As::Basic(&client), &[GRANT]).await, "access_token");
        let active =
            async || edge.oauth("introspect", As::Basic(&caller), &[("token", &token)]).await.json()["active"].clone();
        assert_eq!(active().await, true);
        database.batch_execute(end).await.unwrap();
        assert_eq!(
            refusal(&edge.oauth("token", As::Basic(&client), &[GRANT]).await),
            (401, "invalid_client".to_owned())
        );
        assert_eq!(active().await, false, "{end}");
        database.batch_execute(back).await.unwrap();
        assert_eq!(active().await, true);
    }
}

/// Checklist 36: the platform's own clients are made at the command line, and their secret is shown once.
#[tokio::test]
async fn the_platform_s_clients_are_made_listed_and_revoked_by_nest() {
    let edge = TestEdge::start(&[]).await;
    let nest = async |line: &str| {
        let nest = Nest::new(NEST, &lasting::folder("cli"), line);
        nest.env("DATABASE_URL", edge.db.url()).run().await
    };
    let made = nest("admin client create --name gateway --scope models:use --json").await.json();
    let client = OauthClient {
        id: made["id"].as_str().unwrap().parse().unwrap(),
        secret: made["secret"].as_str().unwrap().to_owned(),
    };
    assert!(client.secret.starts_with("nest_secret_"), "{made}");
    given(&edge.oauth("token", As::Basic(&client), &[GRANT]).await, "access_token");
    let listed = nest("admin client ls --json").await;
    assert_eq!(listed.json()[0]["id"], made["id"]);
    assert!(!listed.stdout.contains(&client.secret), "a list shows no secret");
    let stored = "select count(*) from oauth_clients where secret_hash = sha256($1::text::bytea)";
    let stored: i64 = edge.db.connect().await.query_one(stored, &[&client.secret]).await.unwrap().get(0);
    assert_eq!(stored, 1);
    let revoke = format!("admin client revoke {}", client.id);
    nest(&revoke).await.ok();
    assert_eq!(nest(&revoke).await.code, 1);
    assert_eq!(refusal(&edge.oauth("token", As::Basic(&client), &[GRANT]).await).1, "invalid_client");
    assert_eq!((audited(&edge, "auth.client_created").await, audited(&edge, "auth.client_revoked").await), (1, 1));
    for wrong in ["admin client create", "admin client create --name x --scope keys:fly"] {
        assert_eq!(nest(wrong).await.code, 2, "{wrong}");
    }
}
