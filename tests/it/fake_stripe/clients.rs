//! Stripe's own clients, unchanged, take the stand-in for Stripe.

use super::{Endpoint, done};
use fake_stripe::{FakeStripe, Fault, WEBHOOK_SECRET};
use nest_tests::{Script, npm, python};

/// Runs a client's script on a fake that has told of one customer, and that disturbs the first call twice; gives the
/// customer whom that call made.
async fn drive(stripe: &FakeStripe, script: Script) -> String {
    let endpoint = Endpoint::start().await;
    let registered = stripe.tell(&endpoint.url);
    let told = done(stripe, "/v1/customers", &[("email", "told@example.com")]).await;
    stripe.settled().await;
    stripe.change(&registered, serde_json::json!({ "status": "disabled" }), "test.done");
    // Only the event stays of this customer, so that a client can count its own.
    stripe.change(told["id"].as_str().unwrap(), serde_json::json!({ "deleted": true }), "test.done");
    stripe.fail_next("POST /v1/customers", Fault::LoseAnswer, 1);
    stripe.fail_next("POST /v1/customers", Fault::Refuse(500), 1);
    let told = endpoint.told();
    let [(base, url), (key, secret_key)] =
        [("STRIPE_BASE_URL", stripe.url.as_str()), ("STRIPE_SECRET_KEY", fake_stripe::SECRET_KEY)];
    let script = script.env(base, url).env(key, secret_key).env("WEBHOOK_SECRET", WEBHOOK_SECRET);
    script.env("PAYLOAD", &told[0].body).env("SIGNATURE", &told[0].signature).run().await.trim().to_owned()
}

/// What a client did with a call whose answer was lost: it said the same again, under the same key.
fn the_disturbed_call_was_made_once(stripe: &FakeStripe, email: &str, customer: &str) {
    let tries: Vec<_> =
        stripe.requests().into_iter().filter(|it| it.form["email"] == email && it.method == "POST").collect();
    assert_eq!(tries.iter().map(|it| it.status).collect::<Vec<_>>(), [0, 500, 200]);
    assert!(tries[0].idempotency_key.is_some());
    assert!(tries.iter().all(|it| it.idempotency_key == tries[0].idempotency_key));
    assert!(tries[2].replayed && !tries[0].replayed);
    let made: Vec<_> = stripe.objects("customer").into_iter().filter(|it| it["email"] == email).collect();
    assert_eq!((made.len(), made[0]["id"].as_str().unwrap()), (1, customer));
}

#[tokio::test]
async fn the_official_client_in_python_takes_the_fake_for_stripe() {
    let stripe = FakeStripe::start().await;
    let customer = drive(&stripe, python::script("stripe_client.py")).await;
    the_disturbed_call_was_made_once(&stripe, "python@example.com", &customer);
}

#[tokio::test]
async fn the_official_client_in_javascript_does_too() {
    let stripe = FakeStripe::start().await;
    let customer = drive(&stripe, npm::script("stripe_client.mjs")).await;
    the_disturbed_call_was_made_once(&stripe, "node@example.com", &customer);
}
