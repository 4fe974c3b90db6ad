//! Where keys are not: in the database, in answers, in logs.

use super::by_key;
use crate::NEST;
use edge_core::keys::{NewKey, find};
use nest_tests::{
    Answer, IssuedKey, Kind, TestEdge,
    edge::settings,
    lasting,
    program::{Logged, Nest},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;

/// Keys that were found in `text`, or parts of them: nobody learns a secret from half of it.
fn leaks(text: &str, keys: &[IssuedKey]) -> Vec<String> {
    let whole = find(text.as_bytes()).map(|it| it.key_id.to_string());
    // What lists show, and the id, are no secret; of the thirty-two characters of the secret sixteen are enough.
    let parts = keys.iter().filter(|it| text.contains(&it.text[32..48]) || text.contains(&it.text[48..64]));
    whole.chain(parts.map(|it| it.id.to_string())).collect()
}

/// Every row of every table.
async fn dump(edge: &TestEdge) -> String {
    let client = edge.db.connect().await;
    let tables = "select table_name::text from information_schema.tables where table_schema = 'public'";
    let mut all = String::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: &str = table.get(0);
        let rows = client.query(&format!("select t::text from {table} t"), &[]).await.unwrap();
        for row in rows {
            all += row.get(0);
            all.push('\n');
        }
    }
    all
}

/// Natively an edge logs to the process that it is part of, so one that can be searched has a process of its own: `edge`
/// then leads there. It logs all that it and what it is made of ever say.
async fn log_apart(edge: &mut TestEdge) -> Option<Logged> {
    if Kind::chosen() != Kind::Native {
        return None;
    }
    let serve = Nest::new(NEST, &lasting::folder("serve"), "serve").env("RUST_LOG", "trace");
    let settings = settings(&edge.db, &[]);
    let mut program = settings.iter().fold(serve, |serve, (name, value)| serve.env(name, value)).start();
    let listens = program.until("the edge listens on").await.pop().unwrap();
    let (_, address) = listens.split_once("listens on ").unwrap();
    address.split_whitespace().next().unwrap().clone_into(&mut edge.url);
    Some(program.logged())
}

/// Uses both keys rightly and wrongly, and gives what is said to it.
async fn used(edge: &TestEdge, inference: &IssuedKey, manager: &IssuedKey) -> Vec<Answer> {
    let mut answers = Vec::new();
    for (path, text) in [
        ("/v1/models".to_owned(), Some(&inference.text)),
        ("/v1/models".to_owned(), Some(&manager.text)),
        (format!("/v1/models?api_key={}", inference.text), None),
        (format!("/api/v1/keys?x={}", manager.text), Some(&manager.text)),
        ("/api/v1/keys?limit=100".to_owned(), Some(&manager.text)),
        (format!("/api/v1/keys/{}", inference.id), Some(&manager.text)),
        ("/api/v1/me".to_owned(), Some(&inference.text)),
    ] {
        let request = edge.get(&path);
        let request = text.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        answers.push(Answer::read(request.send().await.unwrap()).await);
    }
    // As a name and password, in a scheme of its own, cut, and in a body.
    for request in [
        edge.get("/v1/models").basic_auth("key", Some(&inference.text)),
        edge.get("/v1/models").header("authorization", format!("Key {}", inference.text)),
        edge.get("/v1/models").header("authorization", format!("Bearer {}x", inference.text)),
        edge.get("/v1/models").header("x-api-key", &inference.text),
    ] {
        answers.push(Answer::read(request.send().await.unwrap()).await);
    }
    let body = json!({ "model": "m", "messages": inference.text });
    answers.push(edge.ask("/v1/chat/completions", inference, &body).await);
    let body = json!({ "name": "x", "ip_allow": [manager.text] });
    answers.push(by_key(edge, manager, Method::POST, "/keys", body).await);
    answers.push(by_key(edge, manager, Method::POST, &format!("/keys/{}/rotate", inference.id), Value::Null).await);
    answers
}

/// Checklist 46 and 53: a thousand live keys, used rightly and wrongly, and then looked for everywhere.
#[tokio::test]
async fn a_thousand_live_keys_are_nowhere_but_with_their_owners() {
    const KEYS: usize = 1_000;
    let mut edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let native = log_apart(&mut edge).await;
    let manages = "keys:read keys:write".parse().unwrap();
    let mut keys = Vec::with_capacity(KEYS);
    for number in 0..KEYS {
        let new = NewKey::inference(ada.org_id, format!("key {number}"));
        keys.push(edge.key_of(if number % 2 == 0 { new } else { NewKey { scopes: manages, ..new } }).await);
    }
    assert_eq!(leaks(&format!("a log with {} in it", keys[7].text), &keys).len(), 2, "whole and in part");
    let mut said = String::new();
    for pair in keys.chunks(2).step_by(25) {
        for answer in used(&edge, &pair[0], &pair[1]).await {
            said += answer.text();
            said += &format!("{:?}\n", answer.headers);
        }
    }
    assert_eq!(leaks(&said, &keys), Vec::<String>::new(), "answers");
    let dump = dump(&edge).await;
    assert!(dump.contains(&keys[0].id.uuid().to_string()), "the rows are there");
    assert_eq!(leaks(&dump, &keys), Vec::<String>::new(), "the database");
    if let Some(log) = edge.running.log() {
        assert_eq!(leaks(&fs::read_to_string(log).unwrap_or_default(), &keys), Vec::<String>::new(), "the log");
    }
    if let Some(native) = native {
        let log = native.end().await;
        assert!(log.contains(&keys[0].id.to_string()), "the calls are in the log");
        assert_eq!(leaks(&log, &keys), Vec::<String>::new(), "the native log");
    }
}
