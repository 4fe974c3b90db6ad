//! Money that goes back: refunds and disputes.

use super::*;
use fake_stripe::Decision;

/// Someone who has paid, and the charge.
async fn paid(cents: i64) -> (Shop, String) {
    let shop = Shop::open().await;
    let session = shop.top_up(&shop.ada, &Nanos(cents * CENT).to_string()).await;
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(cents));
    let charge = shop.charge(&shop.stripe.object(&session)["payment_intent"]);
    (shop, charge)
}

/// Checklist 88's part: a refund takes as much credit as money went back; one that fails gives it again.
#[tokio::test]
async fn a_refund_takes_credit_and_gives_it_again_when_it_fails() {
    let (shop, charge) = paid(2_000).await;
    let part = shop.stripe.refund(&charge, Some(500)).unwrap();
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(1_500));
    shop.stripe.emit("refund.updated", &part);
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(1_500), "once");
    shop.stripe.fail_refund(&part);
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(2_000));
    shop.stripe.refund(&charge, None).unwrap();
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::default());
    assert!(shop.dead().await.is_empty(), "{:?}", shop.dead().await);
    shop.close().await;
}

/// Checklist 88's part: what was used already is owed, calls are refused, and the next credit pays it first.
#[tokio::test]
async fn what_was_used_before_it_was_taken_back_is_owed() {
    let (shop, charge) = paid(2_000).await;
    shop.spend(shop.ada.org_id, 1_800).await;
    shop.stripe.dispute(&charge).unwrap();
    shop.settle().await;
    let owed = Funds { owed: -1_800, ..Funds::default() };
    assert_eq!(shop.funds(shop.ada.org_id).await, owed);
    let session = shop.top_up(&shop.ada, "25").await;
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(700));
    shop.close().await;
}

#[tokio::test]
async fn a_dispute_ends_as_the_bank_decides() {
    for (decision, left) in [(Decision::Won, 2_000), (Decision::Lost, 0)] {
        let (shop, charge) = paid(2_000).await;
        let dispute = shop.stripe.dispute(&charge).unwrap();
        shop.settle().await;
        assert_eq!(shop.funds(shop.ada.org_id).await, Funds::default(), "{decision:?}");
        shop.stripe.decide(&dispute, decision);
        shop.settle().await;
        assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(left), "{decision:?}");
        shop.close().await;
    }
}

/// A refund that is told of before its payment waits for it.
#[tokio::test]
async fn a_refund_waits_for_its_payment() {
    let shop = Shop::open().await;
    let session = shop.top_up(&shop.ada, "20").await;
    shop.stripe.disturb(fake_stripe::Disturbance { hold: true, ..Default::default() });
    shop.stripe.pay(&session).unwrap();
    let charge = shop.charge(&shop.stripe.object(&session)["payment_intent"]);
    shop.stripe.refund(&charge, Some(700)).unwrap();
    let told = shop.stripe.events("charge.refunded").remove(0);
    let payload = told.to_string();
    let request = shop.edge.post("/webhooks/stripe").header("stripe-signature", shop.stripe.sign(&payload));
    assert_eq!(request.body(payload).send().await.unwrap().status(), 200);
    shop.edge.tick().await;
    shop.stripe.disturb(fake_stripe::Disturbance::default());
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(1_300));
    shop.close().await;
}

/// A month's payment that goes back takes what is left of the month's credit, and what was used is owed.
#[tokio::test]
async fn a_refund_of_a_month_ends_its_credit() {
    for (used, part, expected) in [
        (0, 2_000, Funds::default()),
        (500, 2_000, Funds { owed: -500, ..Funds::default() }),
        (500, 1_000, Funds::allowance(750)),
        (1_500, 1_000, Funds { owed: -250, ..Funds::default() }),
    ] {
        let shop = Shop::open().await;
        shop.sell(&[pro()]).await;
        let session = shop.subscribe(&shop.ada, "pro").await;
        shop.stripe.pay(&session).unwrap();
        shop.settle().await;
        assert_eq!(shop.funds(shop.ada.org_id).await, Funds::allowance(2_500));
        if used > 0 {
            shop.spend(shop.ada.org_id, used).await;
        }
        let intent = shop.stripe.objects("payment_intent").pop().unwrap()["id"].clone();
        shop.stripe.refund(&shop.charge(&intent), Some(part)).unwrap();
        shop.settle().await;
        assert_eq!(shop.funds(shop.ada.org_id).await, expected, "{used} used, {part} refunded");
        shop.close().await;
    }
}
