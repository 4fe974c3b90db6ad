//! Ids of others: what is not one's own does not exist, to the byte.

use super::{full_path, world};
use edge_core::{Principal as Needs, Route, routes};
use nest_tests::{Answer, TestEdge, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use shared::id::{OrgId, RequestId};
use std::collections::BTreeMap;

/// Parameters that name no object of a person or an organisation: which, and what they name.
const NO_OBJECTS: &[(&str, &str)] =
    &[("{*model}", "a model that the platform serves"), ("{provider}", "an OpenID provider of the platform")];

/// The smallest body with which a route gets as far as looking its object up; `{}` for all others.
fn body(route: &Route) -> Value {
    match (route.method.as_str(), route.path) {
        ("PATCH", "/orgs/{org}") => json!({ "name": "Taken over" }),
        ("PATCH", "/orgs/{org}/members/{user}") => json!({ "role": "viewer" }),
        ("PATCH", "/orgs/{org}/roles/{role}") => json!({ "name": "Taken over" }),
        ("POST", "/orgs/{org}/invitations") => json!({ "email": "mole@example.com", "role": "viewer" }),
        ("POST", "/orgs/{org}/roles" | "/orgs/{org}/clients") => json!({ "name": "Mole", "permissions": ["org:read"] }),
        ("PUT", "/orgs/{org}/members/{user}/spend") => json!({ "spend": null }),
        ("PATCH", "/keys/{key}") => json!({ "name": "Taken over" }),
        _ => json!({}),
    }
}

/// An organisation with one of everything, by parameter.
struct Furnished {
    owner: Person,
    org: OrgId,
    objects: BTreeMap<&'static str, String>,
}

async fn furnished(edge: &TestEdge, name: &str) -> Furnished {
    let owner = edge.person(&format!("{name}@example.com")).await;
    let org = edge.org(&owner, name).await;
    let member = edge.person(&format!("{name}.member@example.com")).await;
    edge.enrol(org, &member, "member").await;
    let role = edge.own_role(&owner, org, "Looking", &["org:read"]).await;
    let make = async |path: &str, body: Value, field: &str| {
        let made = edge.api(&owner, Method::POST, &format!("/orgs/{org}{path}"), body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()[field].as_str().unwrap().to_owned()
    };
    let invitation = json!({ "email": format!("{name}.new@example.com"), "role": "viewer" });
    let client = json!({ "name": "Deploy", "permissions": ["org:read"] });
    let sessions = edge.api(&owner, Method::GET, "/auth/sessions", Value::Null).await.json();
    let key = edge.api(&owner, Method::POST, &format!("/keys?org_id={org}"), json!({ "name": "ci" })).await;
    assert_eq!(key.status, 201, "{}", key.text());
    let passkey = "
        insert into passkeys (id, user_id, credential_id, credential, name, created_at)
        values (gen_random_uuid(), $1::text::uuid, $2, '', 'key', now()) returning replace(id::text, '-', '')";
    let (rows, owner_id) = (edge.db.connect().await, owner.user_id.uuid().to_string());
    let passkey: String = rows.query_one(passkey, &[&owner_id, &name.as_bytes()]).await.unwrap().get(0);
    let call = "
        insert into usage (request_id, org_id, key_id, endpoint, model, stream, status, outcome, prompt_tokens,
            completion_tokens, cached_tokens, reasoning_tokens, tokens_source, started_at, latency_ms)
        select gen_random_uuid(), org_id, id, 'chat.completions', 'm', false, 200, 'completed', 1, 1, 0, 0, 'upstream',
            now(), 1
        from api_keys where org_id = $1::text::uuid returning request_id::text";
    let call: String = rows.query_one(call, &[&org.uuid().to_string()]).await.unwrap().get(0);
    let objects = BTreeMap::from([
        ("{generation}", RequestId::from_uuid(call.parse().unwrap()).to_string()),
        ("{user}", member.user_id.to_string()),
        ("{role}", role.to_string()),
        ("{passkey}", format!("passkey_{passkey}")),
        ("{key}", key.json()["id"].as_str().unwrap().to_owned()),
        ("{organisation}", org.to_string()),
        ("{invitation}", make("/invitations", invitation, "id").await),
        ("{client}", make("/clients", client, "client_id").await),
        ("{session}", sessions["data"][0]["id"].as_str().unwrap().to_owned()),
    ]);
    Furnished { owner, org, objects }
}

/// The path with `org`, there or in the query, and with what `object` says for every other parameter.
fn filled(route: &Route, org: &str, object: impl Fn(&str) -> String) -> String {
    let parts = full_path(route);
    let parts = parts.split('/').map(|part| match part {
        "{org}" => org.to_owned(),
        part if part.starts_with('{') => object(part),
        part => part.to_owned(),
    });
    let by_query = matches!(route.access.principal, Needs::Member(_)) && !super::names_org(route);
    let query = if by_query { format!("?org_id={org}") } else { String::new() };
    parts.collect::<Vec<_>>().join("/") + &query
}

/// Status, headers and body, without what differs from call to call.
async fn face(edge: &TestEdge, person: &Person, route: &Route, path: &str) -> (u16, Vec<(String, String)>, String) {
    let request = edge.by(person, route.method.clone(), path);
    let request = if route.method == Method::GET { request } else { request.json(&body(route)) };
    let answer = Answer::read(request.send().await.unwrap()).await;
    let id = answer.header("x-request-id").to_owned();
    let headers = answer.headers.iter().filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (answer.status.as_u16(), headers, answer.text().replace(&id, "req_…"))
}

/// Checklist 55: over every route that names something.
#[tokio::test]
async fn what_is_another_s_looks_as_if_it_were_not_there() {
    let edge = TestEdge::start(&[]).await;
    let (ours, theirs) = (furnished(&edge, "ours").await, furnished(&edge, "theirs").await);
    let before = dump(&edge, theirs.org).await;
    let (own, foreign) = (ours.org.to_string(), theirs.org.to_string());
    let another = |parameter: &str| match theirs.objects.get(parameter) {
        Some(id) => id.clone(),
        None if NO_OBJECTS.iter().any(|(it, _)| *it == parameter) => "none".to_owned(),
        None => panic!("say in `furnished` what another's {parameter} is, or in NO_OBJECTS why there is none"),
    };
    let mut compared = 0;
    for route in routes().iter().filter(|it| it.path.contains('{')) {
        let name = format!("{} {}", route.method, route.path);
        // Another organisation, with all that it has, and none at all.
        if matches!(route.access.principal, Needs::Member(_)) {
            let other = face(&edge, &ours.owner, route, &filled(route, &foreign, another)).await;
            let none =
                face(&edge, &ours.owner, route, &filled(route, "org_0190163d8694739b9c1a6b0c1b5c0000", another)).await;
            let no_id = face(&edge, &ours.owner, route, &filled(route, "none", another)).await;
            assert_eq!(other.0, 404, "{name}: {}", other.2);
            assert_eq!(other, none, "{name}");
            assert_eq!(other, no_id, "{name}");
            compared += 1;
        }
        // One's own organisation, or oneself, with what is another's.
        if route.path.split('/').any(|it| it.starts_with('{') && it != "{org}") {
            let other = face(&edge, &ours.owner, route, &filled(route, &own, another)).await;
            let none = face(&edge, &ours.owner, route, &filled(route, &own, world::unknown)).await;
            let no_id = face(&edge, &ours.owner, route, &filled(route, &own, |_| "none".to_owned())).await;
            assert!(!(200..300).contains(&other.0), "{name}: {} {}", other.0, other.2);
            assert_eq!(other, none, "{name}");
            assert_eq!(other, no_id, "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared}");
    assert_eq!(dump(&edge, theirs.org).await, before, "nothing of theirs has changed");
}

/// Every row of an organisation but its audit log, to which nothing may have been added either.
async fn dump(edge: &TestEdge, org: OrgId) -> Vec<String> {
    let client = edge.db.connect().await;
    let mut rows = Vec::new();
    for table in ["memberships", "org_roles", "invitations", "oauth_clients", "api_keys", "audit_log"] {
        let all = format!(
            "select (to_jsonb(t) - 'seq' - 'mac')::text from {table} t where org_id = $1::text::uuid order by 1"
        );
        rows.extend(client.query(&all, &[&org.uuid().to_string()]).await.unwrap().iter().map(|row| row.get(0)));
    }
    rows
}
