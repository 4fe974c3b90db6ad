//! Secrets at rest: every sealed column is known, and keys rotate while edges run.

use crate::NEST;
use edge_core::{
    Store,
    seal::{self, Keyring, Place},
};
use edge_native::Native;
use futures_util::future::join_all;
use nest_tests::{
    TestDb,
    edge::config,
    lasting,
    program::{Nest, Ran},
};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio_postgres::Client;
use uuid::Uuid;

const SECRET_KEY: (&str, &str) = ("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz");
const ONE: &str = "one:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const TWO: &str = "two:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn ring(db: &TestDb, keys: &str) -> Keyring {
    config(db, &[("ENCRYPTION_KEYS", keys)]).keyring
}

fn native(db: &TestDb) -> Arc<Native> {
    Arc::new(Native::new(&config(db, &[])).unwrap())
}

fn place(row: &str) -> Place<'_> {
    Place { column: "totp_secrets.sealed", row }
}

/// People with a sealed secret each.
async fn people(db: &TestDb, count: u128, keyring: &Keyring) -> Vec<String> {
    let (client, host) = (db.connect().await, native(db));
    let mut ids = Vec::new();
    for number in 1..=count {
        let id = Uuid::from_u128(number << 64).to_string();
        client
            .execute("insert into users (id, email) values ($1::text::uuid, $1 || '@example.com')", &[&id])
            .await
            .unwrap();
        let sealed = keyring.seal(&*host, place(&id), format!("{id} 0").as_bytes());
        let insert = "insert into totp_secrets (user_id, sealed, created_at) values ($1::text::uuid, $2, now())";
        client.execute(insert, &[&id, &sealed]).await.unwrap();
        ids.push(id);
    }
    ids
}

async fn sealed(client: &Client, id: &str) -> Vec<u8> {
    client.query_one("select sealed from totp_secrets where user_id = $1::text::uuid", &[&id]).await.unwrap().get(0)
}

/// A column that nobody lists would keep the old key for ever.
#[tokio::test]
async fn every_sealed_column_of_the_schema_is_rotated() {
    let client = TestDb::migrated().await.connect().await;
    let of_schema = "select table_name || '.' || column_name from information_schema.columns
        where table_schema = 'public' and data_type = 'bytea' and column_name in ('sealed', 'key') order by 1";
    let rows = client.query(of_schema, &[]).await.unwrap();
    let of_schema: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut listed: Vec<&str> = seal::columns().collect();
    listed.sort_unstable();
    assert_eq!(listed, of_schema);
}

/// Checklist 113: no read fails and no write is lost while keys rotate, and the old key is not needed after.
#[tokio::test]
async fn keys_rotate_under_load() {
    let db = TestDb::migrated().await;
    let (old, reading, new, alone) =
        (ring(&db, ONE), ring(&db, &format!("{ONE},{TWO}")), ring(&db, &format!("{TWO},{ONE}")), ring(&db, TWO));
    let ids = people(&db, 450, &old).await;
    let (host, store) = (native(&db), Store::new(native(&db)));
    let (stop, switched) = (AtomicBool::new(false), AtomicBool::new(false));
    let (reads, writes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Each has people of its own, so it knows what it must find. Half of them write with the old key at first, as edges
    // do that have the new one only for reading.
    let worker = |number: usize| {
        let (db, ids, old_edge) = (&db, &ids, &reading);
        let (new_edge, host, stop, switched, reads, writes) = (&new, &host, &stop, &switched, &reads, &writes);
        async move {
            let client = db.connect().await;
            let own: Vec<&String> = ids.iter().skip(number).step_by(32).collect();
            let mut versions = vec![0; own.len()];
            let mut turn = number;
            while !stop.load(Ordering::SeqCst) {
                let at = turn % own.len();
                let keyring =
                    if number.is_multiple_of(2) || switched.load(Ordering::SeqCst) { new_edge } else { old_edge };
                let opened = keyring.open(place(own[at]), &sealed(&client, own[at]).await).unwrap();
                assert_eq!(*opened, format!("{} {}", own[at], versions[at]).into_bytes());
                reads.fetch_add(1, Ordering::SeqCst);
                if turn.is_multiple_of(3) {
                    versions[at] += 1;
                    let value = format!("{} {}", own[at], versions[at]);
                    let value = keyring.seal(&**host, place(own[at]), value.as_bytes());
                    let update = "update totp_secrets set sealed = $2 where user_id = $1::text::uuid";
                    client.execute(update, &[own[at], &value]).await.unwrap();
                    writes.fetch_add(1, Ordering::SeqCst);
                }
                turn += 1;
            }
        }
    };
    let rotation = async {
        // While some still write with the old key.
        while writes.load(Ordering::SeqCst) < 100 {
            tokio::task::yield_now().await;
        }
        let first = seal::rotate(&*host, &store, &new).await.unwrap();
        assert!(first.columns.iter().all(|it| it.broken.is_empty()), "{first:?}");
        assert!(first.columns.iter().map(|it| it.rewrapped).sum::<u64>() > 100, "{first:?}");
        switched.store(true, Ordering::SeqCst);
        // A write that began before the switch may still be on its way; each run leaves fewer.
        while !left(&store, &new).await.is_empty() {
            let again = seal::rotate(&*host, &store, &new).await.unwrap();
            assert!(again.columns.iter().all(|it| it.broken.is_empty()), "{again:?}");
        }
        let enough = reads.load(Ordering::SeqCst) + 500;
        while reads.load(Ordering::SeqCst) < enough {
            tokio::task::yield_now().await;
        }
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(join_all((0..32).map(worker)), rotation);
    // A write with the old key may have come last.
    seal::rotate(&*host, &store, &new).await.unwrap();
    let client = db.connect().await;
    for id in &ids {
        let value = sealed(&client, id).await;
        assert!(alone.open(place(id), &value).unwrap().starts_with(id.as_bytes()));
        assert!(old.open(place(id), &value).is_err(), "the old key is dead");
    }
}

/// Keys other than the current one that still wrap something.
async fn left(store: &Store, keyring: &Keyring) -> Vec<String> {
    let wrapped = seal::wrapped_by(store, keyring).await.unwrap();
    wrapped.into_iter().filter_map(|it| it.key).filter(|it| it != keyring.current()).collect()
}

async fn nest(db: &TestDb, line: &str, keys: &str) -> Ran {
    let nest = Nest::new(NEST, &lasting::folder("encryption"), line).env("DATABASE_URL", db.url());
    nest.env(SECRET_KEY.0, SECRET_KEY.1).env("ENCRYPTION_KEYS", keys).run().await
}

#[tokio::test]
async fn a_rotation_says_what_it_did_and_what_it_could_not() {
    let db = TestDb::migrated().await;
    let ids = people(&db, 5, &ring(&db, ONE)).await;
    let both = format!("{TWO},{ONE}");
    let status = nest(&db, "admin encryption status --json", &both).await.json();
    assert_eq!(
        status,
        serde_json::json!([{"column": "totp_secrets.sealed", "key": "one", "values": 5, "known": true}])
    );
    let missing = nest(&db, "admin encryption status", TWO).await;
    assert!(missing.ok().contains("KEY NOT CONFIGURED"), "{missing:?}");
    // Somebody puts one person's secret into another's row.
    let client = db.connect().await;
    let swap = "update totp_secrets set sealed = (select sealed from totp_secrets where user_id = $2::text::uuid)
        where user_id = $1::text::uuid";
    client.execute(swap, &[&ids[1], &ids[3]]).await.unwrap();

    let rotated = nest(&db, "admin encryption rotate", &both).await;
    assert_eq!(rotated.code, 1, "{rotated:?}");
    assert!(rotated.stdout.contains(&format!("row {} does not open", ids[1])), "{rotated:?}");
    client.execute("delete from totp_secrets where user_id = $1::text::uuid", &[&ids[1]]).await.unwrap();
    let again = nest(&db, "admin encryption rotate --json", &both).await.json();
    assert_eq!((&again["key"], &again["columns"][0]["current"]), (&"two".into(), &4.into()));
    assert_eq!(again["columns"][0]["rewrapped"], 0, "a second run finds nothing to do");
    for id in ids.iter().filter(|it| **it != ids[1]) {
        ring(&db, TWO).open(place(id), &sealed(&client, id).await).unwrap();
    }
    let status = nest(&db, "admin encryption status", TWO).await;
    assert!(status.ok().contains("current") && !status.ok().contains("one"), "{status:?}");
    // The act is in the audit log, once: the second run did nothing.
    let entries = nest(&db, "admin audit ls --json --action encryption", &both).await.json();
    assert_eq!(entries.as_array().unwrap().len(), 1);
    assert_eq!(entries[0]["detail"], serde_json::json!({"key": "two", "values": 4}));
    assert_eq!((&entries[0]["actor_kind"], &entries[0]["action"]), (&"operator".into(), &"encryption.rotated".into()));
}

/// Checklist 112: with the randomness that is really used, no nonce comes twice.
#[tokio::test]
async fn no_nonce_comes_twice() {
    let db = TestDb::migrated().await;
    let (host, keyring) = (native(&db), ring(&db, ONE));
    let id_and_head = 2 + "one".len();
    let wrapped = id_and_head + 24 + 32 + 16;
    let mut nonces = HashSet::new();
    for _ in 0..10_000 {
        let sealed = keyring.seal(&*host, place("1"), b"x");
        assert!(nonces.insert(sealed[id_and_head..id_and_head + 24].to_vec()));
        assert!(nonces.insert(sealed[wrapped..wrapped + 24].to_vec()));
    }
}
