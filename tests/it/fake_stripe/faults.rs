//! What goes wrong on the way to the fake goes wrong as it does on the way to Stripe.

use super::{call, code, done, id, posted};
use fake_stripe::{FakeStripe, Fault, SECRET_KEY};
use reqwest::Method;
use serde_json::Value;

/// A customer made under an idempotency key: the status, 0 where no answer came, and the answer.
async fn make(stripe: &FakeStripe, key: &str, email: &str) -> (u16, Value, bool) {
    let request = nest_tests::edge::client().post(format!("{}/v1/customers", stripe.url)).bearer_auth(SECRET_KEY);
    let request = posted(request.header("idempotency-key", key), &[("email", email)]);
    let Ok(answer) = request.send().await else { return (0, Value::Null, false) };
    let replayed = answer.headers().get("idempotent-replayed").is_some_and(|it| it == "true");
    (answer.status().as_u16(), answer.json().await.unwrap(), replayed)
}

#[tokio::test]
async fn each_fault_leaves_done_what_it_says() {
    // A fault, the status that the client sees, whether it is done by then, and what the same call says next.
    for (fault, status, done_by_then, next) in [
        (Fault::Refuse(500), 500, false, (200, false)),
        (Fault::Refuse(429), 429, false, (200, false)),
        (Fault::Fail, 500, false, (500, true)),
        (Fault::LoseAnswer, 0, true, (200, true)),
        (Fault::LoseRequest, 0, false, (200, false)),
        (Fault::Late(20), 200, true, (200, true)),
    ] {
        let stripe = FakeStripe::start().await;
        stripe.fail_next("POST /v1/customers", fault, 1);
        assert_eq!(make(&stripe, "k", "a@example.com").await.0, status, "{fault:?}");
        assert_eq!(stripe.objects("customer").len(), usize::from(done_by_then), "{fault:?}");
        let (status, _, replayed) = make(&stripe, "k", "a@example.com").await;
        assert_eq!((status, replayed), next, "{fault:?}");
        assert_eq!(stripe.objects("customer").len(), usize::from(fault != Fault::Fail), "{fault:?}");
        let seen = stripe.requests();
        assert_eq!((seen.len(), seen[1].replayed, seen[0].idempotency_key.as_deref()), (2, next.1, Some("k")));
    }
}

#[tokio::test]
async fn chance_fails_some_calls_and_no_retry_makes_anything_twice() {
    let stripe = FakeStripe::start().await;
    stripe.fail_percent(60);
    for number in 0..20 {
        let (key, email) = (format!("k{number}"), format!("{number}@example.com"));
        let mut tries = 0;
        while make(&stripe, &key, &email).await.0 != 200 {
            tries += 1;
            assert!(tries < 200, "nothing gets through");
        }
    }
    assert!(stripe.requests().len() > 30, "nothing went wrong");
    assert_eq!(stripe.objects("customer").len(), 20);
    stripe.heal();
    assert_eq!(make(&stripe, "after", "after@example.com").await.0, 200);
}

#[tokio::test]
async fn a_key_keeps_its_answer_for_a_day_and_for_one_call_only() {
    let stripe = FakeStripe::start().await;
    let (_, first, _) = make(&stripe, "k", "a@example.com").await;
    let (status, body, _) = make(&stripe, "k", "b@example.com").await;
    assert_eq!((status, body["error"]["type"].as_str()), (400, Some("idempotency_error")));
    let (_, again, replayed) = make(&stripe, "k", "a@example.com").await;
    assert_eq!((id(&again), replayed), (id(&first), true));
    stripe.advance_days(1);
    let (_, later, replayed) = make(&stripe, "k", "b@example.com").await;
    assert!(id(&later) != id(&first) && !replayed);
}

#[tokio::test]
async fn each_mistake_is_refused_as_stripe_refuses_it() {
    let stripe = FakeStripe::start().await;
    let customer = done(&stripe, "/v1/customers", &[]).await;
    let customer = id(&customer);
    let pay =
        [("amount", "1000"), ("currency", "usd"), ("customer", customer), ("confirm", "true"), ("off_session", "true")];
    for (method, path, form, status, expected) in [
        (Method::GET, "/v1/unknown", vec![], 404, "invalid_request_error"),
        (Method::GET, "/v1/customers/cus_0", vec![], 404, "resource_missing"),
        (Method::POST, "/v1/customers", vec![("emial", "x")], 400, "parameter_unknown"),
        (Method::GET, "/v1/customers", vec![("limit", "many")], 400, "parameter_invalid_integer"),
        (Method::GET, "/v1/customers", vec![("limit", "101")], 400, "invalid_request_error"),
        (Method::GET, "/v1/customers", vec![("expand[]", "data.nothing")], 400, "invalid_request_error"),
        (Method::POST, "/v1/checkout/sessions", vec![("mode", "payment")], 400, "parameter_missing"),
        (Method::POST, "/v1/checkout/sessions", vec![("mode", "gift")], 400, "invalid_request_error"),
        (Method::POST, "/v1/payment_intents", vec![("amount", "1"), ("currency", "usd")], 400, "amount_too_small"),
        (Method::POST, "/v1/payment_intents", pay.to_vec(), 400, "payment_intent_unexpected_state"),
        (
            Method::POST,
            "/v1/payment_intents",
            [&pay[..], &[("payment_method", "pm_card_chargeCustomerFail")]].concat(),
            402,
            "card_declined",
        ),
        (
            Method::POST,
            "/v1/payment_intents",
            [&pay[..], &[("payment_method", "pm_card_authenticationRequired")]].concat(),
            402,
            "authentication_required",
        ),
        (Method::POST, "/v1/refunds", vec![("charge", "ch_0")], 400, "resource_missing"),
        (
            Method::POST,
            "/v1/prices",
            vec![("product", "prod_0"), ("currency", "usd"), ("unit_amount", "1")],
            400,
            "resource_missing",
        ),
        (Method::POST, "/v1/billing/meter_events", vec![("event_name", "nothing")], 400, "no_meter"),
        (
            Method::POST,
            "/v1/webhook_endpoints",
            vec![("url", "nowhere"), ("enabled_events[]", "*")],
            400,
            "url_invalid",
        ),
        (Method::POST, "/v1/subscriptions", vec![("customer", customer)], 400, "parameter_missing"),
        (Method::POST, "/v1/billing_portal/sessions", vec![("customer", customer)], 400, "invalid_request_error"),
    ] {
        let (answered, body) = call(&stripe, method, path, &form).await;
        assert_eq!((answered, code(&body)), (status, expected), "{path} {form:?}: {body}");
        assert!(body["error"]["message"].as_str().is_some_and(|it| !it.is_empty()));
    }
}

#[tokio::test]
async fn only_the_secret_key_opens_it() {
    let stripe = FakeStripe::start().await;
    let client = nest_tests::edge::client();
    let get = || client.get(format!("{}/v1/customers", stripe.url));
    for (request, status) in [
        (get(), 401),
        (get().bearer_auth("sk_test_other"), 401),
        (get().bearer_auth(SECRET_KEY), 200),
        (get().basic_auth(SECRET_KEY, Some("")), 200),
        (get().basic_auth("", Some(SECRET_KEY)), 401),
    ] {
        assert_eq!(request.send().await.unwrap().status(), status);
    }
}
