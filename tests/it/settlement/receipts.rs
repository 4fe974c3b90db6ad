//! A call that is looked up later, and its receipt on paper.

use super::{Ends, Says, Scripted, call, done, finish, role, usage, word};
use crate::NEST;
use edge_core::billing::receipt;
use nest_tests::{Answer, edge::OPERATOR, lasting, program::Nest};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;

async fn scripted() -> Scripted {
    let events = vec![role(), word(), finish(), usage(100, 10), done()];
    let scripted = Scripted::start(vec![Says::Stream(events, Ends::Well)], &[]).await;
    let prices = json!([{ "model": super::MODEL, "price": { "input": "1", "output": "2" } }]);
    scripted.edge.publish_prices(prices).await;
    scripted.edge.grant(scripted.edge.own_org().await, "5").await;
    scripted
}

#[tokio::test]
async fn a_call_is_shown_to_its_key_and_to_its_organisation_alone() {
    let scripted = scripted().await;
    let edge = &scripted.edge;
    let id = edge.chat(&scripted.key, &call(0, true)).await.request_id();
    edge.usage(id).await;
    let by_key = async |text: &str, id: &str| {
        Answer::read(edge.get(&format!("/v1/generations/{id}")).bearer_auth(text).send().await.unwrap()).await
    };
    let owner = edge.log_in(OPERATOR).await;
    let path = format!("/generations/{id}?org_id={}", owner.org_id);
    let of_org = edge.api(&owner, Method::GET, &path, Value::Null).await;
    let of_key = by_key(&scripted.key.text, &id.to_string()).await;
    for answer in [&of_org, &of_key] {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let shown = answer.json();
        assert_eq!((&shown["cost_usd"], &shown["outcome"]), (&json!("0.00012"), &json!("completed")));
        assert_eq!((&shown["prompt_tokens"], &shown["completion_tokens"]), (&json!(100), &json!(10)));
        assert_eq!(shown["request_id"], id.to_string());
        let keys = edge.get("/.well-known/receipt-keys.json").send().await.unwrap().text().await.unwrap();
        let claims = receipt::verify(&keys, shown["receipt"].as_str().unwrap()).unwrap();
        assert_eq!((claims.request_id, claims.cost_nanos), (id, 120_000));
    }
    // Another key, another organisation, and a call that there is none of.
    let other = edge.key().await;
    let stranger = edge.person("stranger@example.com").await;
    let theirs = edge.org(&stranger, "Strangers").await;
    let path = format!("/generations/{id}?org_id={theirs}");
    for answer in [
        by_key(&other.text, &id.to_string()).await,
        by_key(&scripted.key.text, "req_0190163d8694739b9c1a6b0c1b5c0000").await,
        by_key(&scripted.key.text, "none").await,
        edge.api(&stranger, Method::GET, &path, Value::Null).await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "generation_not_found"));
    }
}

#[tokio::test]
async fn nest_verifies_a_receipt_without_asking_anybody() {
    let scripted = scripted().await;
    let answer = scripted.edge.chat(&scripted.key, &call(0, true)).await;
    let folder = lasting::folder("receipts");
    let keys = scripted.edge.get("/.well-known/receipt-keys.json").send().await.unwrap().text().await.unwrap();
    let id = answer.request_id();
    fs::write(folder.join("keys.json"), keys).unwrap();
    // The stream as curl saves it.
    fs::write(folder.join("stream"), answer.text()).unwrap();
    let verify = async |receipt: &str, keys: &str| {
        Nest::new(NEST, &folder, &format!("usage verify {receipt} --keys {keys} --json")).run().await
    };
    let claims = verify("stream", "keys.json").await.json();
    assert_eq!((&claims["request_id"], &claims["cost_nanos"]), (&json!(id.to_string()), &json!(120_000)));
    let url = format!("{}/.well-known/receipt-keys.json", scripted.edge.url);
    assert_eq!(verify("stream", &url).await.json(), claims);
    let changed = answer.text().replace(".", "..");
    fs::write(folder.join("changed"), changed).unwrap();
    let refused = verify("changed", "keys.json").await;
    assert!(refused.code == 1 && refused.stderr.contains("the receipt is not good"), "{refused:?}");
}
