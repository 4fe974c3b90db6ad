//! Prices: versions that follow each other, and calls that are charged by the one that they were held by.

use super::{MODEL, Priced, Upstream, a_dollar, a_dollar_a_token, call, edge, usd};
use crate::NEST;
use nest_tests::{Answer, TestDb, Wallet, edge::OPERATOR, lasting, program::Nest};
use reqwest::Method;
use serde_json::{Value, json};
use shared::id::RequestId;
use std::fs;

/// What a call's row says of its charge.
async fn charge(priced: &Priced, id: RequestId) -> (i64, i64, Option<i64>, bool) {
    let read = "
        select cost_nanos, upstream_cost_nanos, price_version, lease_id is not null
        from usage where request_id = $1::text::uuid";
    let row = priced.sql().await.query_one(read, &[&id.uuid().to_string()]).await.unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3))
}

/// Publishes one price.
async fn publish(priced: &Priced, price: Value) -> i64 {
    priced
        .edge
        .publish_prices(json!([{ "model": MODEL, "price": price, "upstream": { "input": 0, "output": 7 } }]))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_charged_by_the_version_that_it_was_held_by() {
    let priced = Priced::start("100", a_dollar_a_token()).await;
    let body = call(10, 3);
    let running = priced.edge.chat(&priced.key, &body);
    let meanwhile = async {
        priced.upstream.arrived(1).await;
        assert_eq!(publish(&priced, json!({ "input": 0, "output": 2_000_000 })).await, 2);
        priced.edge.advance_ms(61_000);
        priced.upstream.answer(2);
    };
    let (first, ()) = tokio::join!(running, meanwhile);
    let first = first.request_id();
    priced.edge.usage(first).await;
    let second = priced.charged(10, 3).await;
    let (cost, _, version, leased) = charge(&priced, first).await;
    assert_eq!((cost, version, leased), (usd(3), Some(1), true));
    assert_eq!(charge(&priced, second).await, (usd(6), 21_000, Some(2), true));
}

#[tokio::test]
async fn before_any_version_nothing_costs_anything_and_nothing_is_leased() {
    let upstream = Upstream::start().await;
    let edge = edge(&TestDb::migrated().await, &upstream).await;
    let (org, key) = (edge.own_org().await, edge.key().await);
    let priced = Priced { upstream, edge, org, key };
    priced.upstream.answer(3);
    let id = priced.charged(10, 3).await;
    assert_eq!(charge(&priced, id).await, (0, 0, None, false));
    assert_eq!(priced.edge.wallet(priced.org).await, Wallet::default());
    assert_eq!(priced.edge.statements("lease_credit").await, 0);
    // From the first version on, what it lacks is not for sale, and what costs nothing needs no credit.
    priced.edge.publish_prices(json!([{ "model": "another", "price": a_dollar() }])).await;
    priced.edge.advance_ms(61_000);
    assert_eq!(priced.refused(1).await, (403, "model_not_priced".to_owned()));
    publish(&priced, json!({ "input": 0, "output": 0 })).await;
    priced.edge.advance_ms(61_000);
    let id = priced.charged(10, 3).await;
    assert_eq!(charge(&priced, id).await, (0, 21_000, Some(2), false));
    assert_eq!(priced.edge.statements("lease_credit").await, 0);
    publish(&priced, a_dollar()).await;
    priced.edge.advance_ms(61_000);
    assert_eq!(priced.refused(1).await, (402, "insufficient_credit".to_owned()));
}

/// What a call may cost at most is held, whatever kinds its tokens turn out to be of.
#[tokio::test]
async fn the_most_that_a_call_may_cost_has_to_be_there() {
    let price = json!({ "input": 0, "output": 1_000_000, "reasoning": 2_000_000 });
    let priced = Priced::start("10", price).await;
    priced.upstream.answer(1);
    assert_eq!(priced.refused(6).await, (402, "insufficient_credit".to_owned()), "six of reasoning cost twelve");
    assert_eq!(priced.refused(100_000).await, (402, "insufficient_credit".to_owned()));
    priced.charged(5, 5).await;
    assert_eq!(priced.edge.wallet(priced.org).await.credit_nanos, usd(5));
}

#[tokio::test]
async fn everyone_sees_prices_and_operators_what_they_leave() {
    let priced = Priced::start("0", a_dollar()).await;
    let (edge, operator) = (&priced.edge, priced.edge.log_in(OPERATOR).await);
    let table = json!({ "note": "Spring", "data": [
        { "model": "b", "price": { "input": "0.10", "output": 0.2 }, "upstream": { "input": "0.06", "output": "0.25" } },
        { "model": "a", "price": { "input": 1, "cached_input": "0.5", "output": 2, "reasoning": 3, "request": "0.01" } },
    ]});
    let published = edge.api(&operator, Method::POST, "/admin/prices", table).await;
    assert_eq!((published.status.as_u16(), published.json()), (201, json!({ "version": 2 })), "{}", published.text());
    let list = edge.api(&operator, Method::GET, "/admin/prices", Value::Null).await.json();
    assert_eq!((&list["version"], &list["note"]), (&json!(2), &json!("Spring")));
    let margins: Vec<_> =
        ["input_margin_percent", "output_margin_percent"].map(|it| list["data"][1][it].clone()).into();
    assert_eq!(margins, [json!(40), json!(-25)]);
    assert_eq!(list["data"][0]["input_margin_percent"], Value::Null);
    let public = Answer::read(edge.get("/api/v1/prices").send().await.unwrap()).await;
    assert_eq!(public.json()["version"], 2);
    assert_eq!(
        public.json()["data"][1],
        json!({ "model": "b", "price": { "input": "0.1", "output": "0.2", "request": "0", "audio_minute": "0" } })
    );
    assert!(!public.text().contains("upstream"), "{}", public.text());
    for wrong in [
        json!({ "data": [] }),
        json!({ "data": [{ "model": "a", "price": { "input": -1, "output": 1 } }] }),
        json!({ "data": [{ "model": "a", "price": { "input": 1 } }] }),
        json!({ "data": [{ "model": "a", "price": { "input": 1, "output": 1, "cached": 1 } }] }),
        json!({ "data": [{ "model": "a", "price": { "input": 1, "output": 1 } }, { "model": "a", "price": { "input": 1, "output": 1 } }] }),
    ] {
        let refused = edge.api(&operator, Method::POST, "/admin/prices", wrong.clone()).await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
    let person = edge.person("ada@example.com").await;
    assert_eq!(edge.api(&person, Method::GET, "/admin/prices", Value::Null).await.status, 403);
}

#[tokio::test]
async fn nest_imports_what_it_exports() {
    let priced = Priced::start("0", a_dollar()).await;
    let dir = lasting::folder("prices");
    let nest = async |line: &str| {
        let nest = Nest::new(NEST, &dir, line).env("DATABASE_URL", priced.edge.db.url());
        nest.run().await
    };
    let exported = nest("billing prices export").await;
    fs::write(dir.join("prices.json"), exported.ok()).unwrap();
    assert!(nest("billing prices import prices.json").await.ok().contains("version 2: 1 models"));
    assert_eq!(nest("billing prices export").await.ok(), exported.ok());
    let toml = "note = \"By hand\"\n[[data]]\nmodel = \"m\"\nprice = { input = \"0.05\", output = 0.08 }\n";
    fs::write(dir.join("prices.toml"), toml).unwrap();
    assert!(nest("billing prices import prices.toml").await.ok().contains("version 3"));
    let shown = nest("billing prices show").await;
    assert!(shown.ok().contains("By hand") && shown.ok().contains("0.08"), "{}", shown.stdout);
    fs::write(dir.join("wrong.toml"), toml.replace("output", "outputs")).unwrap();
    assert_eq!(nest("billing prices import wrong.toml").await.code, 2);
    let granted = nest(&format!("billing grant {} 2.5 --note Welcome", priced.org)).await;
    assert!(granted.ok().contains("$2.5 more"), "{}", granted.stdout);
    assert_eq!(priced.edge.wallet(priced.org).await.credit_nanos, 2_500_000_000);
}
