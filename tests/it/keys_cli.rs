//! `nest keys`, as a person or a script types it.

use crate::NEST;
use edge_core::keys::{KEY_BYTES, PATTERN};
use nest_tests::{
    Answer, TestDb, TestEdge, lasting,
    program::{Nest, Ran},
};
use serde_json::{Value, json};
use shared::id::KeyId;
use std::{fs, path::Path};

async fn nest(db: &TestDb, line: &str) -> Ran {
    Nest::new(NEST, &lasting::folder("keys-cli"), &format!("keys {line}")).env("DATABASE_URL", db.url()).run().await
}

async fn models(edge: &TestEdge, key: &Value) -> Answer {
    Answer::read(edge.get("/v1/models").bearer_auth(key.as_str().unwrap()).send().await.unwrap()).await
}

/// What the log says of a key, oldest first.
async fn entries(db: &TestDb, key: &Value) -> Vec<(String, String, Value)> {
    let all = "
        select action, actor_kind, detail, org_id is not null from audit_log where target = $1 order by id";
    let rows = db.connect().await.query(all, &[&key.as_str().unwrap()]).await.unwrap();
    let entry = |row: &tokio_postgres::Row| {
        assert!(row.get::<_, bool>(3), "the organisation is told");
        (row.get(0), row.get(1), serde_json::from_str(row.get(2)).unwrap())
    };
    rows.iter().map(entry).collect()
}

#[tokio::test]
async fn a_key_is_made_with_all_that_it_can_have() {
    let edge = TestEdge::start(&[]).await;
    let line = "create --name nightly --env test --models llama-*,m --ip-allow 127.0.0.0/8,::1 --expires-in 12h \
                --limit requests_per_minute=60,concurrent=2 --limit tokens_per_day=1000 --spend 12.5/month --json";
    let made = nest(&edge.db, line).await.json();
    assert_eq!(models(&edge, &made["key"]).await.status, 200);
    let listed = nest(&edge.db, "list --json").await.json();
    let listed = &listed[0];
    for (field, value) in [
        ("id", made["id"].clone()),
        ("environment", json!("test")),
        ("kind", json!("inference")),
        ("state", json!("live")),
        ("models", json!(["llama-*", "m"])),
        ("ip_allow", json!(["127.0.0.0/8", "::1/128"])),
        ("limits", json!({ "requests_per_minute": 60, "tokens_per_day": 1_000, "concurrent": 2 })),
        ("spend", json!({ "cap_usd": "12.5", "period": "month" })),
        ("expires_soon", json!(true)),
        ("created_by", Value::Null),
    ] {
        assert_eq!(listed[field], value, "{field}");
    }
    assert!(nest(&edge.db, "ls").await.ok().contains("ends soon"));
    let manager = nest(&edge.db, "create --name ops --scopes keys:read,usage:read --json").await.json();
    assert_eq!(models(&edge, &manager["key"]).await.code(), "wrong_key_kind");
    let told = entries(&edge.db, &made["id"]).await;
    assert_eq!((told.len(), told[0].0.as_str(), told[0].1.as_str()), (1, "keys.created", "operator"));
    assert_eq!(told[0].2["limits"]["concurrent"], 2);
}

#[tokio::test]
async fn what_makes_no_key_is_refused_with_the_reason() {
    let edge = TestEdge::start(&[]).await;
    for (line, code, said) in [
        ("create", 2, "--name"),
        ("create --name x --env prod", 2, "live"),
        ("create --name x --scopes fly", 2, "`fly` is no permission"),
        ("create --name x --scopes models:use,keys:read", 1, "models:use"),
        ("create --name x --expires-in 30", 2, "30d"),
        ("create --name x --expires-in 0", 1, "expires_at"),
        ("create --name x --limit fast", 1, "NAME=NUMBER"),
        ("create --name x --limit requests_per_second=1", 1, "requests_per_second"),
        ("create --name x --limit concurrent=0", 1, "limits.concurrent"),
        ("create --name x --ip-allow 10.0.0.1/8", 1, "10.0.0.0/8"),
        ("create --name x --models a*b", 1, "models"),
        ("create --name x --spend 5", 2, "25/month"),
        ("create --name x --spend 5/year", 2, "day, week, month or total"),
        ("rotate none", 2, "key_"),
        ("rotate key_0190163d8694739b9c1a6b0c1b5c0000", 1, "no such API key"),
        ("rotate key_0190163d8694739b9c1a6b0c1b5c0000 --overlap 8d", 1, "overlap_seconds"),
        ("revoke key_0190163d8694739b9c1a6b0c1b5c0000", 1, "no such API key"),
        ("scan", 2, "PATHS"),
        ("scan /nowhere/at/all", 1, "/nowhere/at/all"),
    ] {
        let ran = nest(&edge.db, line).await;
        assert!(ran.code == code && ran.stderr.contains(said), "{line}: {ran:?}");
    }
    assert_eq!(nest(&edge.db, "ls --json").await.json(), json!([]));
}

#[tokio::test]
async fn a_key_is_rotated_and_revoked_and_the_log_tells_of_it() {
    let edge = TestEdge::start(&[("KEY_CACHE_MS", "1000")]).await;
    let old = nest(&edge.db, "create --name ci --json").await.json();
    let id = old["id"].as_str().unwrap();
    assert_eq!(models(&edge, &old["key"]).await.status, 200);
    let new = nest(&edge.db, &format!("rotate {id} --overlap 30m --json")).await.json();
    for key in [&old["key"], &new["key"]] {
        assert_eq!(models(&edge, key).await.status, 200);
    }
    let again = nest(&edge.db, &format!("rotate {id}")).await;
    assert!(again.code == 1 && again.stderr.contains("rotation"), "{again:?}");
    edge.advance_ms(1_800_000);
    assert_eq!(models(&edge, &old["key"]).await.code(), "invalid_api_key");
    assert_eq!(models(&edge, &new["key"]).await.status, 200);
    for _ in 0..2 {
        nest(&edge.db, &format!("revoke {id}")).await.ok();
    }
    edge.advance_ms(1_000);
    assert_eq!(models(&edge, &new["key"]).await.code(), "revoked_api_key");
    let told: Vec<_> = entries(&edge.db, &old["id"]).await.into_iter().map(|(action, by, _)| (action, by)).collect();
    let acts = ["keys.created", "keys.rotated", "keys.revoked"].map(|it| (it.to_owned(), "operator".to_owned()));
    assert_eq!(told, acts);
}

/// Checklist 47, of which the gigabyte is in bench: planted keys are found, each at its line, and nothing else is.
#[tokio::test]
async fn planted_keys_are_found_in_files_and_nothing_else_is() {
    let edge = TestEdge::start(&[]).await;
    let folder = lasting::folder("keys-scan");
    let (deep, mut planted) = (folder.join("deep"), Vec::new());
    fs::create_dir(&deep).unwrap();
    // Lines of every length, so that keys lie across each border of what is read at once.
    let mut text = String::new();
    for number in 0..40_usize {
        let key = edge.key().await;
        let mut typo = key.text.clone();
        typo.replace_range(40..41, if &typo[40..41] == "a" { "b" } else { "a" });
        text += &"no key nest_live_ nest_\n".repeat(5_000 + number * 7);
        text += &format!("{typo} {} {}\n", &key.text[..KEY_BYTES - 1], key.text.to_uppercase());
        let line = text.matches('\n').count() + 1;
        text += &format!("{}api_key=\"{}\"\n", "é".repeat(number), key.text);
        planted.push((line, key.id.to_string(), key.text));
    }
    assert!(text.len() > 4_000_000);
    fs::write(deep.join("dump.sql"), &text).unwrap();
    fs::write(folder.join("clean.txt"), PATTERN).unwrap();
    let mut binary = vec![0xff_u8; 3_000];
    binary.extend(planted[0].2.as_bytes());
    fs::write(folder.join("image.bin"), &binary).unwrap();
    std::os::unix::fs::symlink(&deep, folder.join("link")).unwrap();

    let scan = async |path: &Path, more: &str| {
        // No database is asked.
        Nest::new(NEST, &lasting::folder("keys-cli"), &format!("keys scan {} {more}", path.display())).run().await
    };
    let ran = scan(&folder, "--json").await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["files"], 3);
    let found: Vec<(usize, String)> = said["found"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["file"].as_str().unwrap().ends_with("dump.sql"))
        .map(|it| {
            let id: KeyId = it["key_id"].as_str().unwrap().parse().unwrap();
            (usize::try_from(it["line"].as_u64().unwrap()).unwrap(), id.to_string())
        })
        .collect();
    let expected: Vec<(usize, String)> = planted.iter().map(|(line, id, _)| (*line, id.clone())).collect();
    assert_eq!(found, expected);
    assert_eq!(said["found"].as_array().unwrap().len(), planted.len() + 1, "and the one among bytes that are no text");
    for ran in [ran, scan(&folder, "").await] {
        assert!(ran.stdout.contains("dump.sql"));
        // What finds leaks is none.
        assert!(
            planted.iter().all(|(_, _, key)| !ran.stdout.contains(&key[20..40]) && !ran.stderr.contains(&key[20..40]))
        );
    }
    let clean = scan(&folder.join("clean.txt"), "").await;
    assert!(clean.code == 0 && clean.ok().contains("0 key(s) in 1 file(s)"), "{clean:?}");
}
