//! What Stripe tells while the edge that takes it is killed, again and again.

use crate::NEST;
use fake_stripe::{Disturbance, FakeStripe};
use futures_util::{StreamExt as _, stream};
use nest_tests::{PATIENCE, TestEdge, answer::Answer, lasting, program::Nest, program::Running};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::{sleep, timeout};

const TOP_UPS: usize = 24;
const USD: i64 = 7;
/// How often each event is told, and how many at once.
const TIMES: usize = 5;
const AT_ONCE: usize = 16;
const KILLS: usize = 3;

/// `nest serve` beside an edge, at the same database.
struct Served {
    folder: PathBuf,
    database_url: String,
    port: String,
    stripe: Vec<(String, String)>,
}

impl Served {
    async fn start(&self) -> Running {
        let serve = Nest::new(NEST, &self.folder, "serve").env("DATABASE_URL", &self.database_url);
        let serve = serve.env("PORT", &self.port).env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz");
        let serve = self.stripe.iter().fold(serve, |serve, (name, value)| serve.env(name, value));
        let mut program = serve.start();
        program.until("the edge listens on").await;
        program
    }
}

/// Checklist 93: what was answered with 200 is kept, whoever dies, and has its effect once.
#[tokio::test]
async fn what_was_taken_outlives_whoever_took_it() {
    let stripe = FakeStripe::start().await;
    let edge = TestEdge::start(&stripe.settings()).await;
    let ada = edge.person("ada@example.com").await;
    // The test carries the events itself.
    stripe.disturb(Disturbance { drop_percent: 100, ..Disturbance::default() });
    for _ in 0..TOP_UPS {
        let begin = edge.by(&ada, Method::POST, "/api/v1/billing/top-ups").json(&json!({ "usd": USD.to_string() }));
        let begun = begin.header("idempotency-key", uuid::Uuid::new_v4().to_string()).send().await.unwrap();
        let begun = Answer::read(begun).await;
        assert_eq!(begun.status, 200, "{}", begun.text());
        let url = begun.json()["url"].as_str().unwrap().to_owned();
        stripe.pay(url.rsplit('/').next().unwrap()).unwrap();
    }
    let events: Vec<Value> = stripe.events("checkout.session.completed");
    assert_eq!(events.len(), TOP_UPS);
    let served = Served {
        folder: lasting::folder("hooks"),
        database_url: edge.db.url().to_owned(),
        port: embedded::port::free().unwrap().to_string(),
        stripe: stripe.settings().iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let mut program = served.start().await;
    let taken = AtomicUsize::new(0);
    let url = format!("http://127.0.0.1:{}/webhooks/stripe", served.port);
    let telling = stream::iter((0..TIMES).flat_map(|_| &events)).for_each_concurrent(AT_ONCE, |event| {
        let (payload, url, taken, stripe) = (event.to_string(), &url, &taken, &stripe);
        let client = &edge.client;
        async move {
            // As Stripe does: again, until it is taken.
            loop {
                let request = client.post(url).header("stripe-signature", stripe.sign(&payload)).body(payload.clone());
                if request.send().await.is_ok_and(|it| it.status() == 200) {
                    taken.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let killing = async {
        for kill in 1..=KILLS {
            while taken.load(Ordering::SeqCst) < kill * TOP_UPS {
                sleep(Duration::from_millis(2)).await;
            }
            // SIGKILL: nothing of the process runs after it.
            program.child.kill().await.unwrap();
            program = served.start().await;
        }
    };
    timeout(PATIENCE, async { futures_util::join!(telling, killing) }).await.expect("everything is taken");
    program.child.kill().await.unwrap();
    let sql = edge.db.connect().await;
    let kept: i64 = sql.query_one("select count(*) from stripe_events", &[]).await.unwrap().get(0);
    assert_eq!(usize::try_from(kept).unwrap(), TOP_UPS, "each is kept once");
    // What those who died had begun, others take over when their claims have run out.
    edge.advance_ms(600_000);
    stripe.advance_s(600);
    let ticker = edge.ticker();
    let left = async || -> i64 {
        let waiting = "select count(*) from stripe_events where applied_at is null";
        sql.query_one(waiting, &[]).await.unwrap().get(0)
    };
    for _ in 0..10 {
        ticker.tick().await;
        if left().await == 0 {
            break;
        }
    }
    assert_eq!(left().await, 0);
    let credit = edge.wallet(ada.org_id).await.credit_nanos;
    assert_eq!(credit, TOP_UPS as i64 * USD * 1_000_000_000, "each is credited once");
}
