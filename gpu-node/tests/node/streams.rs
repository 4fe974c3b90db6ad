//! Chat and text completions, whole and as streams.

use crate::served::{CHAT, NODE};
use serde_json::{Value, json};

fn question(more: &Value) -> Value {
    let mut body = json!({"model": CHAT, "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0, "max_tokens": 24});
    let more = more.as_object().cloned().unwrap_or_default();
    body.as_object_mut().unwrap().extend(more);
    body
}

fn parsed(events: &[String]) -> Vec<Value> {
    events.iter().filter(|it| *it != "[DONE]").map(|it| serde_json::from_str(it).unwrap()).collect()
}

fn text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|it| it["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn the_model_knows_the_capital_of_france() {
    let (status, answer) = NODE.json("/v1/chat/completions", &question(&json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Paris"), "{text}");
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["message"]["role"], "assistant");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let usage = &answer["usage"];
    // The template with the system message that it adds itself: counted by hand from the vocabulary.
    assert_eq!(usage["prompt_tokens"], 37);
    assert_eq!(usage["total_tokens"], 37 + usage["completion_tokens"].as_u64().unwrap());
}

#[tokio::test]
async fn a_stream_has_the_parts_that_clients_expect() {
    let body = question(&json!({"stream": true, "stream_options": {"include_usage": true}}));
    let events = NODE.events("/v1/chat/completions", &body).await;
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks = parsed(&events);
    assert!(chunks.iter().all(|it| it["object"] == "chat.completion.chunk" && it["id"] == chunks[0]["id"]));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let [.., last, usage] = chunks.as_slice() else { panic!("{chunks:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(last["choices"][0]["delta"], json!({}));
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], last["x_nest"]["usage"]);
    assert!(chunks[1..chunks.len() - 2].iter().all(|it| it["choices"][0]["finish_reason"].is_null()));
    let (_, whole) = NODE.json("/v1/chat/completions", &question(&json!({}))).await;
    assert_eq!(whole["choices"][0]["message"]["content"], text(&chunks));
    assert_eq!(whole["usage"], usage["usage"]);
}

#[tokio::test]
async fn a_stream_without_the_option_still_tells_the_edge_its_usage() {
    let events = NODE.events("/v1/chat/completions", &question(&json!({"stream": true, "max_tokens": 2}))).await;
    let chunks = parsed(&events);
    assert!(chunks.iter().all(|it| it.get("usage").is_none()));
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert_eq!(last["x_nest"]["usage"]["completion_tokens"], 2);
    let stream: String = events.iter().map(|it| format!("data: {it}\n\n")).collect();
    let tail = shared::openai::sse::read_tail(stream.as_bytes());
    assert_eq!(tail.usage.unwrap().completion_tokens, 2);
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_and_is_not_shown() {
    let (_, all) = NODE.json("/v1/chat/completions", &question(&json!({}))).await;
    let all = all["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    // Cut within a word, so that it lies across tokens.
    let (stop, before) = ("ari", all.split("ari").next().unwrap());
    let body = question(&json!({"stream": true, "stop": [stop, "never met"]}));
    let chunks = parsed(&NODE.events("/v1/chat/completions", &body).await);
    assert_eq!(text(&chunks), before);
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text() {
    let ask = async |seed: i64| {
        let body = question(&json!({"temperature": 1.5, "top_p": 1, "seed": seed, "max_completion_tokens": 12}));
        let (_, answer) = NODE.json("/v1/chat/completions", &body).await;
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let (first, second, other) = (ask(1).await, ask(1).await, ask(2).await);
    assert_eq!(first, second);
    assert_ne!(first, other);
}

#[tokio::test]
async fn text_is_continued_as_it_stands() {
    let body = json!({"model": CHAT, "prompt": "One, two, three, four,", "temperature": 0, "max_tokens": 4});
    let (status, answer) = NODE.json("/v1/completions", &body).await;
    assert_eq!((status, &answer["object"]), (200, &json!("text_completion")));
    let text = answer["choices"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("five"), "{text}");
    assert_eq!(answer["usage"]["completion_tokens"], 4);

    let mut body = body;
    body["stream"] = true.into();
    let events = NODE.events("/v1/completions", &body).await;
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks = parsed(&events);
    let streamed: String = chunks.iter().filter_map(|it| it["choices"][0]["text"].as_str()).collect();
    assert_eq!(streamed, text);
    assert_eq!(chunks.last().unwrap()["x_nest"]["usage"]["total_tokens"], answer["usage"]["total_tokens"]);
}

#[tokio::test]
async fn letters_of_other_scripts_come_whole() {
    // Each is several tokens of the vocabulary, none of which is a whole character.
    let body = json!({"model": CHAT, "messages": [{"role": "user", "content": "Repeat exactly: 漢字漢字漢字"}],
        "temperature": 0, "max_tokens": 40, "stream": true});
    let chunks = parsed(&NODE.events("/v1/chat/completions", &body).await);
    assert!(!text(&chunks).contains('\u{FFFD}'), "{}", text(&chunks));
}
