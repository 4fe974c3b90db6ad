//! Events reach their endpoints as Stripe's do: signed, again until they are taken, in no promised order.

use super::{Endpoint, call, done, id};
use edge_core::billing::stripe::signature::verify;
use fake_stripe::{Disturbance, FakeStripe, WEBHOOK_SECRET};
use reqwest::Method;
use serde_json::json;
use shared::time::Timestamp;
use std::collections::BTreeSet;

async fn customers(stripe: &FakeStripe, count: usize) {
    for number in 0..count {
        done(stripe, "/v1/customers", &[("name", &format!("Number {number}"))]).await;
    }
}

fn names(endpoint: &Endpoint) -> Vec<String> {
    endpoint.told().iter().map(|it| it.event()["data"]["object"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_event_comes_again_until_it_is_taken() {
    let (stripe, endpoint) = (FakeStripe::start().await, Endpoint::start().await);
    endpoint.answer(&[500, 302, 404]);
    stripe.tell(&endpoint.url);
    customers(&stripe, 1).await;
    stripe.settled().await;
    let told = endpoint.told();
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|it| it.event()["id"] == told[0].event()["id"]));
    let delivery = &stripe.deliveries()[0];
    assert_eq!((delivery.tries, delivery.status, delivery.ended), (4, 200, true));
    assert_eq!(stripe.events("customer.created")[0]["pending_webhooks"], 0);
}

#[tokio::test]
async fn the_way_of_an_event_is_disturbed_as_a_test_says() {
    let (stripe, endpoint) = (FakeStripe::start().await, Endpoint::start().await);
    stripe.tell(&endpoint.url);
    stripe.disturb(Disturbance { hold: true, ..Disturbance::default() });
    customers(&stripe, 30).await;
    assert_eq!(endpoint.told().len(), 0, "held back");
    stripe.disturb(Disturbance { shuffle: true, ..Disturbance::default() });
    stripe.settled().await;
    let shuffled = names(&endpoint);
    assert_eq!(shuffled.iter().collect::<BTreeSet<_>>().len(), 30);
    assert!(shuffled[..10].iter().any(|it| !(0..10).any(|number| *it == format!("Number {number}"))), "{shuffled:?}");

    stripe.disturb(Disturbance { duplicates: 2, ..Disturbance::default() });
    customers(&stripe, 1).await;
    stripe.settled().await;
    assert_eq!(endpoint.told().len(), 33, "one event, three times");

    stripe.disturb(Disturbance { drop_percent: 100, ..Disturbance::default() });
    customers(&stripe, 5).await;
    stripe.settled().await;
    assert_eq!(endpoint.told().len(), 33, "nobody was told, and only the list knows");
    let (_, list) = call(&stripe, Method::GET, "/v1/events", &[("type", "customer.created"), ("limit", "100")]).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 36);

    stripe.disturb(Disturbance { fail_percent: 50, ..Disturbance::default() });
    customers(&stripe, 20).await;
    stripe.settled().await;
    let told = endpoint.told().len() - 33;
    assert!(told > 20, "an answer that gets lost is a reason to tell again: {told}");
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_sign() {
    let (stripe, endpoint) = (FakeStripe::start().await, Endpoint::start().await);
    let registered = stripe.tell(&endpoint.url);
    stripe.rotate_secret(&registered, "whsec_new", WEBHOOK_SECRET);
    customers(&stripe, 1).await;
    stripe.settled().await;
    let told = &endpoint.told()[0];
    let at = Timestamp(stripe.now() * 1_000);
    for (secret, fits) in [("whsec_new", true), (WEBHOOK_SECRET, true), ("whsec_other", false)] {
        assert_eq!(verify(told.body.as_bytes(), &told.signature, &[secret.into()], at).is_ok(), fits, "{secret}");
    }
    assert!(verify(b"payload", &stripe.sign("payload"), &[WEBHOOK_SECRET.into()], at).is_ok());
}

#[tokio::test]
async fn an_endpoint_hears_what_it_asked_for() {
    let stripe = FakeStripe::start().await;
    let [all, some] = [Endpoint::start().await, Endpoint::start().await];
    stripe.tell(&all.url);
    let form =
        [("url", some.url.as_str()), ("enabled_events[]", "customer.deleted"), ("api_version", "2026-09-30.endive")];
    let registered = done(&stripe, "/v1/webhook_endpoints", &form).await;
    let customer = done(&stripe, "/v1/customers", &[]).await;
    call(&stripe, Method::DELETE, &format!("/v1/customers/{}", id(&customer)), &[]).await;
    stripe.emit_thin("v1.billing.meter.error_report_triggered", "mtr_1", "billing.meter", "/v1/billing/meters/mtr_1");
    stripe.settled().await;
    let thin = "v1.billing.meter.error_report_triggered";
    let everything =
        ["customer.created", "customer.deleted", thin].map(str::to_owned).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(all.types().into_iter().collect::<BTreeSet<_>>(), everything);
    assert_eq!(some.types(), ["customer.deleted"]);
    let secret = registered["secret"].as_str().unwrap();
    let at = Timestamp(stripe.now() * 1_000);
    let told = &some.told()[0];
    assert!(verify(told.body.as_bytes(), &told.signature, &[secret.into()], at).is_ok());
    let told = all.told().into_iter().map(|it| it.event()).find(|it| it["type"] == thin).unwrap();
    assert_eq!((&told["object"], &told["related_object"]["id"]), (&json!("v2.core.event"), &json!("mtr_1")));
    assert!(told.get("data").is_none(), "a thin event does not hold its object");
}
