//! What operators find: people, organisations, entries of the audit log.

use super::{get, operated, refused, suspend};
use nest_tests::{TestEdge, person::Person};
use reqwest::Method;
use serde_json::{Value, json};

/// Twenty people who signed up in pairs at the same moment, each with an organisation, oldest first.
const CROWD: &str = "
    insert into users (id, email, name, created_at)
    select ('00000000-0000-7000-8000-0000000001' || to_char(number, 'FM00'))::uuid,
        'crowd' || to_char(number, 'FM00') || '@example.org', 'Person ' || number || ' Zoë', to_timestamp(1000 + number / 2)
    from generate_series(0, 19) number;
    insert into orgs (id, name, created_at)
    select id, 'Club of ' || email, created_at from users where email like 'crowd%';";

/// Every page of `path`, the texts of `field`.
async fn walk(edge: &TestEdge, operator: &Person, path: &str, field: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(edge, operator, &format!("{path}{cursor}")).await;
        let texts = page["data"].as_array().unwrap().iter().map(|it| it[field].as_str().unwrap().to_owned());
        seen.extend(texts);
        let Some(next) = page["next_cursor"].as_str() else { return seen };
        cursor = format!("&cursor={next}");
        // Whoever comes meanwhile is newer than all on the pages that follow.
        edge.make_account(&format!("late{}@example.org", seen.len())).await;
    }
}

#[tokio::test]
async fn pages_of_people_and_organisations_neither_repeat_nor_leave_out() {
    let (edge, operator) = operated().await;
    edge.db.connect().await.batch_execute(CROWD).await.unwrap();
    let newest_first: Vec<String> = (0..20).rev().map(|number| format!("crowd{number:02}@example.org")).collect();
    let seen = walk(&edge, &operator, "/users?query=CROWD&limit=3", "email").await;
    assert_eq!(seen, newest_first);
    let seen = walk(&edge, &operator, "/orgs?query=club%20of&limit=7", "name").await;
    let clubs: Vec<String> = newest_first.iter().map(|it| format!("Club of {it}")).collect();
    assert_eq!(seen, clubs);
    let all = walk(&edge, &operator, "/users?limit=200", "email").await;
    assert!(all.len() > 20 && all.ends_with(&newest_first), "{all:?}");
}

#[tokio::test]
async fn people_are_found_by_address_name_id_state_and_right() {
    let (edge, operator) = operated().await;
    edge.db.connect().await.batch_execute(CROWD).await.unwrap();
    let crowd07 = "user_00000000000070008000000000000107";
    suspend(&edge, &operator, crowd07.parse().unwrap()).await;
    let count =
        async |query: &str| get(&edge, &operator, &format!("/users?{query}")).await["data"].as_array().unwrap().len();
    for (query, expected) in [
        ("query=crowd07", 1),
        ("query=%20Crowd07%40EXAMPLE.org%20", 1),
        ("query=person%207%20ZO%C3%8B", 1),
        (&format!("query={crowd07}"), 1),
        ("query=user_00000000000070008000000000000199", 0),
        ("query=%25", 0),
        ("query=crowd1_", 0),
        ("query=crowd&status=suspended", 1),
        ("query=crowd&status=active", 19),
        ("query=crowd&operator=true", 0),
        ("operator=true", 1),
        ("operator=false&limit=200", 20),
        ("query=", 21),
        ("limit=2", 2),
    ] {
        assert_eq!(count(query).await, expected, "{query}");
    }
    for query in ["status=sleeping", "operator=maybe", "limit=many", "cursor=nonsense", "cursor=org_1"] {
        let answer = refused(&edge, &operator, Method::GET, &format!("/users?{query}"), None).await;
        assert_eq!(answer, (400, "invalid_value".to_owned()), "{query}");
    }
}

/// Everything about an account that operators decide by, and nothing that logs in.
#[tokio::test]
async fn an_account_is_shown_with_what_is_set_up_and_where_it_belongs() {
    let (edge, operator) = operated().await;
    let ada = edge.person("ada@example.com").await;
    let path = format!("/users/{}", ada.user_id);
    let bare = get(&edge, &operator, &path).await;
    assert!(bare["created_at"].is_i64());
    let membership = json!({ "org_id": ada.org_id, "org_name": "ada@example.com", "personal": true, "role": "owner",
        "custom_role": null, "suspended_at": null, "deleted_at": null });
    let mut expected = json!({ "id": ada.user_id, "email": "ada@example.com", "name": "", "operator": false,
        "created_at": bare["created_at"], "suspended_at": null, "has_password": true, "has_totp": false, "passkeys": 0,
        "recovery_codes": 0, "live_sessions": 1, "identities": [], "memberships": [membership] });
    assert_eq!(bare, expected);

    let uuid = ada.user_id.uuid();
    let set_up = format!(
        "insert into totp_secrets (user_id, sealed, created_at, confirmed_at) values ('{uuid}', 'sealed', now(), now());
         insert into recovery_codes (user_id, code_hash, created_at, used_at)
         select '{uuid}', sha256(number::text::bytea), now(), case when number = 1 then now() end
         from generate_series(1, 10) number;
         insert into passkeys (id, user_id, credential_id, credential, name, created_at)
         values ('{uuid}', '{uuid}', 'id', 'public', 'Laptop', now());
         insert into identities (provider, subject, user_id, email, created_at)
         values ('github', '7', '{uuid}', 'x@example.com', now()), ('google', '8', '{uuid}', 'x@example.com', now());
         update orgs set deleted_at = to_timestamp(5) where id = '{}';",
        ada.org_id.uuid()
    );
    edge.db.connect().await.batch_execute(&set_up).await.unwrap();
    for (field, value) in [
        ("has_totp", json!(true)),
        ("passkeys", json!(1)),
        ("recovery_codes", json!(9)),
        ("identities", json!(["github", "google"])),
    ] {
        expected[field] = value;
    }
    expected["memberships"][0]["deleted_at"] = json!(5_000);
    assert_eq!(get(&edge, &operator, &path).await, expected);
    // A session that has run out is none.
    edge.advance_ms(300_000);
    let expire = "update sessions set idle_until = created_at where user_id = $1::text::uuid";
    edge.db.connect().await.execute(expire, &[&uuid.to_string()]).await.unwrap();
    assert_eq!(get(&edge, &operator, &path).await["live_sessions"], 0);
}

#[tokio::test]
async fn organisations_are_found_and_shown_whatever_became_of_them() {
    let (edge, operator) = operated().await;
    let ada = edge.person("ada@example.com").await;
    let db = edge.db.connect().await;
    let make = "
        insert into orgs (id, name, suspended_at, deleted_at)
        values (gen_random_uuid(), 'Asleep', now(), null), (gen_random_uuid(), 'Gone', now(), now())";
    db.batch_execute(make).await.unwrap();
    let names = async |query: &str| {
        let found = get(&edge, &operator, &format!("/orgs?{query}")).await;
        let mut names: Vec<String> =
            found["data"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("").await, ["Asleep", "Gone", "Tests", "ada@example.com"]);
    assert_eq!(names("status=active").await, ["Tests", "ada@example.com"]);
    assert_eq!(names("status=suspended").await, ["Asleep"]);
    assert_eq!(names("status=deleted").await, ["Gone"]);
    assert_eq!(names("query=GO").await, ["Gone"]);
    assert_eq!(names(&format!("query={}", ada.org_id)).await, ["ada@example.com"]);

    let shown = get(&edge, &operator, &format!("/orgs/{}", ada.org_id)).await;
    assert_eq!(
        (&shown["name"], &shown["personal"], &shown["member_count"]),
        (&json!("ada@example.com"), &json!(true), &json!(1))
    );
    let member = &shown["members"][0];
    assert_eq!((&member["email"], &member["role"]), (&json!("ada@example.com"), &json!("owner")));
}

#[tokio::test]
async fn the_audit_log_is_read_by_page_and_filter_and_says_how_far_its_chain_is() {
    let (edge, operator) = operated().await;
    let ada = edge.person("ada@example.com").await;
    for _ in 0..3 {
        let path = format!("/users/{}/sessions", ada.user_id);
        super::act(&edge, &operator, Method::DELETE, &path, None).await;
    }
    suspend(&edge, &operator, ada.user_id).await;
    let actions = async |query: &str| {
        let found = get(&edge, &operator, &format!("/audit?{query}")).await;
        let action = |it: &Value| it["action"].as_str().unwrap().to_owned();
        found["data"].as_array().unwrap().iter().map(action).collect::<Vec<_>>()
    };
    let ended = "admin.sessions_ended";
    assert_eq!(actions("action=admin").await, ["admin.org_suspended", "admin.user_suspended", ended, ended, ended]);
    assert_eq!(actions(&format!("action={ended}&limit=2")).await, [ended, ended]);
    assert_eq!(actions(&format!("org={}", ada.org_id)).await, ["admin.org_suspended"]);
    assert_eq!(actions(&format!("target={}&action=admin.user_suspended", ada.user_id)).await.len(), 1);
    assert_eq!(actions(&format!("actor={}&action=admin", operator.user_id)).await.len(), 5);
    assert_eq!(actions(&format!("actor={}&action=admin", ada.user_id)).await.len(), 0);
    let first = get(&edge, &operator, "/audit?action=admin&limit=4").await;
    let rest = actions(&format!("action=admin&limit=4&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!(rest, [ended]);

    let all: i64 = edge.db.connect().await.query_one("select count(*) from audit_log", &[]).await.unwrap().get(0);
    let status = get(&edge, &operator, "/audit/status").await;
    assert_eq!(status["seq"].as_i64().unwrap() + status["unchained"].as_i64().unwrap(), all, "{status}");
    assert_eq!(status["unchained_since"].is_null(), status["unchained"] == 0, "{status}");
    assert_eq!(status["anchors"], 0, "anchors come by the clock");
}
