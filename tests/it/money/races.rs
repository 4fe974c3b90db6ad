//! Many who want what is there for few.

use super::{MODEL, Priced, Upstream, a_dollar, call, edge, usd};
use edge_core::keys::NewKey;
use futures_util::future::join_all;
use nest_tests::{IssuedKey, PATIENCE, TestDb, TestEdge, Wallet};
use serde_json::json;
use shared::id::{KeyId, OrgId};
use tokio::time::timeout;
use tokio_postgres::Client;
use uuid::Uuid;

/// At once.
const WIDTH: usize = 32;

/// `NEST_MONEY_RACES` says how many races are run.
fn races(few: usize) -> usize {
    std::env::var("NEST_MONEY_RACES").map_or(few, |it| it.parse().unwrap())
}

/// Asks for a dollar as an edge does, by one statement; whether it was leased.
async fn lease(client: &Client, org: OrgId, key: KeyId, number: usize, at_ms: i64) -> bool {
    let ask = json!({
        "org_id": org.uuid(), "key_id": key.uuid(), "lease_id": Uuid::from_u128(number as u128), "holder": "test",
        "need": usd(1), "want": usd(40), "at_ms": at_ms, "life_ms": 60_000, "back": [],
    });
    let lease = "select granted, refused from lease_credit($1::text::json)";
    let row = client.query_one(lease, &[&ask.to_string()]).await.unwrap();
    let (granted, refused): (i64, Option<String>) = (row.get(0), row.get(1));
    assert_eq!(granted == 0, refused.is_some());
    assert!(granted == 0 || granted == usd(1), "near the end nobody gets more than they need, and not {granted}");
    granted > 0
}

/// Checklist 82: by the statement itself, over as many connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thirty_two_statements_on_funds_for_three_exactly_three_lease() {
    let edge = TestEdge::start(&[]).await;
    let (org, key) = (edge.own_org().await, edge.key().await);
    let clients = join_all((0..WIDTH).map(|_| edge.db.connect())).await;
    edge.grant(org, "3").await;
    let mut at_ms = edge.now().0;
    for race in 0..races(20) {
        let all = clients.iter().enumerate();
        let all = all.map(|(at, client)| lease(client, org, key.id, race * WIDTH + at + 1, at_ms));
        let passed = join_all(all).await;
        assert_eq!(passed.iter().filter(|it| **it).count(), 3, "race {race}");
        assert_eq!(edge.wallet(org).await.held_nanos, usd(3));
        // By the next race all of them have expired.
        at_ms += 60_000;
    }
}

/// The status of a call. A machine that has too much to do for a connection says 503, and then it is asked again.
async fn status(edge: &TestEdge, key: &IssuedKey) -> u16 {
    loop {
        let status = edge.chat(key, &call(1, 0)).await.status.as_u16();
        if status != 503 {
            return status;
        }
    }
}

/// Checklist 82: by HTTP and two edges, of which none knows what the other holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thirty_two_calls_by_two_edges_on_funds_for_three_exactly_three_pass() {
    let (upstream, db) = (Upstream::start().await, TestDb::migrated().await);
    let edges = [edge(&db, &upstream).await, edge(&db, &upstream).await];
    edges[0].publish_prices(json!([{ "model": MODEL, "price": a_dollar() }])).await;
    let (org, key) = (edges[0].own_org().await, edges[0].key().await);
    upstream.answer(races(3) * WIDTH);
    // Nobody has anything yet; so whose key it is and what a call costs is known before the race.
    for edge in &edges {
        assert_eq!(status(edge, &key).await, 402);
    }
    let (mut passed, mut changes) = (0, db.changes().await);
    for race in 0..races(3) {
        edges[0].grant(org, "3").await;
        // What was refused in the race before is asked for again.
        edges.iter().for_each(|edge| edge.advance_ms(1_000));
        let statuses = join_all((0..WIDTH).map(|number| status(&edges[number % 2], &key))).await;
        let count = |wanted| statuses.iter().filter(|it| **it == wanted).count();
        assert_eq!((count(200), count(402)), (3, WIDTH - 3), "race {race}: {statuses:?}");
        passed += 3;
        let expected = Wallet { revenue_nanos: usd(1) * passed as i64, ..Wallet::default() };
        let charged = async {
            while edges[0].wallet(org).await != expected {
                changes.next().await;
            }
        };
        timeout(PATIENCE, charged).await.unwrap_or_else(|_| panic!("race {race} is not charged as it should be"));
    }
    assert_eq!(upstream.arrivals(), passed, "nobody else got as far as the upstream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_an_organisation_share_its_funds() {
    let priced = Priced::start("5", a_dollar()).await;
    let other = priced.edge.key_of(NewKey::inference(priced.org, "other")).await;
    priced.upstream.answer(WIDTH);
    let keys = [&priced.key, &other];
    let statuses = join_all((0..WIDTH).map(|number| status(&priced.edge, keys[number % 2]))).await;
    assert_eq!(statuses.iter().filter(|it| **it == 200).count(), 5, "{statuses:?}");
    priced.edge.usage_when(|rows| rows.iter().filter(|it| it.status == 200).count() == 5).await;
    assert_eq!(priced.edge.wallet(priced.org).await, Wallet { revenue_nanos: usd(5), ..Wallet::default() });
}
