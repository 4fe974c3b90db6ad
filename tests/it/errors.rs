//! What a caller did wrong, and how it is told.

use crate::upstream::{Setup, count_to};
use embedded::groq::FakeGroq;
use nest_tests::{Answer, TestEdge};
use proptest::{
    prelude::*,
    test_runner::{Config as Cases, TestRunner},
};
use reqwest::{Body, RequestBuilder};
use serde_json::{Value, json};
use shared::time::Timestamp;

const CHAT: &str = "/v1/chat/completions";

/// Status, the headers that matter, and the body, with ids replaced.
fn face(answer: &Answer) -> Value {
    let mut body = answer.json();
    if let Some(detail) = body.get_mut("error") {
        assert_eq!(detail["request_id"], answer.header("x-request-id"), "body and header name one call");
        detail["request_id"] = "req_…".into();
    } else {
        assert_eq!(body["request_id"], answer.header("x-request-id"), "body and header name one call");
        body["request_id"] = "req_…".into();
    }
    let mut face =
        json!({ "status": answer.status.as_u16(), "content-type": answer.header("content-type"), "body": body });
    for name in ["allow", "retry-after", "www-authenticate"] {
        if !answer.header(name).is_empty() {
            face[name] = answer.header(name).into();
        }
    }
    face
}

#[tokio::test]
async fn each_mistake_has_its_own_answer() {
    let Setup { groq: _groq, edge, key } = Setup::with(&[("BODY_LIMIT_BYTES", "1000")]).await;
    let revoked = edge.key().await;
    edge.revoke(&revoked).await;
    let expired = edge.key_until(Some(Timestamp(edge.now().0 + 1_000))).await;
    edge.advance_ms(1_000);
    let foreign = TestEdge::start(&[]).await.key().await;
    let chat = |key: &str| edge.post(CHAT).bearer_auth(key).json(&count_to(1));
    let post = |body: &'static str| edge.post(CHAT).bearer_auth(&key.text).body(body);
    let large = "x".repeat(1_001);
    let mut asks: Vec<(&str, RequestBuilder)> = vec![
        ("no key", edge.post(CHAT).json(&count_to(1))),
        ("another scheme", edge.post(CHAT).basic_auth("user", Some(&key.text)).json(&count_to(1))),
        ("no key of ours", chat("sk-123")),
        ("a typo in the key", chat(&key.text.to_lowercase())),
        ("an unknown key", chat(&foreign.text)),
        ("a revoked key", chat(&revoked.text)),
        ("an expired key", chat(&expired.text)),
        ("a key in the query", edge.get(&format!("/v1/models?api_key={}", key.text))),
        ("no body", post("")),
        ("no JSON", post("{\"model\":")),
        ("a list", post("[\"m\"]")),
        ("no model", post("{}")),
        ("a model of another type", post("{\"model\":1}")),
        ("a model that cannot be one", post("{\"model\":\"a b\"}")),
        ("an unknown model", post("{\"model\":\"gpt-4\"}")),
        ("a large body", edge.post(CHAT).bearer_auth(&key.text).body(large.clone())),
        ("a large body in chunks", {
            let chunks =
                large.into_bytes().chunks(100).map(|it| Ok::<_, std::io::Error>(it.to_vec())).collect::<Vec<_>>();
            edge.post(CHAT).bearer_auth(&key.text).body(Body::wrap_stream(futures_util::stream::iter(chunks)))
        }),
        ("the wrong method", edge.get(CHAT).bearer_auth(&key.text)),
        ("another wrong method", edge.client.delete(format!("{}/v1/models", edge.url)).bearer_auth(&key.text)),
        ("an unknown route", edge.get("/v1/nothing").bearer_auth(&key.text)),
        ("a model that is not listed", edge.get("/v1/models/org/none").bearer_auth(&key.text)),
        ("an unknown route elsewhere", edge.get("/api/v1/nothing")),
        ("the wrong method elsewhere", edge.get("/api/v1/nodes/register")),
        ("an unsigned call", edge.post("/api/v1/nodes/heartbeat").body("{}")),
    ];
    asks.push(("a slash too many", edge.post("/v1/chat/completions/").bearer_auth(&key.text).json(&count_to(1))));
    let mut faces = serde_json::Map::new();
    for (name, request) in asks {
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert!(!answer.text().contains(&key.text[14..]), "{name}: the key is told");
        faces.insert(name.to_owned(), face(&answer));
    }
    snapshot!(faces);
}

#[tokio::test]
async fn a_request_at_the_limit_is_taken() {
    let Setup { groq: _groq, edge, key } = Setup::with(&[("BODY_LIMIT_BYTES", "1000")]).await;
    let mut body = count_to(1).to_string();
    body += &" ".repeat(1_000 - body.len());
    let response = edge.post(CHAT).bearer_auth(&key.text).body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[test]
fn no_garbage_makes_the_edge_fail() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let Setup { groq, edge, key } = runtime.block_on(Setup::with(&[]));
    let mut runner = TestRunner::new(Cases { cases: 200, ..Cases::default() });
    let paths = prop::sample::select(vec![CHAT, "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/%00"]);
    let ran = runner.run(&(paths, garbage()), |(path, body)| {
        let request = edge.post(path).bearer_auth(&key.text).body(body.clone());
        let answer = runtime.block_on(async { Answer::read(request.send().await.unwrap()).await });
        prop_assert!(!answer.status.is_server_error(), "{} {}", answer.status, answer.text());
        if !answer.status.is_success() {
            face(&answer);
        }
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    drop_on(&runtime, groq);
}

/// The fake's tasks end within its runtime.
fn drop_on(runtime: &tokio::runtime::Runtime, groq: FakeGroq) {
    runtime.block_on(groq.stop());
}

/// Bytes, JSON of any shape, and JSON that is almost a call.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("llama-3.3-70b-versatile")),
    ];
    let value = leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..5).prop_map(|it| json!(it)),
        ]
    });
    let names =
        ["messages", "stream", "max_tokens", "temperature", "stop", "tools", "n", "stream_options", "input", "user"];
    let fields = prop::collection::hash_map(prop::sample::select(names.to_vec()), value.clone(), 0..6);
    let call = fields.prop_map(|fields| {
        let mut call = json!(fields);
        call["model"] = "llama-3.3-70b-versatile".into();
        call
    });
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        value.prop_map(|it| it.to_string().into_bytes()),
        call.prop_map(|it| it.to_string().into_bytes()),
    ]
}
