//! Chat and completions by the real model, through edge and node.

use crate::NEST;
use nest_tests::{
    Answer, SignedCall, Stack,
    node::{CHAT, EMBEDDING},
};
use serde_json::{Value, json};

fn ask(question: &str) -> Value {
    json!({ "model": CHAT, "messages": [{ "role": "user", "content": question }], "max_tokens": 12, "temperature": 0 })
}

/// `body` with other or more `fields`.
fn with(mut body: Value, mut fields: Value) -> Value {
    body.as_object_mut().unwrap().append(fields.as_object_mut().unwrap());
    body
}

/// The text of an answer, whole or streamed.
fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    if !answer.header("content-type").starts_with("text/event-stream") {
        return answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    }
    let chunks = answer.events().into_iter().filter_map(|it| serde_json::from_str::<Value>(&it).ok());
    chunks.filter_map(|it| Some(it.pointer("/choices/0/delta/content")?.as_str()?.to_owned())).collect()
}

async fn chat(body: Value) -> Answer {
    let stack = Stack::shared(NEST).await;
    stack.edge.chat(&stack.edge.key().await, &body).await
}

/// An answer's chunks without what differs from call to call.
fn chunks(answer: &Answer) -> Vec<Value> {
    let (done, chunks) = answer.events().split_last().map(|(last, rest)| (last.clone(), rest.to_vec())).unwrap();
    assert_eq!(done, "[DONE]");
    chunks.iter().map(|it| redacted(serde_json::from_str(it).unwrap())).collect()
}

fn redacted(mut body: Value) -> Value {
    let id = body["id"].as_str().unwrap();
    assert!(id.starts_with("chatcmpl-") || id.starts_with("cmpl-"), "{id}");
    assert!(body["created"].as_i64().unwrap() > 1_700_000_000);
    body["id"] = "…".into();
    body["created"] = 0.into();
    body
}

#[tokio::test]
async fn the_model_answers_in_english_that_makes_sense() {
    let answer = chat(ask("What is the capital of France? Answer in one short sentence.")).await;
    let text = text(&answer);
    assert!(text.contains("Paris"), "{text:?}");
    assert!(text.chars().all(|it| !it.is_control() || it == '\n'), "{text:?}");
    assert!(text.split_whitespace().count() >= 1, "{text:?}");
}

#[tokio::test]
async fn a_whole_answer_has_openai_s_shape() {
    let mut body = redacted(chat(ask("Say hello.")).await.json());
    assert!(!body["choices"][0]["message"]["content"].as_str().unwrap().is_empty());
    body["choices"][0]["message"]["content"] = "…".into();
    let usage = &body["usage"];
    let (prompt, completion) = (usage["prompt_tokens"].as_u64().unwrap(), usage["completion_tokens"].as_u64().unwrap());
    assert!(prompt > 5 && (1..=12).contains(&completion));
    assert_eq!(usage["total_tokens"], prompt + completion);
    snapshot!(body, {
        ".usage.prompt_tokens" => 0, ".usage.completion_tokens" => 0, ".usage.total_tokens" => 0,
        ".choices[].finish_reason" => "…",
    });
}

#[tokio::test]
async fn a_stream_is_the_whole_answer_in_parts() {
    let question = ask("Name three colours.");
    let whole = chat(question.clone()).await;
    let stream = chat(with(question, json!({ "stream": true, "stream_options": { "include_usage": true } }))).await;
    assert_eq!(stream.header("content-type"), "text/event-stream");
    assert_eq!(text(&stream), text(&whole));
    let chunks = chunks(&stream);
    let [first, second, .., last, usage] = &chunks[..] else { panic!("too few chunks: {chunks:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], whole.json()["choices"][0]["finish_reason"]);
    assert_eq!(usage["usage"], whole.json()["usage"]);
    snapshot!([first, second, last, usage], {
        ".*.choices[].delta.content" => "…", ".*.**.prompt_tokens" => 0, ".*.**.completion_tokens" => 0,
        ".*.**.total_tokens" => 0, "[2].choices[].finish_reason" => "…",
    });
}

#[tokio::test]
async fn usage_ends_a_stream_only_for_who_asks() {
    let chunks = chunks(&chat(with(ask("Say hello."), json!({ "stream": true, "max_tokens": 3 }))).await);
    assert!(chunks.iter().all(|it| it.get("usage").is_none_or(Value::is_null)), "{chunks:?}");
    // The edge needs it all the same, and finds it in the field that clients ignore.
    assert!(chunks.last().unwrap()["x_nest"]["usage"]["completion_tokens"] == 3);
}

#[tokio::test]
async fn the_same_seed_says_the_same() {
    let seeded = |seed: i64| with(ask("Tell me a story about a fox."), json!({ "temperature": 1.5, "seed": seed }));
    let (one, again, other) = (chat(seeded(7)).await, chat(seeded(7)).await, chat(seeded(8)).await);
    assert_eq!(text(&one), text(&again));
    assert_ne!(text(&one), text(&other));
}

#[tokio::test]
async fn an_answer_ends_where_it_is_told_to() {
    let question = ask("Tell me a story about a fox.");
    let short = chat(with(question.clone(), json!({ "max_tokens": 4 }))).await.json();
    assert_eq!(short["choices"][0]["finish_reason"], "length");
    assert_eq!(short["usage"]["completion_tokens"], 4);
    let whole = text(&chat(question.clone()).await);
    let stop: String = whole.split_whitespace().nth(3).unwrap().to_owned();
    let stopped = chat(with(question, json!({ "stop": [stop] }))).await;
    assert_eq!(text(&stopped), whole.split_once(&stop).unwrap().0);
    assert_eq!(stopped.json()["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn text_is_continued() {
    let stack = Stack::shared(NEST).await;
    let key = stack.edge.key().await;
    let body = json!({ "model": CHAT, "prompt": "The capital of France is", "max_tokens": 6, "temperature": 0 });
    let answer = stack.edge.ask("/v1/completions", &key, &body).await;
    assert!(answer.json()["choices"][0]["text"].as_str().unwrap().contains("Paris"), "{}", answer.text());
    let streamed = stack.edge.ask("/v1/completions", &key, &with(body, json!({ "stream": true }))).await;
    let parts = chunks(&streamed);
    let joined: String = parts.iter().map(|it| it["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(joined, answer.json()["choices"][0]["text"].as_str().unwrap());
    snapshot!(redacted(answer.json()), {
        ".usage.prompt_tokens" => 0, ".usage.completion_tokens" => 0, ".usage.total_tokens" => 0,
        ".choices[].text" => "…", ".choices[].finish_reason" => "…",
    });
}

#[tokio::test]
async fn the_edge_passes_what_the_node_says() {
    let stack = Stack::shared(NEST).await;
    let body = with(ask("Why is the sky blue?"), json!({ "seed": 1, "stream": true }));
    let direct = SignedCall::new(&stack.edge.config.call_key, &stack.node.url, "/v1/chat/completions", &body);
    let direct = Answer::read(direct.request().header("content-type", "application/json").send().await.unwrap()).await;
    let relayed = chat(body).await;
    let plain = |answer: &Answer| {
        let chunk: Value = serde_json::from_str(&answer.events()[0]).unwrap();
        let created = format!("\"created\":{}", chunk["created"]);
        answer.text().replace(chunk["id"].as_str().unwrap(), "id").replace(&created, "\"created\":0")
    };
    assert_eq!(plain(&relayed), plain(&direct));
}

#[tokio::test]
async fn the_models_of_the_node_are_listed() {
    let stack = Stack::shared(NEST).await;
    let list = stack.edge.get("/v1/models").bearer_auth(stack.edge.key().await.text).send().await.unwrap();
    let list = Answer::read(list).await.json();
    snapshot!(list);
}

#[tokio::test]
async fn what_the_model_cannot_do_is_refused_with_the_reason() {
    let long = "word ".repeat(9_000);
    let messages = |content: &str| json!([{ "role": "user", "content": content }]);
    let mut faces = serde_json::Map::new();
    for (name, body) in [
        ("a prompt and an answer beyond the context", with(ask("Hi"), json!({ "max_tokens": 9_000 }))),
        ("a prompt beyond the context", with(ask("Hi"), json!({ "messages": messages(&long), "max_tokens": null }))),
        ("no messages", with(ask("Hi"), json!({ "messages": [] }))),
        ("too hot", with(ask("Hi"), json!({ "temperature": 3 }))),
        ("two answers", with(ask("Hi"), json!({ "n": 2 }))),
        ("five stops", with(ask("Hi"), json!({ "stop": ["a", "b", "c", "d", "e"] }))),
        (
            "a demanded tool call",
            with(
                ask("Hi"),
                json!({ "tool_choice": "required",
            "tools": [{ "type": "function", "function": { "name": "f" } }] }),
            ),
        ),
        ("a model for embeddings", with(ask("Hi"), json!({ "model": EMBEDDING }))),
    ] {
        let answer = chat(body).await;
        let mut face = answer.json();
        assert_eq!(face["error"]["request_id"], answer.header("x-request-id"), "{name}");
        face["error"]["request_id"] = "req_…".into();
        face["status"] = answer.status.as_u16().into();
        faces.insert(name.to_owned(), face);
    }
    snapshot!(faces);
}
