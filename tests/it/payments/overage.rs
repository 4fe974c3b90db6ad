//! What is used beyond credit: told to Stripe's meter, and paid with the next invoice.

use super::*;
use fake_stripe::Fault;

/// Checklist 98: whole units, each once, whatever becomes of the answers; the invoice pays for them.
#[tokio::test]
async fn what_is_used_beyond_credit_is_metered_once_and_paid_with_the_invoice() {
    let shop = Shop::open().await;
    shop.sell(&[pro()]).await;
    let session = shop.subscribe(&shop.ada, "pro").await;
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    shop.spend(shop.ada.org_id, 2_500 + 300).await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds { overage: -300, ..Funds::default() });
    shop.stripe.fail_next("POST /v1/billing/meter_events", Fault::LoseAnswer, 4);
    shop.advance_s(3_700).await;
    shop.settle().await;
    // Nothing is told again that was told, and what comes later is told for itself.
    shop.advance_s(3_700).await;
    shop.settle().await;
    shop.spend(shop.ada.org_id, 45).await;
    shop.advance_s(3_700).await;
    shop.settle().await;
    let told = "select string_agg(units::text || case when sent_at is null then '?' else '' end, ' ' order by after_units) from meter_events";
    assert_eq!(shop.one(told).await, "300 45");
    shop.advance_days(32).await;
    let invoice = shop.stripe.objects("invoice").pop().unwrap();
    assert_eq!(invoice["amount_paid"], 2_345, "{invoice}");
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::allowance(2_500));
    assert_eq!(shop.one("select told_units || ' ' || paid_units from overage_meters").await, "345 345");
    shop.close().await;
}

/// Checklist 98: what Stripe's meter found wrong later is noted, and told to a person by the log.
#[tokio::test]
async fn an_error_report_of_the_meter_is_noted() {
    let shop = Shop::open().await;
    let org = shop.ada.org_id.uuid();
    let told = "insert into meter_events (org_id, after_units, units, customer, at, next_try_at, sent_at)
        values ($1::text::uuid, 0, 7, 'cus_1', now(), now(), now())";
    shop.edge.db.connect().await.execute(told, &[&org.to_string()]).await.unwrap();
    let report = json!({
        "id": "evt_report_1", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered",
        "created": "2026-11-22T10:00:00.000Z", "livemode": false,
        "related_object": { "id": "mtr_1", "type": "billing.meter" },
        "data": {
            "developer_message_summary": "There is 1 invalid event",
            "reason": { "error_types": [{ "code": "meter_event_customer_not_found", "sample_errors": [
                { "error_message": "no such customer", "request": { "identifier": format!("{org}:0") } },
            ] }] },
        },
    });
    let payload = report.to_string();
    let request = shop.edge.post("/webhooks/stripe").header("stripe-signature", shop.stripe.sign(&payload));
    assert_eq!(request.body(payload).send().await.unwrap().status(), 200);
    shop.apply().await;
    assert_eq!(shop.one("select error from meter_events").await, "no such customer");
    shop.close().await;
}

#[tokio::test]
async fn nobody_goes_beyond_credit_without_a_plan_that_lets_them() {
    let shop = Shop::open().await;
    let session = shop.top_up(&shop.ada, "5").await;
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    shop.spend(shop.ada.org_id, 700).await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds { owed: -200, ..Funds::default() });
    shop.advance_s(3_700).await;
    shop.settle().await;
    assert_eq!(shop.one("select count(*) from meter_events").await, "0");
    shop.close().await;
}
