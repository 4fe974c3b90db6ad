//! Embeddings by the real model, through edge and node.

use crate::NEST;
use nest_tests::{
    Answer, Stack,
    node::{CHAT, EMBEDDING},
};
use serde_json::{Value, json};

async fn embed(fields: Value) -> Answer {
    let stack = Stack::shared(NEST).await;
    let mut body = json!({ "model": EMBEDDING });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    stack.edge.ask("/v1/embeddings", &stack.edge.key().await, &body).await
}

fn floats(answer: &Answer) -> Vec<Vec<f64>> {
    let body = answer.json();
    let numbers = |it: &Value| it["embedding"].as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect();
    body["data"].as_array().unwrap().iter().map(numbers).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[tokio::test]
async fn sentences_that_mean_the_same_are_close() {
    let input = ["A cat sleeps on the sofa.", "A kitten is napping on the couch.", "The stock market fell on Monday."];
    let answer = embed(json!({ "input": input })).await;
    let vectors = floats(&answer);
    assert!(vectors.len() == 3 && vectors.iter().all(|it| it.len() == 384));
    for vector in &vectors {
        // Unit length, up to the precision of an f32.
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-5);
        assert!((vector.iter().map(|it| it * it).sum::<f64>() - 1.0).abs() < 1e-3);
    }
    let (same, other) = (cosine(&vectors[0], &vectors[1]), cosine(&vectors[0], &vectors[2]));
    assert!(same > 0.6 && other < 0.2, "{same} {other}");
    let body = answer.json();
    let indices: Vec<_> = body["data"].as_array().unwrap().iter().map(|it| it["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2]);
    assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!(EMBEDDING)));
    assert!(body["usage"]["prompt_tokens"].as_u64().unwrap() > 15);
    let stack = Stack::shared(NEST).await;
    let row = stack.edge.usage(answer.request_id()).await;
    assert_eq!(json!(row.prompt_tokens), body["usage"]["prompt_tokens"]);
    assert_eq!((row.endpoint.as_str(), row.completion_tokens), ("embeddings", 0));
}

#[tokio::test]
async fn base64_holds_the_same_numbers() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let input = "The quick brown fox.";
    let plain = &floats(&embed(json!({ "input": input })).await)[0];
    let coded = embed(json!({ "input": input, "encoding_format": "base64" })).await.json();
    let bytes = STANDARD.decode(coded["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let numbers = bytes.chunks_exact(4).map(|it| f32::from_le_bytes(it.try_into().unwrap()));
    // An f32 comes back from its shortest decimal text unchanged.
    assert!(numbers.eq(plain.iter().map(|it| *it as f32)));
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_with_the_reason() {
    let long = "word ".repeat(600);
    let mut faces = serde_json::Map::new();
    for (name, fields) in [
        ("too long", json!({ "input": ["fine", long] })),
        ("nothing", json!({ "input": [] })),
        ("an empty text", json!({ "input": "" })),
        ("no input", json!({})),
        ("other dimensions", json!({ "input": "x", "dimensions": 7 })),
        ("a chat model", json!({ "input": "x", "model": CHAT })),
    ] {
        let answer = embed(fields).await;
        let mut face = answer.json();
        face["error"]["request_id"] = "req_…".into();
        face["status"] = answer.status.as_u16().into();
        faces.insert(name.to_owned(), face);
    }
    snapshot!(faces);
}
