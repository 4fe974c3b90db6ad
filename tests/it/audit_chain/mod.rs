//! The chain of the audit log: what edges write stands, whoever writes at once, and what anybody else changes shows.

mod cli;
mod tampering;

use edge_core::{
    Config, Edge, Host, Store,
    audit::{self, Actor, Entry, Filter, Origin, Verdict},
    seal,
};
use edge_native::Native;
use futures_util::future::join_all;
use nest_contract::{Watch, Watched};
use nest_tests::{TestDb, edge::config};
use shared::{
    id::{OrgId, UserId},
    time::Timestamp,
};
use std::sync::Arc;
use uuid::Uuid;

/// An edge without a listener, whose clock a test moves.
struct Ticking {
    edge: Edge,
    native: Arc<Native>,
    host: Arc<dyn Host>,
    watch: Arc<Watch>,
}

impl Ticking {
    fn on(db: &TestDb, settings: &[(&str, &str)]) -> Self {
        let native = Arc::new(Native::new(&config(db, settings)).unwrap());
        let watch = Arc::new(Watch::default());
        let host: Arc<dyn Host> = Arc::new(Watched::new(native.clone(), watch.clone()));
        Self { edge: Edge::new(config(db, settings)), native, host, watch }
    }

    async fn tick(&self) {
        self.edge.tick(self.host.clone()).await;
    }

    fn store(&self) -> Store {
        Store::new(self.native.clone())
    }

    fn config(&self) -> &Config {
        self.edge.config()
    }

    async fn verify(&self) -> Verdict {
        audit::verify(&self.store(), &self.config().keyring, self.host.now()).await.unwrap()
    }

    /// Verifies, and expects nothing but so many entries.
    async fn intact(&self, entries: i64) {
        let verdict = self.verify().await;
        assert!(verdict.findings.is_empty(), "{verdict:?}");
        assert_eq!(verdict.entries, entries);
    }
}

fn org(number: u128) -> OrgId {
    OrgId::from_uuid(Uuid::from_u128(number))
}

fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

/// An entry that differs from others in every field, and lacks some.
fn entry(number: u128, at: Timestamp) -> Entry {
    let actor = if number.is_multiple_of(5) { Actor::ANONYMOUS } else { Actor::user(user(number % 7)) };
    let origin = Origin {
        ip: (!number.is_multiple_of(3)).then(|| [10, 0, 0, 1].into()),
        request_id: (!number.is_multiple_of(4)).then(|| format!("req_{number}")),
    };
    let action = ["auth.login", "auth.logout", "authors.read", "keys.created"][(number % 4) as usize];
    let entry = Entry::new(at, &actor, &origin, action);
    let entry = entry.detail(&serde_json::json!({"number": number.to_string(), "text": "é\n\"\u{1b}"}));
    let entry = if number.is_multiple_of(2) { entry.org(org(number % 3)) } else { entry };
    if number.is_multiple_of(3) { entry } else { entry.target(format!("key_{}", number % 5)) }
}

/// Checklist 115: any number of edges make one chain, and whoever comes second changes nothing.
#[tokio::test]
async fn edges_that_chain_at_once_make_one_chain() {
    const EDGES: u128 = 8;
    const ROUNDS: u128 = 20;
    let db = TestDb::migrated().await;
    let edges: Vec<Ticking> = (0..EDGES).map(|_| Ticking::on(&db, &[])).collect();
    for round in 0..ROUNDS {
        let acts = edges.iter().zip(0..).map(|(edge, number)| async move {
            let act = entry(round * EDGES + number, edge.host.now());
            audit::record(&edge.store(), act).await.unwrap();
            edge.tick().await;
        });
        join_all(acts).await;
        // All see the same head and the same entries now.
        let more = "select count(audit('{\"at_ms\": 1, \"actor_kind\": \"system\", \"action\": \"test.act\"}'))
            from generate_series(1, 20)";
        db.connect().await.query_one(more, &[]).await.unwrap();
        join_all(edges.iter().map(Ticking::tick)).await;
    }
    edges[0].tick().await;
    edges[1].intact((ROUNDS * (EDGES + 20)) as i64).await;
}

#[tokio::test]
async fn a_backlog_is_chained_in_batches() {
    let db = TestDb::migrated().await;
    let edge = Ticking::on(&db, &[]);
    let many = "select count(audit(json_build_object('at_ms', 1700000000000 + n, 'actor_kind', 'system',
        'action', 'test.act', 'detail', '{}')::text)) from generate_series(1, 2300) n";
    db.connect().await.query_one(many, &[]).await.unwrap();
    edge.tick().await;
    edge.intact(2_300).await;
}

#[tokio::test]
async fn an_entry_that_is_committed_late_is_chained_late() {
    let db = TestDb::migrated().await;
    let edge = Ticking::on(&db, &[]);
    let late = db.connect().await;
    let add = "select audit('{\"at_ms\": 1700000000000, \"actor_kind\": \"system\", \"action\": \"test.late\"}')";
    late.batch_execute("begin").await.unwrap();
    let early_id: i64 = late.query_one(add, &[]).await.unwrap().get(0);
    let other_id = audit::record(&edge.store(), entry(1, edge.host.now())).await.unwrap();
    assert!(early_id < other_id);
    edge.tick().await;
    edge.intact(1).await;
    late.batch_execute("commit").await.unwrap();
    edge.tick().await;
    edge.intact(2).await;
    let order = db.connect().await.query("select id from audit_log order by seq", &[]).await.unwrap();
    assert_eq!(order.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [other_id, early_id]);
}

/// Checklists 113 and 115: neither a new encryption key nor a new root secret breaks the chain.
#[tokio::test]
async fn the_chain_goes_on_when_its_keys_are_rotated() {
    let db = TestDb::migrated().await;
    let one = "one:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let two = "two:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    let (old_root, new_root) = ("0123456789abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba9876543210");
    let both = format!("{two},{one}");
    let steps: [&[(&str, &str)]; 6] = [
        &[("SECRET_KEY", old_root)],
        &[("SECRET_KEY", new_root), ("PREVIOUS_SECRET_KEY", old_root)],
        &[("SECRET_KEY", new_root)],
        &[("SECRET_KEY", new_root), ("ENCRYPTION_KEYS", one)],
        &[("SECRET_KEY", old_root), ("ENCRYPTION_KEYS", &both)],
        &[("SECRET_KEY", old_root), ("ENCRYPTION_KEYS", two)],
    ];
    for (step, settings) in (1..).zip(steps) {
        let edge = Ticking::on(&db, settings);
        audit::record(&edge.store(), entry(step, edge.host.now())).await.unwrap();
        edge.tick().await;
        edge.intact(step as i64).await;
        let rotation = seal::rotate(&*edge.host, &edge.store(), &edge.config().keyring).await.unwrap();
        assert!(rotation.is_complete(), "{rotation:?}");
        edge.intact(step as i64).await;
    }
}

#[tokio::test]
async fn anchors_follow_the_chain_and_are_no_closer_than_half_a_minute() {
    let db = TestDb::migrated().await;
    let (edge, other) = (Ticking::on(&db, &[]), Ticking::on(&db, &[]));
    let anchors = async || {
        let rows = db.connect().await.query("select number, seq from audit_anchors order by number", &[]).await;
        rows.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect::<Vec<(i64, i64)>>()
    };
    edge.tick().await;
    assert_eq!(anchors().await, [], "there is nothing to anchor");
    for (number, ahead_ms, expected) in [
        (1, 0, vec![(1, 1)]),
        (2, 29_000, vec![(1, 1)]), // too soon
        (3, 31_000, vec![(1, 1), (2, 3)]),
    ] {
        audit::record(&edge.store(), entry(number, edge.host.now())).await.unwrap();
        for it in [&edge, &other] {
            it.watch.advance_ms(ahead_ms - it.watch.ahead_ms());
        }
        tokio::join!(edge.tick(), other.tick());
        assert_eq!(anchors().await, expected, "{number}");
        edge.watch.advance_ms(120_000);
        other.watch.advance_ms(120_000);
        if number == 3 {
            edge.tick().await;
            assert_eq!(anchors().await, expected, "the chain has not moved");
        }
    }
    edge.intact(3).await;
}

/// Checklist 115: an edge does not sign what somebody else left.
#[tokio::test]
async fn a_head_that_was_changed_is_not_built_upon() {
    for change in [
        "update audit_head set seq = 1, mac = (select mac from audit_log where seq = 1)",
        "update audit_head set tag = set_byte(tag, 0, get_byte(tag, 0) # 1)",
        "update audit_head set key = set_byte(key, 90, get_byte(key, 90) # 1)",
        "delete from audit_head",
    ] {
        let db = TestDb::migrated().await;
        let edge = Ticking::on(&db, &[]);
        for number in 0..3 {
            audit::record(&edge.store(), entry(number, edge.host.now())).await.unwrap();
        }
        edge.tick().await;
        let client = db.connect().await;
        client.batch_execute(change).await.unwrap();
        audit::record(&edge.store(), entry(4, edge.host.now())).await.unwrap();
        edge.tick().await;
        let waiting = client.query_one("select count(*) from audit_log where seq is null", &[]).await.unwrap();
        assert_eq!(waiting.get::<_, i64>(0), 1, "{change}");
        assert!(!edge.verify().await.findings.is_empty(), "{change}");
    }
}

#[tokio::test]
async fn a_page_of_entries_stays_the_same_whatever_is_added() {
    let db = TestDb::migrated().await;
    let edge = Ticking::on(&db, &[]);
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(audit::record(&edge.store(), entry(number, edge.host.now())).await.unwrap());
    }
    let mut seen = Vec::new();
    let mut filter = Filter { limit: 7, ..Filter::default() };
    loop {
        let page = audit::list(&edge.store(), &filter).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.before = Some(last.id);
        seen.extend(page.iter().map(|it| it.id));
        audit::record(&edge.store(), entry(99, edge.host.now())).await.unwrap();
    }
    seen.reverse();
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn entries_are_found_by_organisation_actor_action_and_target() {
    let db = TestDb::migrated().await;
    let edge = Ticking::on(&db, &[]);
    for number in 0..60 {
        audit::record(&edge.store(), entry(number, edge.host.now())).await.unwrap();
    }
    let all = Filter { limit: 200, ..Filter::default() };
    let count = async |filter: &Filter| audit::list(&edge.store(), filter).await.unwrap().len();
    let found = |test: fn(u128) -> bool| (0..60).filter(|it| test(*it)).count();
    for (filter, expected) in [
        (all.clone(), 60),
        (Filter { org: Some(org(1)), ..all.clone() }, found(|it| it % 2 == 0 && it % 3 == 1)),
        (Filter { org: Some(org(9)), ..all.clone() }, 0),
        (Filter { actor: Some(user(3).to_string()), ..all.clone() }, found(|it| it % 5 != 0 && it % 7 == 3)),
        (Filter { action: Some("auth.login".to_owned()), ..all.clone() }, 15),
        (Filter { action: Some("auth".to_owned()), ..all.clone() }, 30), // and not `authors.read`
        (Filter { action: Some("auth.log".to_owned()), ..all.clone() }, 0),
        (Filter { target: Some("key_2".to_owned()), ..all.clone() }, found(|it| it % 3 != 0 && it % 5 == 2)),
        (
            Filter { org: Some(org(0)), action: Some("auth.login".to_owned()), ..all.clone() },
            found(|it| it % 2 == 0 && it % 3 == 0 && it % 4 == 0),
        ),
        (Filter { limit: 0, ..all.clone() }, 1),
        (Filter { limit: i64::MAX, ..all }, 60),
    ] {
        assert_eq!(count(&filter).await, expected, "{filter:?}");
    }
}
