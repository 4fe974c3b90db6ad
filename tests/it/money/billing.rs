//! What an organisation sees of its money.

use super::{Priced, a_dollar, a_dollar_a_token, call, usd};
use nest_tests::{Answer, edge::OPERATOR};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_sees_what_it_has_and_what_is_held_of_it() {
    let priced = Priced::start("10", a_dollar_a_token()).await;
    let person = priced.edge.log_in(OPERATOR).await;
    let path = format!("/billing?org_id={}", priced.org);
    let show = async || priced.edge.api(&person, Method::GET, &path, Value::Null).await.json();
    let body = call(4, 3);
    let running = priced.edge.chat(&priced.key, &body);
    let meanwhile = async {
        priced.upstream.arrived(1).await;
        let shown = show().await;
        let seen = ["available_usd", "held_usd", "credit_usd", "owed_usd"].map(|it| shown[it].clone());
        assert_eq!(seen, ["6", "4", "10", "0"].map(|it| json!(it)));
        priced.upstream.answer(1);
    };
    let (answer, ()) = tokio::join!(running, meanwhile);
    priced.edge.usage(answer.request_id()).await;
    let mut changes = priced.edge.db.changes().await;
    while priced.edge.wallet(priced.org).await.held_nanos > 0 {
        changes.next().await;
    }
    let mut shown = show().await;
    shown["org_id"].take();
    assert_eq!(
        shown,
        json!({
            "org_id": null, "available_usd": "7", "held_usd": "0", "credit_usd": "7",
            "allowance": { "left_usd": "0", "granted_usd": "0", "granted_at": null },
            "overage": { "used_usd": "0", "limit_usd": "0" }, "owed_usd": "0", "refused_subscription": null,
            "spend": null, "spent": { "day_usd": "3", "week_usd": "3", "month_usd": "3", "total_usd": "3" },
            "members": [], "price_version": 1,
        })
    );
}

#[tokio::test]
async fn the_ledger_is_listed_newest_first_with_the_links_that_receipts_name() {
    let priced = Priced::start("10", a_dollar()).await;
    priced.upstream.answer(2);
    priced.charged(1, 0).await;
    priced.charged(1, 0).await;
    let person = priced.edge.log_in(OPERATOR).await;
    let page = async |more: &str| {
        let path = format!("/billing/ledger?org_id={}&limit=2{more}", priced.org);
        priced.edge.api(&person, Method::GET, &path, Value::Null).await.json()
    };
    let first = page("").await;
    let second = page(&format!("&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    let kinds = |page: &Value| -> Vec<(i64, String, String)> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|it| {
            let text = |name: &str| it[name].as_str().unwrap().to_owned();
            (it["seq"].as_i64().unwrap(), text("kind"), text("amount_usd"))
        })
        .collect()
    };
    let row = |seq, kind: &str, amount: &str| (seq, kind.to_owned(), amount.to_owned());
    assert_eq!(kinds(&first), [row(3, "charge", "1"), row(2, "charge", "1")]);
    assert_eq!(kinds(&second), [row(1, "grant", "10")]);
    assert_eq!(second["next_cursor"], Value::Null);
    let head: String =
        priced.sql().await.query_one("select encode(head, 'hex') from wallets", &[]).await.unwrap().get(0);
    assert_eq!(first["data"][0]["hash"], json!(head));
    let stranger = priced.edge.person("ada@example.com").await;
    let own = priced.edge.api(&stranger, Method::GET, "/billing/ledger", Value::Null).await;
    assert_eq!(own.json()["data"], json!([]));
}

#[tokio::test]
async fn a_cap_is_an_amount_and_a_period_and_needs_the_right_to_pay() {
    let priced = Priced::start("0", a_dollar()).await;
    let (edge, owner) = (&priced.edge, priced.edge.log_in(OPERATOR).await);
    let (org, member) = (priced.org, priced.edge.person("ada@example.com").await);
    edge.enrol(org, &member, "member").await;
    let paths = [format!("/billing/spend?org_id={org}"), format!("/orgs/{org}/members/{}/spend", member.user_id)];
    for path in &paths {
        for (body, status) in [
            (json!({ "spend": { "cap_usd": "1.5", "period": "week" } }), 204),
            (json!({ "spend": { "cap_usd": 0, "period": "total" } }), 204),
            (json!({ "spend": null }), 204),
            (json!({}), 400),
            (json!({ "spend": { "cap_usd": -1, "period": "week" } }), 400),
            (json!({ "spend": { "cap_usd": 1 } }), 400),
            (json!({ "spend": { "cap_usd": 1, "period": "year" } }), 400),
        ] {
            let answer = edge.api(&owner, Method::PUT, path, body.clone()).await;
            assert_eq!(answer.status.as_u16(), status, "{path} {body}: {}", answer.text());
        }
        let refused: Answer = edge.api(&member, Method::PUT, path, json!({ "spend": null })).await;
        assert_eq!(refused.status, 403, "{path}");
    }
    let nobody = format!("/orgs/{org}/members/user_0190163d8694739b9c1a6b0c1b5c0000/spend");
    assert_eq!(edge.api(&owner, Method::PUT, &nobody, json!({ "spend": null })).await.code(), "member_not_found");
    let acts = "select action from audit_log where action like 'billing.%spend_set' group by 1 order by 1";
    let acts: Vec<String> = priced.sql().await.query(acts, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(acts, ["billing.member_spend_set", "billing.org_spend_set"]);
    assert_eq!(priced.edge.wallet(org).await.credit_nanos, usd(0));
}
