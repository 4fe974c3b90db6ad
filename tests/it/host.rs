//! The contract that every host must pass, asked through the routes of `nest-contract`.

use crate::NEST;
use axum::{
    Router,
    body::Body,
    extract::DefaultBodyLimit,
    http::{StatusCode, header},
    routing::{get, post},
};
use bytes::Bytes;
use edge_core::sql::Value;
use embedded::groq::{API_KEY, FakeGroq, Fault, Outcome};
use futures_util::{FutureExt as _, future::join_all, stream};
use nest_contract::{ANSWER, CUT_MS, Clock, DRAIN_MS, FAILURE, IDLE_MS, NOTE, Query, THROUGH_CORE, URL, Wire};
use nest_tests::{
    Answer, Double, EventReader, Kind, PATIENCE, TestDb, TestEdge, double::nowhere, lasting, program::Nest,
};
use reqwest::RequestBuilder;
use serde_json::json;
use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

async fn fake() -> FakeGroq {
    FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap()
}

/// Asks the host to run a statement.
async fn query(edge: &TestEdge, statement: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, (u16, String)> {
    let query = Query { statement: statement.to_owned(), params: params.iter().map(Wire::from).collect() };
    let answer = Answer::read(edge.post("/contract/query").json(&query).send().await.unwrap()).await;
    if answer.status != 200 {
        return Err((answer.status.as_u16(), answer.header(FAILURE).to_owned()));
    }
    let rows: Vec<Vec<Wire>> = serde_json::from_slice(&answer.body).unwrap();
    Ok(rows.into_iter().map(|row| row.into_iter().map(Value::from).collect()).collect())
}

fn text(it: &str) -> Value {
    Value::Text(it.to_owned())
}

/// A request that the host is to send to `url`.
fn fetch(edge: &TestEdge, url: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    edge.post("/contract/fetch").header(URL, url).body(body)
}

/// A streamed chat of a fake upstream with 8 events, the role, five words, the finish, and `[DONE]`, to be relayed.
fn relay(edge: &TestEdge, groq: &FakeGroq, idle_ms: u64) -> RequestBuilder {
    let body = json!({ "model": "llama-3.3-70b-versatile", "stream": true,
                       "messages": [{ "role": "user", "content": "Count to 5" }] });
    edge.post("/contract/relay")
        .header(URL, format!("{}/chat/completions", groq.url()))
        .header(NOTE, "relay")
        .header(IDLE_MS, idle_ms)
        .bearer_auth(API_KEY)
        .json(&body)
}

/// What was noted behind an answer, as soon as it is there.
async fn noted(db: &TestDb, name: &str) -> String {
    let mut changes = db.changes().await;
    let client = db.connect().await;
    let wait = async {
        loop {
            let said = "delete from contract_notes where name = $1 returning said";
            if let Some(row) = client.query_opt(said, &[&name]).await.unwrap() {
                return row.get(0);
            }
            changes.next().await;
        }
    };
    timeout(PATIENCE, wait).await.expect("what is deferred ends soon")
}

#[tokio::test]
async fn sql_values_come_back_as_they_went() {
    let edge = TestEdge::start(&[]).await;
    let megabyte = "ä€😀x".repeat(100_000);
    let texts = ["", " ", "ünïcödé \u{1F980} \u{FEFF}", "'; drop table users; --", "line\r\n\t\u{1}", &megabyte];
    let floats = [0.0, -0.0, 0.1, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY];
    let all = [Value::Bool(true), Value::Bool(false)]
        .into_iter()
        .chain([0, 1, -1, i64::MAX, i64::MIN].map(Value::Int))
        .chain(floats.map(Value::Float))
        .chain(texts.map(text))
        .chain([vec![], vec![0], (0..=255).collect(), vec![7; 1 << 20]].map(Value::Bytes));
    for value in all {
        let statement = match value {
            Value::Bool(_) => "select $1::bool",
            Value::Int(_) => "select $1::int8",
            Value::Float(_) => "select $1::float8",
            Value::Text(_) => "select $1::text",
            Value::Bytes(_) | Value::Null => "select $1::bytea",
        };
        let rows = query(&edge, statement, std::slice::from_ref(&value)).await.unwrap();
        assert!(rows.len() == 1 && rows[0] == [value.clone()], "{value:?}");
        assert_eq!(query(&edge, statement, &[Value::Null]).await.unwrap(), [[Value::Null]]);
    }
    let none = "select n::int8, n::text from generate_series(1, 3) n(n) where n > $1::int8";
    assert!(query(&edge, none, &[Value::Int(3)]).await.unwrap().is_empty());
    assert_eq!(query(&edge, none, &[Value::Int(1)]).await.unwrap()[1], [Value::Int(3), text("3")]);
}

#[tokio::test]
async fn sql_failures_have_the_kind_that_the_core_acts_on() {
    let edge = TestEdge::start(&[]).await;
    let insert = "insert into users (id, email) values ($1::text::uuid, $2::text)";
    let ids = ["00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"];
    assert!(query(&edge, insert, &[text(ids[0]), text("ada@example.com")]).await.unwrap().is_empty());
    for (name, statement, params, status, kind) in [
        ("a taken address", insert, vec![text(ids[1]), text("ada@example.com")], 500, "conflict users_email_key"),
        ("a NUL", insert, vec![text(ids[1]), text("nul\0@example.com")], 400, "bad_value"),
        ("no id", "select ($1::text::uuid)::text", vec![text("no uuid")], 400, "bad_value"),
        ("a type that not every host reads", "select 1::int8, 2::int4", vec![], 500, "column 1"),
        ("a time", "select now()", vec![], 500, "column 0"),
        ("no such table", "select nothing from nowhere", vec![], 500, "failed"),
    ] {
        assert_eq!(query(&edge, statement, &params).await, Err((status, kind.to_owned())), "{name}");
    }
    // None of them spoils anything for the next.
    assert_eq!(query(&edge, "select 1::int8", &[]).await.unwrap(), [[Value::Int(1)]]);
}

#[tokio::test]
async fn a_statement_is_a_transaction() {
    let edge = TestEdge::start(&[]).await;
    let statement = "
        with made as (insert into users (id, email) values ('00000000-0000-7000-8000-000000000001', 'a@example.com')
            returning 1)
        select (1 / (count(*) - 1))::int8 from made";
    assert!(query(&edge, statement, &[]).await.is_err());
    let rows = query(&edge, "select count(*)::int8 from users where email = 'a@example.com'", &[]).await.unwrap();
    assert_eq!(rows, [[Value::Int(0)]]);
}

#[tokio::test]
async fn what_is_not_there_is_told_as_such() {
    let url = nowhere().replace("http", "postgres");
    let edge = TestEdge::start(&[("DATABASE_URL", &url)]).await;
    assert_eq!(query(&edge, "select 1::int8", &[]).await, Err((503, "unavailable".to_owned())));
    assert_eq!(edge.get("/readyz").send().await.unwrap().status(), 503);
    for url in [nowhere(), "http://no-such-host.invalid/".to_owned()] {
        let answer = Answer::read(fetch(&edge, &url, "").send().await.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.header(FAILURE)), (503, "connect"), "{url}");
    }
    let groq = fake().await;
    groq.set_fault(Fault::ResetHead);
    let answer = Answer::read(relay(&edge, &groq, 1_000).send().await.unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header(FAILURE)), (503, "broken"));
}

#[tokio::test]
async fn an_event_arrives_before_the_next_is_sent() {
    let (edge, groq) = (TestEdge::start(&[]).await, fake().await);
    let steps = groq.step();
    let mut reader = EventReader::new(relay(&edge, &groq, 60_000).send().await.unwrap());
    for number in 1..=8 {
        assert_eq!(reader.next().now_or_never(), None, "nothing is sent before its time");
        steps.release(1);
        let event = timeout(PATIENCE, reader.next()).await.expect("an event is passed on at once").unwrap();
        assert!(event.starts_with(b"data: "), "{event:?}");
        assert_eq!(groq.requests()[0].events, number);
    }
    // The end of the body needs no release: the last event was the last.
    steps.release(1);
    assert_eq!(timeout(PATIENCE, reader.rest()).await.unwrap(), b"<Eof>");
    let said = noted(&edge.db, "relay").await;
    assert!(said.starts_with("Eof 8 ") && said.ends_with("data: [DONE]\n\n"), "{said}");
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_aborts_the_upstream() {
    let (edge, groq) = (TestEdge::start(&[]).await, fake().await);
    let steps = groq.step();
    let mut reader = EventReader::new(relay(&edge, &groq, 60_000).send().await.unwrap());
    steps.release(2);
    for _ in 0..2 {
        timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    }
    drop(reader);
    timeout(PATIENCE, groq.until(|seen| seen[0].outcome == Outcome::Aborted)).await.unwrap();
    let said = noted(&edge.db, "relay").await;
    assert!(said.starts_with("ClientLeft 2 "), "{said}");
}

/// Checklist 84: an upstream is read on behind a client that left, to its end or for so long as was asked.
#[tokio::test]
async fn a_stream_is_drained_behind_its_client() {
    let (edge, groq) = (TestEdge::start(&[]).await, fake().await);
    for (through_core, drain_ms, released, outcome, events) in [
        (false, 20_000, 8, Outcome::Finished, "ClientLeft 8 "),
        (true, 20_000, 8, Outcome::Finished, "ClientLeft 8 "),
        (false, 700, 1, Outcome::Aborted, "ClientLeft 3 "),
        (true, 700, 1, Outcome::Aborted, "ClientLeft 3 "),
    ] {
        groq.forget_requests();
        let steps = groq.step();
        let request = relay(&edge, &groq, 60_000).header(DRAIN_MS, drain_ms);
        let request = if through_core { request.header(THROUGH_CORE, "yes") } else { request };
        let mut reader = EventReader::new(request.send().await.unwrap());
        steps.release(2);
        for _ in 0..2 {
            timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        }
        drop(reader);
        // One after the other: a host may notice by the next event alone that nobody reads any more.
        for _ in 0..released {
            steps.release(1);
            sleep(Duration::from_millis(50)).await;
        }
        let said = noted(&edge.db, "relay").await;
        assert!(said.starts_with(events), "{through_core} {drain_ms}: {said}");
        let seen = timeout(PATIENCE, groq.until(|seen| seen[0].outcome != Outcome::Open)).await.unwrap();
        assert_eq!(seen[0].outcome, outcome, "{through_core} {drain_ms}");
    }
}

/// What the core changes goes out changed, with the last word behind it.
#[tokio::test]
async fn a_stream_can_pass_through_the_core() {
    let (edge, groq) = (TestEdge::start(&[]).await, fake().await);
    let answer = relay(&edge, &groq, 60_000).header(THROUGH_CORE, "yes").send().await.unwrap();
    let answer = Answer::read(answer).await;
    assert!(answer.body.ends_with(b"DATA: [DONE]\n\n<EOF>"), "{answer:?}");
    assert!(noted(&edge.db, "relay").await.starts_with("Eof 8 "));
}

#[tokio::test]
async fn a_stream_that_breaks_or_falls_silent_is_closed_with_a_word() {
    let (edge, groq) = (TestEdge::start(&[]).await, fake().await);
    for (fault, idle_ms, cause) in [
        (Fault::ResetAfter { events: 1 }, 60_000, "Broken"),
        (Fault::StallAfter { events: 3 }, 200, "Idle"),
        (Fault::CutAfter { events: 3 }, 60_000, "Eof"),
    ] {
        groq.set_fault(fault);
        let answer = Answer::read(relay(&edge, &groq, idle_ms).send().await.unwrap()).await;
        // A reset may overtake the head.
        if cause == "Broken" && answer.header(FAILURE) == "broken" {
            continue;
        }
        assert!(answer.body.ends_with(format!("<{cause}>").as_bytes()), "{fault}: {answer:?}");
        assert!(noted(&edge.db, "relay").await.starts_with(cause));
    }
}

/// Checklist 50's part.
#[tokio::test]
async fn a_stream_that_is_cut_aborts_the_upstream_and_is_closed_with_a_word() {
    let (edge, groq) = (TestEdge::start(&[]).await, fake().await);
    let steps = groq.step();
    let mut reader = EventReader::new(relay(&edge, &groq, 60_000).header(CUT_MS, 500).send().await.unwrap());
    steps.release(2);
    for _ in 0..2 {
        timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    }
    assert_eq!(timeout(PATIENCE, reader.rest()).await.unwrap(), b"<Cut>");
    timeout(PATIENCE, groq.until(|seen| seen[0].outcome == Outcome::Aborted)).await.unwrap();
    let said = noted(&edge.db, "relay").await;
    assert!(said.starts_with("Cut 2 "), "{said}");
}

/// Checklist 50's part: whoever does not read keeps no upstream at work.
#[tokio::test]
async fn a_stream_that_nobody_reads_is_cut_too() {
    const CHUNK: &[u8] = &[b'x'; 64 << 10];
    let edge = TestEdge::start(&[]).await;
    let gone = Arc::new(Notify::new());
    let tell = gone.clone();
    let endless = post(move || {
        // Dropped with the stream, when the edge has gone away.
        let end = Told(tell.clone());
        async move {
            let chunks = stream::repeat_with(move || {
                let _ = &end;
                Ok::<_, Infallible>(Bytes::from_static(CHUNK))
            });
            ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(chunks))
        }
    });
    let upstream = Double::serve(Router::new().route("/", endless)).await;
    let request = edge.post("/contract/relay").header(URL, &upstream.url).header(NOTE, "relay");
    let response = request.header(IDLE_MS, 60_000).header(CUT_MS, 500).send().await.unwrap();
    timeout(PATIENCE, gone.notified()).await.expect("the upstream is let go while its client does not read");
    let body = timeout(PATIENCE, response.bytes()).await.unwrap().unwrap();
    assert!(body.ends_with(b"x<Cut>"), "{} bytes", body.len());
    assert!(noted(&edge.db, "relay").await.starts_with("Cut 0 "));
}

/// Tells when it is dropped.
struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_not_relayed() {
    let (edge, groq) = (TestEdge::start(&[]).await, fake().await);
    for (fault, status) in [(Fault::status(StatusCode::TOO_MANY_REQUESTS), 429), (Fault::ContentType, 200)] {
        groq.set_fault(fault);
        let answer = Answer::read(relay(&edge, &groq, 60_000).send().await.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.header(ANSWER)), (status, "whole"));
    }
}

/// Sends every body back.
async fn echo() -> Double {
    let echo = post(|body: Bytes| async move { body });
    Double::serve(Router::new().route("/", echo).layer(DefaultBodyLimit::disable())).await
}

#[tokio::test]
async fn large_bodies_go_both_ways() {
    let (edge, echo) = (TestEdge::start(&[]).await, echo().await);
    let body: Bytes = (0..3_000_000_u32).map(|it| (it % 251) as u8).collect();
    let answer = Answer::read(fetch(&edge, &echo.url, body.clone()).send().await.unwrap()).await;
    assert!(answer.status == 200 && answer.body == body, "{} {}", answer.status, answer.body.len());
    // With a length that the client told before, and in chunks.
    let chunks: Vec<_> = body.chunks(70_000).map(|it| Ok::<_, std::io::Error>(it.to_vec())).collect();
    for body in [body.clone().into(), reqwest::Body::wrap_stream(stream::iter(chunks))] {
        let answer = Answer::read(edge.post("/contract/body").body(body).send().await.unwrap()).await;
        assert_eq!(answer.text(), "3000000 [0, 1, 2, 3]");
    }
}

#[tokio::test]
async fn two_hundred_at_once_get_each_their_own() {
    let (edge, echo) = (TestEdge::start(&[]).await, echo().await);
    let each = (0..200).map(async |number: i64| {
        let said = format!("number {number}");
        let (statement, params) = ("select $1::int8, pg_sleep(0)::text", [Value::Int(number)]);
        let (rows, echoed) =
            futures_util::join!(query(&edge, statement, &params), fetch(&edge, &echo.url, said.clone()).send());
        assert_eq!(rows.unwrap()[0][0], Value::Int(number));
        assert_eq!(Answer::read(echoed.unwrap()).await.text(), said);
    });
    join_all(each).await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let edge = TestEdge::start(&[]).await;
    let visits = Arc::new(AtomicUsize::new(0));
    let seen = visits.clone();
    let router = Router::new()
        .route("/", post(|| async { (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]) }))
        .route("/elsewhere", get(move || async move { seen.fetch_add(1, Ordering::SeqCst) }.map(|_| ())));
    let double = Double::serve(router).await;
    let response = fetch(&edge, &double.url, "").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn deferred_work_goes_on_without_who_asked_for_it() {
    let edge = TestEdge::start(&[]).await;
    let (asked, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, opened) = (asked.clone(), gate.clone());
    let wait = post(move || async move {
        seen.notify_one();
        opened.notified().await;
    });
    let double = Double::serve(Router::new().route("/", wait)).await;
    let request = edge.post("/contract/defer").header(URL, &double.url).header(NOTE, "defer");
    let asker = tokio::spawn(request.send());
    timeout(PATIENCE, asked.notified()).await.expect("deferred work begins while its request is under way");
    asker.abort();
    assert!(asker.await.unwrap_err().is_cancelled());
    gate.notify_one();
    assert_eq!(noted(&edge.db, "defer").await, "fetched Some(200)");
}

#[tokio::test]
async fn clock_and_randomness_are_real() {
    let edge = TestEdge::start(&[]).await;
    let now = || i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let mut drawn = BTreeSet::from([[0; 32]]);
    for _ in 0..3 {
        let before = now();
        let clock: Clock = edge.get("/contract/clock").send().await.unwrap().json().await.unwrap();
        let after = now();
        // A host may round its clock to milliseconds, either way.
        assert!((before - 1..=after + 1).contains(&clock.now_ms), "{before} {clock:?} {after}");
        assert!(clock.later_ms - clock.now_ms >= 29 && clock.later_ms <= after + 1, "{clock:?} {after}");
        drawn.extend(clock.random);
    }
    assert_eq!(drawn.len(), 7, "nothing is drawn twice, not even by two instances");
}

#[tokio::test]
async fn files_are_served_where_the_router_has_no_route() {
    let edge = TestEdge::start(&[]).await;
    let page = Answer::read(edge.get("/").send().await.unwrap()).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text().contains("AI Tool Nest"));
    for path in ["/nothing", "/nothing.html", "/../Cargo.toml", "/.env", "/api/v1/index.html"] {
        let answer = Answer::read(edge.get(path).send().await.unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (404, "application/problem+json"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_edge_whose_settings_are_wrong_says_so_to_its_operator_alone() {
    let wrong = [("APP_ENV", "canary-environment"), ("SECRET_KEY", "canary-secret")];
    if Kind::chosen() == Kind::Native {
        let serve = Nest::new(NEST, &lasting::folder("serve"), "serve");
        let ran = wrong.into_iter().fold(serve, |serve, (name, value)| serve.env(name, value)).run().await;
        assert_ne!(ran.code, 0, "a program with such settings does not start");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("APP_ENV") && said.contains("SECRET_KEY") && !said.contains("canary"), "{said}");
        return;
    }
    let edge = TestEdge::raw(&wrong).await;
    for path in ["/healthz", "/readyz", "/v1/models"] {
        let answer = Answer::read(edge.get(path).send().await.unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (500, "application/problem+json"),
            "{path}"
        );
        assert_eq!(answer.json()["code"], "misconfigured");
        assert!(!answer.text().contains("canary"), "{}", answer.text());
    }
    let log = edge.running.log().expect("a WASM host keeps a log").to_owned();
    edge.stop().await;
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("APP_ENV") && log.contains("SECRET_KEY") && !log.contains("canary"), "{log}");
}
