//! The fake upstream behaves as Groq does, fails as it is told, and sees what its clients do.
#![allow(clippy::unwrap_used, reason = "a test's own helpers may unwrap as its tests do")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use embedded::groq::{API_KEY, FakeGroq, Fault, MODELS, Outcome};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const MODEL: &str = "llama-3.3-70b-versatile";

async fn fake() -> FakeGroq {
    FakeGroq::start(ANYWHERE).await.unwrap()
}

fn count_to(limit: usize) -> Value {
    json!({ "model": MODEL, "messages": [{ "role": "user", "content": format!("Count to {limit}") }] })
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

async fn post(groq: &FakeGroq, body: &Value) -> Response {
    let request = Client::new().post(format!("{}/chat/completions", groq.url()));
    request.bearer_auth(API_KEY).json(body).send().await.unwrap()
}

/// The events of a whole stream; the last is `[DONE]` where it ends well.
async fn events(response: Response) -> Vec<String> {
    let text = response.text().await.unwrap();
    text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
}

fn chunks(events: &[String]) -> Vec<Value> {
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done, "[DONE]");
    chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
}

/// One field of every delta, joined.
fn joined(chunks: &[Value], pointer: &str) -> String {
    chunks.iter().filter_map(|chunk| chunk.pointer(pointer)?.as_str()).collect()
}

#[tokio::test]
async fn an_answer_comes_whole_with_its_usage() {
    let groq = fake().await;
    let response = post(&groq, &count_to(5)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
    assert!(response.headers().contains_key("x-ratelimit-remaining-tokens"));
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["message"], json!({ "role": "assistant", "content": "1 2 3 4 5" }));
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    let usage = &body["usage"];
    assert_eq!(usage["completion_tokens"], 5);
    let total = usage["prompt_tokens"].as_u64().unwrap() + 5;
    assert_eq!(usage["total_tokens"], total);
    for time in ["queue_time", "prompt_time", "completion_time", "total_time"] {
        assert!(usage[time].is_f64(), "{time}");
    }
}

#[tokio::test]
async fn a_streamed_answer_is_the_whole_one_in_parts() {
    let groq = fake().await;
    let mut body = streamed(count_to(5));
    body["stream_options"] = json!({ "include_usage": true });
    let response = post(&groq, &body).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let chunks = chunks(&events(response).await);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(joined(&chunks, "/choices/0/delta/content"), "1 2 3 4 5");
    let [.., last, used] = &chunks[..] else { panic!("too short") };
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(last["x_groq"]["usage"]["completion_tokens"], 5);
    assert_eq!((&used["choices"], &used["usage"]), (&json!([]), &last["x_groq"]["usage"]));
}

#[tokio::test]
async fn usage_ends_a_stream_only_for_who_asks() {
    let groq = fake().await;
    let chunks = chunks(&events(post(&groq, &streamed(count_to(2))).await).await);
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
    assert!(chunks.last().unwrap()["x_groq"]["usage"].is_object());
}

#[tokio::test]
async fn tool_calls_come_whole_and_in_parts() {
    let groq = fake().await;
    let body = json!({
        "model": MODEL, "messages": [{ "role": "user", "content": "What is the weather in Oslo?" }],
        "tools": [{ "type": "function", "function": { "name": "get_weather", "parameters": {
            "type": "object", "properties": { "city": { "type": "string" } } } } }],
    });
    let whole: Value = post(&groq, &body).await.json().await.unwrap();
    let call = &whole["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"], json!({ "name": "get_weather", "arguments": r#"{"city":"Oslo"}"# }));
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");

    let chunks = chunks(&events(post(&groq, &streamed(body)).await).await);
    assert_eq!(joined(&chunks, "/choices/0/delta/tool_calls/0/function/name"), "get_weather");
    assert_eq!(joined(&chunks, "/choices/0/delta/tool_calls/0/function/arguments"), r#"{"city":"Oslo"}"#);
    assert!(joined(&chunks, "/choices/0/delta/tool_calls/0/id").starts_with("call_"));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn the_reasoning_model_thinks_where_it_is_told_to() {
    let groq = fake().await;
    let mut body = json!({ "model": MODELS[0], "messages": [{ "role": "user", "content": "Hello" }] });
    for (format, in_content, in_field) in
        [(None, true, false), (Some("raw"), true, false), (Some("parsed"), false, true), (Some("hidden"), false, false)]
    {
        body["reasoning_format"] = format.into();
        let answer: Value = post(&groq, &body).await.json().await.unwrap();
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["content"].as_str().unwrap().starts_with("<think>"), in_content, "{format:?}");
        assert_eq!(message.get("reasoning").is_some(), in_field, "{format:?}");
    }
}

#[tokio::test]
async fn models_are_listed() {
    let groq = fake().await;
    let get = |path: &str| Client::new().get(format!("{}{path}", groq.url())).bearer_auth(API_KEY).send();
    let list: Value = get("/models").await.unwrap().json().await.unwrap();
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, MODELS);
    let one: Value = get("/models/openai/gpt-oss-20b").await.unwrap().json().await.unwrap();
    assert_eq!(one["id"], "openai/gpt-oss-20b");
    assert_eq!(get("/models/none").await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_groq_refuses_is_refused_in_its_words() {
    let groq = fake().await;
    let client = Client::new();
    let chat = format!("{}/chat/completions", groq.url());
    let to = |path: &str| client.post(format!("{}{path}", groq.url())).bearer_auth(API_KEY).json(&json!({}));
    for (request, status, code) in [
        (client.post(&chat).json(&count_to(1)), 401, Some("invalid_api_key")),
        (client.post(&chat).bearer_auth("gsk_other").json(&count_to(1)), 401, Some("invalid_api_key")),
        (to("/embeddings"), 404, Some("unknown_url")),
        (to("/completions"), 404, Some("unknown_url")),
        (to("/chat/completions"), 400, None),
        (client.post(&chat).bearer_auth(API_KEY).body("{"), 400, None),
        (
            client
                .post(&chat)
                .bearer_auth(API_KEY)
                .json(&json!({ "model": "gpt-4", "messages": [{ "role": "user" }] })),
            404,
            Some("model_not_found"),
        ),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"].as_str(), code, "{body}");
        assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn a_status_is_given_on_demand() {
    let groq = fake().await;
    for (fault, retry_after) in [
        ("400", None),
        ("401", None),
        ("404", None),
        ("413", None),
        ("429", Some("2")),
        ("429=9", Some("9")),
        ("500", None),
        ("503=1", Some("1")),
    ] {
        let mut body = count_to(3);
        body["model"] = format!("{MODEL}@{fault}").into();
        let response = post(&groq, &body).await;
        assert_eq!(response.status().as_str(), &fault[..3]);
        assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap()), retry_after);
        let body: Value = response.json().await.unwrap();
        assert!(body["error"]["message"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn faults_are_planned_for_some_requests_or_all() {
    let groq = fake().await;
    groq.fail_next(2, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    for expected in [503, 503, 200] {
        assert_eq!(post(&groq, &count_to(1)).await.status(), expected);
    }
    groq.set_fault(Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    for _ in 0..3 {
        assert_eq!(post(&groq, &count_to(1)).await.status(), 500);
    }
    groq.clear_faults();
    assert_eq!(post(&groq, &count_to(1)).await.status(), 200);
}

#[tokio::test]
async fn faults_are_planned_over_http() {
    let groq = fake().await;
    let faults = format!("http://{}/fake/faults", groq.address());
    let client = Client::new();
    let plan = json!({ "fault": "429=3", "times": 1, "model": MODEL });
    assert_eq!(client.post(&faults).json(&plan).send().await.unwrap().status(), 204);
    let mut other = count_to(1);
    other["model"] = MODELS[0].into();
    assert_eq!(post(&groq, &other).await.status(), 200);
    assert_eq!(post(&groq, &count_to(1)).await.status(), 429);
    assert_eq!(post(&groq, &count_to(1)).await.status(), 200);

    assert_eq!(client.post(&faults).json(&json!({ "fault": "boom" })).send().await.unwrap().status(), 400);
    assert_eq!(client.post(&faults).json(&json!({ "fault": "500" })).send().await.unwrap().status(), 204);
    assert_eq!(client.delete(&faults).send().await.unwrap().status(), 204);
    assert_eq!(post(&groq, &count_to(1)).await.status(), 200);

    let requests = format!("http://{}/fake/requests", groq.address());
    let seen: Value = client.get(&requests).send().await.unwrap().json().await.unwrap();
    assert_eq!(seen.as_array().unwrap().len(), 4);
    assert_eq!(seen[1]["body"], count_to(1));
    assert_eq!(seen[1]["outcome"], "faulted");
    client.delete(&requests).send().await.unwrap();
    assert!(groq.requests().is_empty());
}

#[tokio::test]
async fn a_header_asks_for_a_fault() {
    let groq = fake().await;
    let request = Client::new().post(format!("{}/chat/completions", groq.url())).bearer_auth(API_KEY);
    let response = request.header("x-fake-fault", "413").json(&count_to(1)).send().await.unwrap();
    assert_eq!(response.status(), 413);
}

/// Reads until the body ends or fails; returns what came, and whether it ended well.
async fn read(mut response: Response) -> (String, bool) {
    let mut text = String::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(&String::from_utf8_lossy(&chunk)),
            Ok(None) => return (text, true),
            Err(_) => return (text, false),
        }
    }
}

#[tokio::test]
async fn a_stream_breaks_after_exactly_the_events_asked_for() {
    let groq = fake().await;
    for (fault, whole) in [(Fault::ResetAfter { events: 3 }, false), (Fault::CutAfter { events: 3 }, true)] {
        groq.set_fault(fault);
        for _ in 0..20 {
            let (text, ended_well) = read(post(&groq, &streamed(count_to(50))).await).await;
            assert_eq!((text.matches("data: ").count(), ended_well), (3, whole), "{fault}");
            assert!(!text.contains("[DONE]"));
        }
    }
    assert!(groq.requests().iter().all(|seen| seen.outcome == Outcome::Faulted && seen.events == 3));
}

#[tokio::test]
async fn a_reset_is_a_reset_on_the_wire() {
    let groq = fake().await;
    groq.set_fault(Fault::ResetAfter { events: 2 });
    let body = streamed(count_to(9)).to_string();
    let mut wire = tokio::net::TcpStream::connect(groq.address()).await.unwrap();
    let head = format!(
        "POST /openai/v1/chat/completions HTTP/1.1\r\nhost: groq\r\nauthorization: Bearer {API_KEY}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    wire.write_all((head + &body).as_bytes()).await.unwrap();
    let mut text = Vec::new();
    let error = wire.read_to_end(&mut text).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(String::from_utf8_lossy(&text).matches("data: ").count(), 2);
}

#[tokio::test]
async fn a_whole_answer_breaks_in_its_middle() {
    let groq = fake().await;
    for (fault, whole) in [(Fault::ResetAfter { events: 1 }, false), (Fault::CutAfter { events: 1 }, true)] {
        groq.set_fault(fault);
        let (text, ended_well) = read(post(&groq, &count_to(50)).await).await;
        assert_eq!(ended_well, whole, "{fault}");
        assert!(text.starts_with('{') && serde_json::from_str::<Value>(&text).is_err(), "{fault}");
    }
}

#[tokio::test]
async fn a_head_never_comes() {
    let groq = fake().await;
    let url = format!("{}/chat/completions", groq.url());
    let ask = || Client::new().post(&url).bearer_auth(API_KEY).json(&count_to(1)).send();
    groq.set_fault(Fault::ResetHead);
    assert!(ask().await.is_err());

    groq.set_fault(Fault::StallHead);
    let waiting = tokio::spawn(ask());
    groq.until(|seen| seen.len() == 2).await;
    waiting.abort();
    groq.until(|seen| seen[1].outcome == Outcome::Aborted).await;
}

#[tokio::test]
async fn answers_come_in_the_wrong_form() {
    let groq = fake().await;
    groq.set_fault(Fault::Garbage);
    let response = post(&groq, &count_to(1)).await;
    assert_eq!((response.status(), response.json::<Value>().await.is_err()), (StatusCode::OK, true));
    groq.set_fault(Fault::ContentType);
    let response = post(&groq, &streamed(count_to(1))).await;
    assert_eq!(response.headers()["content-type"], "text/html");
    assert_eq!(events(response).await.last().unwrap(), "[DONE]");
    groq.set_fault(Fault::NoUsage);
    assert!(!post(&groq, &count_to(1)).await.text().await.unwrap().contains("\"usage\""));
    let mut asking = streamed(count_to(1));
    asking["stream_options"] = json!({ "include_usage": true });
    assert!(!post(&groq, &asking).await.text().await.unwrap().contains("\"usage\""));
}

#[tokio::test]
async fn slow_events_keep_their_distance() {
    let groq = fake().await;
    groq.set_fault(Fault::Gap { ms: 20 });
    let response = post(&groq, &streamed(count_to(3))).await;
    let head = std::time::Instant::now();
    let events = events(response).await;
    // The first gap may have begun before the head arrived.
    let least = Duration::from_millis(20) * u32::try_from(events.len() - 1).unwrap();
    assert!(head.elapsed() >= least, "{:?} for {} events", head.elapsed(), events.len());
}

#[tokio::test]
async fn an_event_arrives_before_the_next_is_sent() {
    let groq = fake().await;
    let steps = groq.step();
    let mut response = post(&groq, &streamed(count_to(3))).await;
    for released in 1..=4 {
        steps.release(1);
        let chunk = response.chunk().await.unwrap().unwrap();
        assert_eq!(chunk.windows(6).filter(|part| part == b"data: ").count(), 1);
        assert_eq!(groq.requests()[0].events, released);
    }
    drop(steps);
    let (rest, ended_well) = read(response).await;
    assert!(ended_well && rest.ends_with("data: [DONE]\n\n"));
    assert_eq!(groq.requests()[0].outcome, Outcome::Finished);
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let groq = fake().await;
    groq.set_fault(Fault::StallAfter { events: 2 });
    let mut response = post(&groq, &streamed(count_to(50))).await;
    groq.until(|seen| seen[0].events == 2).await;
    response.chunk().await.unwrap().unwrap();
    assert_eq!(groq.aborted(), 0);
    drop(response);
    let seen = groq.until(|seen| seen[0].outcome == Outcome::Aborted).await;
    assert_eq!((seen[0].events, groq.aborted()), (2, 1));
    assert!(seen[0].ended.unwrap() >= seen[0].arrived);
}

#[tokio::test]
async fn requests_are_kept_as_they_came() {
    let groq = fake().await;
    let request = Client::new().post(format!("{}/chat/completions", groq.url())).bearer_auth(API_KEY);
    request.header("x-mine", "yes").json(&count_to(1)).send().await.unwrap();
    let seen = groq.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].path.as_str(), &seen[0].body), ("/openai/v1/chat/completions", &count_to(1)));
    assert_eq!(seen[0].headers["x-mine"], "yes");
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {API_KEY}"));
}

#[tokio::test]
async fn a_stopped_fake_refuses_and_breaks_what_is_open() {
    let groq = fake().await;
    let address = groq.address();
    groq.set_fault(Fault::StallAfter { events: 1 });
    let client = Client::new();
    let url = format!("{}/chat/completions", groq.url());
    let ask = |body: Value| client.post(&url).bearer_auth(API_KEY).json(&body).send();
    let open = ask(streamed(count_to(9))).await.unwrap();
    groq.stop().await;
    assert!(!read(open).await.1);
    assert!(ask(count_to(1)).await.unwrap_err().is_connect());
    let again = FakeGroq::start(address).await.unwrap();
    assert_eq!(ask(count_to(1)).await.unwrap().status(), 200);
    drop(again);
}
