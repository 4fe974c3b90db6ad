//! Leases: of processes that die, of money that nobody uses, and of those that are over.

use super::{Priced, Upstream, a_dollar, a_dollar_a_token, call, edge, usd};
use crate::NEST;
use nest_tests::{
    TestDb, TestEdge, Wallet,
    edge::{GENEROUS, client},
    lasting,
    program::Nest,
};
use serde_json::{Value, json};
use shared::id::{KeyId, OrgId};
use tokio_postgres::Client;
use uuid::Uuid;

/// Checklist 85: `kill -9` in the middle of a call. Its money is back when its lease ends, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_held_is_back_after_a_minute() {
    let priced = Priced::start("1", a_dollar()).await;
    let port = embedded::port::free().unwrap();
    let serve = Nest::new(NEST, &lasting::folder("serve"), "serve");
    let mut program = serve
        .env("DATABASE_URL", priced.edge.db.url())
        .env("PORT", &port.to_string())
        .env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz")
        .env("OPENAI_BASE_URL", &priced.upstream.double.url)
        .env("GROQ_API_KEY", "gsk")
        .env("ADDRESS_LIMITS", GENEROUS)
        .start();
    program.until("the edge listens on").await;
    let request = client().post(format!("http://127.0.0.1:{port}/v1/chat/completions")).bearer_auth(&priced.key.text);
    let running = tokio::spawn(request.json(&call(1, 0)).send());
    priced.upstream.arrived(1).await;
    program.child.kill().await.unwrap();
    assert!(running.await.unwrap().is_err(), "the process is dead, and yet it answers");
    assert_eq!(priced.edge.wallet(priced.org).await.held_nanos, usd(1));
    // The other process has the machine's time, and this edge is at noon of another day: the lease ended long ago by
    // its clock. So the row is put where it would be if both had one clock.
    let put = "update credit_leases set expires_at = to_timestamp($1::int8 / 1000.0)";
    let ends_at = priced.edge.now().plus_ms(60_000);
    priced.sql().await.execute(put, &[&ends_at.0]).await.unwrap();
    priced.edge.advance_ms(55_000);
    assert_eq!(priced.refused(1).await, (402, "insufficient_credit".to_owned()));
    priced.edge.advance_ms(5_000);
    priced.edge.tick().await;
    assert_eq!(priced.edge.wallet(priced.org).await, Wallet { credit_nanos: usd(1), ..Wallet::default() });
    priced.upstream.answer(2);
    priced.charged(1, 0).await;
}

/// Whoever asks for credit does not wait for the reaper.
#[tokio::test]
async fn an_expired_lease_is_free_for_the_next_who_asks() {
    let edge = TestEdge::start(&[]).await;
    let (sql, org, key) = (edge.db.connect().await, edge.own_org().await, edge.key().await.id);
    edge.grant(org, "1").await;
    let at_ms = edge.now().0;
    assert_eq!(lease(&sql, org, key, 1, (usd(1), usd(1)), at_ms).await, (usd(1), None));
    assert_eq!(lease(&sql, org, key, 2, (usd(1), usd(1)), at_ms + 59_999).await, (0, Some("credit".to_owned())));
    assert_eq!(lease(&sql, org, key, 3, (usd(1), usd(1)), at_ms + 60_000).await, (usd(1), None));
}

/// Asks for a lease with this number: what was granted, or why not.
async fn lease(
    sql: &Client,
    org: OrgId,
    key: KeyId,
    number: u128,
    amounts: (i64, i64),
    at_ms: i64,
) -> (i64, Option<String>) {
    let (need, want) = amounts;
    let ask = json!({
        "org_id": org.uuid(), "key_id": key.uuid(), "lease_id": Uuid::from_u128(number), "holder": "test", "need": need,
        "want": want, "at_ms": at_ms, "life_ms": 60_000, "back": [],
    });
    let text = "select granted, refused from lease_credit($1::text::json)";
    let row = sql.query_one(text, &[&ask.to_string()]).await.unwrap();
    (row.get(0), row.get(1))
}

/// A call's row, past the edge.
async fn charge(sql: &Client, org: OrgId, key: KeyId, lease: Option<u128>, cost: i64, at_ms: i64) {
    let insert = "
        insert into usage (request_id, org_id, key_id, endpoint, model, stream, status, outcome, prompt_tokens,
            completion_tokens, cached_tokens, reasoning_tokens, tokens_source, started_at, latency_ms, cost_nanos, lease_id)
        values (gen_random_uuid(), $1::text::uuid, $2::text::uuid, 'chat.completions', 'm', false, 200, 'completed', 1, 1,
            0, 0, 'upstream', to_timestamp($3::int8 / 1000.0), 5, $4, $5::text::uuid)";
    let lease = lease.map(|it| Uuid::from_u128(it).to_string());
    let (org, key) = (org.uuid().to_string(), key.uuid().to_string());
    sql.execute(insert, &[&org, &key, &at_ms, &cost, &lease]).await.unwrap();
}

/// Checklist 85: a lease that is over is fenced. What its holder charges late takes nothing that others hold.
#[tokio::test]
async fn what_is_charged_to_a_lease_that_is_over_comes_from_what_nobody_holds_or_is_owed() {
    for (granted, held_by_another, cost, expected) in [
        // It is there all the same.
        (10, 0, 4, Wallet { credit_nanos: 6, revenue_nanos: 4, ..Wallet::default() }),
        // Another has it by now: then it is owed, and the other is as it was.
        (10, 10, 4, Wallet { credit_nanos: 10, owed_nanos: -4, revenue_nanos: 4, held_nanos: 10, ..Wallet::default() }),
        // A part is there.
        (10, 7, 5, Wallet { credit_nanos: 7, owed_nanos: -2, revenue_nanos: 5, held_nanos: 7, ..Wallet::default() }),
    ] {
        let edge = TestEdge::start(&[]).await;
        let (sql, org, key) = (edge.db.connect().await, edge.own_org().await, edge.key().await.id);
        act_on(&sql, &format!("add_credit($1::text::uuid, 'g', 'grant', 'grants', {granted}, now())"), org).await;
        let at_ms = edge.now().0;
        assert_eq!(lease(&sql, org, key, 1, (granted, granted), at_ms).await.0, granted);
        if held_by_another > 0 {
            let other = lease(&sql, org, key, 2, (held_by_another, held_by_another), at_ms + 60_000).await;
            assert_eq!(other.0, held_by_another);
        } else {
            sql.execute("select reap_leases(to_timestamp($1::int8 / 1000.0))", &[&(at_ms + 60_000)]).await.unwrap();
        }
        charge(&sql, org, key, Some(1), cost, at_ms).await;
        assert_eq!(edge.wallet(org).await, expected, "{granted} {held_by_another} {cost}");
    }
}

async fn act_on(sql: &Client, call: &str, org: OrgId) -> bool {
    super::act(sql, call, org).await
}

#[tokio::test]
async fn leases_shrink_as_funds_do_so_that_nobody_sits_on_the_last_of_them() {
    let edge = TestEdge::start(&[]).await;
    let (sql, org, key) = (edge.db.connect().await, edge.own_org().await, edge.key().await.id);
    act_on(&sql, "add_credit($1::text::uuid, 'g', 'grant', 'grants', 800, now())", org).await;
    let at_ms = edge.now().0;
    let mut granted = Vec::new();
    for number in 1.. {
        match lease(&sql, org, key, number, (10, 1_000), at_ms).await {
            (nanos, None) => granted.push(nanos),
            (_, why) => {
                assert_eq!(why.as_deref(), Some("credit"));
                break;
            }
        }
    }
    assert_eq!(granted[..4], [100, 87, 76, 67]);
    assert!(granted.is_sorted_by(|a, b| a >= b) && granted.iter().all(|it| *it >= 10), "{granted:?}");
    let left = 800 - granted.iter().sum::<i64>();
    assert!((0..10).contains(&left), "{left} are left");
}

#[tokio::test]
async fn a_lease_is_extended_while_it_lives_and_given_back_in_parts() {
    let edge = TestEdge::start(&[]).await;
    let (sql, org, key) = (edge.db.connect().await, edge.own_org().await, edge.key().await.id);
    act_on(&sql, "add_credit($1::text::uuid, 'g', 'grant', 'grants', 100, now())", org).await;
    let at_ms = edge.now().0;
    for number in [1, 2] {
        lease(&sql, org, key, number, (40, 40), at_ms).await;
    }
    let tell = async |at_ms: i64, back: Value, extend: Value| {
        let ask = json!({ "org_id": org.uuid(), "at_ms": at_ms, "life_ms": 60_000, "back": back, "extend": extend });
        let rows =
            sql.query("select extended::text from return_credit($1::text::json)", &[&ask.to_string()]).await.unwrap();
        rows.len()
    };
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert_eq!(tell(at_ms + 20_000, json!([{ "id": first, "nanos": 15 }]), json!([first, second])).await, 2);
    assert_eq!(edge.wallet(org).await.held_nanos, 65);
    // Said twice, it goes back once more, and never more than there is; and to whoever else asks, nothing goes.
    assert_eq!(tell(at_ms + 20_000, json!([{ "id": first, "nanos": 900 }]), json!([])).await, 0);
    assert_eq!(edge.wallet(org).await.held_nanos, 40);
    assert_eq!(tell(at_ms + 79_999, json!([]), json!([first, second])).await, 1, "the first is closed");
    assert_eq!(tell(at_ms + 139_999, json!([]), json!([second])).await, 0, "over at that very moment");
    assert_eq!(edge.wallet(org).await, Wallet { credit_nanos: 100, ..Wallet::default() });
}

/// What was taken ahead goes back when nobody calls, and when the process ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credit_that_nobody_uses_goes_back() {
    let priced = Priced::start("1000", a_dollar_a_token()).await;
    priced.upstream.answer(100);
    let mut changes = priced.edge.db.changes().await;
    // Each is held for ten times what it costs.
    for _ in 0..10 {
        priced.charged(10, 1).await;
    }
    let expected = Wallet { credit_nanos: usd(990), revenue_nanos: usd(10), ..Wallet::default() };
    while priced.edge.wallet(priced.org).await != expected {
        changes.next().await;
    }
    priced.charged(10, 1).await;
    let (db, org) = (priced.edge.db.clone(), priced.org);
    priced.edge.stop().await;
    let read = "select held_nanos from wallets where org_id = $1::text::uuid";
    let held: i64 = db.connect().await.query_one(read, &[&org.uuid().to_string()]).await.unwrap().get(0);
    assert_eq!(held, 0, "what a process that ends properly holds is free at once");
}

/// A call that runs for longer than a lease lives keeps it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_runs_for_long_keeps_its_lease() {
    let priced = Priced::start("1", a_dollar()).await;
    let mut changes = priced.edge.db.changes().await;
    let body = call(1, 0);
    let running = priced.edge.chat(&priced.key, &body);
    let later = async {
        priced.upstream.arrived(1).await;
        for _ in 0..4 {
            let ends = "select (extract(epoch from expires_at) * 1000)::int8 from credit_leases";
            let sql = priced.sql().await;
            let before: i64 = sql.query_one(ends, &[]).await.unwrap().get(0);
            priced.edge.advance_ms(20_000);
            while sql.query_one(ends, &[]).await.unwrap().get::<_, i64>(0) == before {
                changes.next().await;
            }
        }
        priced.edge.tick().await;
        assert_eq!(priced.edge.wallet(priced.org).await.held_nanos, usd(1));
        priced.upstream.answer(1);
    };
    let (answer, ()) = tokio::join!(running, later);
    assert_eq!(answer.status, 200);
    priced.edge.usage(answer.request_id()).await;
    assert_eq!(priced.edge.wallet(priced.org).await, Wallet { revenue_nanos: usd(1), ..Wallet::default() });
}

/// While Postgres is away nobody is told that they have no credit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_what_is_held_is_spent_and_nothing_more_is_leased() {
    let mut private = nest_tests::PrivateDb::start().await;
    let upstream = Upstream::start().await;
    let edge = edge(&private.db, &upstream).await;
    edge.publish_prices(json!([{ "model": super::MODEL, "price": a_dollar_a_token() }])).await;
    let (org, key) = (edge.own_org().await, edge.key().await);
    edge.grant(org, "1000").await;
    // The first of two leaves what it did not use, and runs while the second comes.
    upstream.answer(1);
    let first = edge.chat(&key, &call(10, 1)).await;
    assert_eq!(first.status, 200, "{}", first.text());
    private.stop().await;
    upstream.answer(2);
    let second = edge.chat(&key, &call(9, 1)).await;
    assert_eq!(second.status, 200, "nine are left of ten: {}", second.text());
    let third = edge.chat(&key, &call(500, 1)).await;
    assert_eq!((third.status.as_u16(), third.code().as_str()), (503, "database_unavailable"));
    private.start_again().await;
    edge.usage_when(|rows| rows.iter().filter(|it| it.status == 200).count() == 2).await;
    let wallet = edge.wallet(org).await;
    assert_eq!((wallet.revenue_nanos, wallet.owed_nanos), (usd(2), 0));
    // Kept until the end, since its name is the database's.
    let _: &TestDb = &private.db;
}
