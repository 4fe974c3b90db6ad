//! What operators set, what members see, and what a class of credentials counts on all edges together.

use super::{Limited, org};
use edge_core::limits::Quota;
use nest_tests::{Answer, TestEdge, edge::OPERATOR, person::Person};
use reqwest::Method;
use serde_json::{Value, json};

async fn set(limited: &Limited, operator: &Person, path: &str, body: Value) -> Answer {
    limited.edge.api(operator, Method::PUT, path, body).await
}

#[tokio::test]
async fn operators_set_an_organisation_s_limits_and_its_keys_are_held_to_them() {
    let limited = Limited::start(&[("ORG_LIMITS", "requests_per_minute=1000")]).await;
    let operator = limited.edge.log_in(OPERATOR).await;
    let key = limited.key(Quota::default()).await;
    assert_eq!(limited.chat(&key).await.header("x-ratelimit-limit-requests"), "1000");
    let path = format!("/admin/orgs/{}/limits", org(&limited.edge).await);
    let show = async || limited.edge.api(&operator, Method::GET, &path, Value::Null).await.json();
    assert_eq!(show().await, json!({ "limits": { "requests_per_minute": 1000 }, "set": false }));

    let two = json!({ "limits": { "requests_per_minute": 2 } });
    for _ in 0..2 {
        assert_eq!(set(&limited, &operator, &path, two.clone()).await.status, 204);
    }
    assert_eq!(show().await, json!({ "limits": { "requests_per_minute": 2 }, "set": true }));
    let acts = limited.edge.db.connect().await;
    let entries = "select detail::text from audit_log where action = 'admin.org_limits_set'";
    let entries = acts.query(entries, &[]).await.unwrap();
    assert_eq!(entries.len(), 1, "what changes nothing leaves no entry");
    // Keys are read anew within seconds.
    limited.next_minute();
    assert_eq!(limited.statuses(&key, 3).await, [200, 200, 429]);

    assert_eq!(set(&limited, &operator, &path, json!({ "limits": null })).await.status, 204);
    assert_eq!(show().await["set"], false);
    limited.next_minute();
    assert_eq!(limited.chat(&key).await.header("x-ratelimit-limit-requests"), "1000");

    for (body, code) in [
        (json!({ "limits": { "requests": 1 } }), "invalid_json"),
        (json!({ "limits": { "requests_per_minute": -1 } }), "invalid_json"),
        (json!({ "limits": { "requests_per_minute": 1.5 } }), "invalid_json"),
        (json!({ "limits": { "concurrent": 1_000_000_000_001_u64 } }), "invalid_value"),
        (json!({ "limits": {}, "org_id": "x" }), "invalid_json"),
    ] {
        let refused = set(&limited, &operator, &path, body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, code), "{body}");
    }
    let nobody = "/admin/orgs/org_00000000000000000000000000/limits";
    assert_eq!(set(&limited, &operator, nobody, two).await.status, 404);
    assert_eq!(limited.edge.api(&operator, Method::GET, nobody, Value::Null).await.status, 404);
}

#[tokio::test]
async fn members_see_the_limits_and_what_is_left_of_them() {
    let limited =
        Limited::start(&[("ORG_LIMITS", "requests_per_minute=100 concurrent=7"), ("LIMIT_SHARE", "25")]).await;
    let owner = limited.edge.log_in(OPERATOR).await;
    let key = limited.key(Quota { requests_per_day: Some(10), ..Quota::default() }).await;
    assert_eq!(limited.statuses(&key, 3).await, [200, 200, 200]);
    limited.until_used(3).await;
    let get = async |query: &str| limited.edge.api(&owner, Method::GET, &format!("/limits{query}"), Value::Null).await;
    let mut mine = get("").await.json();
    // A slot that nobody needs any more goes back after a moment.
    for _ in 0..200 {
        if mine["org"][1]["used"] == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        mine = get("").await.json();
    }
    assert_eq!(mine["org_id"], owner.org_id.to_string());
    assert_eq!((&mine["key"], &mine["on_loss"]), (&Value::Null, &json!({ "mode": "local", "share_percent": 25 })));
    let minute = &mine["org"][0];
    assert_eq!((&minute["name"], &minute["limit"]), (&json!("requests_per_minute"), &json!(100)));
    assert_eq!((&minute["used"], &minute["remaining"]), (&json!(3), &json!(97)));
    assert!(minute["reset_at"].as_i64().unwrap() > limited.edge.now().0);
    let slots = json!({ "name": "concurrent", "limit": 7, "used": 0, "remaining": 7, "reset_at": null });
    assert_eq!(mine["org"][1], slots);
    let with_key = get(&format!("?org_id={}&key_id={}", owner.org_id, key.id)).await.json();
    assert_eq!(with_key["key_id"], key.id.to_string());
    let day = &with_key["key"][0];
    assert_eq!((&day["name"], &day["used"], &day["remaining"]), (&json!("requests_per_day"), &json!(3), &json!(7)));

    let ada = limited.edge.person("ada@example.com").await;
    let foreign = limited.edge.api(&ada, Method::GET, &format!("/limits?key_id={}", key.id), Value::Null).await;
    assert_eq!((foreign.status.as_u16(), foreign.code().as_str()), (404, "key_not_found"));
    let foreign = limited.edge.api(&ada, Method::GET, &format!("/limits?org_id={}", owner.org_id), Value::Null).await;
    assert_eq!(foreign.status, 404);
    for wrong in ["key_0", "nothing", "", "%00"] {
        assert_eq!(get(&format!("?key_id={wrong}")).await.status, 404, "{wrong}");
    }
}

#[tokio::test]
async fn credentials_are_counted_by_all_edges_together() {
    let limited = Limited::start(&[("ADDRESS_LIMITS", "login=4/h")]).await;
    let settings = [&limited.upstash.settings()[..], &[("ADDRESS_LIMITS", "login=4/h")]].concat();
    let second = TestEdge::on(&limited.edge.db, &settings).await;
    let mut statuses = Vec::new();
    for edge in [&limited.edge, &second].repeat(3) {
        statuses.push(edge.try_log_in("ada@example.com", "wrong").await.status.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429]);
    // A refusal is believed for a moment: who goes on trying costs the store nothing.
    let before = limited.upstash.calls();
    for _ in 0..5 {
        assert_eq!(second.try_log_in("ada@example.com", "wrong").await.status, 429);
    }
    assert!(limited.upstash.calls() <= before + 2);
}
