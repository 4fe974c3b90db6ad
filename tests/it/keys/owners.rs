//! A key is never more than whoever made it, a second after they have become less.

use super::{admitted, by_key, make, verdict};
use edge_core::{keys::NewKey, orgs::Owner};
use nest_tests::{IssuedKey, TestEdge};
use reqwest::Method;
use serde_json::{Value, json};
use shared::{id::ClientId, permission::Permissions};

/// At the origin.
const SETTINGS: &[(&str, &str)] = &[("KEY_CACHE_MS", "1000")];

fn demoted() -> (u16, String) {
    (403, "key_owner_not_permitted".to_owned())
}

/// Checklist 48 and 59: role, membership and account, each taken and given back.
#[tokio::test]
async fn a_key_falls_and_rises_with_its_owner_within_a_second() {
    let edge = TestEdge::start(SETTINGS).await;
    let (ada, bob) = (edge.person("ada@example.com").await, edge.person("bob@example.com").await);
    let org = edge.org(&ada, "Engines").await;
    edge.enrol(org, &bob, "member").await;
    let (key, _) = make(&edge, &bob, &format!("?org_id={org}"), json!({ "name": "bob's" })).await;
    let become_role = async |role: &str| {
        let path = format!("/orgs/{org}/members/{}", bob.user_id);
        let answer = edge.api(&ada, Method::PATCH, &path, json!({ "role": role })).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    };
    let sql = async |statement: &str| edge.db.connect().await.batch_execute(statement).await.unwrap();
    let after_a_second = async |expected: (u16, String), what: &str| {
        edge.advance_ms(1_000);
        assert_eq!(verdict(&edge, &key).await, expected, "{what}");
    };
    assert_eq!(verdict(&edge, &key).await, admitted());
    become_role("viewer").await;
    after_a_second(demoted(), "demoted").await;
    become_role("member").await;
    after_a_second(admitted(), "promoted").await;
    let role = edge.own_role(&ada, org, "Calling", &["models:use"]).await;
    become_role(&role.to_string()).await;
    after_a_second(admitted(), "a role of the organisation's own").await;
    let path = format!("/orgs/{org}/roles/{role}");
    let change = edge.api(&ada, Method::PATCH, &path, json!({ "permissions": ["org:read"] })).await;
    assert!(change.status.is_success(), "{}", change.text());
    after_a_second(demoted(), "the role permits less").await;
    become_role("member").await;
    after_a_second(admitted(), "promoted again").await;
    sql("update users set suspended_at = now() where email = 'bob@example.com'").await;
    after_a_second(demoted(), "suspended").await;
    sql("update users set suspended_at = null where email = 'bob@example.com'").await;
    after_a_second(admitted(), "restored").await;
    let path = format!("/orgs/{org}/members/{}", bob.user_id);
    assert!(edge.api(&ada, Method::DELETE, &path, Value::Null).await.status.is_success());
    after_a_second(demoted(), "removed").await;
    let shown = edge.api(&ada, Method::GET, &format!("/keys/{}?org_id={org}", key.id), Value::Null).await.json();
    assert_eq!((&shown["state"], &shown["permitted"]), (&json!("live"), &json!([])));
    sql("update orgs set deleted_at = now() where name = 'Engines'").await;
    after_a_second((401, "revoked_api_key".to_owned()), "the organisation is gone").await;
}

/// Checklist 48 and 59: what a management key may do is looked at with each call.
#[tokio::test]
async fn a_management_key_loses_what_its_owner_loses() {
    let edge = TestEdge::start(SETTINGS).await;
    let (ada, bob) = (edge.person("ada@example.com").await, edge.person("bob@example.com").await);
    let org = edge.org(&ada, "Engines").await;
    edge.enrol(org, &bob, "admin").await;
    let body = json!({ "name": "ops", "scopes": ["members:read", "audit:read"] });
    let (key, _) = make(&edge, &bob, &format!("?org_id={org}"), body).await;
    let codes = async || {
        let mut codes = Vec::new();
        for path in [format!("/orgs/{org}/members"), format!("/orgs/{org}/audit")] {
            let answer = by_key(&edge, &key, Method::GET, &path, Value::Null).await;
            codes.push(if answer.status == 200 { String::new() } else { answer.code() });
        }
        codes
    };
    assert_eq!(codes().await, ["", ""]);
    edge.enrol(org, &bob, "viewer").await;
    edge.advance_ms(1_000);
    assert_eq!(codes().await, ["", "permission_denied"]);
    let left = "delete from memberships where user_id = (select id from users where email = 'bob@example.com')";
    edge.db.connect().await.batch_execute(left).await.unwrap();
    edge.advance_ms(1_000);
    assert_eq!(codes().await, ["key_owner_not_permitted", "key_owner_not_permitted"]);
}

#[tokio::test]
async fn a_client_s_key_ends_with_the_client() {
    let edge = TestEdge::start(SETTINGS).await;
    let ada = edge.person("ada@example.com").await;
    let path = format!("/orgs/{}/clients", ada.org_id);
    let client = edge.api(&ada, Method::POST, &path, json!({ "name": "Deploy", "permissions": ["models:use"] })).await;
    let id: ClientId = client.json()["client_id"].as_str().unwrap().parse().unwrap();
    let of_client =
        |scopes: Permissions| NewKey { owner: Owner::Client(id), scopes, ..NewKey::inference(ada.org_id, "x") };
    let key = edge.key_of(of_client("models:use".parse().unwrap())).await;
    let beyond = edge.key_of(of_client("keys:read".parse().unwrap())).await;
    assert_eq!(verdict(&edge, &key).await, admitted());
    let list = async |key: &IssuedKey| by_key(&edge, key, Method::GET, "/keys", Value::Null).await;
    assert_eq!(list(&beyond).await.code(), "key_owner_not_permitted");
    let ended = edge.api(&ada, Method::DELETE, &format!("{path}/{id}"), Value::Null).await;
    assert_eq!(ended.status, 204);
    edge.advance_ms(1_000);
    assert_eq!(verdict(&edge, &key).await, demoted());
}
