//! `nest admin users`, `operators` and `orgs`, as a person or a script types them.

use crate::NEST;
use nest_tests::{
    Answer, TestDb, TestEdge,
    edge::OPERATOR,
    lasting,
    person::Person,
    program::{Nest, Ran},
};
use reqwest::Method;
use serde_json::{Value, json};

/// Runs `nest admin LINE` on `db`.
async fn nest(db: &TestDb, line: &str) -> Ran {
    let line = format!("admin {line}");
    Nest::new(NEST, &lasting::folder("admin-cli"), &line).env("DATABASE_URL", db.url()).run().await
}

async fn me(edge: &TestEdge, person: &Person) -> u16 {
    Answer::read(edge.by(person, Method::GET, "/api/v1/me").send().await.unwrap()).await.status.as_u16()
}

/// Actions, targets and details of the entries that `nest` has left, oldest first.
async fn entries(db: &TestDb) -> Vec<(String, String, Value)> {
    let all = "
        select action, target, detail from audit_log
        where actor_kind = 'operator' and actor_id is null and action like 'admin.%' order by id";
    let rows = db.connect().await.query(all, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), serde_json::from_str(row.get(2)).unwrap())).collect()
}

#[tokio::test]
async fn a_person_is_found_suspended_and_restored() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let id = ada.user_id.to_string();
    let people = nest(&edge.db, "users ls ADA --json").await.json();
    assert_eq!((people.as_array().unwrap().len(), &people[0]["id"]), (1, &json!(id)));
    for line in ["users ls", "users show ada@example.com", &format!("users show {id} --json")] {
        let shown = nest(&edge.db, line).await;
        assert!(shown.ok().contains(&id) && shown.ok().contains("ada@example.com"), "{line}: {shown:?}");
        assert!(!shown.ok().contains("$argon2"), "{line}: {shown:?}");
    }
    let done = nest(&edge.db, "users suspend Ada@Example.com --reason spam --json").await.json();
    assert_eq!(done, json!({ "id": id, "state": "suspended", "changed": true }));
    assert_eq!(me(&edge, &ada).await, 401);
    let again = nest(&edge.db, &format!("users suspend {id} --reason spam")).await;
    assert!(again.ok().contains("already"), "{again:?}");
    let suspended = nest(&edge.db, "users ls --status suspended --json").await.json();
    assert_eq!((suspended.as_array().unwrap().len(), &suspended[0]["id"]), (1, &json!(id)));
    let orgs = nest(&edge.db, "orgs ls --status suspended --json").await.json();
    assert_eq!(orgs[0]["id"], json!(ada.org_id));
    let restored = nest(&edge.db, &format!("users restore {id}")).await;
    assert!(restored.ok().contains("active"), "{restored:?}");
    assert_eq!(nest(&edge.db, "orgs ls --status suspended --json").await.json(), json!([]));
    nest(&edge.db, &format!("users suspend {id} --reason spam --keep-personal-org")).await.ok();

    let org = ada.org_id.to_string();
    let text = |it: &str| it.to_owned();
    let spam = |personal_org: bool| json!({ "reason": "spam", "personal_org": personal_org });
    let expected = [
        (text("admin.user_suspended"), id.clone(), spam(true)),
        (text("admin.org_suspended"), org.clone(), json!({ "reason": "spam", "with_user": id })),
        (text("admin.user_restored"), id.clone(), json!({})),
        (text("admin.org_restored"), org, json!({ "with_user": id })),
        (text("admin.user_suspended"), id, spam(false)),
    ];
    assert_eq!(entries(&edge.db).await, expected);
}

/// Checklist 43.
#[tokio::test]
async fn a_person_s_sessions_are_listed_and_ended() {
    let edge = TestEdge::start(&[]).await;
    let (first, second) = (edge.person("ada@example.com").await, edge.log_in("ada@example.com").await);
    let listed = nest(&edge.db, "users sessions ada@example.com --json").await.json();
    let newest = listed[0]["id"].as_str().unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(nest(&edge.db, "users sessions ada@example.com").await.ok().contains(newest));
    let ended = nest(&edge.db, &format!("users end-sessions ada@example.com --session {newest} --json")).await.json();
    assert_eq!(ended["ended"], 1);
    assert_eq!(me(&edge, &first).await + me(&edge, &second).await, 200 + 401, "one of both is over");
    let twice = nest(&edge.db, &format!("users end-sessions ada@example.com --session {newest}")).await;
    assert!(twice.code == 1 && twice.stderr.contains("no such session"), "{twice:?}");
    assert_eq!(nest(&edge.db, "users end-sessions ada@example.com --json").await.json()["ended"], 1);
    assert_eq!(me(&edge, &first).await + me(&edge, &second).await, 401 + 401);
    let actions: Vec<String> = entries(&edge.db).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions, ["admin.session_ended", "admin.sessions_ended"]);
}

/// Checklists 44, 57: the right begins with a new session, and the last operator keeps it.
#[tokio::test]
async fn operators_are_made_and_unmade_but_for_the_last() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    for line in [format!("operators revoke {OPERATOR}"), format!("users suspend {OPERATOR} --reason spam")] {
        let refused = nest(&edge.db, &line).await;
        assert!(refused.code == 1 && refused.stderr.contains("last operator"), "{line}: {refused:?}");
    }
    let granted = nest(&edge.db, "operators grant ada@example.com --json").await.json();
    assert_eq!(granted, json!({ "id": ada.user_id, "state": "operator", "changed": true }));
    assert_eq!(me(&edge, &ada).await, 401);
    let again = nest(&edge.db, "operators grant ada@example.com --json").await.json();
    assert_eq!(again["changed"], false);
    assert_eq!(nest(&edge.db, "operators ls --json").await.json().as_array().unwrap().len(), 2);
    nest(&edge.db, &format!("operators revoke {OPERATOR}")).await.ok();
    let listed = nest(&edge.db, "operators ls").await;
    assert!(listed.ok().contains("ada@example.com") && !listed.ok().contains(OPERATOR), "{listed:?}");
    let actions: Vec<String> = entries(&edge.db).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions, ["admin.operator_granted", "admin.operator_revoked"]);
}

#[tokio::test]
async fn an_organisation_is_suspended_and_restored() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let org = ada.org_id;
    assert!(nest(&edge.db, "orgs ls ada@").await.ok().contains(&org.to_string()));
    for (line, state, changed) in [
        ("suspend", "suspended", true),
        ("suspend", "suspended", false),
        ("restore", "active", true),
        ("restore", "active", false),
    ] {
        let reason = if line == "suspend" { " --reason unpaid" } else { "" };
        let done = nest(&edge.db, &format!("orgs {line} {org}{reason} --json")).await.json();
        assert_eq!(done, json!({ "id": org, "state": state, "changed": changed }), "{line}");
    }
    let expected = [
        ("admin.org_suspended".to_owned(), org.to_string(), json!({ "reason": "unpaid" })),
        ("admin.org_restored".to_owned(), org.to_string(), json!({})),
    ];
    assert_eq!(entries(&edge.db).await, expected);
}

#[tokio::test]
async fn who_is_not_there_and_what_makes_no_sense_is_said() {
    let db = TestDb::migrated().await;
    let (nobody, nowhere) = (format!("user_{:032x}", 1), format!("org_{:032x}", 1));
    for (line, code, words) in [
        (format!("users show {nobody}"), 1, "no such user"),
        (format!("users end-sessions {nobody}"), 1, "no such user"),
        (format!("orgs suspend {nowhere} --reason spam"), 1, "no such organisation"),
        ("users show nobody@example.com".to_owned(), 2, "nobody@example.com"),
        (format!("users suspend {OPERATOR}"), 2, "--reason"),
        ("users ls --limit 0".to_owned(), 2, "--limit"),
        ("orgs restore nonsense".to_owned(), 2, "org_"),
    ] {
        let ran = nest(&db, &line).await;
        assert!(ran.code == code && ran.stderr.contains(words), "{line}: {ran:?}");
    }
    assert!(entries(&db).await.is_empty());
}
