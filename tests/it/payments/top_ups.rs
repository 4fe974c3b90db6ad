//! Credit that is bought on Stripe's page.

use super::*;
use fake_stripe::{Card, Fault, Way};

/// Checklist 90 and 97: what Stripe says was paid is credited, once.
#[tokio::test]
async fn credit_comes_once_however_often_stripe_tells_of_it() {
    let shop = Shop::open().await;
    let session = shop.top_up(&shop.ada, "20").await;
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::default(), "nobody has paid yet");
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(2_000));
    let event = shop.stripe.events("checkout.session.completed").remove(0);
    shop.stripe.resend(text(&event, "id"));
    // The same told by another event, as it is of payments that take days.
    shop.stripe.emit("checkout.session.async_payment_succeeded", &session);
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(2_000));
    let listed = shop.get("/billing/top-ups").await;
    let top_up = &listed["data"][0];
    assert_eq!((text(top_up, "status"), text(top_up, "usd")), ("paid", "20"), "{listed}");
    assert_eq!(shop.one("select count(*) from payments").await, "1");
    shop.close().await;
}

/// Checklist 87's part: a second try is told of the first one's page; another body is refused.
#[tokio::test]
async fn a_second_try_has_the_same_page() {
    let shop = Shop::open().await;
    let ask = async |usd: &str| {
        let body = json!({ "usd": usd });
        shop.call_as(&shop.ada, Method::POST, "/billing/top-ups", body, "a-key").await
    };
    let (first, second) = (ask("20").await, ask("20").await);
    assert_eq!((first.status, first.text()), (second.status, second.text()));
    assert_eq!(refusal(&ask("21").await), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(shop.stripe.objects("checkout.session").len(), 1);
    let many = (0..32).map(|_| async {
        shop.call_as(&shop.ada, Method::POST, "/billing/top-ups", json!({ "usd": "7" }), "another").await.status
    });
    let seen = futures_util::future::join_all(many).await;
    assert!(seen.iter().all(|it| [200, 409].contains(&it.as_u16())), "{seen:?}");
    assert_eq!(shop.stripe.objects("checkout.session").len(), 2);
    assert_eq!(shop.stripe.objects("customer").len(), 1);
    shop.close().await;
}

#[tokio::test]
async fn a_payment_that_takes_days_counts_when_it_came() {
    let shop = Shop::open().await;
    let (paid, failed) = (shop.top_up(&shop.ada, "20").await, shop.top_up(&shop.ada, "30").await);
    for session in [&paid, &failed] {
        shop.stripe.pay_by(session, Way::Later).unwrap();
    }
    shop.settle().await;
    let statuses = async || {
        let listed = shop.get("/billing/top-ups").await;
        listed["data"].as_array().unwrap().iter().map(|it| text(it, "status").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(statuses().await, ["processing", "processing"]);
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::default());
    shop.stripe.settle(&paid, true).unwrap();
    shop.stripe.settle(&failed, false).unwrap();
    shop.settle().await;
    assert_eq!(statuses().await, ["failed", "paid"]);
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(2_000));
    shop.close().await;
}

#[tokio::test]
async fn a_page_that_is_left_brings_nothing() {
    let shop = Shop::open().await;
    let session = shop.top_up(&shop.ada, "20").await;
    assert!(shop.stripe.pay_by(&session, Way::By(Card::Declined)).is_err());
    shop.advance_s(90_000).await;
    shop.settle().await;
    let listed = shop.get("/billing/top-ups").await;
    assert_eq!(text(&listed["data"][0], "status"), "expired");
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::default());
    shop.close().await;
}

/// Checklist 96: what was done and not heard of is not done again, and what was not done is.
#[tokio::test]
async fn a_lost_answer_makes_no_second_object() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest, Fault::Refuse(500), Fault::Refuse(429)] {
        let shop = Shop::open().await;
        shop.stripe.fail_next("POST /v1/customers", fault, 2);
        shop.stripe.fail_next("POST /v1/checkout/sessions", fault, 2);
        let session = shop.top_up(&shop.ada, "20").await;
        assert_eq!(shop.stripe.objects("customer").len(), 1, "{fault:?}");
        assert_eq!(shop.stripe.objects("checkout.session").len(), 1, "{fault:?}");
        let posts: Vec<_> = shop.stripe.requests().into_iter().filter(|it| it.method == "POST").collect();
        assert!(posts.len() >= 6 && posts.iter().all(|it| it.idempotency_key.is_some()), "{posts:?}");
        assert!(posts.iter().all(|it| it.api_version.as_deref() == Some(billing::stripe::API_VERSION)));
        shop.stripe.pay(&session).unwrap();
        shop.settle().await;
        assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(2_000), "{fault:?}");
        shop.close().await;
    }
}

/// Stripe is away for longer than we try: the caller hears it, and a later try with the same key goes on.
#[tokio::test]
async fn an_outage_is_told_and_a_later_try_goes_on() {
    let shop = Shop::open().await;
    let ask = async || shop.call_as(&shop.ada, Method::POST, "/billing/top-ups", json!({ "usd": "9" }), "key").await;
    shop.stripe.fail_next("POST /v1/checkout/sessions", Fault::LoseAnswer, 3);
    let away = ask().await;
    assert_eq!(refusal(&away), (503, "payments_unavailable".to_owned()));
    assert!(!away.header("retry-after").is_empty());
    assert_eq!(ask().await.status, 200);
    shop.close().await;
}

/// Checklist 99: the way back is the settings', and the customer is our own.
#[tokio::test]
async fn nobody_chooses_where_people_come_back_to_or_who_pays() {
    let shop = Shop::with(&[("PUBLIC_URL", "https://nest.example.com")]).await;
    let body = json!({ "usd": "20", "success_url": "https://evil.example", "customer": "cus_1" });
    assert_eq!(shop.call(Method::POST, "/billing/top-ups", body).await.status, 400);
    let session = shop.stripe.object(&shop.top_up(&shop.ada, "20").await);
    for field in ["success_url", "cancel_url"] {
        assert!(text(&session, field).starts_with("https://nest.example.com/billing.html?checkout="), "{session}");
    }
    shop.at_stripe("billing_portal/configurations", &[("features[invoice_history][enabled]", "true")]).await;
    let portal = shop.call(Method::POST, "/billing/portal", Value::Null).await;
    assert_eq!(portal.status, 200, "{}", portal.text());
    let asked = shop.stripe.requests().into_iter().rfind(|it| it.path.ends_with("billing_portal/sessions")).unwrap();
    assert_eq!(asked.form["return_url"], "https://nest.example.com/billing.html");
    assert_eq!(asked.form["customer"], session["customer"]);
    shop.close().await;
}

/// Checklist 97 and 99: metadata alone moves nothing, and no customer pays for two organisations.
#[tokio::test]
async fn a_payment_counts_for_the_organisation_whose_customer_paid() {
    let shop = Shop::open().await;
    let bob = shop.edge.person("bob@example.com").await;
    shop.top_up(&bob, "5").await;
    let ours = shop.stripe.object(&shop.top_up(&shop.ada, "20").await);
    let customers = shop.stripe.objects("customer");
    assert_eq!(customers.len(), 2, "each has their own");
    let bobs = customers.iter().map(|it| text(it, "id")).find(|it| ours["customer"] != *it).unwrap().to_owned();
    // Bob's payment, in the name of Ada's top-up.
    let forged = shop
        .at_stripe(
            "checkout/sessions",
            &[
                ("mode", "payment"),
                ("customer", &bobs),
                ("client_reference_id", text(&ours, "client_reference_id")),
                ("success_url", "https://nest.example.com"),
                ("line_items[0][quantity]", "1"),
                ("line_items[0][price_data][currency]", "usd"),
                ("line_items[0][price_data][unit_amount]", "2000"),
                ("line_items[0][price_data][product_data][name]", "Credit"),
            ],
        )
        .await;
    shop.stripe.pay(text(&forged, "id")).unwrap();
    shop.settle().await;
    for org in [shop.ada.org_id, bob.org_id] {
        assert_eq!(shop.funds(org).await, Funds::default());
    }
    let dead = shop.dead().await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(dead[0].contains("its customer is not the organisation's"), "{dead:?}");
    let steal = "insert into stripe_customers (org_id, id) select id, $1 from orgs where id not in
        (select org_id from stripe_customers) limit 1";
    let refused = shop.edge.db.connect().await.execute(steal, &[&bobs]).await;
    assert!(refused.is_err(), "one customer is one organisation's");
    shop.close().await;
}

#[tokio::test]
async fn a_customer_who_was_deleted_is_followed_by_another() {
    let shop = Shop::open().await;
    let first = shop.stripe.object(&shop.top_up(&shop.ada, "20").await)["customer"].clone();
    let (_, key) = shop.stripe.settings()[0];
    let url = format!("{}/v1/customers/{}", shop.stripe.url, first.as_str().unwrap());
    assert_eq!(shop.edge.client.delete(url).bearer_auth(key).send().await.unwrap().status(), 200);
    shop.settle().await;
    let session = shop.top_up(&shop.ada, "30").await;
    assert_ne!(shop.stripe.object(&session)["customer"], first);
    shop.stripe.pay(&session).unwrap();
    shop.settle().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(3_000));
    shop.close().await;
}

#[tokio::test]
async fn without_a_key_for_stripe_payments_are_off() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    for (method, path, body) in [
        (Method::POST, "/billing/top-ups", json!({ "usd": "20" })),
        (Method::POST, "/billing/checkout", json!({ "plan": "pro" })),
        (Method::POST, "/billing/portal", Value::Null),
        (Method::GET, "/billing/invoices", Value::Null),
    ] {
        let request = edge.by(&ada, method, &format!("/api/v1{path}")).header("idempotency-key", "k");
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(refusal(&answer), (503, "payments_off".to_owned()), "{path}");
    }
}
