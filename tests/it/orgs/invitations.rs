//! Invitations: a token in a mail, which works once, for its address, while whoever sent it could have sent it.

use super::{acts, done, give, refused, verdict, within};
use futures_util::future::join_all;
use nest_tests::{Answer, TestEdge, edge::PASSWORD, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use shared::id::OrgId;

async fn invite(edge: &TestEdge, by: &Person, org: OrgId, email: &str, role: &str) -> Answer {
    within(edge, by, Method::POST, org, "/invitations", json!({ "email": email, "role": role })).await
}

async fn accept(edge: &TestEdge, by: &Person, token: &str) -> (u16, String) {
    verdict(&edge.api(by, Method::POST, "/invitations/accept", json!({ "token": token })).await)
}

async fn join(edge: &TestEdge, token: &str) -> Answer {
    let body = json!({ "token": token, "password": PASSWORD, "name": "New Comer" });
    Answer::read(edge.post("/api/v1/invitations/join").json(&body).send().await.unwrap()).await
}

async fn role_of(edge: &TestEdge, org: OrgId, email: &str) -> Option<String> {
    let role = "
        select role from memberships join users on users.id = memberships.user_id
        where memberships.org_id = $1::text::uuid and users.email = $2";
    let row = edge.db.connect().await.query_opt(role, &[&org.uuid().to_string(), &email]).await.unwrap();
    row.map(|it| it.get(0))
}

async fn founded(edge: &TestEdge) -> (OrgId, Person) {
    let owner = edge.person("owner@example.com").await;
    (edge.org(&owner, "Engines").await, owner)
}

#[tokio::test]
async fn an_invitation_makes_whoever_has_the_address_a_member_once() {
    let edge = TestEdge::start(&[]).await;
    let (org, owner) = founded(&edge).await;
    let (bob, eve) = (edge.person("bob@example.com").await, edge.person("eve@example.com").await);
    let invited = invite(&edge, &owner, org, " Bob@Example.com ", "billing").await;
    assert_eq!(verdict(&invited), done(201));
    let token = edge.invitation_token("bob@example.com").await;
    assert!(!invited.text().contains(&token), "only the mail holds the token");
    let listed = within(&edge, &owner, Method::GET, org, "/invitations", Value::Null).await;
    assert_eq!((listed.json()["data"].as_array().unwrap().len(), listed.text().contains(&token)), (1, false));
    assert_eq!(accept(&edge, &eve, &token).await, refused(409, "invitation_for_another"));
    assert_eq!(role_of(&edge, org, "eve@example.com").await, None);
    assert_eq!(accept(&edge, &bob, &token).await, done(200));
    assert_eq!(role_of(&edge, org, "bob@example.com").await.as_deref(), Some("billing"));
    assert_eq!(accept(&edge, &bob, &token).await, refused(400, "invalid_invitation"));
    assert_eq!(verdict(&invite(&edge, &owner, org, "bob@example.com", "viewer").await), refused(409, "already_member"));
    let acts = acts(&edge, org).await;
    assert_eq!(acts, ["orgs.founded", "orgs.member_invited", "orgs.invitation_accepted"]);
}

#[tokio::test]
async fn an_invitation_ends_in_many_ways() {
    let edge = TestEdge::start(&[]).await;
    let (org, owner) = founded(&edge).await;
    let admin = edge.person("admin@example.com").await;
    edge.enrol(org, &admin, "admin").await;
    let dead = async |why: &str, token: &str| {
        let bob = edge.log_in("bob@example.com").await;
        assert_eq!(accept(&edge, &bob, token).await, refused(400, "invalid_invitation"), "{why}");
        assert_eq!(verdict(&join(&edge, token).await), refused(400, "invalid_invitation"), "{why}");
    };
    let invited = async |by: &Person| {
        let answer = invite(&edge, by, org, "bob@example.com", "viewer").await;
        assert_eq!(verdict(&answer), done(201));
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        (id, edge.invitation_token("bob@example.com").await)
    };
    edge.make_account("bob@example.com").await;
    dead("never sent", "nest_invitation_AAAA").await;
    dead("of another kind", &owner.refresh_token).await;

    let (_, older) = invited(&owner).await;
    let (id, newer) = invited(&owner).await;
    dead("a newer one is out", &older).await;
    let path = format!("/invitations/{id}");
    assert_eq!(within(&edge, &admin, Method::DELETE, org, &path, Value::Null).await.status, 204);
    dead("taken back", &newer).await;

    let (_, token) = invited(&admin).await;
    assert_eq!(give(&edge, &owner, org, &admin, "viewer").await, done(204));
    dead("its sender is no admin any more", &token).await;

    let (_, token) = invited(&owner).await;
    let suspend = async |at: &str| {
        let change = format!("update orgs set suspended_at = {at} where id = $1::text::uuid");
        edge.db.connect().await.execute(&change, &[&org.uuid().to_string()]).await.unwrap();
    };
    suspend("now()").await;
    dead("the organisation is suspended", &token).await;
    suspend("null").await;
    edge.advance_ms(14 * 86_400_000);
    dead("expired", &token).await;
    assert_eq!(role_of(&edge, org, "bob@example.com").await, None);
}

/// Checklist 57.
#[tokio::test]
async fn nobody_invites_into_a_role_that_is_not_less_than_their_own() {
    let edge = TestEdge::start(&[]).await;
    let (org, owner) = founded(&edge).await;
    let admin = edge.person("admin@example.com").await;
    edge.enrol(org, &admin, "admin").await;
    let strong = edge.own_role(&owner, org, "Paying", &["billing:write"]).await.to_string();
    for role in ["owner", "admin", "billing", &strong] {
        let answer = invite(&edge, &admin, org, "bob@example.com", role).await;
        assert_eq!(verdict(&answer), refused(403, "beyond_own_permissions"), "{role}");
    }
    // Nor does an admin take back what only an owner could have sent.
    let by_owner = invite(&edge, &owner, org, "bob@example.com", "admin").await.json();
    let path = format!("/invitations/{}", by_owner["id"].as_str().unwrap());
    let taken = within(&edge, &admin, Method::DELETE, org, &path, Value::Null).await;
    assert_eq!(verdict(&taken), refused(403, "beyond_own_permissions"));
    let nobody = invite(&edge, &admin, org, "bob@example.com\r\nbcc: all@example.com", "viewer").await;
    assert_eq!(verdict(&nobody), refused(422, "invalid_value"));
}

/// Checklist 17's rule, for the tokens of invitations.
#[tokio::test]
async fn of_many_who_use_a_token_at_once_one_gets_in() {
    let edge = TestEdge::start(&[]).await;
    let (org, owner) = founded(&edge).await;
    let bob = edge.person("bob@example.com").await;
    assert_eq!(invite(&edge, &owner, org, "bob@example.com", "viewer").await.status, 201);
    let token = edge.invitation_token("bob@example.com").await;
    let tries = join_all((0..32).map(|_| accept(&edge, &bob, &token))).await;
    assert_eq!(tries.iter().filter(|it| it.0 == 200).count(), 1, "{tries:?}");
    assert!(tries.iter().all(|it| it.0 == 200 || it.0 == 400), "{tries:?}");
}

#[tokio::test]
async fn an_invitation_makes_the_account_of_someone_who_has_none() {
    let edge = TestEdge::start(&[]).await;
    let (org, owner) = founded(&edge).await;
    assert_eq!(invite(&edge, &owner, org, "new@example.com", "member").await.status, 201);
    let token = edge.invitation_token("new@example.com").await;
    let short = json!({ "token": token, "password": "short" });
    let short = Answer::read(edge.post("/api/v1/invitations/join").json(&short).send().await.unwrap()).await;
    assert_eq!(verdict(&short), refused(422, "password_refused"));
    let tries = join_all((0..4).map(|_| join(&edge, &token))).await;
    let made: Vec<_> = tries.iter().filter(|it| it.status == 201).collect();
    assert_eq!(made.len(), 1, "{:?}", tries.iter().map(verdict).collect::<Vec<_>>());
    assert!(made[0].header("set-cookie").is_empty() && !made[0].text().contains("access_token"), "nobody is logged in");
    let new = edge.log_in("new@example.com").await;
    assert_eq!(made[0].json()["user_id"], new.user_id.to_string());
    let orgs = edge.api(&new, Method::GET, "/orgs", Value::Null).await.json();
    let places: Vec<_> = orgs["data"].as_array().unwrap().iter().collect();
    assert_eq!(places.len(), 2, "{orgs}");
    let own = places.iter().find(|it| it["personal"] == true).unwrap();
    assert_eq!((own["name"].as_str(), own["role"].as_str()), (Some("New Comer"), Some("owner")));
    let joined = places.iter().find(|it| it["id"] == org.to_string()).unwrap();
    assert_eq!(joined["role"], "member");
    // Whoever has an account logs in to it: a token in a mail sets no password of one.
    assert_eq!(invite(&edge, &new, new.org_id, "owner@example.com", "viewer").await.status, 409);
    let theirs = edge.org(&new, "Theirs").await;
    assert_eq!(invite(&edge, &new, theirs, "owner@example.com", "viewer").await.status, 201);
    let token = edge.invitation_token("owner@example.com").await;
    assert_eq!(verdict(&join(&edge, &token).await), refused(409, "email_taken"));
    assert_eq!(accept(&edge, &owner, &token).await, done(200));
}

#[tokio::test]
async fn an_organisation_sends_a_hundred_invitations_a_day() {
    let edge = TestEdge::start(&[]).await;
    let (org, owner) = founded(&edge).await;
    let fill = "
        insert into invitations (id, org_id, email, role, token_hash, created_at, expires_at)
        select gen_random_uuid(), $1::text::uuid, n || '@example.com', 'viewer', sha256(n::text::bytea),
            to_timestamp($2::int8 / 1000.0), to_timestamp($2::int8 / 1000.0) from generate_series(1, 99) n";
    edge.db.connect().await.execute(fill, &[&org.uuid().to_string(), &edge.now().0]).await.unwrap();
    assert_eq!(verdict(&invite(&edge, &owner, org, "a@example.com", "viewer").await), done(201));
    assert_eq!(verdict(&invite(&edge, &owner, org, "b@example.com", "viewer").await), refused(409, "too_many"));
    edge.advance_ms(86_400_001);
    let owner = edge.log_in("owner@example.com").await;
    assert_eq!(verdict(&invite(&edge, &owner, org, "b@example.com", "viewer").await), done(201));
}
