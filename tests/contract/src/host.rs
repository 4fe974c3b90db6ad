//! A route for each thing that a host lends.
//!
//! What happens behind an answer is told in the table `contract_notes`, which the tests make and watch.

use crate::Wire;
use axum::{
    Json, Router,
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use edge_core::{
    App, Error,
    host::{FetchError, RelayOptions, Relayed, SqlError, StreamEnd, StreamReader, Value, random},
};
use futures_util::{
    FutureExt as _,
    future::{Either, pending, select},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};

/// The header that says where to send a request.
pub const URL: &str = "x-contract-url";
/// The header that names the note to be written behind the answer.
pub const NOTE: &str = "x-contract-note";
/// The header that bounds the silence of a relayed stream.
pub const IDLE_MS: &str = "x-contract-idle-ms";
/// The header that says for how long a relayed stream is read on behind a client that left; not at all without it.
pub const DRAIN_MS: &str = "x-contract-drain-ms";
/// The header that has the core read a relayed stream, whatever it says.
pub const THROUGH_CORE: &str = "x-contract-through-core";
/// The header that says after how long a relayed stream is cut, if at all.
pub const CUT_MS: &str = "x-contract-cut-ms";
/// The header on an answer that a host did not relay as a stream.
pub const ANSWER: &str = "x-contract-answer";
/// The header that tells which kind of failure a statement or a fetch was, and its constraint.
pub const FAILURE: &str = "x-contract-failure";

/// One statement and its parameters.
#[derive(Debug, Serialize, Deserialize)]
pub struct Query {
    pub statement: String,
    pub params: Vec<Wire>,
}

/// What a host says of time and chance.
#[derive(Debug, Serialize, Deserialize)]
pub struct Clock {
    pub now_ms: i64,
    /// The time after a sleep of 30 ms.
    pub later_ms: i64,
    pub random: [[u8; 32]; 2],
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/contract/query", post(query))
        .route("/contract/fetch", post(fetch))
        .route("/contract/relay", post(relay))
        .route("/contract/defer", post(defer))
        .route("/contract/body", post(body))
        .route("/contract/clock", get(clock))
}

async fn query(app: App, Json(query): Json<Query>) -> Response {
    let params = query.params.into_iter().map(Value::from).collect();
    // A host takes only statements that live as long as the program does.
    match app.host().query(query.statement.leak(), params).await {
        Ok(rows) => {
            let rows: Vec<Vec<Wire>> = rows.iter().map(|row| row.0.iter().map(Wire::from).collect()).collect();
            Json(rows).into_response()
        }
        Err(error) => {
            let kind = match &error {
                SqlError::Conflict { constraint } => format!("conflict {constraint}"),
                SqlError::BadValue(_) => "bad_value".to_owned(),
                SqlError::Column { index } => format!("column {index}"),
                SqlError::Unavailable(_) => "unavailable".to_owned(),
                SqlError::Failed(_) => "failed".to_owned(),
            };
            failed(&error.into(), &kind)
        }
    }
}

async fn fetch(app: App, request: Request) -> Response {
    let request = outbound(request).await;
    match app.host().fetch(request).await {
        Ok(response) => ours(response),
        Err(error) => fetch_failed(error),
    }
}

async fn relay(app: App, request: Request) -> Response {
    let headers = request.headers().clone();
    let idle_ms = text(&headers, IDLE_MS).parse().expect("a test bounds the silence");
    let drain_ms = text(&headers, DRAIN_MS).parse().unwrap_or(0);
    let reader = if headers.contains_key(THROUGH_CORE) { StreamReader::Core } else { StreamReader::Client };
    let close = Box::new(|end: &StreamEnd| format!("<{:?}>", end.cause).into());
    match app.host().relay(outbound(request).await, RelayOptions { idle_ms, drain_ms, reader, close }).await {
        Ok(Relayed::Stream { response, end, cut }) => {
            let response = if reader == StreamReader::Core { shouted(response) } else { response };
            let task = app.clone();
            let knife = text(&headers, CUT_MS).parse().map_or_else(|_| pending().boxed(), |ms| app.host().sleep(ms));
            app.host().defer(
                async move {
                    let end = match select(end, knife).await {
                        Either::Left((end, _)) => end,
                        Either::Right(((), end)) => {
                            cut();
                            end.await
                        }
                    };
                    let tail = String::from_utf8_lossy(&end.tail).into_owned();
                    note(&task, &headers, format!("{:?} {} {tail}", end.cause, end.events)).await;
                }
                .boxed(),
            );
            ours(response)
        }
        Ok(Relayed::Answer(response)) => {
            let mut response = ours(response);
            response.headers_mut().insert(HeaderName::from_static(ANSWER), HeaderValue::from_static("whole"));
            response
        }
        Err(error) => fetch_failed(error),
    }
}

/// The same stream in capital letters, as only who has its bytes can make it.
fn shouted(response: Response) -> Response {
    response.map(|body| Body::new(body.map_frame(|frame| frame.map_data(|data| data.to_ascii_uppercase().into()))))
}

/// Defers a fetch, and a note when it has its answer. Answers never: who asks has to leave.
async fn defer(app: App, request: Request) -> Response {
    let headers = request.headers().clone();
    let request = outbound(request).await;
    let task = app.clone();
    app.host().defer(
        async move {
            let status = task.host().fetch(request).await.map(|it| it.status().as_u16());
            note(&task, &headers, format!("fetched {:?}", status.ok())).await;
        }
        .boxed(),
    );
    std::future::pending().await
}

/// Reads a body to its end, and says how long it was and what it began with.
async fn body(request: Request) -> Result<String, String> {
    let bytes = request.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok(format!("{} {:?}", bytes.len(), &bytes[..bytes.len().min(4)]))
}

async fn clock(app: App) -> Json<Clock> {
    let host = app.host();
    let now_ms = host.now().0;
    host.sleep(30).await;
    Json(Clock { now_ms, later_ms: host.now().0, random: [random(&**host), random(&**host)] })
}

/// The request that a test wants the host to make: its body, its content type and its credentials.
async fn outbound(request: Request) -> http::Request<Bytes> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a test sends whole bodies").to_bytes();
    let request = http::Request::post(text(&head.headers, URL));
    [header::CONTENT_TYPE, header::AUTHORIZATION]
        .into_iter()
        .filter_map(|name| Some((head.headers.get(&name)?.clone(), name)))
        .fold(request, |request, (value, name)| request.header(name, value))
        .body(body)
        .expect("a test names a URL")
}

/// An upstream's response as the edge hands it on: status and body, and what a host has put into the extensions. Its
/// headers are about its own connection.
fn ours(upstream: Response) -> Response {
    let (head, body) = upstream.into_parts();
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.extensions_mut() = head.extensions;
    response
}

/// Tells what happened behind an answer.
async fn note(app: &App, headers: &HeaderMap, said: String) {
    let statement = "insert into contract_notes (name, said) values ($1::text, $2::text)";
    let params = vec![Value::Text(text(headers, NOTE)), Value::Text(said)];
    app.host().query(statement, params).await.expect("the tests' database has the table");
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned()
}

fn fetch_failed(error: FetchError) -> Response {
    let kind = match error {
        FetchError::Connect(_) => "connect",
        FetchError::Broken(_) => "broken",
    };
    failed(&error.into(), kind)
}

/// The status that the edge's own routes would answer with, and the kind.
fn failed(error: &Error, kind: &str) -> Response {
    (error.status(), [(HeaderName::from_static(FAILURE), kind)], ()).into_response()
}
