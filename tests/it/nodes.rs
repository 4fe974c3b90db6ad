//! Nodes at the edge: who may join, who may report, and which of them gets a call.

use crate::NEST;
use axum::{
    Json, Router,
    http::{HeaderMap, HeaderName, StatusCode, header},
    routing::post,
};
use nest_tests::{
    Answer, IssuedKey, ScriptedNode, SignedCall, TestDb, TestEdge,
    double::nowhere,
    host::Running,
    lasting,
    program::Nest,
    scripted_node::{HEARTBEAT, MODEL, REGISTER, heartbeat, key, register, registration},
    signed::now,
};
use serde_json::{Value, json};
use shared::{
    id::NodeId,
    node::{HeartbeatAnswer, PublicKey, Registered},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const ADDRESS: &str = "http://127.0.0.1:9";

fn call() -> Value {
    json!({ "model": MODEL, "messages": [{ "role": "user", "content": "Hello" }] })
}

/// Answers every chat with `said`, and counts the calls.
fn saying(said: &'static str) -> (Router, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let answer = post(move || async move {
        count.fetch_add(1, Ordering::SeqCst);
        Json(json!({ "choices": [{ "message": { "content": said } }], "usage": { "completion_tokens": 1 } }))
    });
    (Router::new().route("/v1/chat/completions", answer), calls)
}

/// Answers every chat with `status`.
fn refusing(status: u16) -> Router {
    let headers =
        [(header::RETRY_AFTER, "7"), (header::LOCATION, "http://169.254.169.254/"), (header::SET_COOKIE, "a=b")];
    let status = StatusCode::from_u16(status).unwrap();
    Router::new().route("/v1/chat/completions", post(move || async move { (status, headers, "{}") }))
}

/// The status of a call, and its error's code.
async fn verdict(edge: &TestEdge, key: &IssuedKey) -> (u16, String) {
    let answer = edge.chat(key, &call()).await;
    let code = if answer.status == 200 { String::new() } else { answer.code() };
    (answer.status.as_u16(), code)
}

/// Makes the edge read its list of nodes anew.
fn forget_nodes(edge: &TestEdge) {
    edge.advance_ms(5_000);
}

#[tokio::test]
async fn a_join_token_lets_one_node_in_once() {
    let edge = TestEdge::start(&[]).await;
    let token = edge.invite(60_000).await;
    let first = key();
    let call = register(&edge, &first, &registration(&first, ADDRESS, Some(&token)));
    let answer = call.request().send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let registered: Registered = answer.json().await.unwrap();
    assert_eq!(registered.edge_keys, [edge.config.call_key.public()]);
    assert!(registered.heartbeat_ms > 0);

    let expired = edge.invite(-1).await;
    for (name, token) in [
        ("a used one", Some(token.as_str())),
        ("an expired one", Some(&expired)),
        ("an unknown one", Some("nest_join_AAAA")),
        ("none", None),
    ] {
        let other = key();
        let answer = register(&edge, &other, &registration(&other, ADDRESS, token)).request().send().await.unwrap();
        let answer = Answer::read(answer).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (403, Some("join_refused")), "{name}");
    }
    // A node that is known needs none, and keeps its id wherever it moves.
    let again = register(&edge, &first, &registration(&first, "http://127.0.0.1:10", None));
    let again: Registered = again.request().send().await.unwrap().json().await.unwrap();
    assert_eq!(again.node_id, registered.node_id);
}

/// While edges are given another root secret one by one, nodes accept the calls of all of them.
#[tokio::test]
async fn nodes_are_told_the_keys_before_and_after_the_present_one() {
    let (before, after) = ("before: 0123456789abcdefghijklmnop", "after: 0123456789abcdefghijklmnopq");
    let edge = TestEdge::start(&[("PREVIOUS_SECRET_KEY", before), ("NEXT_SECRET_KEY", after)]).await;
    let key_of = |secret| nest_tests::edge::config(&edge.db, &[("SECRET_KEY", secret)]).call_key.public();
    let keys = [edge.config.call_key.public(), key_of(before), key_of(after)];
    let told: Vec<PublicKey> = edge.get("/api/v1/nodes/edge-keys").send().await.unwrap().json().await.unwrap();
    assert_eq!(told, keys);
    let (own, token) = (key(), edge.invite(60_000).await);
    let answer = register(&edge, &own, &registration(&own, ADDRESS, Some(&token))).request().send().await.unwrap();
    let registered: Registered = answer.json().await.unwrap();
    assert_eq!(registered.edge_keys, keys);
    // A node that runs on learns of a change with its next heartbeat.
    let beat = SignedCall::new(&own, &edge.url, HEARTBEAT, &heartbeat(registered.node_id, true));
    let answer: HeartbeatAnswer = beat.request().send().await.unwrap().json().await.unwrap();
    assert_eq!(answer.edge_keys, keys);
}

/// `nest nodes invite` lets a machine in, and the audit log tells who did.
#[tokio::test]
async fn an_invitation_of_a_node_is_in_the_audit_log() {
    let db = TestDb::migrated().await;
    let invite = Nest::new(NEST, &lasting::folder("invite"), "nodes invite --minutes 5 --json");
    let made = invite.env("DATABASE_URL", db.url()).run().await.json();
    assert!(made["join_token"].as_str().unwrap().starts_with("nest_join_"), "{made}");
    let entries = "select actor_kind, action, target, detail from audit_log";
    let entries = db.connect().await.query(entries, &[]).await.unwrap();
    assert_eq!(entries.len(), 1);
    let entry: [&str; 4] = std::array::from_fn(|column| entries[0].get(column));
    assert_eq!(entry[..2], ["operator", "nodes.invited"]);
    assert!(entry[2].starts_with("invite_") && entry[3] == r#"{"valid_ms":300000}"#, "{entry:?}");
}

#[tokio::test]
async fn a_registration_counts_as_it_was_signed_and_once() {
    let edge = TestEdge::start(&[]).await;
    let (own, other) = (key(), key());
    let token = edge.invite(60_000).await;
    let good = registration(&own, ADDRESS, Some(&token));
    let signed = register(&edge, &own, &good);

    let swapped = serde_json::to_vec(&registration(&own, "http://127.0.0.1:666", Some(&token))).unwrap();
    assert_eq!(SignedCall { body: swapped, ..signed.clone() }.send().await, 401, "another body");
    assert_eq!(register(&edge, &other, &good).send().await, 401, "signed by another key than it names");
    let elsewhere = SignedCall::new(&own, &edge.url, HEARTBEAT, &good);
    let elsewhere = SignedCall { url: format!("{}{REGISTER}", edge.url), ..elsewhere };
    assert_eq!(elsewhere.send().await, 401, "signed for another path");
    for off_ms in [-31_000, 31_000] {
        let stale = SignedCall::at(now().plus_ms(off_ms), &own, &edge.url, REGISTER, &good);
        assert_eq!(stale.send().await, 401, "{off_ms} ms away");
    }
    let unsigned = edge.post(REGISTER).json(&good).send().await.unwrap();
    assert_eq!(unsigned.status(), 401, "not signed");

    assert_eq!(signed.send().await, 200, "none of these spends the token");
    assert_eq!(signed.send().await, 403, "a copy");
}

#[tokio::test]
async fn what_a_node_says_of_itself_is_looked_at() {
    let edge = TestEdge::start(&[]).await;
    for url in ["file:///etc/passwd", "http://127.0.0.1:9/path", "http://127.0.0.1:9/?x", "ftp://127.0.0.1", "", "x"] {
        let own = key();
        let answer = register(&edge, &own, &registration(&own, url, None)).request().send().await.unwrap();
        assert_eq!(answer.status(), 400, "{url}");
    }
    for (name, model) in [("", "m"), ("a\nb", "m"), ("ok", ""), ("ok", "a b"), ("ok", "a\u{0}b")] {
        let own = key();
        let mut node = registration(&own, ADDRESS, None);
        node.name = name.to_owned();
        node.models[0].id = model.to_owned();
        assert_eq!(register(&edge, &own, &node).send().await, 400, "{name:?} {model:?}");
    }
}

#[tokio::test]
async fn a_heartbeat_counts_for_its_own_node_and_once() {
    let edge = TestEdge::start(&[]).await;
    let (one, two) = (ScriptedNode::join_at(&edge, ADDRESS).await, ScriptedNode::join_at(&edge, ADDRESS).await);
    assert_eq!(one.beat(&edge, true).await, 200);
    let stranger = key();
    let unknown = NodeId::new(now(), [0; 10]);
    for (name, signer, id, status) in [
        ("for another node", &two.key, one.id, 404),
        ("by a stranger", &stranger, one.id, 404),
        ("for an unknown node", &one.key, unknown, 404),
    ] {
        let beat = SignedCall::new(signer, &edge.url, HEARTBEAT, &heartbeat(id, false));
        assert_eq!(beat.send().await, status, "{name}");
    }
    let beat = SignedCall::new(&one.key, &edge.url, HEARTBEAT, &heartbeat(one.id, true));
    assert_eq!(beat.send().await, 200);
    assert_eq!(beat.send().await, 404, "a copy does not count");
    let swapped = serde_json::to_vec(&heartbeat(one.id, false)).unwrap();
    let beat = SignedCall::new(&one.key, &edge.url, HEARTBEAT, &heartbeat(one.id, true));
    assert_eq!(SignedCall { body: swapped, ..beat }.send().await, 401, "another body");
    let ready = "select bool_and(ready) from gpu_nodes";
    assert!(edge.db.connect().await.query_one(ready, &[]).await.unwrap().get::<_, bool>(0), "none of these counted");
}

#[tokio::test]
async fn a_call_to_a_node_is_signed_and_carries_nothing_else_of_the_client() {
    let edge = TestEdge::start(&[]).await;
    let key = edge.key().await;
    let echo = post(|headers: HeaderMap| async move {
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        Json(json!({ "names": names, "request_id": headers["x-request-id"].to_str().unwrap() }))
    });
    let _node = ScriptedNode::join(&edge, Router::new().route("/v1/chat/completions", echo)).await;
    let request = edge.post("/v1/chat/completions").bearer_auth(&key.text).json(&call());
    let request =
        request.header("cookie", "canary").header("x-nest-key", "canary").header("x-forwarded-for", "6.6.6.6");
    let answer = Answer::read(request.send().await.unwrap()).await;
    let said = answer.json();
    let mut names: Vec<&str> = said["names"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    names.sort_unstable();
    let signed = ["x-nest-key", "x-nest-nonce", "x-nest-signature", "x-nest-time", "x-request-id"];
    assert_eq!(names, [&["accept", "content-length", "content-type", "host"][..], &signed].concat());
    assert_eq!(said["request_id"], answer.header("x-request-id"));
}

#[tokio::test]
async fn a_node_that_falls_silent_is_away_and_comes_back_with_its_next_heartbeat() {
    let edge = TestEdge::start(&[]).await;
    let key = edge.key().await;
    let (router, calls) = saying("hello");
    let node = ScriptedNode::join(&edge, router).await;
    assert_eq!(verdict(&edge, &key).await, (200, String::new()));

    let ago = "update gpu_nodes set heartbeat_at = now() - interval '11 seconds'";
    edge.db.connect().await.batch_execute(ago).await.unwrap();
    forget_nodes(&edge);
    let asked = Instant::now();
    let answer = edge.chat(&key, &call()).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "node_away"));
    assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
    assert!(asked.elapsed() < Duration::from_secs(5), "nobody waits for a node that is away");
    assert_eq!(edge.usage(answer.request_id()).await.outcome, "failed");
    let listed = edge.get("/v1/models").bearer_auth(&key.text).send().await.unwrap().text().await.unwrap();
    assert!(!listed.contains(MODEL), "{listed}");

    assert_eq!(node.beat(&edge, true).await, 200);
    forget_nodes(&edge);
    assert_eq!(verdict(&edge, &key).await, (200, String::new()));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_draining_node_gets_no_new_calls() {
    let edge = TestEdge::start(&[]).await;
    let key = edge.key().await;
    let (router, draining) = saying("the one that drains");
    let one = ScriptedNode::join(&edge, router).await;
    assert_eq!(one.beat(&edge, false).await, 200);
    assert_eq!(verdict(&edge, &key).await, (503, "node_away".to_owned()));
    let (router, ready) = saying("the other");
    let _two = ScriptedNode::join(&edge, router).await;
    for _ in 0..5 {
        assert_eq!(verdict(&edge, &key).await, (200, String::new()));
    }
    assert_eq!((draining.load(Ordering::SeqCst), ready.load(Ordering::SeqCst)), (0, 5));
}

#[tokio::test]
async fn a_call_goes_on_to_the_next_node_only_when_the_first_has_done_nothing() {
    for (name, first, verdict_is, other_asked) in [
        ("refuses connections", None, (200, ""), 1),
        ("has too much to do", Some(503), (200, ""), 1),
        ("fails", Some(500), (502, "upstream_failed"), 0),
        ("does not accept our signature", Some(401), (502, "upstream_failed"), 0),
        ("redirects", Some(302), (502, "upstream_failed"), 0),
    ] {
        let edge = TestEdge::start(&[]).await;
        let key = edge.key().await;
        // The node that joins first has the lower id, and is chosen first while both are idle.
        let _first = match first {
            None => ScriptedNode::join_at(&edge, &nowhere()).await,
            Some(status) => ScriptedNode::join(&edge, refusing(status)).await,
        };
        let (router, calls) = saying("hello");
        let second = ScriptedNode::join(&edge, router).await;
        assert_eq!(verdict(&edge, &key).await, (verdict_is.0, verdict_is.1.to_owned()), "{name}");
        assert_eq!(calls.load(Ordering::SeqCst), other_asked, "{name}");
        if other_asked == 1 {
            let row = &edge.usage_when(|rows| rows.len() == 1).await[0];
            assert_eq!(row.upstream, Some(format!("node:{}", second.id)), "{name}");
        }
    }
}

#[tokio::test]
async fn nodes_that_all_fail_are_told_as_what_they_are() {
    for (name, node, status, code) in
        [("refuses connections", None, 503, "node_away"), ("has too much to do", Some(503), 503, "upstream_busy")]
    {
        let edge = TestEdge::start(&[]).await;
        let key = edge.key().await;
        let mut nodes = Vec::new();
        for _ in 0..2 {
            nodes.push(match node {
                None => ScriptedNode::join_at(&edge, &nowhere()).await,
                Some(status) => ScriptedNode::join(&edge, refusing(status)).await,
            });
        }
        let answer = edge.chat(&key, &call()).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{name}");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1, "{name}");
        assert!(answer.header("set-cookie").is_empty());
    }
}

#[tokio::test]
async fn a_node_that_swallows_calls_is_given_up_after_the_time_that_is_set() {
    let edge = TestEdge::start(&[("UPSTREAM_FIRST_BYTE_TIMEOUT_MS", "300")]).await;
    let key = edge.key().await;
    let hole = post(|| async { std::future::pending::<()>().await });
    let _node = ScriptedNode::join(&edge, Router::new().route("/v1/chat/completions", hole)).await;
    let answer = edge.chat(&key, &call()).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (504, "upstream_timeout"));
    let row = edge.usage(answer.request_id()).await;
    assert_eq!((row.outcome.as_str(), row.status), ("failed", 504));
}

#[tokio::test]
async fn a_node_s_model_goes_before_the_upstream_s_of_the_same_name() {
    let groq = embedded::groq::FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let settings = [("OPENAI_BASE_URL", &*groq.url()), ("GROQ_API_KEY", "gsk"), ("OPENAI_MODEL_NAME", MODEL)];
    let edge = TestEdge::start(&settings).await;
    let key = edge.key().await;
    let (router, calls) = saying("hello");
    let _node = ScriptedNode::join(&edge, router).await;
    assert_eq!(verdict(&edge, &key).await, (200, String::new()));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let listed: Value =
        edge.get(&format!("/v1/models/{MODEL}")).bearer_auth(&key.text).send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["owned_by"], "nest");
}

#[tokio::test]
async fn invites_that_expired_long_ago_are_forgotten_by_the_clock() {
    let edge = TestEdge::start(&[]).await;
    for valid_ms in [60_000, -1_000, -31 * 86_400_000] {
        edge.invite(valid_ms).await;
    }
    match &edge.running {
        // The platform's clock, rung by hand.
        Running::Cloudflare(workers) => workers.scheduled().await,
        // A server rings its own once a minute; who has none calls the command.
        Running::Native(_) | Running::Spin(_) => {
            let dir = lasting::folder("tick");
            let tick = Nest::new(NEST, &dir, "tick").env("DATABASE_URL", edge.db.url());
            tick.env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz").run().await.ok();
        }
    }
    let left = "select count(*) from node_invites";
    assert_eq!(edge.db.connect().await.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 2);
}
