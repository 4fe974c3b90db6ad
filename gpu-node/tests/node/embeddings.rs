//! Embeddings over HTTP.

use crate::served::{EMBEDDING, NODE};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

async fn embed(input: &Value) -> Vec<Vec<f32>> {
    let (status, answer) = NODE.json("/v1/embeddings", &json!({"model": EMBEDDING, "input": input})).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| serde_json::from_value(it["embedding"].clone()).unwrap())
        .collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn like_sentences_are_near_and_unlike_ones_far() {
    let [cat, kitten, stocks] = embed(&json!([
        "A cat sits on the mat.",
        "A kitten is resting on a rug.",
        "Stock markets fell sharply on Monday."
    ]))
    .await
    .try_into()
    .unwrap();
    assert!(cosine(&cat, &kitten) > 0.5, "{}", cosine(&cat, &kitten));
    assert!(cosine(&cat, &stocks) < 0.2, "{}", cosine(&cat, &stocks));
    for vector in [&cat, &kitten, &stocks] {
        assert_eq!(vector.len(), 384);
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-5);
    }
}

#[tokio::test]
async fn tokens_and_base64_say_the_same_as_text_and_numbers() {
    // [CLS] hello world [SEP]
    let [text] = embed(&json!("hello world")).await.try_into().unwrap();
    let [tokens] = embed(&json!([101, 7592, 2088, 102])).await.try_into().unwrap();
    let [lists] = embed(&json!([[101, 7592, 2088, 102]])).await.try_into().unwrap();
    assert_eq!((&text, &text), (&tokens, &lists));
    let body = json!({"model": EMBEDDING, "input": "hello world", "encoding_format": "base64", "dimensions": 384});
    let (_, answer) = NODE.json("/v1/embeddings", &body).await;
    let bytes = BASE64.decode(answer["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let decoded: Vec<f32> = bytes.chunks_exact(4).map(|it| f32::from_le_bytes(it.try_into().unwrap())).collect();
    assert_eq!(decoded, text);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
}

#[tokio::test]
async fn an_input_that_is_too_long_is_refused_with_the_numbers() {
    let body = json!({"model": EMBEDDING, "input": ["fine", "word ".repeat(600)]});
    let (status, answer) = NODE.json("/v1/embeddings", &body).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("context_length_exceeded")));
    let message = "This model's maximum context length is 512 tokens, but input 1 has 602 tokens";
    assert_eq!(answer["error"]["message"], message);
}
