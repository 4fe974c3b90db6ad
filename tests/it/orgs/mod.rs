//! Organisations: members, roles, invitations, and what nobody may do to whom.

mod invitations;
mod members;
mod roles;
mod tenancy;

use nest_tests::{Answer, TestEdge, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use shared::id::OrgId;

/// Status, and the code of an error.
fn verdict(answer: &Answer) -> (u16, String) {
    let code = if answer.status.is_success() { String::new() } else { answer.code() };
    (answer.status.as_u16(), code)
}

fn done(status: u16) -> (u16, String) {
    (status, String::new())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// A call below an organisation's path.
async fn within(edge: &TestEdge, person: &Person, method: Method, org: OrgId, path: &str, body: Value) -> Answer {
    edge.api(person, method, &format!("/orgs/{org}{path}"), body).await
}

/// Gives `target` the role, as `actor`.
async fn give(edge: &TestEdge, actor: &Person, org: OrgId, target: &Person, role: &str) -> (u16, String) {
    let path = format!("/members/{}", target.user_id);
    verdict(&within(edge, actor, Method::PATCH, org, &path, json!({ "role": role })).await)
}

/// Removes `target`, as `actor`.
async fn remove(edge: &TestEdge, actor: &Person, org: OrgId, target: &Person) -> (u16, String) {
    let path = format!("/members/{}", target.user_id);
    verdict(&within(edge, actor, Method::DELETE, org, &path, Value::Null).await)
}

/// The actions in an organisation's audit log, oldest first.
async fn acts(edge: &TestEdge, org: OrgId) -> Vec<String> {
    let acts = "select action from audit_log where org_id = $1::text::uuid order by id";
    let rows = edge.db.connect().await.query(acts, &[&org.uuid().to_string()]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn an_organisation_is_founded_renamed_and_deleted() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let org = edge.org(&ada, " Engines ").await;
    let shown = within(&edge, &ada, Method::GET, org, "", Value::Null).await.json();
    assert_eq!((shown["name"].as_str(), shown["personal"].as_bool()), (Some("Engines"), Some(false)));
    let renamed = within(&edge, &ada, Method::PATCH, org, "", json!({ "name": "Analytical Engines" })).await;
    assert_eq!(verdict(&renamed), done(204));
    let listed = edge.api(&ada, Method::GET, "/orgs", Value::Null).await.json();
    let names: Vec<_> = listed["data"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"Analytical Engines") && names.len() == 2, "{listed}");

    // What ends an organisation for everyone needs a proof that is fresh.
    edge.advance_ms(300_001);
    let stale = within(&edge, &ada, Method::DELETE, org, "", Value::Null).await;
    assert_eq!(verdict(&stale), refused(403, "reauthentication_required"));
    let ada = edge.log_in("ada@example.com").await;
    assert_eq!(verdict(&within(&edge, &ada, Method::DELETE, org, "", Value::Null).await), done(204));
    let gone = within(&edge, &ada, Method::GET, org, "", Value::Null).await;
    assert_eq!(verdict(&gone), refused(404, "org_not_found"));
    let listed = edge.api(&ada, Method::GET, "/orgs", Value::Null).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(acts(&edge, org).await, ["orgs.founded", "orgs.renamed", "orgs.deleted"]);
}

#[tokio::test]
async fn a_name_is_one_line_of_text() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let long = "é".repeat(201);
    for name in ["", "  ", "a\nb", "a\0b", "\u{7f}", &long] {
        let answer = edge.api(&ada, Method::POST, "/orgs", json!({ "name": name })).await;
        assert_eq!(verdict(&answer), refused(422, "invalid_value"), "{name:?}");
    }
    let answer = edge.api(&ada, Method::POST, "/orgs", json!({ "name": "é".repeat(200) })).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn a_personal_organisation_has_its_person_and_stays() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let own = ada.org_id;
    assert_eq!(verdict(&within(&edge, &ada, Method::DELETE, own, "", Value::Null).await), refused(409, "personal_org"));
    assert_eq!(remove(&edge, &ada, own, &ada).await, refused(409, "personal_org"));
    let invitation = json!({ "email": "bob@example.com", "role": "member" });
    let invited = within(&edge, &ada, Method::POST, own, "/invitations", invitation).await;
    assert_eq!(verdict(&invited), refused(409, "personal_org"));
    assert_eq!(acts(&edge, own).await, [""; 0]);
}

/// A key row for `org`, whose text is one of another organisation.
async fn key_of(edge: &TestEdge, org: OrgId) -> nest_tests::IssuedKey {
    let key = edge.key().await;
    let moved = "update api_keys set org_id = $1::text::uuid where id = $2::text::uuid";
    let (org, id) = (org.uuid().to_string(), key.id.uuid().to_string());
    edge.db.connect().await.execute(moved, &[&org, &id]).await.unwrap();
    key
}

#[tokio::test]
async fn a_suspended_or_deleted_organisation_stops_for_people_and_keys() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let org = edge.org(&ada, "Engines").await;
    let key = key_of(&edge, org).await;
    assert_eq!(crate::keys::verdict(&edge, &key).await, done(200));
    let set = async |change: &str| {
        let change = format!("update orgs set {change} where id = $1::text::uuid");
        edge.db.connect().await.execute(&change, &[&org.uuid().to_string()]).await.unwrap();
        edge.advance_ms(5_000);
    };
    set("suspended_at = now()").await;
    assert_eq!(crate::keys::verdict(&edge, &key).await, refused(403, "org_suspended"));
    let shown = within(&edge, &ada, Method::GET, org, "", Value::Null).await;
    assert_eq!(verdict(&shown), refused(403, "org_suspended"));
    let renamed = within(&edge, &ada, Method::PATCH, org, "", json!({ "name": "X" })).await;
    assert_eq!(verdict(&renamed), refused(403, "org_suspended"));
    // Its member still sees that it is there, and why nothing works.
    let listed = edge.api(&ada, Method::GET, "/orgs", Value::Null).await.json();
    let entry = listed["data"].as_array().unwrap().iter().find(|it| it["id"] == org.to_string()).unwrap().clone();
    assert_eq!(entry["suspended"], true);
    set("suspended_at = null").await;
    assert_eq!(crate::keys::verdict(&edge, &key).await, done(200));
    assert_eq!(verdict(&within(&edge, &ada, Method::DELETE, org, "", Value::Null).await), done(204));
    edge.advance_ms(5_000);
    assert_eq!(crate::keys::verdict(&edge, &key).await, refused(401, "revoked_api_key"));
}

#[tokio::test]
async fn lists_come_in_pages_that_miss_nobody() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let org = edge.org(&ada, "Engines").await;
    for number in 0..6 {
        let email = format!("m{number}@example.com");
        edge.make_account(&email).await;
        let enrol = "
            insert into memberships (org_id, user_id, role)
            select $1::text::uuid, id, 'viewer' from users where email = $2";
        edge.db.connect().await.execute(enrol, &[&org.uuid().to_string(), &email]).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut path = "/members?limit=3".to_owned();
    loop {
        let page = within(&edge, &ada, Method::GET, org, &path, Value::Null).await.json();
        let data = page["data"].as_array().unwrap().clone();
        assert!(data.len() <= 3);
        seen.extend(data.iter().map(|it| it["email"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/members?limit=3&cursor={cursor}");
    }
    seen.sort_unstable();
    let all: Vec<String> =
        ["ada".to_owned()].into_iter().chain((0..6).map(|it| format!("m{it}"))).map(|it| it + "@example.com").collect();
    assert_eq!(seen, all);
    let wrong = within(&edge, &ada, Method::GET, org, "/members?cursor=x", Value::Null).await;
    assert_eq!(verdict(&wrong), refused(400, "invalid_value"));
    let log = within(&edge, &ada, Method::GET, org, "/audit?limit=1", Value::Null).await.json();
    assert_eq!(log["data"][0]["action"], "orgs.founded", "{log}");
}
