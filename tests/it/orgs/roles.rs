//! Roles of an organisation's own, and its OAuth clients: neither holds more than its maker may.

use super::{done, refused, verdict, within};
use nest_tests::{TestEdge, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shared::id::OrgId;

async fn with_admin(edge: &TestEdge) -> (OrgId, Person, Person) {
    let owner = edge.person("owner@example.com").await;
    let org = edge.org(&owner, "Engines").await;
    let admin = edge.person("admin@example.com").await;
    edge.enrol(org, &admin, "admin").await;
    (org, owner, admin)
}

/// Checklist 57.
#[tokio::test]
async fn a_role_or_client_holds_no_permission_that_its_maker_lacks() {
    let edge = TestEdge::start(&[]).await;
    let (org, owner, admin) = with_admin(&edge).await;
    for (permissions, expected) in [
        (json!(["keys:read"]), done(201)),
        (json!(["billing:write"]), refused(403, "beyond_own_permissions")),
        (json!(["keys:read", "org:delete"]), refused(403, "beyond_own_permissions")),
        (json!([]), refused(422, "invalid_value")),
        (json!(["keys:fly"]), refused(400, "invalid_json")),
        (json!("keys:read"), refused(400, "invalid_json")),
    ] {
        for path in ["/roles", "/clients"] {
            let body = json!({ "name": "Some", "permissions": permissions });
            let answer = within(&edge, &admin, Method::POST, org, path, body).await;
            assert_eq!(verdict(&answer), expected, "{path} {permissions}");
        }
    }
    // Nor is a role raised beyond that, nor one changed that is beyond already.
    let weak = edge.own_role(&owner, org, "Weak", &["keys:read"]).await;
    let strong = edge.own_role(&owner, org, "Strong", &["billing:write"]).await;
    let beyond = refused(403, "beyond_own_permissions");
    for (role, body) in [
        (weak, json!({ "permissions": ["billing:write"] })),
        (strong, json!({ "permissions": ["keys:read"] })),
        (strong, json!({ "name": "Harmless" })),
    ] {
        let answer = within(&edge, &admin, Method::PATCH, org, &format!("/roles/{role}"), body.clone()).await;
        assert_eq!(verdict(&answer), beyond, "{body}");
    }
    let deleted = within(&edge, &admin, Method::DELETE, org, &format!("/roles/{strong}"), Value::Null).await;
    assert_eq!(verdict(&deleted), beyond);
}

#[tokio::test]
async fn a_role_that_is_in_use_stays() {
    let edge = TestEdge::start(&[]).await;
    let (org, owner, admin) = with_admin(&edge).await;
    let role = edge.own_role(&owner, org, "Looking", &["org:read"]).await;
    let delete = async || {
        let answer = within(&edge, &owner, Method::DELETE, org, &format!("/roles/{role}"), Value::Null).await;
        verdict(&answer)
    };
    edge.enrol(org, &admin, &role.to_string()).await;
    assert_eq!(delete().await, refused(409, "role_in_use"));
    edge.enrol(org, &admin, "admin").await;
    let body = json!({ "email": "new@example.com", "role": role });
    let invited = within(&edge, &owner, Method::POST, org, "/invitations", body).await;
    assert_eq!(verdict(&invited), done(201));
    assert_eq!(delete().await, refused(409, "role_in_use"));
    let invitation = invited.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/invitations/{invitation}");
    assert_eq!(within(&edge, &owner, Method::DELETE, org, &path, Value::Null).await.status, 204);
    assert_eq!(delete().await, done(204));
    // It is gone for everyone, and its name is free again.
    assert_eq!(delete().await, refused(404, "role_not_found"));
    assert_eq!(super::give(&edge, &owner, org, &admin, &role.to_string()).await, refused(404, "role_not_found"));
    edge.own_role(&owner, org, "Looking", &["org:read"]).await;
    let twice = json!({ "name": "Looking", "permissions": ["org:read"] });
    let twice = within(&edge, &owner, Method::POST, org, "/roles", twice).await;
    assert_eq!(verdict(&twice), refused(409, "role_name_taken"));
}

#[tokio::test]
async fn permissions_and_built_in_roles_are_listed() {
    let edge = TestEdge::start(&[]).await;
    let (org, owner, _) = with_admin(&edge).await;
    let all: Value = edge.get("/api/v1/permissions").send().await.unwrap().json().await.unwrap();
    let ids: Vec<_> = all["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    let known: Vec<_> = shared::permission::Permission::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(ids, known);
    assert_eq!(all["data"][0]["text"], "See the organisation itself.");
    let roles = within(&edge, &owner, Method::GET, org, "/roles", Value::Null).await.json();
    let owner = &roles["data"][0];
    assert_eq!((owner["id"].as_str(), owner["built_in"].as_bool()), (Some("owner"), Some(true)));
    assert_eq!(owner["permissions"].as_array().unwrap().len(), known.len());
}

#[tokio::test]
async fn the_secret_of_a_client_is_shown_once_and_stored_as_a_hash() {
    let edge = TestEdge::start(&[]).await;
    let (org, owner, _) = with_admin(&edge).await;
    let body = json!({ "name": "Deploy", "permissions": ["keys:read"] });
    let made = within(&edge, &owner, Method::POST, org, "/clients", body).await;
    assert_eq!(verdict(&made), done(201));
    let secret = made.json()["client_secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("nest_secret_") && secret.len() >= 55);
    let id = made.json()["client_id"].as_str().unwrap().to_owned();
    let listed = within(&edge, &owner, Method::GET, org, "/clients", Value::Null).await;
    assert_eq!(listed.json()["data"][0]["client_id"], id.as_str());
    assert!(!listed.text().contains("secret"), "{}", listed.text());
    let client = edge.db.connect().await;
    let row = client.query_one("select secret_hash, oauth_clients::text from oauth_clients", &[]).await.unwrap();
    assert_eq!(row.get::<_, Vec<u8>>(0), Sha256::digest(secret.as_bytes()).to_vec());
    assert!(!row.get::<_, String>(1).contains(&secret));
    let path = format!("/clients/{id}");
    assert_eq!(within(&edge, &owner, Method::DELETE, org, &path, Value::Null).await.status, 204);
    let again = within(&edge, &owner, Method::DELETE, org, &path, Value::Null).await;
    assert_eq!(verdict(&again), refused(404, "client_not_found"));
    let listed = within(&edge, &owner, Method::GET, org, "/clients", Value::Null).await;
    assert_eq!(listed.json()["data"], json!([]));
}
