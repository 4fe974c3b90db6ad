//! `nest stripe`: what it makes of our plans at Stripe, by the fake.

use crate::NEST;
use edge_core::billing::stripe::{API_VERSION, METER_EVENT};
use fake_stripe::{FakeStripe, Fault, SECRET_KEY};
use nest_tests::{
    TestDb,
    program::{Nest, Ran},
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

const PRO: &str = "
    insert into plans (id, name, price_cents, monthly_credit_nanos, overage_limit_nanos, overage_price_cents, trial_days, active)
    values ('pro', 'Pro', 2000, 25000000000, 10000000000, 1, 0, true)";

/// A database with a plan, and a Stripe with nothing.
struct Shop {
    db: TestDb,
    stripe: FakeStripe,
    dir: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shop = Self { db: TestDb::migrated().await, stripe: FakeStripe::start().await, dir };
        shop.sql(PRO).await;
        shop
    }

    async fn sql(&self, statement: &str) {
        self.db.connect().await.batch_execute(statement).await.unwrap();
    }

    /// The prices that our database notes for the plan.
    async fn noted(&self) -> [Option<String>; 2] {
        let prices = "select stripe_price_id, stripe_meter_price_id from plans where id = 'pro'";
        let row = self.db.connect().await.query_one(prices, &[]).await.unwrap();
        [row.get(0), row.get(1)]
    }

    async fn nest(&self, line: &str) -> Ran {
        let nest = Nest::new(NEST, self.dir.path(), line).env("DATABASE_URL", self.db.url());
        let nest = nest.env("STRIPE_SECRET_KEY", SECRET_KEY).env("STRIPE_BASE_URL", &self.stripe.url);
        nest.env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz")
            .env("PUBLIC_URL", "https://nest.example")
            .run()
            .await
    }

    async fn sync(&self, options: &str) -> Value {
        self.nest(&format!("stripe sync --json {options}")).await.json()
    }

    /// How many calls changed something.
    fn writes(&self) -> usize {
        let changes = |it: &&fake_stripe::Seen| it.method != Method::GET.as_str() && !it.replayed;
        self.stripe.requests().iter().filter(changes).count()
    }

    fn price(&self, lookup_key: &str) -> Value {
        let prices = self.stripe.objects("price");
        prices.into_iter().find(|it| it["lookup_key"] == lookup_key).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_dry_run_says_what_a_run_does_and_a_second_run_does_nothing() {
    let shop = Shop::open().await;
    let plan = shop.sync("--dry-run").await;
    assert_eq!((plan["applied"].as_bool(), plan["steps"].as_array().unwrap().len()), (Some(false), 7), "{plan}");
    assert_eq!((shop.writes(), shop.noted().await), (0, [None, None]));

    // Answers that get lost and calls that fail cost nothing but another try.
    shop.stripe.fail_next("POST /v1/prices", Fault::LoseAnswer, 1);
    shop.stripe.fail_next("POST /v1/products", Fault::Refuse(500), 1);
    let done = shop.sync("").await;
    assert_eq!((&done["steps"], done["applied"].as_bool()), (&plan["steps"], Some(true)));
    let [month, overage] = ["nest_pro_month", "nest_pro_overage"].map(|it| shop.price(it));
    assert_eq!(
        (&month["unit_amount"], &month["product"], &month["currency"]),
        (&json!(2000), &json!("nest_plan_pro"), &json!("usd"))
    );
    assert_eq!((&overage["unit_amount"], &overage["recurring"]["usage_type"]), (&json!(1), &json!("metered")));
    let meter = &shop.stripe.objects("billing.meter")[0];
    assert_eq!((&meter["event_name"], &overage["recurring"]["meter"]), (&json!(METER_EVENT), &meter["id"]));
    assert_eq!(shop.noted().await, [&month, &overage].map(|it| it["id"].as_str().map(str::to_owned)));
    assert_eq!(shop.stripe.objects("price").len(), 2);
    let endpoint = &shop.stripe.objects("webhook_endpoint")[0];
    assert_eq!(
        (&endpoint["url"], &endpoint["api_version"]),
        (&json!("https://nest.example/webhooks/stripe"), &json!(API_VERSION))
    );
    assert!(done["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    let calls = shop.stripe.requests();
    assert!(calls.iter().all(|it| it.api_version.as_deref() == Some(API_VERSION)), "one version everywhere");
    assert!(calls.iter().all(|it| it.method != "POST" || it.idempotency_key.is_some()), "{calls:?}");

    let (before, again) = (shop.writes(), shop.sync("").await);
    assert_eq!((shop.writes(), &again["steps"], &again["webhook_secret"]), (before, &json!([]), &Value::Null));
    let said = shop.nest("stripe sync").await;
    assert_eq!(said.ok().trim(), "Stripe has all that it should have.");
}

#[tokio::test]
async fn a_price_that_changes_is_made_anew_and_the_old_one_stays_for_who_has_it() {
    let shop = Shop::open().await;
    shop.sync("").await;
    let [old, overage] = shop.noted().await;
    shop.sql("update plans set price_cents = 3000, name = 'Pro 2' where id = 'pro'").await;
    let done = shop.sync("").await;
    assert_eq!(done["steps"].as_array().unwrap().len(), 3, "{done}");
    let month = shop.price("nest_pro_month");
    assert_eq!((&month["unit_amount"], &month["active"]), (&json!(3000), &json!(true)));
    assert_eq!(shop.noted().await, [month["id"].as_str().map(str::to_owned), overage]);
    assert_eq!(shop.stripe.object(&old.unwrap())["active"], false);
    assert_eq!(shop.stripe.object("nest_plan_pro")["name"], "Pro 2");

    shop.sql("update plans set active = false where id = 'pro'").await;
    shop.sync("").await;
    assert_eq!(shop.stripe.object("nest_plan_pro")["active"], false);
    assert_eq!(shop.sync("").await["steps"], json!([]));
}

#[tokio::test]
async fn an_endpoint_of_another_version_goes_when_it_is_told_to() {
    let shop = Shop::open().await;
    let url = "https://nest.example/webhooks/stripe";
    let old = shop.stripe.tell_also(url, &["invoice.paid"], "whsec_old");
    shop.stripe.change(&old, json!({ "api_version": "2025-03-31.basil" }), "test.changed");
    let secret = shop.sync("").await["webhook_secret"].clone();
    assert!(secret.is_string());
    let endpoints = shop.stripe.objects("webhook_endpoint");
    assert_eq!(endpoints.len(), 2);
    let kept = shop.sync("").await;
    assert!(kept["steps"][0].as_str().unwrap().contains(&old) && kept["webhook_secret"].is_null(), "{kept}");
    shop.sync("--remove-old-endpoints").await;
    let left = shop.stripe.objects("webhook_endpoint");
    assert_eq!((left.len(), left[0]["api_version"].as_str()), (1, Some(API_VERSION)));

    // One that hears less than it should hears all again.
    let id = left[0]["id"].as_str().unwrap();
    shop.stripe.change(id, json!({ "enabled_events": ["invoice.paid"] }), "test.changed");
    shop.sync("").await;
    assert_eq!(shop.stripe.object(id)["enabled_events"], left[0]["enabled_events"]);
}

#[tokio::test]
async fn without_a_key_and_without_an_answer_it_says_so() {
    let shop = Shop::open().await;
    shop.stripe.fail_next("GET /v1/prices", Fault::Refuse(401), 1);
    let refused = shop.nest("stripe sync").await;
    assert!(refused.code == 1 && refused.stderr.contains("Stripe refused (401"), "{refused:?}");
    let nest = Nest::new(NEST, shop.dir.path(), "stripe sync").env("DATABASE_URL", shop.db.url());
    let refused = nest.env("STRIPE_SECRET_KEY", "").run().await;
    assert!(refused.code == 3 && refused.stderr.contains("STRIPE_SECRET_KEY"), "{refused:?}");
}

#[tokio::test]
async fn the_stand_in_runs_alone() {
    let dir = tempfile::tempdir().unwrap();
    let port = embedded::port::free().unwrap();
    let mut fake = Nest::new(NEST, dir.path(), &format!("stripe fake --port {port} --file kept.json")).start();
    let said = fake.until("Ctrl-C stops it.").await.join("\n");
    assert!(said.contains(&format!("STRIPE_BASE_URL=http://127.0.0.1:{port}")) && said.contains(SECRET_KEY), "{said}");
    let url = format!("http://127.0.0.1:{port}/v1/customers");
    let made = nest_tests::edge::client().post(url).bearer_auth(SECRET_KEY).send().await.unwrap();
    assert_eq!(made.status(), 200);
    assert!(dir.path().join("kept.json").exists());
}
