//! The clock of the fake, and what it does to subscriptions.

use super::{call, done, id, plan, session, subscriber};
use fake_stripe::{Card, FakeStripe, Options, Way};
use reqwest::Method;
use serde_json::Value;

const DAY_S: i64 = 86_400;

fn invoices(stripe: &FakeStripe) -> Vec<(String, String, i64)> {
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    let all = stripe.objects("invoice");
    all.iter().map(|it| (text(it, "billing_reason"), text(it, "status"), it["total"].as_i64().unwrap())).collect()
}

fn invoice(reason: &str, status: &str, total: i64) -> (String, String, i64) {
    (reason.to_owned(), status.to_owned(), total)
}

fn status(stripe: &FakeStripe, subscription: &str) -> String {
    stripe.object(subscription)["status"].as_str().unwrap().to_owned()
}

async fn use_up(stripe: &FakeStripe, customer: &str, value: &str) {
    let event = [("event_name", "overage"), ("payload[stripe_customer_id]", customer), ("payload[value]", value)];
    done(stripe, "/v1/billing/meter_events", &event).await;
}

#[tokio::test]
async fn a_month_later_the_plan_and_what_was_metered_are_billed() {
    let stripe = FakeStripe::start().await;
    let [customer, subscription] = subscriber(&stripe, &[]).await;
    assert_eq!(invoices(&stripe), [invoice("subscription_create", "paid", 2_000)]);
    use_up(&stripe, &customer, "12345").await;
    use_up(&stripe, &customer, "5").await;
    stripe.advance_days(32);
    use_up(&stripe, &customer, "1000000").await;
    assert_eq!(invoices(&stripe)[1..], [invoice("subscription_cycle", "paid", 2_000 + 1_235)]);
    let item = stripe.object(&subscription)["items"]["data"][0].clone();
    let [start, end] = ["current_period_start", "current_period_end"].map(|it| item[it].as_i64().unwrap());
    assert!(start <= stripe.now() && stripe.now() < end && (28..=31).contains(&((end - start) / DAY_S)));
    let paid: i64 = stripe.objects("charge").iter().map(|it| it["amount"].as_i64().unwrap()).sum();
    assert_eq!(paid, 2_000 + 3_235);
}

#[tokio::test]
async fn a_card_that_fails_is_tried_four_times_and_then_the_subscription_ends() {
    let stripe = FakeStripe::start().await;
    let [customer, subscription] = subscriber(&stripe, &[]).await;
    stripe.change_card(&customer, Card::DeclinedLater).unwrap();
    stripe.advance_days(32);
    assert_eq!(status(&stripe, &subscription), "past_due");
    assert_eq!(stripe.events("invoice.payment_failed").len(), 1);
    stripe.advance_days(3 + 5);
    assert_eq!(
        (status(&stripe, &subscription).as_str(), stripe.events("invoice.payment_failed").len()),
        ("past_due", 3)
    );
    stripe.advance_days(7);
    assert_eq!(
        (status(&stripe, &subscription).as_str(), stripe.events("invoice.payment_failed").len()),
        ("canceled", 4)
    );
    assert_eq!(stripe.object(&subscription)["cancellation_details"]["reason"], "payment_failed");
    assert_eq!(stripe.events("customer.subscription.deleted").len(), 1);
}

#[tokio::test]
async fn a_better_card_in_time_keeps_the_subscription() {
    let stripe = FakeStripe::start().await;
    let [customer, subscription] = subscriber(&stripe, &[]).await;
    stripe.change_card(&customer, Card::Authenticated).unwrap();
    stripe.advance_days(32);
    assert_eq!(status(&stripe, &subscription), "past_due");
    assert_eq!(stripe.events("invoice.payment_action_required").len(), 1);
    stripe.change_card(&customer, Card::Good).unwrap();
    stripe.advance_days(3);
    assert_eq!(status(&stripe, &subscription), "active");
    assert_eq!(invoices(&stripe)[1].1, "paid");
}

#[tokio::test]
async fn a_trial_costs_nothing_says_when_it_ends_and_becomes_paid() {
    let stripe = FakeStripe::start().await;
    let trial = [("subscription_data[trial_period_days]", "14")];
    let [_, subscription] = subscriber(&stripe, &trial).await;
    assert_eq!(
        (status(&stripe, &subscription).as_str(), invoices(&stripe)),
        ("trialing", vec![invoice("subscription_create", "paid", 0)])
    );
    let will_end = || stripe.events("customer.subscription.trial_will_end").len();
    stripe.advance_days(10);
    assert_eq!(will_end(), 0);
    stripe.advance_days(2);
    assert_eq!(will_end(), 1);
    stripe.advance_days(3);
    assert_eq!((status(&stripe, &subscription).as_str(), will_end()), ("active", 1));
    assert_eq!(invoices(&stripe)[1..], [invoice("subscription_cycle", "paid", 2_000)]);
}

#[tokio::test]
async fn a_subscription_that_is_cancelled_runs_to_its_end_and_bills_what_was_used() {
    let stripe = FakeStripe::start().await;
    let [customer, subscription] = subscriber(&stripe, &[]).await;
    let path = format!("/v1/subscriptions/{subscription}");
    done(&stripe, &path, &[("cancel_at_period_end", "true")]).await;
    let event = stripe.events("customer.subscription.updated").pop().unwrap();
    assert_eq!(event["data"]["previous_attributes"]["cancel_at_period_end"], false);
    use_up(&stripe, &customer, "10000").await;
    stripe.advance_days(20);
    assert_eq!(status(&stripe, &subscription), "active");
    stripe.advance_days(12);
    assert_eq!(status(&stripe, &subscription), "canceled");
    assert_eq!(invoices(&stripe)[1..], [invoice("subscription_cycle", "paid", 1_000)]);
}

#[tokio::test]
async fn half_a_month_of_another_plan_costs_half_the_difference() {
    let stripe = FakeStripe::start().await;
    let [_, subscription] = subscriber(&stripe, &[]).await;
    let before = stripe.object(&subscription);
    let item = &before["items"]["data"][0];
    let product = item["price"]["product"].as_str().unwrap();
    let large = [("product", product), ("currency", "usd"), ("unit_amount", "6000"), ("recurring[interval]", "month")];
    let large = done(&stripe, "/v1/prices", &large).await;
    let [start, end] = ["current_period_start", "current_period_end"].map(|it| item[it].as_i64().unwrap());
    stripe.advance_s((end - start) / 2);
    for (behavior, invoices_then, due) in [("none", 1, 0), ("always_invoice", 2, 2_000), ("create_prorations", 2, 0)] {
        let now = stripe.object(&subscription);
        let price = if now["items"]["data"][0]["price"]["id"] == large["id"] {
            item["price"]["id"].as_str().unwrap()
        } else {
            id(&large)
        };
        // `none` and back again first, so that the plan is the small one before it is paid for.
        let form = [("items[0][id]", id(item)), ("items[0][price]", price), ("proration_behavior", behavior)];
        done(&stripe, &format!("/v1/subscriptions/{subscription}"), &form).await;
        if behavior == "none" {
            let back = [
                ("items[0][id]", id(item)),
                ("items[0][price]", item["price"]["id"].as_str().unwrap()),
                ("proration_behavior", "none"),
            ];
            done(&stripe, &format!("/v1/subscriptions/{subscription}"), &back).await;
        }
        let all = invoices(&stripe);
        assert_eq!(all.len(), invoices_then, "{behavior}");
        if due > 0 {
            assert!((all[1].2 - due).abs() <= 1, "{all:?}");
        }
    }
    // What was changed back waits as credit for the next invoice: 2000 less half of 4000.
    stripe.advance_s(end - start);
    let last = invoices(&stripe).pop().unwrap();
    assert!((last.2).abs() <= 2 && last.1 == "paid", "{last:?}");
}

#[tokio::test]
async fn a_session_that_nobody_pays_expires_after_a_day() {
    let stripe = FakeStripe::start().await;
    let left = session(&stripe, "payment", &[]).await;
    stripe.advance_s(DAY_S - 60);
    assert_eq!(stripe.object(id(&left))["status"], "open");
    stripe.advance_s(120);
    assert_eq!(stripe.object(id(&left))["status"], "expired");
    assert_eq!(stripe.events("checkout.session.expired").len(), 1);
    assert!(stripe.pay(id(&left)).is_err());
}

#[tokio::test]
async fn a_card_that_is_declined_makes_no_subscription() {
    let stripe = FakeStripe::start().await;
    let [month, _] = plan(&stripe).await;
    let lines = [("line_items[0][price]", month.as_str()), ("line_items[0][quantity]", "1")];
    let open = session(&stripe, "subscription", &lines).await;
    assert!(stripe.pay_by(id(&open), Way::By(Card::Declined)).is_err());
    assert!(stripe.objects("subscription").is_empty() && stripe.object(id(&open))["status"] == "open");
    stripe.pay(id(&open)).unwrap();
    assert_eq!(stripe.objects("subscription").len(), 1);
}

#[tokio::test]
async fn a_file_keeps_everything_for_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { file: Some(dir.path().join("stripe.json")), ..Options::default() };
    let stripe = FakeStripe::open(options.clone()).await.unwrap();
    let [customer, subscription] = subscriber(&stripe, &[]).await;
    stripe.advance_days(3);
    let (endpoint, then) = (stripe.tell("http://127.0.0.1:9/hook"), stripe.now());
    drop(stripe);
    let stripe = FakeStripe::open(options).await.unwrap();
    assert!((0..60).contains(&(stripe.now() - then)));
    let (code, found) = call(&stripe, Method::GET, &format!("/v1/customers/{customer}"), &[]).await;
    assert_eq!((code, id(&found)), (200, customer.as_str()));
    assert_eq!(stripe.tell("http://127.0.0.1:10/hook"), endpoint, "the same endpoint, at its new place");
    stripe.advance_days(30);
    assert_eq!((status(&stripe, &subscription).as_str(), invoices(&stripe).len()), ("active", 2));
}
