//! The contract that every host must pass; here the native one does.

use axum::{
    Router,
    body::Body,
    extract::DefaultBodyLimit,
    http::{StatusCode, header},
    routing::{get, post},
};
use bytes::Bytes;
use edge_core::{
    Host,
    host::{EndCause, FetchError, RelayOptions, Relayed, SqlError, StreamEnd, Value, random},
};
use edge_native::Native;
use embedded::groq::{API_KEY, FakeGroq, Fault, Outcome};
use futures_util::{FutureExt as _, future::join_all};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use nest_tests::{Double, PATIENCE, TestDb, double::nowhere, edge};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};
use tokio::{sync::oneshot, time::timeout};

async fn host() -> Arc<dyn Host> {
    Arc::new(Native::new(&edge::config(&TestDb::migrated().await, &[])).unwrap())
}

async fn fake() -> FakeGroq {
    FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap()
}

/// A streamed chat of a fake upstream with 8 events: the role, five words, the finish, and `[DONE]`.
fn stream(groq: &FakeGroq) -> Request<Bytes> {
    let body = json!({ "model": "llama-3.3-70b-versatile", "stream": true,
                       "messages": [{ "role": "user", "content": "Count to 5" }] });
    Request::post(format!("{}/chat/completions", groq.url()))
        .header(header::AUTHORIZATION, format!("Bearer {API_KEY}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into())
        .unwrap()
}

fn options(idle_ms: u64) -> RelayOptions {
    RelayOptions { idle_ms, close: Box::new(|end: &StreamEnd| format!("<{:?}>", end.cause).into()) }
}

async fn relay(host: &dyn Host, groq: &FakeGroq, idle_ms: u64) -> (Response<Body>, impl Future<Output = StreamEnd>) {
    match host.relay(stream(groq), options(idle_ms)).await.unwrap() {
        Relayed::Stream { response, end } => (response, end),
        Relayed::Answer(response) => panic!("no stream, but {}", response.status()),
    }
}

async fn chunk(body: &mut Body) -> Option<Bytes> {
    let frame = timeout(PATIENCE, body.frame()).await.expect("a chunk comes soon")?;
    Some(frame.unwrap().into_data().unwrap())
}

#[tokio::test]
async fn sql_values_come_back_as_they_went() {
    let host = host().await;
    let megabyte = "ä€😀x".repeat(100_000);
    let texts = ["", " ", "ünïcödé \u{1F980} \u{FEFF}", "'; drop table users; --", "line\r\n\t\u{1}", &megabyte];
    let floats = [0.0, -0.0, 0.1, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY];
    let all = [Value::Bool(true), Value::Bool(false)]
        .into_iter()
        .chain([0, 1, -1, i64::MAX, i64::MIN].map(Value::Int))
        .chain(floats.map(Value::Float))
        .chain(texts.map(|it| Value::Text(it.to_owned())))
        .chain([vec![], vec![0], (0..=255).collect(), vec![7; 1 << 20]].map(Value::Bytes));
    for value in all {
        let statement = match value {
            Value::Bool(_) => "select $1::bool",
            Value::Int(_) => "select $1::int8",
            Value::Float(_) => "select $1::float8",
            Value::Text(_) => "select $1::text",
            Value::Bytes(_) | Value::Null => "select $1::bytea",
        };
        let rows = host.query(statement, vec![value.clone()]).await.unwrap();
        assert!(rows.len() == 1 && rows[0].0 == [value.clone()], "{value:?}");
        let rows = host.query(statement, vec![Value::Null]).await.unwrap();
        assert_eq!(rows[0].0, [Value::Null]);
    }
    let rows =
        host.query("select n, n::text from generate_series(1, 3) n(n) where n > $1::int8::int4", vec![Value::Int(3)]);
    assert!(rows.await.unwrap().is_empty());
}

#[tokio::test]
async fn sql_failures_have_the_kind_that_the_core_acts_on() {
    let host = host().await;
    let text = |it: &str| Value::Text(it.to_owned());
    let insert = "insert into users (id, email) values ($1::text::uuid, $2::text)";
    let ids = ["00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"];
    host.query(insert, vec![text(ids[0]), text("ada@example.com")]).await.unwrap();
    let error = host.query(insert, vec![text(ids[1]), text("ada@example.com")]).await.unwrap_err();
    assert!(matches!(&error, SqlError::Conflict { constraint } if constraint == "users_email_key"), "{error:?}");
    let error = host.query(insert, vec![text(ids[1]), text("nul\0@example.com")]).await.unwrap_err();
    assert!(matches!(error, SqlError::BadValue(_)), "{error:?}");
    let error = host.query("select $1::text::uuid", vec![text("no uuid")]).await.unwrap_err();
    assert!(matches!(error, SqlError::BadValue(_)), "{error:?}");
    let error = host.query("select 1::int8, 2::int4", vec![]).await.unwrap_err();
    assert!(matches!(error, SqlError::Column { index: 1 }), "{error:?}");
    let error = host.query("select $1::int8", vec![text("1")]).await.unwrap_err();
    assert!(matches!(error, SqlError::Failed(_)), "{error:?}");
    let error = host.query("select nothing from nowhere", vec![]).await.unwrap_err();
    assert!(matches!(error, SqlError::Failed(_)), "{error:?}");
    // None of them spoils the connection for the next.
    assert_eq!(host.query("select 1::int8", vec![]).await.unwrap()[0].0, [Value::Int(1)]);
}

#[tokio::test]
async fn a_statement_is_a_transaction() {
    let host = host().await;
    let statement = "
        with made as (insert into users (id, email) values ('00000000-0000-7000-8000-000000000001', 'a@example.com')
            returning 1)
        select (1 / (count(*) - 1))::int8 from made";
    assert!(host.query(statement, vec![]).await.is_err());
    let rows = host.query("select count(*)::int8 from users where email = 'a@example.com'", vec![]).await.unwrap();
    assert_eq!(rows[0].0, [Value::Int(0)]);
}

#[tokio::test]
async fn what_is_not_there_is_told_as_such() {
    let url = nowhere().replace("http", "postgres");
    let config = edge::config(&TestDb::migrated().await, &[("DATABASE_URL", &url)]);
    let host = Native::new(&config).unwrap();
    let error = host.query("select 1::int8", vec![]).await.unwrap_err();
    assert!(matches!(error, SqlError::Unavailable(_)), "{error:?}");
    let error = host.fetch(Request::get(nowhere()).body(Bytes::new()).unwrap()).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect(_)), "{error:?}");
    let error = host.fetch(Request::get("http://no-such-host.invalid/").body(Bytes::new()).unwrap()).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect(_)), "{error:?}");
    let groq = fake().await;
    groq.set_fault(Fault::ResetHead);
    let error = host.fetch(stream(&groq)).await.unwrap_err();
    assert!(matches!(error, FetchError::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn an_event_arrives_before_the_next_is_sent() {
    let (host, groq) = (host().await, fake().await);
    let steps = groq.step();
    let (response, end) = relay(&*host, &groq, 60_000).await;
    let mut body = response.into_body();
    for _ in 0..8 {
        assert_eq!(body.frame().now_or_never().map(|it| it.is_some()), None, "nothing is sent before its time");
        steps.release(1);
        let event = chunk(&mut body).await.unwrap();
        assert!(event.starts_with(b"data: ") && event.ends_with(b"\n\n"), "{event:?}");
    }
    // The end of the body needs no release: the last event was the last.
    steps.release(1);
    assert_eq!(chunk(&mut body).await.unwrap(), "<Eof>");
    assert_eq!(chunk(&mut body).await, None);
    let end = end.await;
    assert_eq!((end.cause, end.events), (EndCause::Eof, 8));
    assert!(end.tail.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn dropping_a_relayed_body_aborts_the_upstream() {
    let (host, groq) = (host().await, fake().await);
    let steps = groq.step();
    let (response, end) = relay(&*host, &groq, 60_000).await;
    let mut body = response.into_body();
    steps.release(2);
    for _ in 0..2 {
        chunk(&mut body).await.unwrap();
    }
    drop(body);
    let end = timeout(PATIENCE, end).await.unwrap();
    assert_eq!((end.cause, end.events), (EndCause::ClientLeft, 2));
    timeout(PATIENCE, groq.until(|seen| seen[0].outcome == Outcome::Aborted)).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_breaks_or_falls_silent_is_closed_with_a_word() {
    let (host, groq) = (host().await, fake().await);
    for (fault, idle_ms, cause) in [
        (Fault::ResetAfter { events: 0 }, 60_000, EndCause::Broken),
        (Fault::StallAfter { events: 3 }, 200, EndCause::Idle),
        (Fault::CutAfter { events: 3 }, 60_000, EndCause::Eof),
    ] {
        groq.set_fault(fault);
        let (response, end) = match host.relay(stream(&groq), options(idle_ms)).await {
            Ok(Relayed::Stream { response, end }) => (response, end),
            // A reset may overtake the head.
            Err(FetchError::Broken(_)) if cause == EndCause::Broken => continue,
            _ => panic!("{fault}"),
        };
        let body = timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
        assert!(body.ends_with(format!("<{cause:?}>").as_bytes()), "{fault}: {body:?}");
        assert_eq!(end.await.cause, cause);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_not_relayed() {
    let (host, groq) = (host().await, fake().await);
    for (fault, status) in [(Fault::status(StatusCode::TOO_MANY_REQUESTS), 429), (Fault::ContentType, 200)] {
        groq.set_fault(fault);
        let Relayed::Answer(response) = host.relay(stream(&groq), options(60_000)).await.unwrap() else {
            panic!("{fault} is relayed")
        };
        assert_eq!(response.status(), status);
    }
}

/// Sends every body back.
async fn echo() -> Double {
    let echo = post(|body: Bytes| async move { body });
    Double::serve(Router::new().route("/", echo).layer(DefaultBodyLimit::disable())).await
}

#[tokio::test]
async fn large_bodies_go_both_ways() {
    let (host, echo) = (host().await, echo().await);
    let body: Bytes = (0..3_000_000_u32).map(|it| (it % 251) as u8).collect();
    let response = host.fetch(Request::post(&echo.url).body(body.clone()).unwrap()).await.unwrap();
    assert!(response.into_body().collect().await.unwrap().to_bytes() == body);
}

#[tokio::test]
async fn two_hundred_at_once_get_each_their_own() {
    let (host, echo) = (host().await, echo().await);
    let each = (0..200).map(|number: i64| {
        let (host, url) = (host.clone(), echo.url.clone());
        tokio::spawn(async move {
            let rows = host.query("select $1::int8, pg_sleep(0)::text", vec![Value::Int(number)]);
            let request = Request::post(url).body(format!("number {number}").into()).unwrap();
            let (rows, response) = futures_util::join!(rows, host.fetch(request));
            assert_eq!(rows.unwrap()[0].0[0], Value::Int(number));
            let body = response.unwrap().into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("number {number}"));
        })
    });
    for done in join_all(each).await {
        done.unwrap();
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let host = host().await;
    let visits = Arc::new(AtomicUsize::new(0));
    let seen = visits.clone();
    let router = Router::new()
        .route("/", get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]) }))
        .route("/elsewhere", get(move || async move { seen.fetch_add(1, Ordering::SeqCst) }.map(|_| ())));
    let double = Double::serve(router).await;
    let response = host.fetch(Request::get(&double.url).body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn deferred_work_goes_on_without_who_asked_for_it() {
    let host = host().await;
    let (gate, gated) = oneshot::channel::<()>();
    let (done, finished) = oneshot::channel();
    let asker = tokio::spawn(async move {
        host.defer(async move { done.send(gated.await.is_ok()).unwrap() }.boxed());
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    asker.abort();
    assert!(asker.await.unwrap_err().is_cancelled());
    gate.send(()).unwrap();
    assert!(timeout(PATIENCE, finished).await.unwrap().unwrap());
}

#[tokio::test]
async fn clock_and_randomness_are_real() {
    let host = host().await;
    let now = || i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let (before, told, after) = (now(), host.now().0, now());
    assert!((before..=after).contains(&told), "{before} {told} {after}");
    let (a, b) = (random::<32>(&*host), random::<32>(&*host));
    assert!(a != b && a != [0; 32]);
    let started = std::time::Instant::now();
    host.sleep(30).await;
    assert!(started.elapsed().as_millis() >= 30);
}
