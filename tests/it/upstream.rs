//! Calls that the edge relays to the upstream, played by a fake that fails as it is told.

use axum::http::{HeaderName, StatusCode};
use embedded::groq::{API_KEY, FakeGroq, Fault, Outcome};
use nest_tests::{Answer, EventReader, IssuedKey, PATIENCE, TestEdge};
use serde_json::{Value, json};
use shared::openai::error::ErrorBody;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::{Instant, timeout};

pub(crate) const MODEL: &str = "llama-3.3-70b-versatile";

/// A fake upstream, an edge that uses it, and a key.
pub(crate) struct Setup {
    pub(crate) groq: FakeGroq,
    pub(crate) edge: TestEdge,
    pub(crate) key: IssuedKey,
}

impl Setup {
    /// An edge that loses patience with an upstream soon.
    async fn impatient() -> Self {
        Self::with(&[("UPSTREAM_FIRST_BYTE_TIMEOUT_MS", "500"), ("UPSTREAM_IDLE_TIMEOUT_MS", "300")]).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let groq = FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let url = groq.url();
        let settings = [&[("OPENAI_BASE_URL", url.as_str()), ("GROQ_API_KEY", API_KEY)], settings].concat();
        let edge = TestEdge::start(&settings).await;
        let key = edge.key().await;
        // Brings the list of models, which is not what these tests look at.
        assert_eq!(edge.get("/v1/models").bearer_auth(&key.text).send().await.unwrap().status(), 200);
        groq.forget_requests();
        Self { groq, edge, key }
    }

    pub(crate) async fn chat(&self, body: &Value) -> Answer {
        self.edge.chat(&self.key, body).await
    }

    pub(crate) async fn stream(&self, body: &Value) -> reqwest::Response {
        let request = self.edge.post("/v1/chat/completions").bearer_auth(&self.key.text).json(&streamed(body));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response
    }
}

pub(crate) fn count_to(limit: usize) -> Value {
    json!({ "model": MODEL, "messages": [{ "role": "user", "content": format!("Count to {limit}") }] })
}

pub(crate) fn streamed(body: &Value) -> Value {
    let mut body = body.clone();
    body["stream"] = true.into();
    body
}

/// Whether an event is our word that the upstream broke off.
fn is_cut_error(event: &str, answer: &Answer) -> bool {
    let Ok(body) = serde_json::from_str::<ErrorBody>(event) else { return false };
    body.error.code.as_deref() == Some("upstream_cut") && body.error.request_id == Some(answer.request_id().to_string())
}

#[tokio::test]
async fn a_model_of_the_upstream_is_answered_by_it_and_others_are_unknown() {
    let setup = Setup::with(&[]).await;
    let answer = setup.chat(&count_to(5)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "1 2 3 4 5");
    let row = setup.edge.usage(answer.request_id()).await;
    assert_eq!((row.upstream.as_deref(), row.outcome.as_str()), (Some("groq"), "completed"));
    assert_eq!((row.completion_tokens, row.tokens_source.as_str()), (5, "upstream"));

    let mut other = count_to(5);
    other["model"] = "gpt-4".into();
    let answer = setup.chat(&other).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "model_not_found"));
    assert_eq!(setup.groq.requests().len(), 1, "a model that is not listed is not asked for");
}

#[tokio::test]
async fn the_models_of_the_upstream_are_listed_with_their_ids() {
    let setup = Setup::with(&[("OPENAI_MODEL_NAME", "unlisted/default")]).await;
    let get =
        async |path: &str| Answer::read(setup.edge.get(path).bearer_auth(&setup.key.text).send().await.unwrap()).await;
    let list = get("/v1/models").await.json();
    let ids: BTreeSet<&str> = list["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    let expected: BTreeSet<&str> = embedded::groq::MODELS.into_iter().chain(["unlisted/default"]).collect();
    assert_eq!(ids, expected);
    for id in ids {
        assert_eq!(get(&format!("/v1/models/{id}")).await.json()["id"], id);
    }
    assert_eq!(get("/v1/models/none").await.code(), "model_not_found");
}

#[tokio::test]
async fn an_event_arrives_before_the_next_is_sent() {
    let setup = Setup::with(&[]).await;
    let steps = setup.groq.step();
    let mut reader = EventReader::new(setup.stream(&count_to(5)).await);
    for number in 1..=8 {
        steps.release(1);
        let event = timeout(PATIENCE, reader.next()).await.expect("an event is passed on at once").unwrap();
        assert!(event.starts_with(b"data: "), "{number}: {event:?}");
        assert_eq!(setup.groq.requests()[0].events, number);
    }
    steps.release(1);
    assert_eq!(timeout(PATIENCE, reader.next()).await.unwrap(), None);
}

#[tokio::test]
async fn tool_calls_pass_whole() {
    let setup = Setup::with(&[]).await;
    let body = json!({
        "model": MODEL, "messages": [{ "role": "user", "content": "What is the weather in Oslo?" }],
        "tools": [{ "type": "function", "function": { "name": "get_weather", "parameters": {
            "type": "object", "properties": { "city": { "type": "string" } } } } }],
    });
    let answer = setup.chat(&streamed(&body)).await;
    let calls: Vec<Value> = answer.events().iter().filter_map(|it| serde_json::from_str::<Value>(it).ok()).collect();
    let joined = |pointer: &str| calls.iter().filter_map(|it| it.pointer(pointer)?.as_str()).collect::<String>();
    assert!(joined("/choices/0/delta/tool_calls/0/id").starts_with("call_"));
    assert_eq!(joined("/choices/0/delta/tool_calls/0/function/name"), "get_weather");
    assert_eq!(joined("/choices/0/delta/tool_calls/0/function/arguments"), r#"{"city":"Oslo"}"#);
    assert_eq!(joined("/choices/0/finish_reason"), "tool_calls");
    assert_eq!(setup.groq.requests()[0].body, streamed(&body), "the request passes as it is, too");
}

/// What becomes of a call whose upstream fails before its answer has begun.
struct Expected {
    fault: &'static str,
    status: u16,
    code: &'static str,
    retry_after: &'static str,
    outcome: &'static str,
}

#[tokio::test]
async fn each_failure_of_the_upstream_has_its_answer() {
    let setup = Setup::impatient().await;
    #[rustfmt::skip]
    let table = [
        Expected { fault: "400", status: 400, code: "invalid_value", retry_after: "", outcome: "refused" },
        // Whoever the upstream refuses is us: no reason to tell clients that their keys are wrong.
        Expected { fault: "401", status: 502, code: "upstream_failed", retry_after: "", outcome: "failed" },
        Expected { fault: "403", status: 502, code: "upstream_failed", retry_after: "", outcome: "failed" },
        Expected { fault: "404", status: 404, code: "model_not_found", retry_after: "", outcome: "refused" },
        Expected { fault: "413", status: 413, code: "request_too_large", retry_after: "", outcome: "refused" },
        Expected { fault: "429=7", status: 429, code: "upstream_busy", retry_after: "7", outcome: "refused" },
        Expected { fault: "500", status: 502, code: "upstream_failed", retry_after: "", outcome: "failed" },
        Expected { fault: "503=9", status: 503, code: "upstream_busy", retry_after: "9", outcome: "failed" },
        Expected { fault: "503", status: 503, code: "upstream_busy", retry_after: "2", outcome: "failed" },
        Expected { fault: "reset-head", status: 503, code: "upstream_unreachable", retry_after: "2", outcome: "failed" },
        Expected { fault: "stall-head", status: 504, code: "upstream_timeout", retry_after: "", outcome: "failed" },
    ];
    for expected in table {
        for body in [count_to(5), streamed(&count_to(5))] {
            setup.groq.set_fault(expected.fault.parse().unwrap());
            setup.groq.forget_requests();
            let answer = setup.chat(&body).await;
            let name = format!("{} {}", expected.fault, body["stream"]);
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (expected.status, expected.code), "{name}");
            assert_eq!(answer.header("retry-after"), expected.retry_after, "{name}");
            assert_eq!(setup.groq.requests().len(), 1, "{name}: nothing that may have been done is done twice");
            let row = setup.edge.usage(answer.request_id()).await;
            assert_eq!((row.status, row.outcome.as_str()), (expected.status, expected.outcome), "{name}");
            assert_eq!((row.completion_tokens, row.tokens_source.as_str()), (0, "none"), "{name}");
        }
    }
    setup.groq.clear_faults();
    assert_eq!(setup.chat(&count_to(5)).await.status, 200, "no failure outlasts its cause");
}

#[tokio::test]
async fn a_whole_answer_that_is_none_is_a_failure_of_the_upstream() {
    let setup = Setup::impatient().await;
    for (fault, status, code, outcome) in [
        ("garbage", 502, "upstream_failed", "failed"),
        ("reset-after=1", 502, "upstream_cut", "failed"),
        ("cut-after=1", 502, "upstream_failed", "failed"),
        ("stall-after=1", 504, "upstream_timeout", "failed"),
        ("content-type", 200, "", "completed"),
    ] {
        setup.groq.set_fault(fault.parse().unwrap());
        let answer = setup.chat(&count_to(5)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{fault}");
        let row = setup.edge.usage(answer.request_id()).await;
        assert_eq!((row.status, row.outcome.as_str()), (status, outcome), "{fault}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_told_at_once() {
    let Setup { groq, edge, key } = Setup::with(&[]).await;
    groq.stop().await;
    for body in [count_to(5), streamed(&count_to(5))] {
        let answer = edge.chat(&key, &body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "upstream_unreachable"));
        assert_eq!(answer.header("retry-after"), "2");
        assert_eq!(edge.usage(answer.request_id()).await.outcome, "failed");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_anywhere_ends_in_one_error_event() {
    let setup = Setup::impatient().await;
    let whole = setup.chat(&streamed(&count_to(5))).await.events().len();
    for kind in ["cut", "reset"] {
        for passed in 0..whole {
            setup.groq.set_fault(format!("{kind}-after={passed}").parse().unwrap());
            let answer = match kind {
                // A reset may overtake the head, which is then a failure like any before the answer.
                "reset" if passed == 0 => continue,
                _ => setup.chat(&streamed(&count_to(5))).await,
            };
            let (name, events) = (format!("{kind} after {passed}"), answer.events());
            let row = setup.edge.usage(answer.request_id()).await;
            // Without `[DONE]`, but with a finish reason, everything has been said.
            if passed == whole - 1 && !is_cut_error(events.last().unwrap(), &answer) {
                assert_eq!((events.len(), row.outcome.as_str()), (passed, "completed"), "{name}");
                continue;
            }
            assert!(is_cut_error(events.last().unwrap(), &answer), "{name}: {events:?}");
            // A reset may destroy events that were on their way; none comes that was not sent.
            let arrived = events.len() - 1;
            assert!(if kind == "cut" { arrived == passed } else { arrived <= passed }, "{name}: {events:?}");
            assert!(events[..arrived].iter().all(|it| !it.contains("\"error\"")), "{name}: {events:?}");
            assert_eq!((row.status, row.outcome.as_str()), (200, "upstream_cut"), "{name}");
            // Before the first event nothing has come that somebody could pay for.
            assert_eq!(row.tokens_source, if arrived == 0 { "none" } else { "counted" }, "{name}");
            assert_eq!(row.completion_tokens, (arrived as u64).saturating_sub(1), "{name}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_ends_in_an_error_event_and_frees_the_upstream() {
    let setup = Setup::impatient().await;
    for passed in [0, 3] {
        setup.groq.forget_requests();
        setup.groq.set_fault(Fault::StallAfter { events: passed });
        let answer = setup.chat(&streamed(&count_to(5))).await;
        let events = answer.events();
        assert_eq!(events.len(), passed + 1);
        assert!(is_cut_error(events.last().unwrap(), &answer), "{events:?}");
        assert_eq!(setup.edge.usage(answer.request_id()).await.outcome, "upstream_cut");
        timeout(PATIENCE, setup.groq.until(|seen| seen[0].outcome == Outcome::Aborted)).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_of_the_wrong_form_is_never_passed_off_as_whole() {
    let setup = Setup::impatient().await;
    setup.groq.set_fault(Fault::ContentType);
    let answer = setup.chat(&streamed(&count_to(5))).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "upstream_failed"));
    setup.groq.set_fault(Fault::Garbage);
    let answer = setup.chat(&streamed(&count_to(5))).await;
    assert_eq!(answer.status, 200, "the head has gone out before the garbage came");
    let (_, last) = answer.text().rsplit_once("data: ").unwrap();
    assert!(is_cut_error(last.trim_end(), &answer), "{}", answer.text());
    assert_eq!(setup.edge.usage(answer.request_id()).await.outcome, "upstream_cut");
}

#[tokio::test]
async fn tokens_are_counted_where_the_upstream_tells_none() {
    let setup = Setup::with(&[]).await;
    for (fault, source) in [(None, "upstream"), (Some(Fault::NoUsage), "counted")] {
        fault.into_iter().for_each(|fault| setup.groq.set_fault(fault));
        let answer = setup.chat(&streamed(&count_to(5))).await;
        let row = setup.edge.usage(answer.request_id()).await;
        // Neither the role, the finish nor `[DONE]` is a word.
        assert_eq!((row.completion_tokens, row.tokens_source.as_str()), (5, source));
        assert_eq!(row.outcome, "completed");
    }
    let row = setup.edge.usage(setup.chat(&count_to(5)).await.request_id()).await;
    // Nine characters, by four.
    assert_eq!((row.completion_tokens, row.tokens_source.as_str()), (3, "counted"));
}

#[tokio::test]
async fn nothing_of_the_client_but_its_body_reaches_the_upstream() {
    let setup = Setup::with(&[]).await;
    let request = setup.edge.post("/v1/chat/completions").bearer_auth(&setup.key.text).json(&count_to(2));
    let hostile = [
        ("cookie", "session=canary"),
        ("x-forwarded-for", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("te", "trailers"),
        ("connection", "keep-alive, x-canary"),
        ("x-canary", "canary"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "Basic canary"),
        ("x-fake-fault", "500"),
        ("openai-organization", "canary"),
        ("user-agent", "canary"),
        ("x-request-id", "canary"),
    ];
    let request = hostile.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.request_id().to_string().starts_with("req_"), "the id is ours, whatever the client sends");
    let seen = &setup.groq.requests()[0];
    let names: BTreeSet<&str> = seen.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, BTreeSet::from(["accept", "authorization", "content-length", "content-type", "host"]));
    assert_eq!(seen.headers["authorization"], format!("Bearer {API_KEY}"));
    assert_eq!(seen.headers["host"], setup.groq.address().to_string());
}

/// Less than one delayed acknowledgement.
const WITHOUT_WAITING: Duration = Duration::from_millis(35);

#[tokio::test]
async fn small_events_do_not_wait_for_acknowledgements() {
    let setup = Setup::with(&[]).await;
    // Nagle's algorithm against delayed acknowledgements costs 40 ms, every time; a busy machine only sometimes does.
    let mut best = Duration::MAX;
    for _ in 0..100 {
        if best < WITHOUT_WAITING {
            break;
        }
        let mut reader = EventReader::new(setup.stream(&count_to(50)).await);
        reader.next().await.unwrap();
        let first = Instant::now();
        while reader.next().await.is_some() {}
        best = best.min(first.elapsed());
    }
    assert!(best < WITHOUT_WAITING, "{best:?}");
}

#[tokio::test]
async fn a_status_that_the_upstream_makes_up_is_its_failure() {
    let setup = Setup::impatient().await;
    for code in [402, 418, 451, 501, 599] {
        setup.groq.set_fault(Fault::status(StatusCode::from_u16(code).unwrap()));
        assert_eq!(setup.chat(&count_to(1)).await.status, 502, "{code}");
    }
}
