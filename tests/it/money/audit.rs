//! Forged books are found, whatever was forged.

use super::{Priced, a_dollar, usd};
use crate::NEST;
use edge_core::billing::audit::audit;
use nest_tests::{lasting, program::Nest};

/// An organisation that has paid for two calls, and holds nothing.
async fn books() -> Priced {
    let priced = Priced::start("5", a_dollar()).await;
    priced.upstream.answer(2);
    priced.charged(1, 0).await;
    priced.charged(1, 0).await;
    assert_eq!(priced.edge.wallet(priced.org).await.credit_nanos, usd(3));
    priced
}

/// Whoever owns the database can switch its guards off; that is whom the chain is for.
const KEEP: &str = "
    alter table ledger_entries disable trigger all;
    alter table usage disable trigger all;
    create table kept_entries as table ledger_entries;
    create table kept_wallets as table wallets;
    create table kept_spend as table spend;
    create table kept_usage as table usage";

const UNDO: &str = "
    delete from ledger_entries;
    insert into ledger_entries table kept_entries;
    delete from spend;
    insert into spend table kept_spend;
    delete from usage;
    insert into usage table kept_usage;
    update wallets
    set credit_nanos = kept.credit_nanos, grants_nanos = kept.grants_nanos, revenue_nanos = kept.revenue_nanos,
        held_nanos = kept.held_nanos, entries = kept.entries, head = kept.head
    from kept_wallets kept";

/// Checklist 83.
#[tokio::test]
async fn whatever_is_forged_is_found() {
    let priced = books().await;
    let (sql, store) = (priced.sql().await, priced.edge.store());
    assert_eq!(audit(&store).await.unwrap().findings, []);
    priced.edge.db.forge();
    sql.batch_execute(KEEP).await.unwrap();
    for (forgery, found) in [
        ("update ledger_entries set nanos = nanos + 1 where seq = 1", "entry 1 is not what was booked"),
        ("update ledger_entries set nanos = nanos + 1 where seq = 1", "the balance of credit"),
        (
            "update ledger_entries set details = '{\"note\": \"forged\"}' where seq = 2",
            "entry 2 is not what was booked",
        ),
        ("delete from ledger_entries where seq = 3", "the number of entries"),
        ("delete from ledger_entries where seq = 2", "entry 1 is followed by entry 3"),
        ("update wallets set head = sha256('forged')", "the head is not the hash of entry 3"),
        (
            "update wallets set credit_nanos = credit_nanos + 1, grants_nanos = grants_nanos - 1",
            "the balance of grants",
        ),
        ("update wallets set held_nanos = 1", "what is held is 1, and should be 0"),
        ("update spend set month_nanos = 1 where subject = 'org'", "what org spent by the month"),
        ("delete from spend where subject = 'org'", "what org spent by the total is 0"),
        ("update usage set cost_nanos = 1", "what was charged"),
        ("delete from usage", "the cost of calls, summed up"),
        // Both ends of an amount, with hashes that fit: still the calls say what was spent.
        (
            "delete from ledger_entries where seq = 3; update wallets set entries = 2,
                head = (select hash from ledger_entries where seq = 2), credit_nanos = credit_nanos + 1000000000,
                revenue_nanos = revenue_nanos - 1000000000",
            "what was charged is 1000000000, and should be 2000000000",
        ),
    ] {
        sql.batch_execute(forgery).await.unwrap();
        let findings = audit(&store).await.unwrap().findings;
        let texts: Vec<&str> = findings.iter().map(|it| it.what.as_str()).collect();
        assert!(texts.iter().any(|it| it.contains(found)), "{forgery}: {texts:?}");
        sql.batch_execute(UNDO).await.unwrap();
        assert_eq!(audit(&store).await.unwrap().findings, [], "{forgery} is undone");
    }
}

#[tokio::test]
async fn nest_billing_audit_says_so_and_fails() {
    let priced = books().await;
    let run = async || {
        let nest = Nest::new(NEST, &lasting::folder("audit"), "billing audit");
        nest.env("DATABASE_URL", priced.edge.db.url()).run().await
    };
    let well = run().await;
    assert!(well.ok().contains("1 wallets, 3 entries") && well.ok().contains("the books balance"), "{}", well.stdout);
    priced.edge.db.forge();
    priced.sql().await.batch_execute("update wallets set held_nanos = 5").await.unwrap();
    let ill = run().await;
    assert_eq!(ill.code, 1);
    assert!(ill.stdout.contains("what is held is 5, and should be 0"), "{}", ill.stdout);
}
