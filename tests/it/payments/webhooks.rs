//! What comes to `/webhooks/stripe`.

use super::*;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

async fn post(shop: &Shop, payload: &str, signature: Option<&str>) -> Answer {
    let request = shop.edge.post("/webhooks/stripe").body(payload.to_owned());
    let request = match signature {
        Some(signature) => request.header("stripe-signature", signature),
        None => request,
    };
    Answer::read(request.send().await.unwrap()).await
}

/// As Stripe signs, so many seconds from now.
fn sign(shop: &Shop, payload: &str, secret: &str, off_s: i64) -> String {
    let at = shop.edge.now().as_seconds() + off_s;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.{payload}").as_bytes());
    let digest: String = mac.finalize().into_bytes().iter().map(|it| format!("{it:02x}")).collect();
    format!("t={at},v1={digest}")
}

fn event(id: &str, kind: &str, object: &Value) -> String {
    json!({ "id": id, "object": "event", "type": kind, "created": 1, "livemode": false, "data": { "object": object } })
        .to_string()
}

const SECRET: &str = fake_stripe::WEBHOOK_SECRET;

/// Checklist 89: what Stripe has not signed now is refused, and nothing of it is kept.
#[tokio::test]
async fn what_is_forged_or_old_is_refused_and_not_kept() {
    let secrets = format!("whsec_before,{SECRET}");
    let shop = Shop::with(&[("STRIPE_WEBHOOK_SECRETS", &secrets)]).await;
    let payload = event("evt_1", "charge.refunded", &json!({ "id": "ch_1", "object": "charge" }));
    let good = sign(&shop, &payload, SECRET, 0);
    for (name, body, signature) in [
        ("none", payload.clone(), None),
        ("empty", payload.clone(), Some(String::new())),
        ("another secret", payload.clone(), Some(sign(&shop, &payload, "whsec_other", 0))),
        ("too old", payload.clone(), Some(sign(&shop, &payload, SECRET, -320))),
        ("from the future", payload.clone(), Some(sign(&shop, &payload, SECRET, 320))),
        ("another body", format!("{payload} "), Some(good.clone())),
        ("another scheme", payload.clone(), Some(good.replace("v1=", "v0="))),
        ("no body", String::new(), Some(good.clone())),
    ] {
        let answer = post(&shop, &body, signature.as_deref()).await;
        assert_eq!(refusal(&answer), (400, "invalid_signature".to_owned()), "{name}");
    }
    assert_eq!(shop.one("select count(*) from stripe_events").await, "0");
    let other = event("evt_2", "charge.refunded", &json!({}));
    for (payload, signature) in [(&payload, good), (&other, sign(&shop, &other, "whsec_before", 250))] {
        assert_eq!(post(&shop, payload, Some(&signature)).await.status, 200);
    }
    assert_eq!(shop.one("select count(*) from stripe_events").await, "2");
    shop.close().await;
}

#[tokio::test]
async fn without_a_secret_nothing_is_taken() {
    let shop = Shop::with(&[("STRIPE_WEBHOOK_SECRETS", "")]).await;
    let payload = event("evt_1", "x", &json!({}));
    for secret in ["", "whsec_", SECRET] {
        let answer = post(&shop, &payload, Some(&sign(&shop, &payload, secret, 0))).await;
        assert_eq!(refusal(&answer), (400, "invalid_signature".to_owned()), "{secret:?}");
    }
    shop.close().await;
}

/// Checklist 90: one that comes again, at once or later, is kept once.
#[tokio::test]
async fn an_event_is_kept_once_byte_for_byte() {
    let shop = Shop::open().await;
    let payload =
        event("evt_1", "customer.updated", &json!({ "name": "\u{fffd}\\u0000 and \\ud800" })).replace("\\\\u", "\\u");
    let signature = sign(&shop, &payload, SECRET, 0);
    let many = (0..32).map(|_| post(&shop, &payload, Some(&signature)));
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let kept: Vec<u8> =
        shop.edge.db.connect().await.query_one("select raw from stripe_events", &[]).await.unwrap().get(0);
    assert_eq!(kept, payload.as_bytes());
    shop.close().await;
}

/// Checklist 92: what is not known is kept and harms nobody; what cannot be applied is given up, and tried when told to.
#[tokio::test]
async fn what_is_unknown_is_kept_and_what_is_wrong_is_given_up() {
    let shop = Shop::open().await;
    for (payload, dead) in [
        (event("evt_1", "a.type.of.tomorrow", &json!({ "id": "x_1", "object": "tomorrow" })), false),
        (event("evt_2", "invoice.paid", &json!({ "id": 7, "object": "invoice" })), true),
        (event("evt_3", "invoice.paid", &json!({ "object": "invoice" })), true),
        (event("evt_4", "charge.refunded", &json!({ "id": "ch_none", "object": "charge" })), false),
        (event("evt_5", "invoice.paid", &json!({ "id": "in_none", "object": "invoice" })), true),
        (event("evt_6", "x", &json!([])), false),
        ("{}".to_owned(), true),
        ("no JSON".to_owned(), true),
        ("[1, 2".to_owned(), true),
    ] {
        assert_eq!(post(&shop, &payload, Some(&sign(&shop, &payload, SECRET, 0))).await.status, 200, "{payload}");
        shop.apply().await;
        let state = "select count(*) from stripe_events where dead_at is not null and raw = $1";
        let row = shop.edge.db.connect().await.query_one(state, &[&payload.as_bytes()]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0) == 1, dead, "{payload}");
    }
    let store = shop.edge.store();
    let given_up = billing::stripe::events(&store, Some("dead"), 100).await.unwrap();
    assert_eq!(given_up.len(), 6);
    assert!(billing::stripe::replay(&store, "evt_5", shop.edge.now()).await.unwrap());
    assert!(!billing::stripe::replay(&store, "evt_none", shop.edge.now()).await.unwrap());
    assert_eq!(billing::stripe::events(&store, Some("waiting"), 100).await.unwrap().len(), 1);
    shop.apply().await;
    assert_eq!(billing::stripe::events(&store, Some("dead"), 100).await.unwrap().len(), 6);
    shop.close().await;
}

/// Checklist 92: an event about any object is taken, read, and comes to an end. The objects are all that the stand-in
/// has, or those of the file of Stripe's published fixtures that `NEST_STRIPE_FIXTURES` names.
#[tokio::test]
async fn an_event_about_anything_comes_to_an_end() {
    let shop = Shop::open().await;
    shop.sell(&[pro()]).await;
    for session in [shop.subscribe(&shop.ada, "pro").await, shop.top_up(&shop.ada, "20").await] {
        shop.stripe.pay(&session).unwrap();
    }
    shop.settle().await;
    let funds = shop.funds(shop.ada.org_id).await;
    let published = std::env::var("NEST_STRIPE_FIXTURES").ok().map(|it| std::fs::read(it).unwrap());
    let objects: Vec<Value> = match &published {
        Some(file) => {
            let all: Value = serde_json::from_slice(file).unwrap();
            all["resources"].as_object().unwrap().values().cloned().collect()
        }
        None => KINDS.iter().flat_map(|kind| shop.stripe.objects(kind)).collect(),
    };
    assert!(objects.len() >= 10, "{} objects", objects.len());
    let before: usize = shop.one("select count(*) from stripe_events").await.parse().unwrap();
    for (number, object) in objects.iter().enumerate() {
        let payload = event(&format!("evt_fixture_{number}"), "anything.updated", object);
        let answer = post(&shop, &payload, Some(&sign(&shop, &payload, SECRET, 0))).await;
        assert_eq!(answer.status, 200, "{payload}");
    }
    shop.apply().await;
    let after: usize = shop.one("select count(*) from stripe_events").await.parse().unwrap();
    assert_eq!(after - before, objects.len());
    assert_eq!(shop.funds(shop.ada.org_id).await, funds, "what is told again brings nothing");
    let dead = shop.dead().await;
    if published.is_none() {
        assert!(dead.is_empty(), "{dead:?}");
    }
    println!("{} objects, {} of which the stand-in does not know: {dead:?}", objects.len(), dead.len());
    shop.close().await;
}

/// What the stand-in has objects of.
const KINDS: [&str; 12] = [
    "customer",
    "checkout.session",
    "payment_intent",
    "charge",
    "subscription",
    "invoice",
    "payment_method",
    "price",
    "product",
    "billing.meter",
    "setup_intent",
    "event",
];

/// Checklist 95: an event of the other mode, or of another account, brings nothing, whoever signed it.
#[tokio::test]
async fn what_is_of_another_mode_or_account_brings_nothing() {
    let shop = Shop::with(&[("STRIPE_ACCOUNT_ID", "acct_ours")]).await;
    let session = shop.top_up(&shop.ada, "20").await;
    shop.stripe.disturb(fake_stripe::Disturbance { drop_percent: 100, ..Default::default() });
    shop.edge.tick().await;
    shop.stripe.pay(&session).unwrap();
    let told = |id: &str, livemode: bool, account: Option<&str>| {
        json!({
            "id": id, "type": "checkout.session.completed", "created": 1, "livemode": livemode, "account": account,
            "data": { "object": { "id": session, "object": "checkout.session" } },
        })
        .to_string()
    };
    for (id, livemode, account, credit) in [
        ("evt_1", true, None, 0),
        ("evt_2", true, Some("acct_ours"), 0),
        ("evt_3", false, Some("acct_other"), 0),
        ("evt_4", false, Some("acct_ours"), 2_000),
        ("evt_5", false, None, 2_000),
    ] {
        let payload = told(id, livemode, account);
        assert_eq!(post(&shop, &payload, Some(&sign(&shop, &payload, SECRET, 0))).await.status, 200);
        shop.apply().await;
        assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(credit), "{id}");
    }
    // An object of the other mode counts for nothing either, whatever its event says.
    let live = shop.top_up(&shop.ada, "30").await;
    shop.stripe.pay(&live).unwrap();
    shop.stripe.change(&live, json!({ "livemode": true }), "checkout.session.completed");
    let payload = event("evt_6", "checkout.session.completed", &json!({ "id": live, "object": "checkout.session" }));
    assert_eq!(post(&shop, &payload, Some(&sign(&shop, &payload, SECRET, 0))).await.status, 200);
    shop.apply().await;
    assert_eq!(shop.funds(shop.ada.org_id).await, Funds::credit(2_000));
    shop.close().await;
}
