//! `async-stripe`, whose types are generated from Stripe's specification, reads everything that the fake says.

use super::{Endpoint, call, done, id, session, subscriber};
use edge_core::billing::stripe::signature::verify;
use fake_stripe::{Card, Decision, FakeStripe, WEBHOOK_SECRET, Way};
use miniserde::{Deserialize, json::from_str};
use reqwest::Method;
use serde_json::Value;
use shared::time::Timestamp;
use std::collections::BTreeSet;
use stripe_webhook::{EventObject, Webhook};

fn reads<T: Deserialize>(object: &Value) {
    assert!(from_str::<T>(&object.to_string()).is_ok(), "{} cannot be read as {}", object, std::any::type_name::<T>());
}

/// Reads an object by its kind.
fn read(object: &Value) {
    match object["object"].as_str().unwrap() {
        "billing.meter" => reads::<stripe_billing::BillingMeter>(object),
        "billing.meter_event" => {}
        "billing_portal.configuration" => reads::<stripe_billing::BillingPortalConfiguration>(object),
        "billing_portal.session" => reads::<stripe_billing::BillingPortalSession>(object),
        "charge" => reads::<stripe_shared::Charge>(object),
        "checkout.session" => reads::<stripe_shared::CheckoutSession>(object),
        "customer" => reads::<stripe_shared::Customer>(object),
        "dispute" => reads::<stripe_shared::Dispute>(object),
        "event" => reads::<stripe_shared::Event>(object),
        "invoice" => reads::<stripe_shared::Invoice>(object),
        "invoice_payment" => reads::<stripe_shared::InvoicePayment>(object),
        "payment_intent" => reads::<stripe_shared::PaymentIntent>(object),
        "payment_method" => reads::<stripe_shared::PaymentMethod>(object),
        "price" => reads::<stripe_shared::Price>(object),
        "product" => reads::<stripe_shared::Product>(object),
        "refund" => reads::<stripe_shared::Refund>(object),
        "setup_intent" => reads::<stripe_shared::SetupIntent>(object),
        "subscription" => reads::<stripe_shared::Subscription>(object),
        "webhook_endpoint" => reads::<stripe_misc::WebhookEndpoint>(object),
        other => panic!("nobody reads {other}"),
    }
}

const KINDS: [&str; 19] = [
    "billing.meter",
    "billing_portal.configuration",
    "billing_portal.session",
    "charge",
    "checkout.session",
    "customer",
    "dispute",
    "event",
    "invoice",
    "invoice_payment",
    "payment_intent",
    "payment_method",
    "price",
    "product",
    "refund",
    "setup_intent",
    "subscription",
    "webhook_endpoint",
    "billing.meter_event",
];

/// Everything that can happen, once.
async fn a_busy_year(stripe: &FakeStripe) {
    for mode in ["payment", "setup"] {
        let currency = if mode == "setup" {
            &[("currency", "usd")][..]
        } else {
            &[("payment_intent_data[setup_future_usage]", "off_session")]
        };
        let of = session(stripe, mode, currency).await;
        assert!(stripe.pay_by(id(&of), Way::By(Card::Declined)).is_err());
        stripe.pay(id(&of)).unwrap();
    }
    for paid in [true, false] {
        let of = session(stripe, "payment", &[]).await;
        stripe.pay_by(id(&of), Way::Later).unwrap();
        stripe.settle(id(&of), paid).unwrap();
    }
    let left = session(stripe, "payment", &[]).await;
    let charges = stripe.objects("charge");
    let charge = charges.iter().find(|it| it["status"] == "succeeded").unwrap();
    let refund = stripe.refund(id(charge), Some(100)).unwrap();
    stripe.fail_refund(&refund);
    let dispute = stripe.dispute(id(charge)).unwrap();
    done(stripe, &format!("/v1/disputes/{dispute}"), &[("evidence[product_description]", "credit")]).await;
    stripe.decide(&dispute, Decision::Won);
    let [customer, subscription] = subscriber(stripe, &[("subscription_data[trial_period_days]", "14")]).await;
    let used = [("event_name", "overage"), ("payload[stripe_customer_id]", &customer), ("payload[value]", "500")];
    done(stripe, "/v1/billing/meter_events", &used).await;
    stripe.advance_days(40);
    assert_eq!(stripe.object(id(&left))["status"], "expired");
    stripe.change_card(&customer, Card::DeclinedLater).unwrap();
    stripe.advance_days(70);
    assert_eq!(stripe.object(&subscription)["status"], "canceled");
    stripe.change_card(&customer, Card::Authenticated).unwrap();
    let price = stripe.object(&subscription)["items"]["data"][0]["price"]["id"].as_str().unwrap().to_owned();
    let another = [("customer", customer.as_str()), ("items[0][price]", &price), ("off_session", "true")];
    done(stripe, "/v1/subscriptions", &another).await;
    done(stripe, "/v1/billing_portal/configurations", &[("features[invoice_history][enabled]", "true")]).await;
    done(stripe, "/v1/billing_portal/sessions", &[("customer", &customer)]).await;
    done(stripe, &format!("/v1/customers/{customer}"), &[("name", "Renamed")]).await;
    done(stripe, &format!("/v1/payment_methods/{}/detach", id(&stripe.objects("payment_method")[1])), &[]).await;
    call(stripe, Method::DELETE, &format!("/v1/customers/{customer}"), &[]).await;
}

#[tokio::test]
async fn every_object_and_every_event_is_read_by_types_that_others_generated() {
    let (stripe, endpoint) = (FakeStripe::start().await, Endpoint::start().await);
    stripe.tell(&endpoint.url);
    a_busy_year(&stripe).await;
    for kind in KINDS {
        let objects = stripe.objects(kind);
        assert!(!objects.is_empty(), "no {kind} was made");
        objects.iter().for_each(read);
    }
    stripe.settled().await;
    let mut types = BTreeSet::new();
    for told in endpoint.told() {
        let (body, secret) = (told.body.as_str(), WEBHOOK_SECRET);
        let signed_at: i64 = told.signature[2..].split(',').next().unwrap().parse().unwrap();
        let event = Webhook::construct_event_with_timestamp(body, &told.signature, secret, signed_at).unwrap();
        assert!(!matches!(event.data.object, EventObject::Unknown(_)) || body.contains("\"billing"), "{body}");
        assert_eq!(event.api_version, Some(stripe_shared::version::VERSION));
        verify(body.as_bytes(), &told.signature, &[secret.into()], Timestamp(signed_at * 1_000)).unwrap();
        types.insert(told.event()["type"].as_str().unwrap().to_owned());
    }
    let missing: Vec<_> = TYPES.iter().filter(|it| !types.contains(**it)).collect();
    assert!(missing.is_empty(), "nothing told of {missing:?}: {types:?}");
}

/// What the edge acts on, but for what only a test emits.
const TYPES: [&str; 19] = [
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_withdrawn",
    "charge.refunded",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
    "customer.updated",
    "invoice.paid",
    "invoice.payment_action_required",
    "invoice.payment_failed",
    "payment_method.detached",
    "refund.updated",
];

/// Checklist 89.
#[test]
fn what_async_stripe_signs_our_verifier_takes() {
    let (payload, secret, now) = (r#"{"id":"evt_1"}"#, "whsec_of_a_test", 1_790_000_000);
    let header = Webhook::generate_test_header(payload, secret, Some(now));
    let check = |payload: &str, secret: &str, seconds: i64| {
        verify(payload.as_bytes(), &header, &[secret.into()], Timestamp(seconds * 1_000)).is_ok()
    };
    assert!(check(payload, secret, now) && check(payload, secret, now + 300) && check(payload, secret, now - 300));
    assert!(!check(payload, secret, now + 301) && !check(payload, secret, now - 301));
    assert!(!check(payload, "whsec_of_another", now) && !check(r#"{"id":"evt_2"}"#, secret, now));
}
