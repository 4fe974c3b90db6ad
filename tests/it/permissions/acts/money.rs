//! What operators do about money: prices and credit.

use super::run::{Act, Run};
use nest_tests::edge::OPERATOR;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// The prices of a model.
const OF_A_PRICE: [&str; 6] = ["input", "output", "cached_input", "reasoning", "request", "audio_minute"];

pub(super) async fn money(run: &mut Run) {
    let ada = run.edge.person("payer@example.com").await;
    let operator = run.edge.log_in(OPERATOR).await;
    let prices: Value = OF_A_PRICE.iter().map(|it| ((*it).to_owned(), json!("0.5"))).collect::<Map<_, _>>().into();
    let prices = json!({ "note": "first", "data": [{ "model": "m", "price": prices, "upstream": prices }] });
    run.act(Some(&operator), Act::new(Method::POST, "/admin/prices", &[], prices)).await;
    let grant = json!({ "usd": "5", "note": "welcome" });
    let org = ada.org_id.to_string();
    run.act(Some(&operator), Act::new(Method::POST, "/admin/orgs/{organisation}/credit", &[&org], grant)).await;
}
