//! Leaving clients, full queues, starts and stops.

use crate::served::{CHAT, MODELS, Node, folder, now, runtime};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::post,
};
use gpu_node::Config;
use serde_json::{Value, json};
use shared::node::{CallKey, Heartbeat, HeartbeatAnswer, PublicKey, Registered, Registration, verify};
use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

fn endless(more: &Value) -> Value {
    let mut body = json!({"model": CHAT, "messages": [{"role": "user", "content": "Write a very long story."}],
        "temperature": 1, "seed": 5, "max_tokens": 8000, "logit_bias": {"0": -100, "2": -100}, "stream": true});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    body
}

async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let checked = timeout(Duration::from_secs(60), async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(checked.await.is_ok(), "{what} within a minute");
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_computation_and_a_full_queue_refuses() {
    let node = Node::start(&[("NODE_QUEUE", "1"), ("NODE_MODELS", CHAT)]);
    let mut running = node.post("/v1/chat/completions", &endless(&json!({}))).await;
    assert!(running.chunk().await.unwrap().is_some());
    let waiting = node.post("/v1/chat/completions", &endless(&json!({}))).await;
    until("the second call waits", async || node.metric("nest_node_queued").await == 1.0).await;

    let refused = node.post("/v1/chat/completions", &endless(&json!({}))).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "2");
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], "overloaded");

    drop(waiting);
    drop(running);
    until("both are cancelled", async || node.metric("nest_node_cancelled_total").await == 2.0).await;
    assert_eq!((node.metric("nest_node_running").await, node.metric("nest_node_queued").await), (0.0, 0.0));
    // Thousands of tokens were asked for: what was computed is what could be before the client was missed.
    let computed = node.metric("nest_node_tokens_total{kind=\"completion\",model=\"smollm2-135m-instruct\"}").await;
    assert!(computed < 500.0, "{computed}");
}

#[tokio::test]
async fn a_node_without_its_models_does_not_start() {
    let settings = [("NODE_MODELS_DIR", folder().display().to_string()), ("NODE_PORT", "0".to_owned())];
    let config = Config::load(|name| settings.iter().find(|it| it.0 == name).map(|it| it.1.clone())).unwrap();
    let error = gpu_node::serve(config, std::future::pending()).await.unwrap_err();
    assert!(error.to_string().contains("nest models pull smollm2-135m-instruct"), "{error}");
}

/// An edge that takes every node, until told to forget it.
#[derive(Clone)]
struct FakeEdge {
    key: Arc<CallKey>,
    node: Arc<Mutex<Option<Registration>>>,
    forgets: Arc<AtomicBool>,
    /// Whose calls the node shall accept, as heartbeats are answered; an older edge answers nothing.
    keys: Arc<Mutex<Option<Vec<PublicKey>>>>,
    seen: mpsc::UnboundedSender<Seen>,
}

#[derive(Debug)]
enum Seen {
    Registered(Registration),
    Beat(Heartbeat),
}

async fn register(State(edge): State<FakeEdge>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let registration: Registration = serde_json::from_slice(&body).unwrap();
    let header = |name: &'static str| headers.get(name).and_then(|it| it.to_str().ok());
    verify(&[registration.public_key], "POST", "/api/v1/nodes/register", &body, header, now()).unwrap();
    *edge.node.lock().unwrap() = Some(registration.clone());
    edge.forgets.store(false, Ordering::SeqCst);
    edge.seen.send(Seen::Registered(registration)).unwrap();
    let node_id = shared::id::NodeId::new(now(), [1; 10]);
    axum::Json(Registered { node_id, edge_keys: vec![edge.key.public()], heartbeat_ms: 50 })
}

async fn heartbeat(State(edge): State<FakeEdge>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let key = edge.node.lock().unwrap().as_ref().unwrap().public_key;
    let header = |name: &'static str| headers.get(name).and_then(|it| it.to_str().ok());
    verify(&[key], "POST", "/api/v1/nodes/heartbeat", &body, header, now()).unwrap();
    if edge.forgets.load(Ordering::SeqCst) {
        return StatusCode::NOT_FOUND.into_response();
    }
    edge.seen.send(Seen::Beat(serde_json::from_slice(&body).unwrap())).unwrap();
    match edge.keys.lock().unwrap().clone() {
        Some(edge_keys) => axum::Json(HeartbeatAnswer { edge_keys }).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// The program itself, killed when the test ends however that is.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn program(edge: &str, arguments: &[&str]) -> Program {
    let child = Command::new(env!("CARGO_BIN_EXE_gpu-node"))
        .args(arguments)
        .envs([
            ("NODE_PORT", "0"),
            ("NODE_MODELS", CHAT),
            ("NODE_MODELS_DIR", MODELS.root().to_str().unwrap()),
            ("NODE_KEY_FILE", folder().join("node.key").to_str().unwrap()),
            ("NODE_JOIN_TOKEN", "join-me"),
            ("NODE_NAME", "test-node"),
            ("EDGE_URL", edge),
        ])
        .stdin(Stdio::piped())
        .spawn();
    Program(child.unwrap())
}

async fn edge() -> (FakeEdge, String, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, events) = mpsc::unbounded_channel();
    let key = Arc::new(CallKey::from_seed([9; 32]));
    let edge = FakeEdge { key, node: Arc::default(), forgets: Arc::default(), keys: Arc::default(), seen };
    let router = Router::new()
        .route("/api/v1/nodes/register", post(register))
        .route("/api/v1/nodes/heartbeat", post(heartbeat))
        .with_state(edge.clone());
    tokio::spawn(axum::serve(listener, router).into_future());
    (edge, url, events)
}

async fn next(events: &mut mpsc::UnboundedReceiver<Seen>) -> Seen {
    timeout(Duration::from_secs(60), events.recv()).await.expect("the edge hears of the node within a minute").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_registers_beats_registers_again_and_drains() {
    let _models = tokio::task::spawn_blocking(|| MODELS.root().to_owned()).await.unwrap();
    let (edge, url, mut events) = edge().await;
    let mut program = program(&url, &[]);
    let Seen::Registered(registration) = next(&mut events).await else { panic!("a beat before the registration") };
    assert_eq!((registration.name.as_str(), registration.join_token.as_deref()), ("test-node", Some("join-me")));
    assert_eq!(registration.models[0].id, CHAT);
    let Seen::Beat(beat) = next(&mut events).await else { panic!("two registrations") };
    assert!(beat.ready && beat.running == 0);

    edge.forgets.store(true, Ordering::SeqCst);
    while !matches!(next(&mut events).await, Seen::Registered(_)) {}

    // The keys of the answer are accepted: a long answer starts, and is finished although the node is told to stop.
    let node = Node::of(registration.base_url, CallKey::from_seed([9; 32]));
    let mut answer = node.post("/v1/chat/completions", &endless(&json!({"max_tokens": 40}))).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.chunk().await.unwrap().is_some());
    let signalled = Command::new("kill").args(["-TERM", &program.0.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    loop {
        match next(&mut events).await {
            Seen::Beat(beat) if !beat.ready => break,
            _ => {}
        }
    }
    let refused = node.post("/v1/chat/completions", &endless(&json!({}))).await;
    assert_eq!(refused.status(), 503);
    let mut rest = String::new();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        rest.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    let status = tokio::task::spawn_blocking(move || program.0.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

/// The edges are given another root secret while the node runs: each heartbeat tells whose calls to accept.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_accepts_the_keys_that_its_edge_names_at_each_heartbeat() {
    let _models = tokio::task::spawn_blocking(|| MODELS.root().to_owned()).await.unwrap();
    let (edge, url, mut events) = edge().await;
    let _program = program(&url, &[]);
    let Seen::Registered(registration) = next(&mut events).await else { panic!("a beat before the registration") };
    let status = async |seed| {
        let node = Node::of(registration.base_url.clone(), CallKey::from_seed([seed; 32]));
        node.call("GET", "/node/status", "").send().await.unwrap().status().as_u16()
    };
    let (present, coming) = (edge.key.public(), CallKey::from_seed([8; 32]).public());
    // One beat that brings no keys takes none.
    next(&mut events).await;
    next(&mut events).await;
    assert_eq!((status(9).await, status(8).await), (200, 401));
    for (keys, verdicts) in [(vec![present, coming], (200, 200)), (vec![coming], (401, 200))] {
        *edge.keys.lock().unwrap() = Some(keys);
        until("the keys of the edge are accepted", async || (status(9).await, status(8).await) == verdicts).await;
    }
}

#[test]
fn a_node_goes_with_its_supervisor() {
    let mut program = program("http://127.0.0.1:9", &["--exit-with-parent"]);
    drop(program.0.stdin.take());
    let waited = runtime().block_on(async {
        timeout(Duration::from_secs(60), tokio::task::spawn_blocking(move || program.0.wait().unwrap())).await
    });
    assert_eq!(waited.expect("it ends within a minute").unwrap().code(), Some(0));
}
