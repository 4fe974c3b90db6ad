//! `nest admin audit`, and where anchors go.

use super::{Ticking, entry};
use crate::NEST;
use axum::{Router, http::StatusCode, routing::post};
use edge_core::audit;
use nest_tests::{
    Double, TestDb, lasting,
    program::{Nest, Ran},
};
use serde_json::Value;
use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

const SECRET_KEY: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

async fn nest(db: &TestDb, line: &str) -> Ran {
    let nest = Nest::new(NEST, &lasting::folder("audit"), line).env("DATABASE_URL", db.url());
    nest.env("SECRET_KEY", SECRET_KEY).run().await
}

/// A log with a few chained entries.
async fn log(entries: u128) -> (TestDb, Ticking) {
    let db = TestDb::migrated().await;
    let edge = Ticking::on(&db, &[]);
    for number in 0..entries {
        audit::record(&edge.store(), entry(number, edge.host.now())).await.unwrap();
    }
    (db, edge)
}

#[tokio::test]
async fn verifying_ends_with_0_only_when_nothing_was_found() {
    let (db, edge) = log(5).await;
    let empty = nest(&db, "admin audit verify --json").await.json();
    assert_eq!((&empty["intact"], &empty["entries"]), (&Value::Bool(true), &0.into()), "nothing is chained yet");
    edge.tick().await;
    let good = nest(&db, "admin audit verify").await;
    assert_eq!(good.ok(), "5 entries, 1 anchors\nintact\n");

    db.connect().await.batch_execute("update audit_log set action = 'auth.nothing' where seq = 3").await.unwrap();
    let bad = nest(&db, "admin audit verify").await;
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.stdout.contains("entry 3 (row 3) was edited"), "{bad:?}");
    assert!(bad.stderr.contains("1 finding"), "{bad:?}");
    let bad = nest(&db, "admin audit verify --json").await;
    let told: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!((bad.code, &told["intact"]), (1, &Value::Bool(false)));
    assert_eq!(told["findings"], serde_json::json!([{"kind": "edited", "id": 3, "seq": 3}]));
}

#[tokio::test]
async fn verifying_needs_the_keys_of_the_edges() {
    let (db, edge) = log(1).await;
    edge.tick().await;
    let verify = || Nest::new(NEST, &lasting::folder("audit"), "admin audit verify").env("DATABASE_URL", db.url());
    let without = verify().run().await;
    assert!(without.code == 3 && without.stderr.contains("SECRET_KEY"), "{without:?}");
    let other = verify().env("SECRET_KEY", "another secret, which is no edge's: 0123").run().await;
    assert!(other.code == 1 && other.stdout.contains("the chain's key does not open"), "{other:?}");
}

/// Checklist 115: anchored each minute to a second place, and compared with it.
#[tokio::test]
async fn an_anchor_is_logged_and_posted_and_shows_what_the_database_alone_cannot() {
    let (db, edge) = log(4).await;
    let posted: Arc<Mutex<Vec<Value>>> = Arc::default();
    let tries = Arc::new(AtomicUsize::new(0));
    let (kept, counted) = (posted.clone(), tries.clone());
    // It is away at first.
    let receive = move |body: String| async move {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        kept.lock().unwrap().push(serde_json::from_str(&body).unwrap());
        StatusCode::NO_CONTENT
    };
    let receiver = Double::serve(Router::new().route("/anchors", post(receive))).await;
    let tick = async || {
        let tick = Nest::new(NEST, &lasting::folder("audit"), "tick").env("DATABASE_URL", db.url());
        let tick = tick.env("SECRET_KEY", SECRET_KEY).env("AUDIT_ANCHOR_URL", &format!("{}/anchors", receiver.url));
        tick.run().await.ok().to_owned()
    };
    let logged = tick().await;
    let again = tick().await;
    assert!(!again.contains("audit anchor"), "the chain has not moved: {again}");
    let mac: String = {
        let row = db.connect().await.query_one("select encode(mac, 'hex') from audit_head", &[]).await.unwrap();
        row.get(0)
    };
    let line = logged.lines().find(|it| it.contains("audit anchor")).unwrap();
    assert!(line.contains("seq=4") && line.contains(&mac), "{line}");
    let received = posted.lock().unwrap().clone();
    assert_eq!((received.len(), tries.load(Ordering::SeqCst)), (1, 2));
    assert_eq!((&received[0]["seq"], received[0]["mac"].as_str()), (&4.into(), Some(mac.as_str())));
    assert_eq!(received[0]["service"], "http://127.0.0.1:8787");

    let dir = lasting::folder("anchors");
    let files = [dir.join("log"), dir.join("posted"), dir.join("nothing")];
    fs::write(&files[0], [b"\xff\xfe no text\n", logged.as_bytes()].concat()).unwrap();
    fs::write(&files[1], received[0].to_string()).unwrap();
    fs::write(&files[2], again).unwrap();
    let [from_log, from_posts, from_nothing] = files.map(|it| format!("admin audit verify --anchors {}", it.display()));
    for line in [&from_log, &from_posts] {
        let good = nest(&db, line).await;
        assert_eq!(good.ok(), "4 entries, 1 anchors, 1 kept elsewhere\nintact\n");
    }
    let none = nest(&db, &from_nothing).await;
    assert!(none.code == 2 && none.stderr.contains("no anchor"), "{none:?}");

    // Somebody begins the log anew, without its last entry: in itself it is whole again.
    let anew = "delete from audit_head; delete from audit_anchors; delete from audit_log where seq = 4;
        update audit_log set seq = null, mac = null";
    db.connect().await.batch_execute(anew).await.unwrap();
    edge.tick().await;
    assert_eq!(nest(&db, "admin audit verify").await.ok(), "3 entries, 1 anchors\nintact\n");
    for line in [&from_log, &from_posts] {
        let bad = nest(&db, line).await;
        assert!(bad.code == 1 && bad.stdout.contains("entry 4 is gone"), "{bad:?}");
    }
}

#[tokio::test]
async fn entries_are_listed_for_people_and_for_programs() {
    let (db, edge) = log(8).await;
    edge.tick().await;
    audit::record(&edge.store(), entry(8, edge.host.now())).await.unwrap();
    let shown = nest(&db, "admin audit ls").await;
    assert!(shown.ok().lines().count() == 10 && shown.ok().contains("not yet"), "{shown:?}");
    let all = nest(&db, "admin audit ls --json --limit 200").await.json();
    let ids: Vec<i64> = all.as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!((&all[8]["seq"], &all[0]["seq"]), (&1.into(), &Value::Null));
    assert_eq!(all[8]["detail"]["number"], "0", "what is JSON is shown as JSON");
    let some = nest(&db, "admin audit ls --json --action auth.login --before 9").await.json();
    let ids: Vec<i64> = some.as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [5, 1]);
    let actor = all[1]["actor_id"].as_str().unwrap();
    let by_actor = nest(&db, &format!("admin audit ls --json --actor {actor}")).await.json();
    assert!(by_actor.as_array().unwrap().iter().all(|it| it["actor_id"] == actor) && by_actor[0].is_object());
}

#[tokio::test]
async fn what_people_sent_does_not_speak_to_the_terminal() {
    let (db, edge) = log(0).await;
    let hostile = entry(1, edge.host.now()).target("\u{1b}[2J\u{7}key");
    audit::record(&edge.store(), hostile).await.unwrap();
    let shown = nest(&db, "admin audit ls").await;
    assert!(!shown.ok().contains(['\u{1b}', '\u{7}']) && shown.ok().contains("key"), "{shown:?}");
}
