//! Stripe brings money in: pages to pay on, webhooks, subscriptions, and what goes wrong on the way. Stripe is
//! `FakeStripe`, over real HTTP.

mod auto;
mod missed;
mod overage;
mod plans;
mod refunds;
mod signatures;
mod storm;
mod top_ups;
mod webhooks;

use edge_core::{
    auth::Operator,
    billing::{self, Plan, PlanPrices},
};
use fake_stripe::FakeStripe;
use nest_tests::{Answer, TestEdge, Ticker, oauth::form, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use shared::{id::OrgId, money::Nanos};

/// Nano-dollars in a cent.
const CENT: i64 = 10_000_000;

/// An edge that sells, Stripe, and someone who buys.
struct Shop {
    edge: TestEdge,
    stripe: FakeStripe,
    ada: Person,
    /// One for all turns: a new one each time would spend most of them on connecting.
    ticker: Ticker,
}

/// What an organisation has, in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Funds {
    credit: i64,
    allowance: i64,
    owed: i64,
    overage: i64,
}

impl Funds {
    fn credit(cents: i64) -> Self {
        Self { credit: cents, ..Self::default() }
    }

    fn allowance(cents: i64) -> Self {
        Self { allowance: cents, ..Self::default() }
    }
}

impl Shop {
    async fn open() -> Self {
        Self::with(&[]).await
    }

    async fn with(more: &[(&str, &str)]) -> Self {
        let stripe = FakeStripe::start().await;
        let settings = [&stripe.settings()[..], more].concat();
        let edge = TestEdge::start(&settings).await;
        stripe.tell(&format!("{}/webhooks/stripe", edge.url));
        let ada = edge.person("ada@example.com").await;
        let ticker = edge.ticker();
        Self { edge, stripe, ada, ticker }
    }

    /// Calls a route as Ada, in her own organisation, with a new idempotency key.
    async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        self.call_as(&self.ada, method, path, body, &uuid::Uuid::new_v4().to_string()).await
    }

    async fn call_as(&self, who: &Person, method: Method, path: &str, body: Value, key: &str) -> Answer {
        let send = async |who: &Person| {
            let request = self.edge.by(who, method.clone(), &format!("/api/v1{path}")).header("idempotency-key", key);
            let request = if body.is_null() { request } else { request.json(&body) };
            Answer::read(request.send().await.unwrap()).await
        };
        let answer = send(who).await;
        // Tokens do not last as long as these tests' months.
        if answer.status == 401 { send(&self.edge.log_in(&who.email).await).await } else { answer }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Begins a top-up, and gives Stripe's session.
    async fn top_up(&self, who: &Person, usd: &str) -> String {
        let key = uuid::Uuid::new_v4().to_string();
        let answer = self.call_as(who, Method::POST, "/billing/top-ups", json!({ "usd": usd }), &key).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        session(&answer.json())
    }

    /// Begins to subscribe, and gives Stripe's session.
    async fn subscribe(&self, who: &Person, plan: &str) -> String {
        let key = uuid::Uuid::new_v4().to_string();
        let answer = self.call_as(who, Method::POST, "/billing/checkout", json!({ "plan": plan }), &key).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        session(&answer.json())
    }

    /// Waits until every event was taken and applied, or is given up. What waits for its next try has it.
    async fn settle(&self) {
        self.stripe.settled().await;
        self.apply().await;
    }

    /// The same for what was taken already.
    async fn apply(&self) {
        let client = self.edge.db.connect().await;
        // How many wait, and when the first of them may be tried: one that is claimed, when its claim ends.
        let waiting = "
            select count(*), coalesce((extract(epoch from min(greatest(next_try_at, claimed_until))) * 1000)::int8, 0)
            from stripe_events where applied_at is null and dead_at is null";
        let mut idle = 0;
        for _ in 0..5_000 {
            self.ticker.tick().await;
            let row = client.query_one(waiting, &[]).await.unwrap();
            let (all, due_ms): (i64, i64) = (row.get(0), row.get(1));
            if all == 0 {
                return;
            }
            let wait_ms = due_ms - self.edge.now().0;
            idle = if wait_ms > 0 { idle + 1 } else { 0 };
            // Whoever has claimed an event may still be at it.
            if idle > 10 {
                // Both clocks, so that nothing seems to be signed at another time.
                self.advance_s(wait_ms / 1_000 + 1).await;
                idle = 0;
            }
        }
        panic!("events of Stripe's are not applied");
    }

    /// Moves both clocks.
    async fn advance_s(&self, seconds: i64) {
        self.edge.advance_ms(seconds * 1_000);
        // An edge that is no part of this process learns of it by a request of ours: else it takes what Stripe signs now
        // for forged, and Stripe waits before it tells again.
        self.edge.get("/healthz").send().await.unwrap();
        self.stripe.advance_s(seconds);
    }

    async fn advance_days(&self, days: i64) {
        for _ in 0..days {
            self.advance_s(86_400).await;
            self.settle().await;
        }
    }

    async fn funds(&self, org: OrgId) -> Funds {
        let funds = "
            select credit_nanos, allowance_nanos, owed_nanos, overage_nanos from wallets where org_id = $1::text::uuid";
        let row = self.edge.db.connect().await.query_opt(funds, &[&org.uuid().to_string()]).await.unwrap();
        row.map_or(Funds::default(), |row| {
            let cents = |column| row.get::<_, i64>(column) / CENT;
            Funds { credit: cents(0), allowance: cents(1), owed: cents(2), overage: cents(3) }
        })
    }

    /// One value, as a text.
    async fn one(&self, sql: &str) -> String {
        self.edge.db.connect().await.query_one(&format!("select ({sql})::text"), &[]).await.unwrap().get(0)
    }

    /// Events that were given up, and why.
    async fn dead(&self) -> Vec<String> {
        let dead = "select type || ': ' || error from stripe_events where dead_at is not null order by type";
        self.edge.db.connect().await.query(dead, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Makes plans here, and their prices at Stripe.
    async fn sell(&self, plans: &[Value]) {
        let store = self.edge.store();
        let plans: Vec<Plan> = plans.iter().map(|it| serde_json::from_value(it.clone()).unwrap()).collect();
        billing::import_plans(&store, &Operator::at_nest(self.edge.now()), &plans).await.unwrap();
        let meter = self
            .at_stripe(
                "billing/meters",
                &[
                    ("display_name", "Overage"),
                    ("event_name", billing::stripe::METER_EVENT),
                    ("default_aggregation[formula]", "sum"),
                ],
            )
            .await;
        for plan in &plans {
            let product = self.at_stripe("products", &[("name", &plan.name)]).await;
            let monthly = [("currency", "usd"), ("product", text(&product, "id")), ("recurring[interval]", "month")];
            let cents = [plan.price_cents.to_string(), plan.overage_price_cents.to_string()];
            let flat = [&monthly[..], &[("unit_amount", &cents[0])]].concat();
            let price = self.at_stripe("prices", &flat).await;
            let used = [
                ("unit_amount", cents[1].as_str()),
                ("recurring[usage_type]", "metered"),
                ("recurring[meter]", text(&meter, "id")),
            ];
            let metered = self.at_stripe("prices", &[&monthly[..], &used[..]].concat()).await;
            let id = |it: &Value| Some(text(it, "id").to_owned());
            let prices = PlanPrices { price: id(&price), meter_price: id(&metered) };
            billing::save_plan_prices(&store, &plan.id, prices).await.unwrap();
        }
    }

    /// Has Stripe make something, past our own client.
    async fn at_stripe(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let (_, key) = self.stripe.settings()[0];
        let request = self.edge.client.post(format!("{}/v1/{path}", self.stripe.url)).bearer_auth(key);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form(fields));
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Uses so many cents' worth of models, as a settled call does.
    async fn spend(&self, org: OrgId, cents: i64) {
        let key = self.edge.key_of(edge_core::keys::NewKey::inference(org, "spend")).await;
        let used = "
            insert into usage (request_id, org_id, key_id, endpoint, model, stream, status, outcome, prompt_tokens,
                completion_tokens, cached_tokens, reasoning_tokens, tokens_source, started_at, latency_ms, cost_nanos)
            values (gen_random_uuid(), $1::text::uuid, $2::text::uuid, 'chat', 'm', false, 200, 'completed', 1, 1, 0, 0,
                'upstream', to_timestamp($3::float8), 1, $4)";
        let (org, key) = (org.uuid().to_string(), key.id.uuid().to_string());
        let now = self.edge.now().0 as f64 / 1_000.0;
        self.edge.db.connect().await.execute(used, &[&org, &key, &now, &(cents * CENT)]).await.unwrap();
    }

    /// The card's charge by which a session or an invoice was paid.
    fn charge(&self, intent: &Value) -> String {
        text(&self.stripe.object(intent.as_str().unwrap()), "latest_charge").to_owned()
    }

    /// Every test of money ends here: the books are as the entries make them.
    async fn close(self) {
        let audited = billing::audit::audit(&self.edge.store()).await.unwrap();
        assert!(audited.findings.is_empty(), "{:?}", audited.findings);
    }
}

/// The session behind the page of an answer.
fn session(answer: &Value) -> String {
    text(answer, "url").rsplit('/').next().unwrap().to_owned()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// A plan of 20 dollars that brings 25.
fn pro() -> Value {
    json!({
        "id": "pro", "name": "Pro", "price_cents": 2_000, "monthly_credit_usd": Nanos(2_500 * CENT),
        "overage_limit_usd": Nanos(1_000 * CENT), "limits": { "requests_per_minute": 77 },
    })
}

/// Status and code of a refusal.
fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}
