//! One organisation's statements never reach another's rows, whatever id they are given.

use edge_core::{keys::NewKey, sql::statements};
use nest_tests::{TestEdge, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    id::{ClientId, InvitationId, KeyId, OrgId, RoleId},
    permission::Permissions,
};
use std::collections::BTreeMap;
use tokio_postgres::{Client, types::ToSql};

type Params = Vec<Box<dyn ToSql + Sync>>;

/// What a statement must not do with rows of another organisation.
enum Wall {
    /// It answers with this outcome.
    Says(&'static str),
    /// It gives none of them.
    Hides,
    /// It gives no row at all.
    Nothing,
}

/// What the other organisation has.
struct Theirs {
    member: Person,
    role: RoleId,
    invitation: InvitationId,
    client: ClientId,
    key: KeyId,
}

/// An organisation with one of everything.
async fn furnished(edge: &TestEdge, name: &str) -> (OrgId, Person, Theirs) {
    let owner = edge.person(&format!("{name}@example.com")).await;
    let org = edge.org(&owner, name).await;
    let member = edge.person(&format!("{name}.member@example.com")).await;
    let role = edge.own_role(&owner, org, "Looking", &["org:read"]).await;
    edge.enrol(org, &member, &role.to_string()).await;
    let make = async |path: &str, body: Value| {
        let made = edge.api(&owner, Method::POST, &format!("/orgs/{org}{path}"), body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()
    };
    let body = json!({ "email": format!("{name}.new@example.com"), "role": role });
    let invitation = make("/invitations", body).await["id"].as_str().unwrap().parse().unwrap();
    let client = make("/clients", json!({ "name": "Deploy", "permissions": ["org:read"] })).await;
    let client = client["client_id"].as_str().unwrap().parse().unwrap();
    let key = edge.key_of(NewKey::inference(org, "ci")).await.id;
    (org, owner, Theirs { member, role, invitation, client, key })
}

/// Everything that an organisation has, as its rows say.
async fn rows(client: &Client, org: OrgId) -> BTreeMap<&'static str, String> {
    let mut all = BTreeMap::new();
    for table in ["memberships", "org_roles", "invitations", "oauth_clients", "api_keys"] {
        let dump = format!(
            "select coalesce(jsonb_agg(t order by t::text), '[]')::text from {table} t where org_id = $1::text::uuid"
        );
        all.insert(table, client.query_one(&dump, &[&org.uuid().to_string()]).await.unwrap().get(0));
    }
    all
}

fn uuid(id: impl std::fmt::Display) -> Box<dyn ToSql + Sync> {
    let text = id.to_string();
    Box::new(uuid::Uuid::try_parse(text.split_once('_').unwrap().1).unwrap().to_string())
}

fn text(text: impl Into<String>) -> Box<dyn ToSql + Sync> {
    Box::new(text.into())
}

/// Checklist 58: each statement of these tables, asked by an organisation's owner for what is another's.
#[tokio::test]
async fn no_statement_crosses_from_one_organisation_to_another() {
    let edge = TestEdge::start(&[]).await;
    let (ours, owner, own) = furnished(&edge, "ours").await;
    let (theirs, _, foreign) = furnished(&edge, "theirs").await;
    let all = Permissions::all().to_string();
    let standing = || {
        text(
            json!({
                "org": ours.uuid(), "user_id": owner.user_id.uuid(), "role": "owner", "permissions": all,
                "roles": "owner admin billing member viewer", "all": true, "at_ms": edge.now().0,
            })
            .to_string(),
        )
    };
    let entry = || text(json!({ "at_ms": 0, "actor_kind": "user", "action": "orgs.attack" }).to_string());
    let none = || Box::new(None::<String>) as Box<dyn ToSql + Sync>;
    let number = |it: i64| Box::new(it) as Box<dyn ToSql + Sync>;
    let given = json!({
        "id": uuid::Uuid::from_u128(7), "email": "x@example.com", "role": "custom", "custom_role": foreign.role.uuid(),
        "token_hash": "00".repeat(32), "expires_ms": 1,
    });
    let (no_text, far) = (|| Box::new(None::<String>) as Box<dyn ToSql + Sync>, || text("models:use keys:read"));
    let hash = || Box::new(vec![7_u8; 32]) as Box<dyn ToSql + Sync>;
    let later = || Box::new(Some(i64::MAX / 2)) as Box<dyn ToSql + Sync>;
    let letter = json!({ "id": uuid::Uuid::from_u128(8), "recipient": "x", "template": "x", "sealed": "", "at_ms": 0 });
    let cases: Vec<(&str, Params, Wall)> = vec![
        ("orgs::members::sql::MEMBERS", vec![uuid(ours), none(), number(99)], Wall::Hides),
        (
            "orgs::members::sql::CHANGE",
            vec![standing(), uuid(foreign.member.user_id), text("viewer"), none(), entry()],
            Wall::Says("no_member"),
        ),
        (
            "orgs::members::sql::CHANGE",
            vec![standing(), uuid(own.member.user_id), text("custom"), uuid(foreign.role), entry()],
            Wall::Says("no_role"),
        ),
        (
            "orgs::members::sql::REMOVE",
            vec![standing(), uuid(foreign.member.user_id), entry()],
            Wall::Says("no_member"),
        ),
        ("orgs::roles::sql::ROLES", vec![uuid(ours)], Wall::Hides),
        (
            "orgs::roles::sql::CHANGE",
            vec![standing(), uuid(foreign.role), text("Mine"), none(), entry()],
            Wall::Says("no_role"),
        ),
        ("orgs::roles::sql::DELETE", vec![standing(), uuid(foreign.role), entry()], Wall::Says("no_role")),
        ("orgs::invitations::sql::OPEN_INVITATIONS", vec![uuid(ours), number(0), none(), number(99)], Wall::Hides),
        (
            "orgs::invitations::sql::INVITE",
            vec![standing(), text(given.to_string()), entry(), text(letter.to_string())],
            Wall::Says("no_role"),
        ),
        (
            "orgs::invitations::sql::REVOKE",
            vec![standing(), uuid(foreign.invitation), entry()],
            Wall::Says("no_invitation"),
        ),
        (
            "keys::manage::sql::OF_ORG",
            vec![number(0), uuid(ours), no_text(), no_text(), no_text(), no_text(), number(99)],
            Wall::Hides,
        ),
        ("keys::manage::sql::ONE", vec![number(0), uuid(ours), uuid(foreign.key)], Wall::Hides),
        ("keys::manage::sql::ENVIRONMENT", vec![uuid(ours), uuid(foreign.key)], Wall::Nothing),
        (
            "keys::manage::sql::CHANGE",
            vec![standing(), uuid(foreign.key), far(), text(r#"{"name":"Mine"}"#), entry()],
            Wall::Says("no_key"),
        ),
        (
            "keys::manage::sql::ROTATE",
            vec![standing(), uuid(foreign.key), far(), hash(), text("mine"), later(), entry()],
            Wall::Says("no_key"),
        ),
        ("keys::manage::sql::REVOKE", vec![standing(), uuid(foreign.key), far(), entry()], Wall::Says("no_key")),
        ("auth::oauth::sql::ORG_CLIENTS", vec![uuid(ours), none(), number(99)], Wall::Hides),
        ("auth::oauth::sql::REVOKE_CLIENT", vec![uuid(foreign.client), uuid(ours), number(0), entry()], Wall::Hides),
    ];
    // What names no object that could be another's: the organisation itself, or a token that only one person has.
    let exempt = [
        "sql::LIST",
        "sql::OF_PERSON",
        "sql::ORG",
        "sql::FOUND",
        "sql::RENAME",
        "orgs::sql::DELETE",
        "orgs::limits::LIMITS",
        "orgs::limits::SET",
        "ROLES::ADD",
        "roles::sql::ADD",
        "INVITED",
        "ACCEPT",
        "JOIN",
        "keys::manage::sql::CREATE",
        // For whoever runs `nest`.
        "keys::manage::sql::EVERY",
    ];
    let known: Vec<_> = statements()
        .into_iter()
        // Operators see every organisation.
        .filter(|it| {
            let ours = it.name.contains("::orgs::") && !it.name.contains("::operate::");
            ours || it.name.contains("::keys::manage::")
                || it.name.ends_with("::ORG_CLIENTS")
                || it.name.ends_with("oauth::sql::REVOKE_CLIENT")
        })
        .collect();
    assert!(known.len() >= cases.len());
    for statement in &known {
        let placed = cases.iter().any(|(name, ..)| statement.name.ends_with(name))
            || exempt.iter().any(|it| statement.name.ends_with(it));
        assert!(placed, "say here what {} does with another organisation's ids", statement.name);
    }
    let client = edge.db.connect().await;
    let before = rows(&client, theirs).await;
    for (name, params, wall) in cases {
        let statement =
            known.iter().find(|it| it.name.ends_with(name)).unwrap_or_else(|| panic!("no statement {name}"));
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|it| &**it).collect();
        let found = client.query(statement.sql, &params).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        match wall {
            Wall::Says(outcome) => assert_eq!(found[0].get::<_, String>(0), outcome, "{name}"),
            Wall::Nothing => assert!(found.is_empty(), "{name}"),
            Wall::Hides => {
                let shown: Vec<String> = found.iter().map(|row| row.get(0)).collect();
                for id in [
                    uuid_text(foreign.member.user_id),
                    uuid_text(foreign.role),
                    uuid_text(foreign.invitation),
                    uuid_text(foreign.client),
                    uuid_text(foreign.key),
                ] {
                    assert!(!shown.contains(&id), "{name} shows {id}");
                }
            }
        }
    }
    assert_eq!(rows(&client, theirs).await, before);
}

fn uuid_text(id: impl std::fmt::Display) -> String {
    uuid::Uuid::try_parse(id.to_string().split_once('_').unwrap().1).unwrap().to_string()
}

/// Checklist 58: where a statement is wrong, the schema refuses.
#[tokio::test]
async fn the_schema_keeps_a_role_within_its_organisation() {
    let edge = TestEdge::start(&[]).await;
    let (ours, owner, _) = furnished(&edge, "ours").await;
    let (_, _, foreign) = furnished(&edge, "theirs").await;
    let (ours, role, user) =
        (ours.uuid().to_string(), foreign.role.uuid().to_string(), owner.user_id.uuid().to_string());
    let client = edge.db.connect().await;
    for statement in [
        "update memberships set role = 'custom', custom_role = $2::text::uuid where org_id = $1::text::uuid and user_id = $3::text::uuid",
        "insert into invitations (id, org_id, email, role, custom_role, token_hash, invited_by, created_at, expires_at)
         values (gen_random_uuid(), $1::text::uuid, 'x@example.com', 'custom', $2::text::uuid, sha256('x'), $3::text::uuid, now(), now())",
    ] {
        let error = client.execute(statement, &[&ours, &role, &user]).await.unwrap_err();
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("23503"), "{error:?}");
    }
}
