//! The ledger by its functions: what each books, and that nothing is booked twice or changed.

use super::{Priced, a_dollar, act, usd};
use nest_tests::{TestEdge, Wallet};
use shared::id::OrgId;
use tokio_postgres::Client;

struct Ledger {
    edge: TestEdge,
    sql: Client,
    org: OrgId,
}

impl Ledger {
    async fn start() -> Self {
        let edge = TestEdge::start(&[]).await;
        let (sql, org) = (edge.db.connect().await, edge.own_org().await);
        Self { edge, sql, org }
    }

    /// A function and its arguments after the organisation.
    async fn act(&self, function: &str, arguments: &str) -> bool {
        act(&self.sql, &format!("{function}($1::text::uuid, {arguments})"), self.org).await
    }

    async fn charge(&self, nanos: i64) {
        let charge = "select charge_wallet($1::text::uuid, null, $2, 'charge:' || gen_random_uuid(), now())";
        self.sql.execute(charge, &[&self.org.uuid().to_string(), &nanos]).await.unwrap();
    }

    async fn wallet(&self) -> Wallet {
        self.edge.wallet(self.org).await
    }
}

/// Checklist 83.
#[tokio::test]
async fn an_entry_is_added_once_and_never_changed() {
    let ledger = Ledger::start().await;
    assert!(ledger.act("add_credit", "'k', 'grant', 'grants', 10, now()").await);
    assert!(!ledger.act("add_credit", "'k', 'grant', 'grants', 10, now()").await, "one business key, one entry");
    assert!(!ledger.act("post_entry", "'k', 'grant', 'grants', 'credit', 99, now()").await);
    assert_eq!(ledger.wallet().await.credit_nanos, 10);
    for change in ["update ledger_entries set nanos = 1", "delete from ledger_entries", "truncate ledger_entries"] {
        let refused = ledger.sql.batch_execute(change).await.unwrap_err();
        assert!(refused.as_db_error().is_some_and(|it| it.message().contains("never changed")), "{change}: {refused}");
    }
    for wrong in [
        "'n', 'grant', 'grants', 'credit', 0, now()",
        "'n', 'grant', 'grants', 'credit', -5, now()",
        "'n', 'grant', 'grants', 'grants', 5, now()",
        "'n', 'grant', 'elsewhere', 'credit', 5, now()",
        // Nobody has as much.
        "'n', 'refund', 'credit', 'payments', 11, now()",
        "'n', 'x', 'grants', 'overage', 5, now()",
    ] {
        let call = format!("select post_entry($1::text::uuid, {wrong})");
        assert!(ledger.sql.query_one(&call, &[&ledger.org.uuid().to_string()]).await.is_err(), "{wrong}");
    }
    assert_eq!(ledger.wallet().await, Wallet { credit_nanos: 10, ..Wallet::default() });
}

/// Checklist 88: in which order money is used, and what becomes of what is not there.
#[tokio::test]
async fn a_charge_takes_the_allowance_first_then_credit_then_overage_and_owes_the_rest() {
    let ledger = Ledger::start().await;
    ledger.act("add_credit", "'c', 'topup', 'payments', 20, now()").await;
    ledger.act("set_allowance", "'a', 10, now()").await;
    ledger.sql.execute("select set_overage_limit($1::text::uuid, 5)", &[&ledger.org.uuid().to_string()]).await.unwrap();
    let expired = 0;
    for (nanos, allowance, credit, overage, owed) in
        [(4, 6, 20, 0, 0), (10, 0, 16, 0, 0), (17, 0, 0, -1, 0), (4, 0, 0, -5, 0), (7, 0, 0, -5, -7)]
    {
        ledger.charge(nanos).await;
        let wallet = ledger.wallet().await;
        let seen = (wallet.allowance_nanos, wallet.credit_nanos, wallet.overage_nanos, wallet.owed_nanos);
        assert_eq!(seen, (allowance, credit, overage, owed), "after {nanos}");
        assert_eq!(wallet.expired_nanos, expired);
    }
    // What is owed is paid first.
    ledger.act("add_credit", "'d', 'topup', 'payments', 5, now()").await;
    assert_eq!((ledger.wallet().await.owed_nanos, ledger.wallet().await.credit_nanos), (-2, 0));
    assert!(!ledger.act("add_credit", "'d', 'topup', 'payments', 5, now()").await, "all of it went to what was owed");
    ledger.act("add_credit", "'e', 'topup', 'payments', 5, now()").await;
    assert_eq!((ledger.wallet().await.owed_nanos, ledger.wallet().await.credit_nanos), (0, 3));
    // The wallet's own charges have no calls in this test.
    ledger.edge.db.forge();
}

/// Checklist 88: a refund or a dispute takes what is there, and the rest is owed.
#[tokio::test]
async fn what_is_taken_back_and_is_not_there_is_owed() {
    for (credit, taken, left, owed) in [(10, 4, 6, 0), (10, 10, 0, 0), (10, 15, 0, -5), (0, 5, 0, -5)] {
        let ledger = Ledger::start().await;
        if credit > 0 {
            ledger.act("add_credit", &format!("'c', 'topup', 'payments', {credit}, now()")).await;
        }
        for _ in 0..2 {
            ledger.act("take_back", &format!("'r', 'refund', 'payments', {taken}, now()")).await;
        }
        let wallet = ledger.wallet().await;
        assert_eq!((wallet.credit_nanos, wallet.owed_nanos), (left, owed), "{credit} {taken}");
    }
}

/// Checklist 88: an allowance ends with its period, but for what a call holds at that moment.
#[tokio::test]
async fn an_allowance_ends_when_the_next_begins_and_what_is_held_of_it_a_little_later() {
    let ledger = Ledger::start().await;
    let key = ledger.edge.key().await.id;
    ledger.act("set_allowance", "'jan', 100, now()").await;
    let lease = "
        select granted from lease_credit(json_build_object('org_id', $1::text, 'key_id', $2::text,
            'lease_id', gen_random_uuid(), 'holder', 'test', 'need', 60, 'want', 60, 'at_ms', 1000, 'life_ms', 60000))";
    let (org, key) = (ledger.org.uuid().to_string(), key.uuid().to_string());
    assert_eq!(ledger.sql.query_one(lease, &[&org, &key]).await.unwrap().get::<_, i64>(0), 60);
    // The new one covers what is held, so that all of the old one goes at once.
    ledger.act("set_allowance", "'feb', 70, now()").await;
    let expected = Wallet { allowance_nanos: 70, expired_nanos: 100, held_nanos: 60, ..Wallet::default() };
    assert_eq!(ledger.wallet().await, expected);
    assert!(!ledger.act("set_allowance", "'feb', 70, now()").await);
    assert_eq!(ledger.wallet().await, expected, "a period begins once");
    // None follows: what is held stays until its lease ends.
    ledger.act("set_allowance", "'end', 0, now()").await;
    assert_eq!(
        ledger.wallet().await,
        Wallet { allowance_nanos: 60, expired_nanos: 110, held_nanos: 60, ..Wallet::default() }
    );
    ledger.sql.execute("select reap_leases(to_timestamp(61))", &[]).await.unwrap();
    assert_eq!(ledger.wallet().await, Wallet { expired_nanos: 170, ..Wallet::default() });
}

/// Whoever owes calls nothing before it is paid.
#[tokio::test]
async fn what_is_owed_stops_calls_until_it_is_paid() {
    let priced = Priced::start("5", a_dollar()).await;
    priced.upstream.answer(10);
    priced.charged(1, 0).await;
    let sql = priced.sql().await;
    act(&sql, &format!("take_back($1::text::uuid, 'r', 'dispute', 'payments', {}, now())", usd(7)), priced.org).await;
    assert_eq!(priced.refused(1).await, (402, "credit_owed".to_owned()));
    priced.edge.grant(priced.org, "3").await;
    priced.edge.advance_ms(1_000);
    assert_eq!(priced.refused(1).await, (402, "insufficient_credit".to_owned()), "paid, and nothing is left");
    priced.edge.grant(priced.org, "1").await;
    priced.edge.advance_ms(1_000);
    priced.charged(1, 0).await;
}

/// A subscription that is not paid stops calls as well, by the state that it has.
#[tokio::test]
async fn a_subscription_in_a_wrong_state_stops_calls() {
    let priced = Priced::start("5", a_dollar()).await;
    priced.upstream.answer(1);
    let sql = priced.sql().await;
    sql.batch_execute("update wallets set refused_subscription = 'unpaid'").await.unwrap();
    let refusal = priced.call(1, 0).await;
    assert_eq!((refusal.status.as_u16(), refusal.code().as_str()), (402, "subscription_inactive"));
    assert!(refusal.text().contains("unpaid"), "{}", refusal.text());
    sql.batch_execute("update wallets set refused_subscription = null").await.unwrap();
    priced.edge.advance_ms(1_000);
    priced.charged(1, 0).await;
}

/// Checklist 83: whatever happens in whatever order, the books balance; the harness proves it when the edge goes.
#[tokio::test]
async fn any_acts_in_any_order_leave_books_that_balance() {
    let ledger = Ledger::start().await;
    let key = ledger.edge.key().await.id;
    // A generator of its own, so that what it does is the same each time.
    let walk = format!(
        "do $$
        declare
            org uuid := '{org}';
            state bigint := 20261122;
            dice bigint;
            nanos bigint;
            moment timestamptz := to_timestamp(1800000000);
            lease uuid;
        begin
            for step in 1..600 loop
                state := (state * 1103515245 + 12345) % 2147483648;
                dice := state / 65536 % 9;
                nanos := 1 + state / 7 % 50;
                moment := moment + (state % 40) * interval '1 second';
                case dice
                    when 0 then perform add_credit(org, 'c' || step, 'topup', 'payments', nanos, moment);
                    when 1 then perform take_back(org, 'r' || step, 'refund', 'payments', nanos, moment);
                    when 2 then perform set_allowance(org, 'a' || step, nanos, moment);
                    when 3 then perform set_overage_limit(org, nanos);
                    when 4, 5 then perform lease_credit(json_build_object('org_id', org, 'key_id', '{key}',
                        'lease_id', gen_random_uuid(), 'holder', 'walk', 'need', 1 + nanos / 5, 'want', nanos,
                        'at_ms', (extract(epoch from moment) * 1000)::bigint, 'life_ms', 60000));
                    when 6 then perform reap_leases(moment);
                    else
                        select id into lease from credit_leases order by taken_at desc, id limit 1;
                        insert into usage (request_id, org_id, key_id, endpoint, model, stream, status, outcome,
                            prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, tokens_source, started_at,
                            latency_ms, cost_nanos, lease_id)
                        select gen_random_uuid(), org, '{key}', 'chat.completions', 'm', false, 200, 'completed', 1, 1, 0,
                            0, 'upstream', moment - number * interval '9 hours', 5, nanos / 3, lease
                        from generate_series(1, 3) number;
                end case;
            end loop;
        end $$",
        org = ledger.org.uuid(),
        key = key.uuid()
    );
    ledger.sql.batch_execute(&walk).await.unwrap();
    let entries: i64 = ledger.sql.query_one("select entries from wallets", &[]).await.unwrap().get(0);
    assert!(entries > 200, "the walk has hardly moved: {entries}");
}
