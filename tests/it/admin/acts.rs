//! What operators do to people and organisations, and what it leaves in the audit log.

use super::{act, entries, entry, get, me, operated, refused, suspend};
use nest_tests::{
    Answer, TestEdge,
    edge::{OPERATOR, PASSWORD},
    person::Person,
};
use reqwest::Method;
use serde_json::json;

async fn refresh(edge: &TestEdge, person: &Person) -> String {
    let body = json!({ "refresh_token": person.refresh_token });
    let answer = Answer::read(edge.post("/api/v1/auth/refresh").json(&body).send().await.unwrap()).await;
    if answer.status == 200 { "200".to_owned() } else { answer.code() }
}

/// What a member of an organisation is answered there: 200, or the code of the refusal.
async fn in_org(edge: &TestEdge, member: &Person, org: impl ToString) -> String {
    let path = format!("/api/v1/orgs/{}", org.to_string());
    let answer = Answer::read(edge.by(member, Method::GET, &path).send().await.unwrap()).await;
    if answer.status == 200 { "200".to_owned() } else { answer.code() }
}

/// Checklist 33: every session of the person, by whatever token, and log-in, and the person's own organisation.
#[tokio::test]
async fn a_suspension_takes_effect_at_the_next_request_and_ends_as_it_began() {
    let (edge, operator) = operated().await;
    let ada = edge.person("ada@example.com").await;
    let second = edge.log_in("ada@example.com").await;
    suspend(&edge, &operator, ada.user_id).await;
    for session in [&ada, &second] {
        assert_eq!(me(&edge, session).await, "session_ended");
        assert_eq!(refresh(&edge, session).await, "session_ended");
    }
    let log_in = edge.try_log_in("ada@example.com", PASSWORD).await;
    assert_eq!((log_in.status.as_u16(), log_in.code().as_str()), (401, "invalid_credentials"));
    let shown = get(&edge, &operator, &format!("/users/{}", ada.user_id)).await;
    assert!(shown["suspended_at"].is_i64() && shown["live_sessions"] == 0, "{shown}");
    assert!(shown["memberships"][0]["suspended_at"].is_i64(), "{shown}");

    // Again changes nothing, and leaves no entry.
    suspend(&edge, &operator, ada.user_id).await;
    let restore = format!("/users/{}/restore", ada.user_id);
    for _ in 0..2 {
        act(&edge, &operator, Method::POST, &restore, None).await;
    }
    assert_eq!(me(&edge, &ada).await, "session_ended", "an ended session stays so");
    let again = edge.log_in("ada@example.com").await;
    assert_eq!(me(&edge, &again).await, "200");
    assert_eq!(in_org(&edge, &again, ada.org_id).await, "200");

    let with = json!({ "with_user": ada.user_id });
    let spam = json!({ "reason": "spam", "personal_org": true });
    let org_spam = json!({ "reason": "spam", "with_user": ada.user_id });
    assert_eq!(
        entries(&edge).await,
        [
            entry(&operator, "admin.user_suspended", &ada.user_id, None, spam),
            entry(&operator, "admin.org_suspended", &ada.org_id, Some(ada.org_id), org_spam),
            entry(&operator, "admin.user_restored", &ada.user_id, None, json!({})),
            entry(&operator, "admin.org_restored", &ada.org_id, Some(ada.org_id), with),
        ]
    );
}

#[tokio::test]
async fn a_suspension_leaves_other_organisations_alone_and_if_wanted_the_person_s_own() {
    let (edge, operator) = operated().await;
    let ada = edge.person("ada@example.com").await;
    let bob = edge.person("bob@example.com").await;
    let db = edge.db.connect().await;
    let found = "select found_org(gen_random_uuid(), 'Both', $1::text::uuid)::text";
    let both: String = db.query_one(found, &[&ada.user_id.uuid().to_string()]).await.unwrap().get(0);
    let both = shared::id::OrgId::from_uuid(both.parse().unwrap());
    let join = "insert into memberships (org_id, user_id, role) values ($1::text::uuid, $2::text::uuid, 'viewer')";
    for org in [both, ada.org_id] {
        db.execute(join, &[&org.uuid().to_string(), &bob.user_id.uuid().to_string()]).await.unwrap();
    }
    let path = format!("/users/{}/suspend", ada.user_id);
    let keeping = json!({ "reason": "spam", "personal_org": false });
    act(&edge, &operator, Method::POST, &path, Some(keeping)).await;
    assert_eq!(in_org(&edge, &bob, ada.org_id).await, "200");
    act(&edge, &operator, Method::POST, &format!("/users/{}/restore", ada.user_id), None).await;

    suspend(&edge, &operator, ada.user_id).await;
    assert_eq!(in_org(&edge, &bob, ada.org_id).await, "org_suspended");
    assert_eq!(in_org(&edge, &bob, both).await, "200");
    assert_eq!(me(&edge, &bob).await, "200");
}

#[tokio::test]
async fn an_organisation_that_was_suspended_for_itself_stays_so_when_its_person_is_restored() {
    let (edge, operator) = operated().await;
    let ada = edge.person("ada@example.com").await;
    let org = format!("/orgs/{}", ada.org_id);
    act(&edge, &operator, Method::POST, &format!("{org}/suspend"), Some(json!({ "reason": "unpaid" }))).await;
    edge.advance_ms(1);
    suspend(&edge, &operator, ada.user_id).await;
    act(&edge, &operator, Method::POST, &format!("/users/{}/restore", ada.user_id), None).await;
    assert!(get(&edge, &operator, &org).await["suspended_at"].is_i64());
}

/// Checklist 33: at the next request of its members, of its clients and of its keys within five seconds.
#[tokio::test]
async fn a_suspended_organisation_gives_nothing_until_it_is_restored() {
    let (edge, operator) = operated().await;
    let ada = edge.person("ada@example.com").await;
    let key = edge.key().await;
    let models = async || Answer::read(edge.get("/v1/models").bearer_auth(&key.text).send().await.unwrap()).await;
    assert_eq!(models().await.status, 200);
    let spam = json!({ "reason": "spam" });
    // The key is the operator's organisation's.
    for org in [ada.org_id, operator.org_id] {
        for _ in 0..2 {
            act(&edge, &operator, Method::POST, &format!("/orgs/{org}/suspend"), Some(spam.clone())).await;
        }
    }
    assert_eq!(in_org(&edge, &ada, ada.org_id).await, "org_suspended");
    assert_eq!(me(&edge, &ada).await, "200", "the person goes on");
    edge.advance_ms(5_000);
    assert_eq!(models().await.code(), "org_suspended");
    for org in [ada.org_id, operator.org_id] {
        for _ in 0..2 {
            act(&edge, &operator, Method::POST, &format!("/orgs/{org}/restore"), None).await;
        }
    }
    assert_eq!(in_org(&edge, &ada, ada.org_id).await, "200");
    edge.advance_ms(5_000);
    assert_eq!(models().await.status, 200);
    let both = [("admin.org_suspended", spam), ("admin.org_restored", json!({}))];
    let expected = both.iter().flat_map(|(action, detail)| {
        [ada.org_id, operator.org_id].map(|org| entry(&operator, action, &org, Some(org), detail.clone()))
    });
    assert_eq!(entries(&edge).await, expected.collect::<Vec<_>>());
}

/// Checklists 33, 44, 57: the right begins with a new session and ends with the session that has it.
#[tokio::test]
async fn the_operator_s_right_begins_and_ends_with_a_session() {
    let (edge, operator) = operated().await;
    let before = edge.person("ada@example.com").await;
    let right = format!("/users/{}/operator", before.user_id);
    for _ in 0..2 {
        act(&edge, &operator, Method::PUT, &right, Some(json!({ "operator": true }))).await;
    }
    assert_eq!(me(&edge, &before).await, "session_ended");
    assert_eq!(refresh(&edge, &before).await, "session_ended");
    let ada = edge.log_in("ada@example.com").await;
    let operators = get(&edge, &ada, "/users?operator=true").await;
    assert_eq!(operators["data"].as_array().unwrap().len(), 2, "{operators}");

    act(&edge, &operator, Method::PUT, &right, Some(json!({ "operator": false }))).await;
    assert_eq!(refused(&edge, &ada, Method::GET, "/users", None).await, (401, "session_ended".to_owned()));
    let after = edge.log_in("ada@example.com").await;
    assert_eq!(refused(&edge, &after, Method::GET, "/users", None).await, (403, "operator_required".to_owned()));
    assert_eq!(
        entries(&edge).await,
        [
            entry(&operator, "admin.operator_granted", &ada.user_id, None, json!({})),
            entry(&operator, "admin.operator_revoked", &ada.user_id, None, json!({})),
        ]
    );
}

/// Checklist 57.
#[tokio::test]
async fn nobody_suspends_themselves_and_the_last_operator_stays() {
    let (edge, operator) = operated().await;
    let ada = edge.person("ada@example.com").await;
    let own = format!("/users/{}", operator.user_id);
    let (spam, no) = (Some(json!({ "reason": "spam" })), Some(json!({ "operator": false })));
    let suspended = refused(&edge, &operator, Method::POST, &format!("{own}/suspend"), spam.clone()).await;
    assert_eq!(suspended, (409, "own_account".to_owned()));
    let right = format!("{own}/operator");
    assert_eq!(refused(&edge, &operator, Method::PUT, &right, no.clone()).await, (409, "last_operator".to_owned()));

    // One who is suspended could not go on either, and gets no right meanwhile.
    let grant = format!("/users/{}/operator", ada.user_id);
    act(&edge, &operator, Method::PUT, &grant, Some(json!({ "operator": true }))).await;
    suspend(&edge, &operator, ada.user_id).await;
    assert_eq!(refused(&edge, &operator, Method::PUT, &right, no.clone()).await, (409, "last_operator".to_owned()));
    act(&edge, &operator, Method::PUT, &grant, no.clone()).await;
    let granted = refused(&edge, &operator, Method::PUT, &grant, Some(json!({ "operator": true }))).await;
    assert_eq!(granted, (409, "user_suspended".to_owned()));
    assert_eq!(me(&edge, &operator).await, "200");

    // Where another one goes on, an operator may stop being one.
    act(&edge, &operator, Method::POST, &format!("/users/{}/restore", ada.user_id), None).await;
    act(&edge, &operator, Method::PUT, &grant, Some(json!({ "operator": true }))).await;
    act(&edge, &operator, Method::PUT, &right, no).await;
    assert_eq!(me(&edge, &operator).await, "session_ended");
    let ordinary = edge.log_in(OPERATOR).await;
    assert_eq!(refused(&edge, &ordinary, Method::GET, "/users", None).await, (403, "operator_required".to_owned()));
}

/// Checklist 43.
#[tokio::test]
async fn operators_see_and_end_any_session() {
    let (edge, operator) = operated().await;
    let first = edge.person("ada@example.com").await;
    let mut others = Vec::new();
    for _ in 0..3 {
        edge.advance_ms(1);
        others.push(edge.log_in("ada@example.com").await);
    }
    let sessions = format!("/users/{}/sessions", first.user_id);
    let listed = get(&edge, &operator, &sessions).await;
    let ids: Vec<&str> = listed["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4);
    let elsewhere = format!("/users/{}/sessions/{}", operator.user_id, ids[0]);
    let wrong = refused(&edge, &operator, Method::DELETE, &elsewhere, None).await;
    assert_eq!(wrong, (404, "session_not_found".to_owned()));

    let one = format!("{sessions}/{}", ids[0]);
    act(&edge, &operator, Method::DELETE, &one, None).await;
    // Newest first: it is the last log-in's.
    assert_eq!(me(&edge, &others[2]).await, "session_ended");
    assert_eq!(me(&edge, &others[1]).await, "200");
    assert_eq!(refused(&edge, &operator, Method::DELETE, &one, None).await, (404, "session_not_found".to_owned()));

    act(&edge, &operator, Method::DELETE, &sessions, None).await;
    for session in [&first, &others[0], &others[1]] {
        assert_eq!(me(&edge, session).await, "session_ended");
    }
    assert_eq!(get(&edge, &operator, &sessions).await, json!({ "data": [] }));
    assert_eq!(me(&edge, &operator).await, "200");
    let user = json!({ "user": first.user_id });
    assert_eq!(
        entries(&edge).await,
        [
            entry(&operator, "admin.session_ended", &ids[0], None, user),
            entry(&operator, "admin.sessions_ended", &first.user_id, None, json!({})),
        ]
    );
}

#[tokio::test]
async fn what_is_not_there_and_what_makes_no_sense_is_refused_without_a_trace() {
    let (edge, operator) = operated().await;
    let ada = edge.person("ada@example.com").await;
    let (user, org) = (format!("/users/{}", ada.user_id), format!("/orgs/{}", ada.org_id));
    let nobody = format!("/users/user_{:032x}", 1);
    let spam = || Some(json!({ "reason": "spam" }));
    for (method, path, body, expected) in [
        (Method::GET, nobody.clone(), None, (404, "user_not_found")),
        (Method::GET, "/users/nonsense".to_owned(), None, (404, "user_not_found")),
        (Method::GET, format!("{nobody}/sessions"), None, (404, "user_not_found")),
        (Method::DELETE, format!("{nobody}/sessions"), None, (404, "user_not_found")),
        (Method::POST, format!("{nobody}/suspend"), spam(), (404, "user_not_found")),
        (Method::POST, format!("{nobody}/restore"), None, (404, "user_not_found")),
        (Method::PUT, format!("{nobody}/operator"), Some(json!({ "operator": true })), (404, "user_not_found")),
        (Method::DELETE, format!("{user}/sessions/nonsense"), None, (404, "session_not_found")),
        (Method::GET, format!("/orgs/org_{:032x}", 1), None, (404, "org_not_found")),
        (Method::POST, format!("/orgs/org_{:032x}/suspend", 1), spam(), (404, "org_not_found")),
        (Method::POST, "/orgs/nonsense/restore".to_owned(), None, (404, "org_not_found")),
        (Method::POST, format!("{user}/suspend"), None, (400, "invalid_json")),
        (Method::POST, format!("{user}/suspend"), Some(json!({})), (400, "invalid_json")),
        (Method::POST, format!("{user}/suspend"), Some(json!({ "reason": "  " })), (400, "invalid_json")),
        (Method::POST, format!("{user}/suspend"), Some(json!({ "reason": "x", "operator": 1 })), (400, "invalid_json")),
        (Method::POST, format!("{org}/suspend"), Some(json!({ "reason": "a\nb" })), (400, "invalid_json")),
        (Method::PUT, format!("{user}/operator"), Some(json!({ "operator": "yes" })), (400, "invalid_json")),
    ] {
        let (status, code) = refused(&edge, &operator, method, &path, body).await;
        assert_eq!((status, code.as_str()), expected, "{path}");
    }
    assert_eq!(entries(&edge).await, []);
    assert_eq!(me(&edge, &ada).await, "200");
}
