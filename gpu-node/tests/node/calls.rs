//! Which calls are taken, and how the others are refused.

use crate::served::{CHAT, EMBEDDING, NODE, nonce, now};
use serde_json::{Value, json};
use shared::node::CallKey;

fn chat(more: &Value) -> Value {
    let mut body = json!({"model": CHAT, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    body
}

#[tokio::test]
async fn what_can_not_be_done_is_said_clearly() {
    for (path, body, status, code, param) in [
        ("/v1/chat/completions", chat(&json!({"model": "gpt-5"})), 404, "model_not_found", Some("model")),
        ("/v1/chat/completions", chat(&json!({"messages": []})), 400, "invalid_value", Some("messages")),
        ("/v1/chat/completions", chat(&json!({"messages": "Hi"})), 400, "invalid_json", None),
        (
            "/v1/chat/completions",
            chat(&json!({"messages": [{"role": "x", "content": "y"}]})),
            400,
            "invalid_value",
            Some("messages[0]"),
        ),
        ("/v1/chat/completions", chat(&json!({"n": 2})), 400, "unsupported_value", Some("n")),
        ("/v1/chat/completions", chat(&json!({"logprobs": true})), 400, "unsupported_value", Some("logprobs")),
        (
            "/v1/chat/completions",
            chat(&json!({"tools": [{}], "tool_choice": "required"})),
            400,
            "unsupported_value",
            Some("tool_choice"),
        ),
        (
            "/v1/chat/completions",
            chat(&json!({"response_format": {"type": "json_object"}})),
            400,
            "unsupported_value",
            Some("response_format"),
        ),
        ("/v1/chat/completions", chat(&json!({"temperature": 3})), 400, "invalid_value", Some("temperature")),
        ("/v1/chat/completions", chat(&json!({"max_tokens": 0})), 400, "invalid_value", Some("max_tokens")),
        ("/v1/chat/completions", chat(&json!({"max_tokens": 9000})), 400, "context_length_exceeded", Some("messages")),
        ("/v1/completions", json!({"model": CHAT}), 400, "invalid_value", Some("prompt")),
        ("/v1/completions", json!({"model": CHAT, "prompt": [99_999_999]}), 400, "invalid_value", Some("prompt")),
        ("/v1/completions", json!({"model": CHAT, "prompt": ["a", "b"]}), 400, "unsupported_value", Some("prompt")),
        ("/v1/completions", json!({"model": EMBEDDING, "prompt": "a"}), 404, "model_not_found", Some("model")),
        ("/v1/embeddings", json!({"model": EMBEDDING, "input": []}), 400, "invalid_value", Some("input")),
        ("/v1/embeddings", json!({"model": EMBEDDING, "input": ["a", ""]}), 400, "invalid_value", Some("input")),
        (
            "/v1/embeddings",
            json!({"model": EMBEDDING, "input": "a", "dimensions": 256}),
            400,
            "invalid_value",
            Some("dimensions"),
        ),
        ("/v1/embeddings", json!({"model": CHAT, "input": "a"}), 404, "model_not_found", Some("model")),
    ] {
        let (found, answer) = NODE.json(path, &body).await;
        let error = &answer["error"];
        assert_eq!((found, &error["code"], &error["param"]), (status, &json!(code), &json!(param)), "{body} {answer}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_does_no_harm_is_taken() {
    for more in [
        json!({"n": 1, "user": "u", "metadata": {"a": 1}, "store": false, "service_tier": "auto"}),
        json!({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"}),
        json!({"response_format": {"type": "text"}, "logprobs": false, "stop": null, "stream": false}),
        json!({"logit_bias": {"5": -100}, "presence_penalty": 0.5, "frequency_penalty": 0.5, "top_k": 5}),
    ] {
        let (status, answer) = NODE.json("/v1/chat/completions", &chat(&more)).await;
        assert_eq!(status, 200, "{more} {answer}");
    }
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_refused_with_the_numbers() {
    let (status, answer) = NODE
        .json("/v1/chat/completions", &chat(&json!({"messages": [{"role": "user", "content": "a ".repeat(9_000)}]})))
        .await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("context_length_exceeded")));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("This model's maximum context length is 8192 tokens, but your messages have 90"),
        "{message}"
    );
    assert!(message.ends_with("tokens and max_tokens is 1"), "{message}");
}

#[tokio::test]
async fn broken_and_huge_bodies_are_refused() {
    let response = NODE.call("POST", "/v1/chat/completions", "{\"model\":").send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "invalid_json");
    let body = vec![b' '; (4 << 20) + 1];
    // With its length announced, and with a length that only shows as it comes.
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(body.clone())]));
    for request in
        [NODE.call("POST", "/v1/chat/completions", body), NODE.call("POST", "/v1/completions", "").body(chunked)]
    {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "request_too_large");
    }
}

#[tokio::test]
async fn only_calls_that_the_edge_signed_are_taken_and_each_once() {
    let stranger = CallKey::from_seed([8; 32]);
    let (at, used) = (now(), nonce());
    let call = |key: &CallKey, at, nonce| NODE.call_as(key, "GET", "/v1/models", Vec::new(), at, nonce).send();
    for (response, status, code) in [
        (reqwest::get(format!("{}/v1/models", NODE.base)).await, 401, "call_not_accepted"),
        (reqwest::get(format!("{}/node/status", NODE.base)).await, 401, "call_not_accepted"),
        (call(&stranger, at, nonce()).await, 401, "call_not_accepted"),
        (call(&NODE.key, at.plus_ms(-31_000), nonce()).await, 401, "call_not_accepted"),
        (call(&NODE.key, at.plus_ms(35_000), nonce()).await, 401, "call_not_accepted"),
        (call(&NODE.key, at, used).await, 200, ""),
        (call(&NODE.key, at, used).await, 401, "call_replayed"),
    ] {
        let response = response.unwrap();
        assert_eq!(response.status(), status, "{code}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"].as_str().unwrap_or_default(), code);
    }
}

#[tokio::test]
async fn models_are_listed() {
    let list: Value = NODE.call("GET", "/v1/models", "").send().await.unwrap().json().await.unwrap();
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().filter_map(|it| it["id"].as_str()).collect();
    assert_eq!(ids, [CHAT, EMBEDDING]);
    let one: Value = NODE.call("GET", &format!("/v1/models/{CHAT}"), "").send().await.unwrap().json().await.unwrap();
    assert_eq!((&one["context_window"], &one["owned_by"]), (&json!(8192), &json!("HuggingFaceTB")));
    let none = NODE.call("GET", "/v1/models/nope", "").send().await.unwrap();
    assert_eq!(none.status(), 404);
}

#[tokio::test]
async fn unknown_paths_and_methods_have_error_bodies() {
    for (method, path, status, code) in
        [("POST", "/v1/audio/speech", 404, "not_found"), ("GET", "/v1/embeddings", 405, "method_not_allowed")]
    {
        let response = NODE.call(method, path, "").send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], code);
    }
}
