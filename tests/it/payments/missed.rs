//! What webhooks missed.

use super::*;
use edge_core::Edge;
use std::sync::Arc;

/// Checklist 94: with webhooks off for a day, one look at Stripe's lists brings all in line.
#[tokio::test]
async fn a_day_without_webhooks_is_made_good_by_one_look() {
    let shop = Shop::open().await;
    shop.sell(&[pro()]).await;
    let bob = shop.edge.person("bob@example.com").await;
    let eve = shop.edge.person("eve@example.com").await;
    shop.settle().await;
    shop.stripe.disturb(fake_stripe::Disturbance { drop_percent: 100, ..Default::default() });
    let (paid, left) = (shop.top_up(&shop.ada, "20").await, shop.top_up(&shop.ada, "30").await);
    shop.stripe.pay(&paid).unwrap();
    let plan = shop.subscribe(&bob, "pro").await;
    shop.stripe.pay(&plan).unwrap();
    let disputed = shop.top_up(&eve, "40").await;
    shop.stripe.pay(&disputed).unwrap();
    let charge = shop.charge(&shop.stripe.object(&disputed)["payment_intent"]);
    shop.stripe.refund(&charge, Some(1_000)).unwrap();
    shop.stripe.dispute(&charge).unwrap();
    shop.advance_s(88_000).await;
    for who in [&shop.ada, &bob, &eve] {
        assert_eq!(shop.funds(who.org_id).await, Funds::default(), "nobody has told");
    }
    shop.apply().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(2_000));
    assert_eq!(shop.funds(bob.org_id).await, Funds::allowance(2_500));
    assert_eq!(shop.funds(eve.org_id).await, Funds::default(), "a part was refunded, and the rest is disputed");
    let status = "select string_agg(status, ' ' order by cents) from top_ups";
    assert_eq!(shop.one(status).await, "paid expired paid", "{left} is over");
    assert!(shop.dead().await.is_empty(), "{:?}", shop.dead().await);
    shop.close().await;
}

/// What Stripe lists no event of any more is found by its object.
#[tokio::test]
async fn an_object_without_its_event_is_found() {
    let shop = Shop::open().await;
    shop.sell(&[pro()]).await;
    shop.stripe.disturb(fake_stripe::Disturbance { drop_percent: 100, ..Default::default() });
    let session = shop.subscribe(&shop.ada, "pro").await;
    shop.stripe.pay(&session).unwrap();
    shop.stripe.fail_next("GET /v1/events", fake_stripe::Fault::Refuse(404), 100);
    let config = nest_tests::edge::config(&shop.edge.db, &shop.stripe.settings());
    Edge::new(config).reconcile(Arc::<edge_native::Native>::clone(&shop.edge.native)).await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::allowance(2_500));
    let told =
        "select count(*) from stripe_events where object_kind in ('checkout.session', 'subscription', 'invoice')";
    assert_eq!(shop.one(told).await, "0");
    shop.close().await;
}
