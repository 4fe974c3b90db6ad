//! Many events at once, in any order, again and again, while Stripe fails and workers die.

use super::*;
use fake_stripe::{Card, Decision, Disturbance, Way};
use futures_util::{StreamExt as _, stream};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Events, unless `NEST_STRIPE_EVENTS` says how many.
const EVENTS: usize = 150;
/// How often each is told, how many at once, and how many of a hundred calls fail.
const TIMES: usize = 5;
const AT_ONCE: usize = 32;
const FAIL_PERCENT: u8 = 10;
const PEOPLE: usize = 12;
const DAY_S: i64 = 86_400;

/// The same sequence in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())) }
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            let other = self.below(at + 1);
            all.swap(at, other);
        }
    }
}

/// Checklist 91: the state at the end is that of the same events in order, each once.
#[tokio::test]
async fn any_order_and_any_failures_come_to_the_same_state() {
    let wanted = std::env::var("NEST_STRIPE_EVENTS").ok().and_then(|it| it.parse().ok()).unwrap_or(EVENTS);
    let shop = Shop::open().await;
    shop.sell(&[pro()]).await;
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(shop.edge.person(&format!("person{number}@example.com")).await);
    }
    shop.settle().await;
    // The storm carries the events itself.
    shop.stripe.disturb(Disturbance { drop_percent: 100, ..Disturbance::default() });
    let (mut told, mut last, mut waits) = (0, String::new(), Vec::new());
    while told < wanted {
        for _ in 0..10 {
            let who = chance.below(PEOPLE);
            act(&shop, &people[who], &mut chance).await;
        }
        let new = events_after(&shop, &last).await;
        last = new.first().map_or(last, |it| text(it, "id").to_owned());
        told += new.len();
        shop.stripe.fail_percent(FAIL_PERCENT);
        waits.extend(deliver(&shop, &new, &mut chance).await);
        kill_workers(&shop).await;
        shop.stripe.heal();
    }
    shop.stripe.fail_percent(FAIL_PERCENT);
    shop.apply().await;
    shop.stripe.heal();
    waits.sort_unstable();
    let (half, most) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    println!("{told} events, each {TIMES} times, {AT_ONCE} at once: answered in {half:?}, and 99 % within {most:?}");
    assert!(shop.dead().await.is_empty(), "{:?}", shop.dead().await);
    assert_eq!(shop.one("select count(*) from stripe_events where applied_at is null").await, "0");
    for person in &people {
        let expected = model(&shop, person).await;
        assert_eq!(shop.funds(person.org_id).await, expected, "{}", person.email);
    }
    states_are_stripe_s(&shop).await;
    shop.close().await;
}

/// Something that a person, their bank or Stripe does.
async fn act(shop: &Shop, who: &Person, chance: &mut Chance) {
    let stripe = &shop.stripe;
    match chance.below(12) {
        0..=2 => {
            let session = shop.top_up(who, &format!("{}", 5 + chance.below(50))).await;
            stripe.pay(&session).unwrap();
        }
        3 => {
            let session = shop.top_up(who, "15").await;
            stripe.pay_by(&session, Way::Later).unwrap();
        }
        4 => {
            let waits: Vec<Value> = sessions(shop)
                .into_iter()
                .filter(|it| it["status"] == "complete" && it["payment_status"] == "unpaid")
                .collect();
            if let Some(session) = chance.pick(&waits) {
                let paid = chance.below(2) == 0;
                let _ = stripe.settle(text(session, "id"), paid);
            }
        }
        5 | 6 => {
            let body = json!({ "plan": "pro" });
            let key = uuid::Uuid::new_v4().to_string();
            let answer = shop.call_as(who, Method::POST, "/billing/checkout", body, &key).await;
            if answer.status == 200 {
                let card = if chance.below(4) == 0 { Card::DeclinedLater } else { Card::Good };
                let _ = stripe.pay_by(&session(&answer.json()), Way::By(card));
            }
        }
        7 => {
            let live: Vec<Value> =
                stripe.objects("subscription").into_iter().filter(|it| it["status"] == "active").collect();
            if let Some(subscription) = chance.pick(&live) {
                let path = format!("subscriptions/{}", text(subscription, "id"));
                shop.at_stripe(&path, &[("cancel_at_period_end", "true")]).await;
            }
        }
        8 | 9 => {
            let paid: Vec<Value> = sessions(shop).into_iter().filter(|it| it["payment_status"] == "paid").collect();
            if let Some(session) = chance.pick(&paid) {
                let _ = stripe.refund(&shop.charge(&session["payment_intent"]), Some(100));
                let refunds = stripe.objects("refund");
                if let Some(refund) = refunds.last().filter(|_| chance.below(3) == 0) {
                    stripe.fail_refund(text(refund, "id"));
                }
            }
        }
        10 => {
            let paid: Vec<Value> = sessions(shop).into_iter().filter(|it| it["payment_status"] == "paid").collect();
            if let Some(session) = chance.pick(&paid)
                && let Ok(dispute) = stripe.dispute(&shop.charge(&session["payment_intent"]))
            {
                match chance.below(3) {
                    0 => stripe.decide(&dispute, Decision::Won),
                    1 => stripe.decide(&dispute, Decision::Lost),
                    _ => {}
                }
            }
        }
        _ => shop.advance_s(DAY_S * 3).await,
    }
}

/// Sessions on which credit was bought.
fn sessions(shop: &Shop) -> Vec<Value> {
    shop.stripe.objects("checkout.session").into_iter().filter(|it| it["mode"] == "payment").collect()
}

/// Stripe's events after `last`, newest first, as its API lists them.
async fn events_after(shop: &Shop, last: &str) -> Vec<Value> {
    let (_, key) = shop.stripe.settings()[0];
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(String::new(), |it| format!("&starting_after={}", text(it, "id")));
        let url = format!("{}/v1/events?limit=100{after}", shop.stripe.url);
        let page = Answer::read(shop.edge.client.get(url).bearer_auth(key).send().await.unwrap()).await.json();
        for event in page["data"].as_array().unwrap() {
            if event["id"] == last {
                return all;
            }
            all.push(event.clone());
        }
        if page["has_more"] != true {
            return all;
        }
    }
}

/// Tells of all of them five times, shuffled, 32 at once, until each was taken. Gives how long the answers took.
async fn deliver(shop: &Shop, events: &[Value], chance: &mut Chance) -> Vec<Duration> {
    let mut all: Vec<String> = events.iter().flat_map(|it| vec![it.to_string(); TIMES]).collect();
    chance.shuffle(&mut all);
    let telling = stream::iter(all).map(|payload| async move {
        let signature = shop.stripe.sign(&payload);
        let send = || shop.edge.post("/webhooks/stripe").header("stripe-signature", &signature).body(payload.clone());
        let asked = Instant::now();
        let taken = nest_tests::answer::unless_busy(async || Answer::read(send().send().await.unwrap()).await).await;
        assert_eq!(taken.status, 200, "{}", taken.text());
        asked.elapsed()
    });
    telling.buffer_unordered(AT_ONCE).collect().await
}

/// Some of what waits was claimed by workers that died.
async fn kill_workers(shop: &Shop) {
    let kill = "
        update stripe_events set claimed_until = to_timestamp($1::float8) + interval '100 seconds',
            attempts = attempts + 1
        where applied_at is null and get_byte(sha256(id::bytea), 0) < 64";
    let now = shop.edge.now().0 as f64 / 1_000.0;
    shop.edge.db.connect().await.execute(kill, &[&now]).await.unwrap();
}

/// What a person has, as Stripe's objects alone say.
async fn model(shop: &Shop, who: &Person) -> Funds {
    let mine = format!("select coalesce((select id from stripe_customers where org_id = '{}'), '')", who.org_id.uuid());
    let customer = shop.one(&mine).await;
    let mut intents = BTreeMap::new();
    let mut credit = 0;
    for session in sessions(shop).iter().filter(|it| it["customer"] == *customer && it["payment_status"] == "paid") {
        credit += session["amount_total"].as_i64().unwrap();
        intents.insert(text(session, "payment_intent").to_owned(), ());
    }
    let of_mine = |it: &Value| intents.contains_key(it["payment_intent"].as_str().unwrap_or_default());
    for refund in shop.stripe.objects("refund").iter().filter(|it| of_mine(it)) {
        if !["failed", "canceled"].contains(&text(refund, "status")) {
            credit -= refund["amount"].as_i64().unwrap();
        }
    }
    for dispute in shop.stripe.objects("dispute").iter().filter(|it| of_mine(it)) {
        if text(dispute, "status") != "won" {
            credit -= dispute["amount"].as_i64().unwrap();
        }
    }
    Funds { credit: credit.max(0), owed: credit.min(0), allowance: allowance(shop, &customer), overage: 0 }
}

/// The credit of the month that was paid for last, if the plan holds it still.
fn allowance(shop: &Shop, customer: &str) -> i64 {
    let now = shop.edge.now().as_seconds();
    let holds = |id: &Value| {
        let subscription = shop.stripe.object(id.as_str().unwrap_or_default());
        ["trialing", "active", "past_due"].contains(&text(&subscription, "status"))
    };
    let months = shop.stripe.objects("invoice");
    let mut months = months.iter().filter(|it| {
        let begins = ["subscription_create", "subscription_cycle"].contains(&text(it, "billing_reason"));
        it["customer"] == *customer
            && it["status"] == "paid"
            && begins
            && holds(&it["parent"]["subscription_details"]["subscription"])
            && it["lines"]["data"]
                .as_array()
                .unwrap()
                .iter()
                .any(|it| it["period"]["end"].as_i64().unwrap() + DAY_S > now && it["amount"] != 0)
    });
    months.next().map_or(0, |_| 2_500)
}

/// Every top-up and every subscription is in the state that Stripe says.
async fn states_are_stripe_s(shop: &Shop) {
    let client = shop.edge.db.connect().await;
    for row in client.query("select id, status from subscriptions", &[]).await.unwrap() {
        let (id, status): (String, String) = (row.get(0), row.get(1));
        assert_eq!(text(&shop.stripe.object(&id), "status"), status, "{id}");
    }
    for row in client.query("select session_id, status from top_ups", &[]).await.unwrap() {
        let (id, status): (String, String) = (row.get(0), row.get(1));
        let session = shop.stripe.object(&id);
        let expected = match (text(&session, "status"), text(&session, "payment_status")) {
            (_, "paid") => "paid",
            ("expired", _) => "expired",
            ("open", _) => "open",
            _ if shop
                .stripe
                .events("checkout.session.async_payment_failed")
                .iter()
                .any(|it| it["data"]["object"]["id"] == *id) =>
            {
                "failed"
            }
            _ => "processing",
        };
        assert_eq!(status, expected, "{id}");
    }
}
