//! Plans and subscriptions: each state, and each way from one to another.

use super::*;
use fake_stripe::Card;

/// What a subscription's state holds, as far as it shows: status, allowance in cents, the plan's limit, calls, overage.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    status: String,
    allowance: i64,
    limits: bool,
    calls: bool,
    overage: bool,
}

async fn standing(shop: &Shop) -> Standing {
    let seen = shop.get("/billing/subscription").await;
    let limits = shop.get("/limits").await.to_string();
    let refused =
        "select refused_subscription is null and overage_limit_nanos = 0 from wallets order by org_id limit 1";
    assert!(!shop.one(refused).await.is_empty());
    let calls = shop.one("select count(*) from wallets where refused_subscription is not null").await == "0";
    let overage = shop.one("select count(*) from wallets where overage_limit_nanos > 0").await == "1";
    Standing {
        status: text(&seen, "status").to_owned(),
        allowance: shop.funds(shop.ada.org_id).await.allowance,
        limits: limits.contains("\"limit\":77"),
        calls,
        overage,
    }
}

fn holds(status: &str, allowance: i64, [limits, calls, overage]: [bool; 3]) -> Standing {
    Standing { status: status.to_owned(), allowance, limits, calls, overage }
}

/// Someone who has the plan.
async fn subscribed(plan: Value) -> Shop {
    let shop = Shop::open().await;
    shop.sell(&[plan]).await;
    let session = shop.subscribe(&shop.ada, "pro").await;
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    shop
}

fn subscription(shop: &Shop) -> String {
    text(&shop.stripe.objects("subscription").pop().unwrap(), "id").to_owned()
}

fn customer(shop: &Shop) -> String {
    text(&shop.stripe.objects("customer").pop().unwrap(), "id").to_owned()
}

#[tokio::test]
async fn each_month_brings_its_credit_and_ends_the_last_one_s() {
    let shop = subscribed(pro()).await;
    assert_eq!(standing(&shop).await, holds("active", 2_500, [true, true, true]));
    shop.spend(shop.ada.org_id, 700).await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::allowance(1_800));
    shop.advance_days(32).await;
    assert_eq!(standing(&shop).await, holds("active", 2_500, [true, true, true]));
    let invoices = shop.get("/billing/invoices").await;
    let shown: Vec<_> = invoices["data"].as_array().unwrap().iter().map(|it| text(it, "total_usd")).collect();
    assert_eq!(shown, ["20", "20"], "{invoices}");
    shop.close().await;
}

#[tokio::test]
async fn a_plan_is_bought_once() {
    let shop = Shop::open().await;
    shop.sell(&[pro()]).await;
    let begin = async |plan: &str| shop.call(Method::POST, "/billing/checkout", json!({ "plan": plan })).await;
    assert_eq!(refusal(&begin("gold").await), (404, "plan_not_found".to_owned()));
    let first = session(&begin("pro").await.json());
    // A second page closes the first: nobody pays on both.
    let second = session(&begin("pro").await.json());
    assert!(shop.stripe.pay(&first).is_err());
    shop.stripe.pay(&second).unwrap();
    assert_eq!(refusal(&begin("pro").await), (409, "already_subscribed".to_owned()));
    shop.settle().await;
    assert_eq!(refusal(&begin("pro").await), (409, "already_subscribed".to_owned()));
    assert_eq!(shop.stripe.objects("subscription").len(), 1);
    shop.close().await;
}

#[tokio::test]
async fn a_plan_that_is_cancelled_holds_to_the_end_of_its_month() {
    let shop = subscribed(pro()).await;
    let id = subscription(&shop);
    shop.at_stripe(&format!("subscriptions/{id}"), &[("cancel_at_period_end", "true")]).await;
    shop.settle().await;
    assert_eq!(standing(&shop).await, holds("active", 2_500, [true, true, true]));
    assert_eq!(shop.get("/billing/subscription").await["cancel_at_period_end"], true);
    shop.advance_days(32).await;
    assert_eq!(standing(&shop).await, holds("canceled", 0, [false, true, false]));
    // And may be bought again.
    let session = shop.subscribe(&shop.ada, "pro").await;
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    assert_eq!(standing(&shop).await, holds("active", 2_500, [true, true, true]));
    shop.close().await;
}

#[tokio::test]
async fn a_card_that_fails_makes_the_plan_late_and_a_good_one_mends_it() {
    let shop = subscribed(pro()).await;
    shop.stripe.change_card(&customer(&shop), Card::DeclinedLater).unwrap();
    shop.advance_days(32).await;
    let late = standing(&shop).await;
    assert_eq!((late.status.as_str(), late.limits, late.calls, late.overage), ("past_due", true, true, false));
    let mail = shop.edge.last_mail("ada@example.com").await;
    assert_eq!(mail.template, "payment_failed");
    shop.stripe.change_card(&customer(&shop), Card::Good).unwrap();
    shop.advance_days(8).await;
    let mended = standing(&shop).await;
    assert_eq!((mended.status.as_str(), mended.allowance, mended.overage), ("active", 2_500, true));
    shop.close().await;
}

#[tokio::test]
async fn a_plan_that_is_not_paid_for_ends() {
    let shop = subscribed(pro()).await;
    shop.stripe.change_card(&customer(&shop), Card::DeclinedLater).unwrap();
    shop.advance_days(70).await;
    let ended = standing(&shop).await;
    assert_eq!((ended.allowance, ended.limits, ended.overage), (0, false, false), "{ended:?}");
    assert!(["canceled", "unpaid"].contains(&ended.status.as_str()), "{ended:?}");
    assert_eq!(ended.calls, ended.status == "canceled");
    shop.close().await;
}

#[tokio::test]
async fn a_trial_brings_credit_and_costs_nothing_once() {
    let shop = subscribed(json!({
        "id": "pro", "name": "Pro", "price_cents": 2_000, "monthly_credit_usd": "25", "overage_limit_usd": "10",
        "limits": { "requests_per_minute": 77 }, "trial_days": 7,
    }))
    .await;
    assert_eq!(standing(&shop).await, holds("trialing", 2_500, [true, true, false]));
    shop.advance_days(8).await;
    assert_eq!(standing(&shop).await, holds("active", 2_500, [true, true, true]));
    let id = subscription(&shop);
    let (_, key) = shop.stripe.settings()[0];
    let url = format!("{}/v1/subscriptions/{id}", shop.stripe.url);
    assert_eq!(shop.edge.client.delete(url).bearer_auth(key).send().await.unwrap().status(), 200);
    shop.settle().await;
    assert_eq!(standing(&shop).await, holds("canceled", 0, [false, true, false]));
    let session = shop.subscribe(&shop.ada, "pro").await;
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    assert_eq!(standing(&shop).await.status, "active", "nobody tries twice");
    shop.close().await;
}

/// Every state that Stripe may tell of, from each of them to each: what holds depends on the last one alone.
#[tokio::test]
async fn what_holds_is_what_the_last_state_says() {
    let shop = subscribed(pro()).await;
    let id = subscription(&shop);
    let states = [
        ("trialing", [true, true, false]),
        ("active", [true, true, true]),
        ("past_due", [true, true, false]),
        ("unpaid", [false, false, false]),
        ("paused", [false, true, false]),
        ("incomplete", [false, true, false]),
        ("incomplete_expired", [false, true, false]),
        ("canceled", [false, true, false]),
        ("something_new", [false, true, false]),
    ];
    // A way that takes each of the 81 steps from one state to another, or to itself, once.
    let way = every_step(states.len());
    for pair in way.windows(2) {
        let (from, (to, expected)) = (states[pair[0]].0, states[pair[1]]);
        shop.stripe.change(&id, json!({ "status": to }), "customer.subscription.updated");
        shop.stripe.settled().await;
        shop.apply().await;
        let now = standing(&shop).await;
        assert_eq!((now.status.as_str(), [now.limits, now.calls, now.overage]), (to, expected), "{from} -> {to}");
    }
    shop.close().await;
}

/// A walk over `count` places that goes from each to each once (an Eulerian circuit, by Hierholzer's algorithm).
fn every_step(count: usize) -> Vec<usize> {
    let mut left: Vec<Vec<usize>> = (0..count).map(|_| (0..count).collect()).collect();
    let (mut stack, mut way) = (vec![0], Vec::new());
    while let Some(at) = stack.last().copied() {
        match left[at].pop() {
            Some(next) => stack.push(next),
            None => way.extend(stack.pop()),
        }
    }
    assert_eq!(way.len(), count * count + 1);
    way.reverse();
    way
}

/// Whoever changes plans within a month gets no month's credit anew.
#[tokio::test]
async fn a_change_of_plan_brings_its_limits_at_once_and_its_credit_with_the_next_month() {
    let shop = Shop::open().await;
    let big = json!({
        "id": "max", "name": "Max", "price_cents": 20_000, "monthly_credit_usd": "250",
        "limits": { "requests_per_minute": 777 },
    });
    shop.sell(&[pro(), big]).await;
    let session = shop.subscribe(&shop.ada, "pro").await;
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    shop.spend(shop.ada.org_id, 2_500).await;
    let of = shop.stripe.object(&subscription(&shop));
    let price = shop.one("select stripe_price_id from plans where id = 'max'").await;
    let old = shop.one("select stripe_price_id from plans where id = 'pro'").await;
    let items = of["items"]["data"].as_array().unwrap();
    let item = items.iter().find(|it| it["price"]["id"] == *old).unwrap();
    let fields = [("items[0][id]", text(item, "id")), ("items[0][price]", &price)];
    shop.at_stripe(&format!("subscriptions/{}", text(&of, "id")), &fields).await;
    shop.settle().await;
    assert_eq!(shop.get("/billing/subscription").await["plan"], "max");
    assert!(shop.get("/limits").await.to_string().contains("\"limit\":777"));
    assert_eq!(shop.funds(shop.ada.org_id).await.allowance, 0);
    shop.advance_days(32).await;
    assert_eq!(shop.funds(shop.ada.org_id).await.allowance, 25_000);
    shop.close().await;
}

#[tokio::test]
async fn everybody_sees_what_is_sold_and_operators_set_it() {
    let shop = Shop::open().await;
    shop.sell(&[pro()]).await;
    let operator = shop.edge.log_in(nest_tests::edge::OPERATOR).await;
    let set = |plan: Value| shop.call_as(&operator, Method::PUT, "/admin/plans", json!({ "plans": [plan] }), "unused");
    let mut changed = pro();
    changed["name"] = json!("Professional");
    assert_eq!(set(changed).await.status, 204);
    assert_eq!(
        refusal(&set(json!({ "id": "UP", "name": "x", "price_cents": 1, "monthly_credit_usd": "1" })).await),
        (400, "invalid_value".to_owned())
    );
    let listed = Answer::read(shop.edge.get("/api/v1/plans").send().await.unwrap()).await.json();
    assert_eq!((text(&listed["data"][0], "name"), text(&listed["data"][0], "price_usd")), ("Professional", "20"));
    let all =
        Answer::read(shop.edge.by(&operator, Method::GET, "/api/v1/admin/plans").send().await.unwrap()).await.json();
    assert!(all["data"][0]["stripe_price_id"].is_string(), "a price stays: {all}");
    let mut gone = pro();
    gone["active"] = json!(false);
    assert_eq!(set(gone).await.status, 204);
    let listed = Answer::read(shop.edge.get("/api/v1/plans").send().await.unwrap()).await.json();
    assert_eq!(listed["data"], json!([]));
    shop.close().await;
}

/// Nobody pays for what nobody can use.
#[tokio::test]
async fn a_deleted_organisation_is_subscribed_to_nothing() {
    let shop = Shop::open().await;
    shop.sell(&[pro()]).await;
    let founded = shop.call(Method::POST, "/orgs", json!({ "name": "Short-lived" })).await.json();
    let org = text(&founded, "id").to_owned();
    let begun = shop.call(Method::POST, &format!("/billing/checkout?org_id={org}"), json!({ "plan": "pro" })).await;
    shop.stripe.pay(&session(&begun.json())).unwrap();
    shop.settle().await;
    assert_eq!(shop.one("select count(*) from subscriptions where not ended").await, "1");
    let path = format!("/api/v1/orgs/{org}");
    let deleted = Answer::read(shop.edge.by(&shop.ada, Method::DELETE, &path).send().await.unwrap()).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let id = subscription(&shop);
    assert_eq!(shop.stripe.object(&id)["status"], "active");
    shop.settle().await;
    assert_eq!(shop.stripe.object(&id)["status"], "canceled");
    assert_eq!(shop.one("select count(*) from subscriptions where not ended").await, "0");
    assert!(shop.dead().await.is_empty(), "{:?}", shop.dead().await);
    shop.close().await;
}
