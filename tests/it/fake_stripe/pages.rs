//! The pages for people.

use super::{done, id, plan, posted, session};
use fake_stripe::FakeStripe;
use reqwest::{Client, StatusCode, header, redirect::Policy};

fn visitor() -> Client {
    Client::builder().no_proxy().redirect(Policy::none()).build().unwrap()
}

/// A button's request: the status, and where it leads or what it says.
async fn press(url: &str, form: &[(&str, &str)]) -> (StatusCode, String) {
    let answer = posted(visitor().post(url), form).send().await.unwrap();
    let status = answer.status();
    let led = answer.headers().get(header::LOCATION).map(|it| it.to_str().unwrap().to_owned());
    (status, if let Some(led) = led { led } else { answer.text().await.unwrap() })
}

#[tokio::test]
async fn a_person_pays_fails_or_turns_back() {
    let stripe = FakeStripe::start().await;
    let of = session(&stripe, "payment", &[("line_items[0][price_data][product_data][name]", "Credit <b>&")]).await;
    let url = of["url"].as_str().unwrap();
    let page = visitor().get(url).send().await.unwrap();
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let html = page.text().await.unwrap();
    assert!(html.contains("$25.00") && html.contains("Credit &lt;b&gt;&amp;") && !html.contains("<script"), "{html}");

    assert_eq!(press(url, &[("act", "cancel")]).await, (StatusCode::SEE_OTHER, "https://nest.example/no".to_owned()));
    let (status, html) = press(url, &[("act", "fail"), ("email", "a@example.com")]).await;
    assert!(status == StatusCode::PAYMENT_REQUIRED && html.contains("Your card was declined."), "{html}");
    assert_eq!(stripe.object(id(&of))["status"], "open");
    let (status, html) = press(url, &[("act", "pay"), ("way", "9995")]).await;
    assert!(status == StatusCode::PAYMENT_REQUIRED && html.contains("insufficient funds"), "{html}");
    let paid = press(url, &[("act", "pay"), ("way", "4242"), ("email", "a@example.com")]).await;
    assert_eq!(paid, (StatusCode::SEE_OTHER, "https://nest.example/ok".to_owned()));
    assert_eq!(stripe.object(id(&of))["customer_details"]["email"], "a@example.com");
    assert_eq!(stripe.objects("payment_intent").len(), 1, "one intent for all tries");
    assert_eq!(press(url, &[("act", "pay"), ("way", "4242")]).await.0, StatusCode::NOT_FOUND, "once");
    assert_eq!(stripe.events("checkout.session.completed").len(), 1);
}

#[tokio::test]
async fn customers_help_themselves_at_the_portal_and_only_themselves() {
    let stripe = FakeStripe::start().await;
    done(&stripe, "/v1/billing_portal/configurations", &[("features[invoice_history][enabled]", "true")]).await;
    let [month, _] = plan(&stripe).await;
    let mut customers = Vec::new();
    for _ in 0..2 {
        let lines = [("line_items[0][price]", month.as_str()), ("line_items[0][quantity]", "1")];
        let of = session(&stripe, "subscription", &lines).await;
        stripe.pay(id(&of)).unwrap();
        let of = stripe.object(id(&of));
        customers.push(["customer", "subscription"].map(|it| of[it].as_str().unwrap().to_owned()));
    }
    let [customer, subscription] = &customers[0];
    let form = [("customer", customer.as_str()), ("return_url", "https://nest.example/billing")];
    let portal = done(&stripe, "/v1/billing_portal/sessions", &form).await;
    let url = portal["url"].as_str().unwrap();
    let html = visitor().get(url).send().await.unwrap().text().await.unwrap();
    assert!(
        html.contains("Team") && html.contains("$20.00") && html.contains("https://nest.example/billing"),
        "{html}"
    );

    assert_eq!(press(url, &[("act", &format!("cancel {subscription}"))]).await.0, StatusCode::SEE_OTHER);
    assert_eq!(stripe.object(subscription)["cancel_at_period_end"], true);
    assert_eq!(press(url, &[("act", &format!("keep {subscription}"))]).await.0, StatusCode::SEE_OTHER);
    assert_eq!(stripe.object(subscription)["cancel_at"], serde_json::Value::Null);
    assert_eq!(press(url, &[("act", &format!("cancel {}", customers[1][1]))]).await.0, StatusCode::NOT_FOUND);
    assert_eq!(stripe.object(&customers[1][1])["cancel_at_period_end"], false);
    assert_eq!(press(url, &[("act", "card 0341")]).await.0, StatusCode::SEE_OTHER);
    stripe.advance_s(3_601);
    assert_eq!(
        visitor().get(url).send().await.unwrap().status(),
        StatusCode::NOT_FOUND,
        "the link is good for an hour"
    );
}

#[tokio::test]
async fn the_overview_shows_what_there_is_and_makes_things_happen() {
    let stripe = FakeStripe::start().await;
    let of = session(&stripe, "payment", &[]).await;
    stripe.pay(id(&of)).unwrap();
    let charge = stripe.objects("charge").remove(0);
    let html = visitor().get(&stripe.url).send().await.unwrap().text().await.unwrap();
    assert!(html.contains(id(&of)) && html.contains(id(&charge)), "{html}");
    let url = format!("{}/objects/{}", stripe.url, id(&charge));
    assert!(visitor().get(&url).send().await.unwrap().text().await.unwrap().contains("Refund all"));
    assert_eq!(press(&url, &[("act", "refund")]).await.0, StatusCode::SEE_OTHER);
    assert_eq!(stripe.object(id(&charge))["refunded"], true);
    assert_eq!(press(&url, &[("act", "refund")]).await.0, StatusCode::NOT_FOUND, "once");
    let then = stripe.now();
    press(&format!("{}/clock", stripe.url), &[("act", "31")]).await;
    assert!((stripe.now() - then - 31 * 86_400).abs() < 60);
}
