//! Keys as people and programs make, change, list and end them.

use super::{admitted, by_key, make, verdict};
use edge_core::keys::find;
use nest_tests::{IssuedKey, Person, TestEdge};
use reqwest::Method;
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

async fn show(edge: &TestEdge, person: &Person, key: &IssuedKey) -> Value {
    let answer = edge.api(person, Method::GET, &format!("/keys/{}", key.id), Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_key_is_made_with_all_that_it_can_have_and_is_shown_once() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let body = json!({
        "name": " nightly ☾ ", "environment": "test", "scopes": ["models:use"], "models": ["llama-*", "m"],
        "ip_allow": ["127.0.0.0/8", "::1", "192.0.2.7"], "expires_at": edge.now().0 + DAY_MS,
        "limits": { "requests_per_minute": 60, "requests_per_day": 1_000, "tokens_per_minute": 6_000, "tokens_per_day": 9, "concurrent": 2 },
        "spend": { "cap_usd": 12.5, "period": "month" },
    });
    let (key, about) = make(&edge, &ada, "", body.clone()).await;
    let found: Vec<_> = find(key.text.as_bytes()).collect();
    assert!(found.len() == 1 && found[0].key_id == key.id && key.text.starts_with("nest_test_"), "{}", key.text);
    for (field, value) in [
        ("name", json!("nightly ☾")),
        ("environment", json!("test")),
        ("kind", json!("inference")),
        ("state", json!("live")),
        ("scopes", json!(["models:use"])),
        ("permitted", json!(["models:use"])),
        ("models", json!(["llama-*", "m"])),
        ("ip_allow", json!(["127.0.0.0/8", "::1/128", "192.0.2.7/32"])),
        ("limits", body["limits"].clone()),
        ("spend", json!({ "cap_usd": "12.5", "period": "month" })),
        ("expires_at", body["expires_at"].clone()),
        ("created_by", json!(ada.user_id)),
        ("created_by_client", Value::Null),
        ("created_by_name", json!("ada@example.com")),
        ("revoked_at", Value::Null),
        ("last_used_at", Value::Null),
        ("month", json!({ "calls": 0, "prompt_tokens": 0, "completion_tokens": 0 })),
        ("org_id", json!(ada.org_id)),
        ("prefix", json!(key.text[..14])),
        ("last_four", json!(key.text[key.text.len() - 4..])),
        ("expires_soon", json!(true)),
        ("unused", json!(false)),
    ] {
        assert_eq!(about[field], value, "{field}");
    }
    assert_eq!(verdict(&edge, &key).await, admitted());

    // Whoever asks later gets all of it but the key.
    let mut shown = about;
    shown.as_object_mut().unwrap().remove("key").unwrap();
    assert_eq!(show(&edge, &ada, &key).await, shown);
    let list = edge.api(&ada, Method::GET, "/keys", Value::Null).await.json();
    assert_eq!(list, json!({ "data": [shown], "next_cursor": null }));
}

#[tokio::test]
async fn what_is_not_said_is_the_usual() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let (key, about) = make(&edge, &ada, "", json!({ "name": "ci" })).await;
    assert!(key.text.starts_with("nest_live_"));
    for (field, value) in [
        ("environment", json!("live")),
        ("scopes", json!(["models:use"])),
        ("models", json!([])),
        ("ip_allow", json!([])),
        ("limits", json!({})),
        ("spend", Value::Null),
        ("expires_at", Value::Null),
        ("expires_soon", json!(false)),
    ] {
        assert_eq!(about[field], value, "{field}");
    }
    // In another organisation of one's own, when the query says so.
    let org = edge.org(&ada, "Engines").await;
    let (_, about) = make(&edge, &ada, &format!("?org_id={org}"), json!({ "name": "ci" })).await;
    assert_eq!((&about["org_id"], &about["org_name"]), (&json!(org), &json!("Engines")));
}

#[tokio::test]
async fn a_change_changes_what_it_names_and_null_clears() {
    let edge = TestEdge::start(&[("KEY_CACHE_MS", "1000")]).await;
    let ada = edge.person("ada@example.com").await;
    let limits = json!({ "requests_per_minute": 5 });
    let spend = json!({ "cap_usd": "1", "period": "total" });
    let expires_at = edge.now().0 + 30 * DAY_MS;
    let body = json!({ "name": "ci", "limits": limits, "spend": spend, "expires_at": expires_at, "models": ["m"] });
    let (key, made) = make(&edge, &ada, "", body).await;
    let change = async |body: Value| {
        let answer = edge.api(&ada, Method::PATCH, &format!("/keys/{}", key.id), body.clone()).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        answer.json()
    };
    let mut expected = made;
    expected.as_object_mut().unwrap().remove("key");
    for (body, fields) in [
        (json!({}), json!({})),
        (json!({ "name": "deploy" }), json!({ "name": "deploy" })),
        (json!({ "limits": { "concurrent": 1 } }), json!({ "limits": { "concurrent": 1 } })),
        (json!({ "limits": {} }), json!({ "limits": {} })),
        (json!({ "models": [] }), json!({ "models": [] })),
        (json!({ "ip_allow": ["10.0.0.0/8"] }), json!({ "ip_allow": ["10.0.0.0/8"] })),
        (json!({ "ip_allow": [] }), json!({ "ip_allow": [] })),
        (
            json!({ "spend": { "cap_usd": 0.000000001, "period": "day" } }),
            json!({ "spend": { "cap_usd": "0.000000001", "period": "day" } }),
        ),
        (json!({ "spend": null }), json!({ "spend": null })),
        (json!({ "expires_at": null }), json!({ "expires_at": null })),
        (json!({ "disabled": true }), json!({ "state": "disabled" })),
        (json!({ "name": "again", "disabled": false }), json!({ "name": "again", "state": "live" })),
    ] {
        expected.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(change(body.clone()).await, expected, "{body}");
        assert_eq!(show(&edge, &ada, &key).await, expected, "{body}");
    }
    // A change counts as soon as a revocation would.
    assert_eq!(verdict(&edge, &key).await, admitted());
    change(json!({ "disabled": true })).await;
    edge.advance_ms(1_000);
    assert_eq!(verdict(&edge, &key).await, (401, "disabled_api_key".to_owned()));
    change(json!({ "disabled": false })).await;
    edge.advance_ms(1_000);
    assert_eq!(verdict(&edge, &key).await, admitted());
    // What has ended stays so.
    for status in [204, 204] {
        assert_eq!(edge.api(&ada, Method::DELETE, &format!("/keys/{}", key.id), Value::Null).await.status, status);
    }
    for (method, path, body) in [
        (Method::PATCH, format!("/keys/{}", key.id), json!({ "disabled": false })),
        (Method::POST, format!("/keys/{}/rotate", key.id), json!({})),
    ] {
        let answer = edge.api(&ada, method, &path, body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "key_revoked"));
    }
    assert_eq!(show(&edge, &ada, &key).await["state"], "revoked");
}

#[tokio::test]
async fn lists_are_filtered_and_come_in_pages_newest_first() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let soon = edge.now().0 + 1_000;
    let mut ids = Vec::new();
    for (name, more) in [
        ("a", json!({ "environment": "test" })),
        ("b", json!({ "scopes": ["keys:read"] })),
        ("c", json!({ "expires_at": soon })),
        ("d", json!({})),
        ("e", json!({})),
        ("f", json!({})),
    ] {
        let mut body = json!({ "name": name });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ids.push(make(&edge, &ada, "", body).await.0);
        // So that no two are of one millisecond.
        edge.advance_ms(1);
    }
    edge.advance_ms(1_000);
    let path = |at: usize| format!("/keys/{}", ids[at].id);
    assert_eq!(edge.api(&ada, Method::PATCH, &path(3), json!({ "disabled": true })).await.status, 200);
    assert_eq!(edge.api(&ada, Method::DELETE, &path(4), Value::Null).await.status, 204);
    let names = async |query: &str| {
        let answer = edge.api(&ada, Method::GET, &format!("/keys{query}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let list = answer.json();
        let names: String = list["data"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        (names, list["next_cursor"].as_str().map(str::to_owned))
    };
    for (query, expected) in [
        ("", "fedcba"),
        ("?environment=test", "a"),
        ("?environment=live", "fedcb"),
        ("?kind=management", "b"),
        ("?kind=inference", "fedca"),
        ("?state=live", "fba"),
        ("?state=disabled", "d"),
        ("?state=revoked", "e"),
        ("?state=expired", "c"),
        ("?state=live&kind=inference&environment=live", "f"),
    ] {
        assert_eq!(names(query).await.0, expected, "{query}");
    }
    let (mut all, mut query) = (String::new(), "?limit=4".to_owned());
    loop {
        let (page, next) = names(&query).await;
        all += &page;
        let Some(next) = next else { break };
        query = format!("?limit=4&cursor={next}");
    }
    assert_eq!(all, "fedcba");
    for query in ["?state=dead", "?kind=any", "?environment=prod", "?cursor=x", "?limit=x"] {
        let answer = edge.api(&ada, Method::GET, &format!("/keys{query}"), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "invalid_value"), "{query}");
    }
}

#[tokio::test]
async fn keys_that_end_soon_or_lie_about_are_pointed_out() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let (soon, _) = make(&edge, &ada, "", json!({ "name": "soon", "expires_at": edge.now().0 + 8 * DAY_MS })).await;
    let (idle, _) = make(&edge, &ada, "", json!({ "name": "idle" })).await;
    let age = "update api_keys set created_at = created_at - interval '89 days'";
    edge.db.connect().await.execute(age, &[]).await.unwrap();
    let notices = async |key: &IssuedKey| {
        let shown = show(&edge, &ada, key).await;
        (shown["expires_soon"] == true, shown["unused"] == true)
    };
    assert_eq!((notices(&soon).await, notices(&idle).await), ((false, false), (false, false)));
    // A day later, by a session of that day.
    edge.advance_ms(DAY_MS);
    let ada = edge.log_in("ada@example.com").await;
    let notices = async |key: &IssuedKey| {
        let shown = show(&edge, &ada, key).await;
        (shown["expires_soon"] == true, shown["unused"] == true)
    };
    assert_eq!((notices(&soon).await, notices(&idle).await), ((true, true), (false, true)));
}

#[tokio::test]
async fn an_organisation_has_a_thousand_live_keys_at_most() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let (last, _) = make(&edge, &ada, "", json!({ "name": "first" })).await;
    let more = "
        insert into api_keys (id, org_id, name, prefix, last_four, secret_hash, expires_at)
        select gen_random_uuid(), org_id, 'more', prefix, last_four, secret_hash,
            case when number > 998 then now() - interval '1 day' end
        from api_keys, generate_series(1, 1500) number where name = 'first'";
    edge.db.connect().await.execute(more, &[]).await.unwrap();
    make(&edge, &ada, "", json!({ "name": "the thousandth" })).await;
    let refused = edge.api(&ada, Method::POST, "/keys", json!({ "name": "one more" })).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "too_many_keys"));
    assert_eq!(edge.api(&ada, Method::DELETE, &format!("/keys/{}", last.id), Value::Null).await.status, 204);
    // Of any number at once no more than one gets the place.
    let at_once = (0..5).map(|_| edge.api(&ada, Method::POST, "/keys", json!({ "name": "one more" })));
    let answers = futures_util::future::join_all(at_once).await;
    assert_eq!(answers.iter().filter(|it| it.status == 201).count(), 1);
}

/// Checklist 48 and 57's part: by keys nobody gets further than by themselves.
#[tokio::test]
async fn nobody_makes_changes_or_takes_a_key_that_may_do_more() {
    let edge = TestEdge::start(&[]).await;
    let (ada, bob) = (edge.person("ada@example.com").await, edge.person("bob@example.com").await);
    let org = edge.org(&ada, "Engines").await;
    edge.enrol(org, &bob, "member").await;
    let query = format!("?org_id={org}");
    let (owners, _) =
        make(&edge, &ada, &query, json!({ "name": "owner's", "scopes": ["org:delete", "members:write"] })).await;
    let (inference, _) = make(&edge, &ada, &query, json!({ "name": "ci" })).await;
    let refused = async |method: Method, path: String, body: Value| {
        let answer = edge.api(&bob, method, &format!("{path}{query}"), body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "beyond_own_permissions"), "{path}");
    };
    refused(Method::POST, "/keys".to_owned(), json!({ "name": "x", "scopes": ["members:write"] })).await;
    refused(Method::PATCH, format!("/keys/{}", owners.id), json!({ "ip_allow": [] })).await;
    refused(Method::POST, format!("/keys/{}/rotate", owners.id), json!({ "overlap_seconds": 0 })).await;
    refused(Method::DELETE, format!("/keys/{}", owners.id), Value::Null).await;
    // What a member may do themselves, they may do with others' keys.
    let path = format!("/keys/{}{query}", inference.id);
    assert_eq!(edge.api(&bob, Method::PATCH, &path, json!({ "name": "bob was here" })).await.status, 200);
    assert_eq!(verdict(&edge, &owners).await, (403, "wrong_key_kind".to_owned()));
}

/// Checklist 48: a key makes keys of whoever made it, and the log tells which key did.
#[tokio::test]
async fn a_management_key_acts_for_its_owner_and_no_further() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let (manager, _) = make(&edge, &ada, "", json!({ "name": "ops", "scopes": ["keys:read", "keys:write"] })).await;
    let made = by_key(&edge, &manager, Method::POST, "/keys", json!({ "name": "made by a key" })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!((&made["created_by"], &made["org_id"]), (&json!(ada.user_id), &json!(ada.org_id)));
    let answer = by_key(&edge, &manager, Method::POST, "/keys", json!({ "name": "x", "scopes": ["org:read"] })).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "beyond_own_permissions"));
    let org = ada.org_id;
    for path in [format!("/orgs/{org}/members"), format!("/orgs/{org}")] {
        let answer = by_key(&edge, &manager, Method::GET, &path, Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "permission_denied"), "{path}");
    }
    // People's own business is none of a key's.
    assert_eq!(by_key(&edge, &manager, Method::GET, "/me", Value::Null).await.status, 401);
    let acts = "
        select count(*) from audit_log
        where action = 'keys.created' and actor_kind = 'key' and actor_id = $1 and target = $2 and org_id is not null";
    let (actor, target) = (manager.id.to_string(), made["id"].as_str().unwrap());
    let count: i64 = edge.db.connect().await.query_one(acts, &[&actor, &target]).await.unwrap().get(0);
    assert_eq!(count, 1);
}
