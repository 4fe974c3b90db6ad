//! Credit that is bought automatically.

use super::*;
use fake_stripe::{Card, Fault};

/// Someone with 10 dollars, who wants 20 more as soon as there are less than 5.
async fn set_up() -> Shop {
    let shop = Shop::open().await;
    let set = json!({ "threshold_usd": "5", "amount_usd": "20" });
    let refused = shop.call(Method::PUT, "/billing/auto-top-up", set.clone()).await;
    assert_eq!(refusal(&refused), (409, "payment_method_missing".to_owned()));
    let session = shop.top_up(&shop.ada, "10").await;
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    let answer = shop.call(Method::PUT, "/billing/auto-top-up", set).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    shop
}

#[tokio::test]
async fn credit_is_bought_when_there_is_little_and_once() {
    let shop = set_up().await;
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(1_000), "there is enough");
    shop.spend(shop.ada.org_id, 600).await;
    let ticks = [shop.edge.ticker(), shop.edge.ticker(), shop.edge.ticker(), shop.edge.ticker()];
    futures_util::future::join_all(ticks.iter().map(Ticker::tick)).await;
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(2_400));
    let listed = shop.get("/billing/top-ups").await;
    assert_eq!((&listed["data"][0]["automatic"], text(&listed["data"][0], "status")), (&json!(true), "paid"));
    assert_eq!(shop.stripe.objects("charge").len(), 2);
    shop.close().await;
}

/// Checklist 96: a card is charged once, though nobody heard that it was.
#[tokio::test]
async fn a_lost_answer_charges_no_card_twice() {
    let shop = set_up().await;
    shop.spend(shop.ada.org_id, 600).await;
    shop.stripe.disturb(fake_stripe::Disturbance { hold: true, ..Default::default() });
    // More often than it is tried at once.
    shop.stripe.fail_next("POST /v1/payment_intents", Fault::LoseAnswer, 4);
    shop.edge.tick().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(400), "nobody heard of it");
    shop.advance_s(180).await;
    shop.edge.tick().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(2_400));
    shop.stripe.disturb(fake_stripe::Disturbance::default());
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(2_400));
    assert_eq!(shop.stripe.objects("charge").len(), 2);
    shop.close().await;
}

#[tokio::test]
async fn a_card_that_is_refused_ends_it_and_owners_are_told() {
    let shop = set_up().await;
    let customer = text(&shop.stripe.objects("customer")[0], "id").to_owned();
    shop.stripe.change_card(&customer, Card::DeclinedLater).unwrap();
    let bad = shop.stripe.objects("payment_method").pop().unwrap()["id"].as_str().unwrap().to_owned();
    let put = "update stripe_customers set payment_method = $1";
    shop.edge.db.connect().await.execute(put, &[&bad]).await.unwrap();
    shop.spend(shop.ada.org_id, 600).await;
    shop.settle().await;
    shop.advance_s(600).await;
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(400));
    let set = shop.get("/billing/auto-top-up").await;
    assert!(!set["failed_at"].is_null(), "{set}");
    assert_eq!(shop.edge.last_mail("ada@example.com").await.template, "payment_failed");
    let tries = shop.stripe.requests().into_iter().filter(|it| it.method == "POST" && it.path == "/v1/payment_intents");
    assert_eq!(tries.count(), 1, "a refused card is not asked again");
    let none = json!({ "threshold_usd": null, "amount_usd": null });
    assert_eq!(shop.call(Method::PUT, "/billing/auto-top-up", none).await.status, 204);
    assert!(shop.get("/billing/auto-top-up").await["threshold_usd"].is_null());
    shop.close().await;
}

#[tokio::test]
async fn what_cannot_be_bought_is_refused() {
    let shop = set_up().await;
    for (threshold, amount) in [
        (json!("5"), Value::Null),
        (json!("0"), json!("20")),
        (json!("5"), json!("0.5")),
        (json!("5"), json!("10.005")),
    ] {
        let body = json!({ "threshold_usd": threshold, "amount_usd": amount });
        let answer = shop.call(Method::PUT, "/billing/auto-top-up", body.clone()).await;
        assert_eq!(refusal(&answer), (400, "invalid_value".to_owned()), "{body}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_card_that_its_owner_takes_away_is_charged_no_more() {
    let shop = set_up().await;
    let card = shop.one("select payment_method from stripe_customers").await;
    shop.at_stripe(&format!("payment_methods/{card}/detach"), &[]).await;
    shop.settle().await;
    shop.spend(shop.ada.org_id, 600).await;
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(400));
    assert_eq!(shop.stripe.objects("charge").len(), 1);
    let set = json!({ "threshold_usd": "5", "amount_usd": "20" });
    let refused = shop.call(Method::PUT, "/billing/auto-top-up", set).await;
    assert_eq!(refusal(&refused), (409, "payment_method_missing".to_owned()));
    assert!(shop.dead().await.is_empty(), "{:?}", shop.dead().await);
    shop.close().await;
}
