//! What is done about money: plans, prices and credit by operators, payments by members, and what Stripe tells.

use super::run::{Act, Run};
use edge_core::billing::{self, PlanPrices};
use fake_stripe::FakeStripe;
use nest_tests::{Answer, Person, edge::OPERATOR, oauth::form};
use reqwest::Method;
use serde_json::{Value, json};

/// The prices of a model.
const OF_A_PRICE: [&str; 6] = ["input", "output", "cached_input", "reasoning", "request", "audio_minute"];

pub(super) async fn money(run: &mut Run, stripe: &FakeStripe) {
    let ada = run.edge.person("payer@example.com").await;
    let operator = run.edge.log_in(OPERATOR).await;
    sells(run, &operator, &ada).await;
    at_stripe(run, stripe, "billing_portal/configurations", &[("features[invoice_history][enabled]", "true")]).await;
    let checkout = Act::new(Method::POST, "/billing/checkout", &[], json!({ "plan": "pro" }));
    prices_of_the_plan(run, stripe).await;
    run.act(Some(&ada), checkout).await;
    run.act(Some(&ada), Act::new(Method::POST, "/billing/portal", &[], json!({}))).await;
    let top_up = run.act(Some(&ada), Act::new(Method::POST, "/billing/top-ups", &[], json!({ "usd": "20" }))).await;
    paid(run, stripe, &top_up).await;
    let auto = json!({ "threshold_usd": "5", "amount_usd": "10" });
    run.act(Some(&ada), Act::new(Method::PUT, "/billing/auto-top-up", &[], auto)).await;
    // Whatever else it says is Stripe's word, and counts.
    let event = json!({
        "id": "evt_of_the_script", "type": "invented", "created": 1, "livemode": false, "account": null,
        "data": { "object": { "id": "nothing", "object": "invented" } },
    });
    run.act(None, Act::new(Method::POST, "/webhooks/stripe", &[], event).told_by(stripe)).await;
}

/// What operators do.
async fn sells(run: &mut Run, operator: &Person, ada: &Person) {
    let prices: Value =
        OF_A_PRICE.iter().map(|it| ((*it).to_owned(), json!("0.5"))).collect::<serde_json::Map<_, _>>().into();
    let prices = json!({ "note": "first", "data": [{ "model": "m", "price": prices, "upstream": prices }] });
    run.act(Some(operator), Act::new(Method::POST, "/admin/prices", &[], prices)).await;
    let grant = json!({ "usd": "5", "note": "welcome" });
    let org = ada.org_id.to_string();
    run.act(Some(operator), Act::new(Method::POST, "/admin/orgs/{organisation}/credit", &[&org], grant)).await;
    let limits = json!({
        "requests_per_minute": 60, "requests_per_day": 600, "tokens_per_minute": 6_000, "tokens_per_day": 60_000,
        "concurrent": 6,
    });
    let plan = json!({
        "id": "pro", "name": "Pro", "price_cents": 2_000, "monthly_credit_usd": "25", "overage_limit_usd": "10",
        "overage_price_cents": 1, "limits": limits, "trial_days": 0, "active": true,
    });
    run.act(Some(operator), Act::new(Method::PUT, "/admin/plans", &[], json!({ "plans": [plan] }))).await;
}

/// Gives the plan a price at Stripe, as `nest stripe sync` does.
async fn prices_of_the_plan(run: &Run, stripe: &FakeStripe) {
    let product = at_stripe(run, stripe, "products", &[("name", "Pro")]).await;
    let price = [("currency", "usd"), ("product", &product), ("recurring[interval]", "month"), ("unit_amount", "2000")];
    let prices = PlanPrices { price: Some(at_stripe(run, stripe, "prices", &price).await), meter_price: None };
    billing::save_plan_prices(&run.edge.store(), "pro", prices).await.unwrap();
}

/// Has Stripe make something, and says its id.
async fn at_stripe(run: &Run, stripe: &FakeStripe, path: &str, fields: &[(&str, &str)]) -> String {
    let (_, key) = stripe.settings()[0];
    let request = run.edge.client.post(format!("{}/v1/{path}", stripe.url)).bearer_auth(key);
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form(fields));
    let made = Answer::read(request.send().await.unwrap()).await;
    made.json()["id"].as_str().unwrap_or_else(|| panic!("{path}: {}", made.text())).to_owned()
}

/// Pays what a top-up asks for, and waits until the edge knows the card.
async fn paid(run: &Run, stripe: &FakeStripe, top_up: &Answer) {
    stripe.tell(&format!("{}/webhooks/stripe", run.edge.url));
    let page = top_up.json()["url"].as_str().unwrap().to_owned();
    stripe.pay(page.rsplit('/').next().unwrap()).unwrap();
    stripe.settled().await;
    let client = run.edge.db.connect().await;
    let known = "select count(*) from stripe_customers where payment_method is not null";
    for _ in 0..500 {
        run.edge.tick().await;
        if client.query_one(known, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            return;
        }
    }
    panic!("the edge never hears of the payment");
}
