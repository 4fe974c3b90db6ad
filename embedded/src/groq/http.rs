//! The routes: Groq's own, and `/fake/*` to steer it from another process.

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::chat::{ChatRequest, Reply, Usage, request_id};
use super::connection::Reset;
use super::fault::NotAFault;
use super::playback::Playback;
use super::record::{Entry, Outcome};
use super::refusal::Refusal;
use super::shared::{Plan, Shared};
use super::{API_KEY, Fault, MODELS, answer};

pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/openai/v1/models", get(models))
        .route("/openai/v1/models/{*id}", get(model))
        .route("/openai/v1/chat/completions", post(chat))
        .route("/fake/faults", post(set_fault).delete(clear_faults))
        .route("/fake/requests", get(requests).delete(forget_requests))
        .fallback(unknown)
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

async fn models(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let mut entry = shared.record.open(method, uri.path().to_owned(), headers.clone(), Value::Null);
    let response = match authorized(&headers) {
        Ok(()) => Json(json!({ "object": "list", "data": MODELS.map(described) })).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    entry.close(Outcome::Finished);
    response
}

async fn model(Path(id): Path<String>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    authorized(&headers)?;
    MODELS.into_iter().find(|known| *known == id).map(described).map(Json).ok_or_else(|| Refusal::no_model(&id))
}

async fn chat(
    State(shared): State<Shared>,
    Extension(reset): Extension<Reset>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut entry = shared.record.open(Method::POST, uri.path().to_owned(), headers.clone(), value.clone());
    let number = shared.next_number();
    match admit(&shared, &headers, value) {
        Ok((request, fault)) => {
            let mut response = reply(&shared, &request, fault, number, entry, reset).await;
            for (name, value) in LIMITS {
                response.headers_mut().insert(HeaderName::from_static(name), value.parse().expect("a static value"));
            }
            response.headers_mut().insert("x-request-id", request_id(number).parse().expect("letters and digits"));
            response
        }
        Err(refusal) => {
            entry.close(Outcome::Finished);
            refusal.into_response()
        }
    }
}

/// The request, and the fault that it or the test asks for.
fn admit(shared: &Shared, headers: &HeaderMap, body: Value) -> Result<(ChatRequest, Option<Fault>), Refusal> {
    authorized(headers)?;
    let request = serde_json::from_value::<ChatRequest>(body);
    let mut request = request.map_err(|error| Refusal::bad_request(format!("{error}")))?;
    let mut named = headers.get("x-fake-fault").map(|name| name.to_str().unwrap_or_default().to_owned());
    if let Some((model, fault)) = request.model.split_once('@') {
        named = Some(fault.to_owned());
        request.model = model.to_owned();
    }
    let fault = match named {
        Some(name) => Some(name.parse().map_err(|error: NotAFault| Refusal::bad_request(error.to_string()))?),
        None => shared.planned_fault(&request.model),
    };
    if !MODELS.contains(&request.model.as_str()) {
        return Err(Refusal::no_model(&request.model));
    }
    if request.messages.is_empty() {
        return Err(Refusal::bad_request("'messages' : minimum number of items is 1".to_owned()));
    }
    if request.n.is_some_and(|n| n != 1) {
        return Err(Refusal::bad_request("'n' : number must be at most 1".to_owned()));
    }
    Ok((request, fault))
}

async fn reply(
    shared: &Shared,
    request: &ChatRequest,
    fault: Option<Fault>,
    number: u64,
    mut entry: Entry,
    reset: Reset,
) -> Response {
    match fault {
        Some(Fault::Status { status, retry_after_s }) => {
            entry.close(Outcome::Faulted);
            return Refusal::fault(status, retry_after_s, &request.model).into_response();
        }
        Some(Fault::StallHead) => return std::future::pending().await,
        Some(Fault::ResetHead) => {
            entry.close(Outcome::Faulted);
            reset.on_close();
            // The head goes nowhere: a body that fails at once takes the connection with it.
            let failing = stream::once(async { Err::<Bytes, _>(std::io::Error::other("reset")) });
            return Body::from_stream(failing).into_response();
        }
        Some(Fault::Garbage) => {
            entry.close(Outcome::Faulted);
            return ([(header::CONTENT_TYPE, json_or_events(request))], "\u{1}<<not an answer>>").into_response();
        }
        _ => {}
    }
    let answer = answer::answer(request);
    let usage = if fault == Some(Fault::NoUsage) { Usage::Missing } else { Usage::Told };
    let reply = Reply { request, answer: &answer, number, usage };
    let events = if request.stream { reply.events() } else { halves(&reply.whole()) };
    let content_type = if fault == Some(Fault::ContentType) { "text/html" } else { json_or_events(request) };
    let playback = Playback::new(events, fault, shared.gate(), entry, reset);
    let body = Body::from_stream(playback.into_stream());
    let no_cache = (header::CACHE_CONTROL, "no-cache");
    ([(header::CONTENT_TYPE, content_type), no_cache], body).into_response()
}

fn json_or_events(request: &ChatRequest) -> &'static str {
    if request.stream { "text/event-stream" } else { "application/json" }
}

/// A body in two parts, so that a fault can come between.
fn halves(body: &Value) -> Vec<Bytes> {
    let text = Bytes::from(body.to_string());
    vec![text.slice(..text.len() / 2), text.slice(text.len() / 2..)]
}

async fn set_fault(State(shared): State<Shared>, Json(plan): Json<PlanBody>) -> Result<StatusCode, Refusal> {
    let fault = plan.fault.parse().map_err(|error: NotAFault| Refusal::bad_request(error.to_string()))?;
    shared.plan(Plan { fault, times: plan.times, model: plan.model });
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct PlanBody {
    fault: String,
    times: Option<u32>,
    model: Option<String>,
}

async fn clear_faults(State(shared): State<Shared>) -> StatusCode {
    shared.clear_plans();
    StatusCode::NO_CONTENT
}

async fn requests(State(shared): State<Shared>) -> Json<Value> {
    let seen = shared.record.all().into_iter().map(|seen| {
        let headers = seen.headers.iter().map(|(name, value)| {
            (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes()).into_owned()))
        });
        json!({ "method": seen.method.as_str(), "path": seen.path, "headers": headers.collect::<Map<_, _>>(),
                "body": seen.body, "events": seen.events, "outcome": seen.outcome.name() })
    });
    Json(seen.collect())
}

async fn forget_requests(State(shared): State<Shared>) -> StatusCode {
    shared.record.clear();
    StatusCode::NO_CONTENT
}

async fn unknown(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Refusal {
    let value = serde_json::from_slice(&body).unwrap_or_default();
    let mut entry = shared.record.open(method.clone(), uri.path().to_owned(), headers, value);
    entry.close(Outcome::Finished);
    Refusal::unknown_url(&method, &uri)
}

fn authorized(headers: &HeaderMap) -> Result<(), Refusal> {
    let key = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if key == Some(API_KEY) { Ok(()) } else { Err(Refusal::invalid_key()) }
}

fn described(id: &str) -> Value {
    let owner = if id.starts_with("deepseek") { "DeepSeek / Meta" } else { "Meta" };
    json!({ "id": id, "object": "model", "created": 1_733_447_754, "owned_by": owner, "active": true,
            "context_window": 131_072, "public_apps": null, "max_completion_tokens": 32_768 })
}

/// What Groq says of its limits with every answer.
const LIMITS: [(&str, &str); 6] = [
    ("x-ratelimit-limit-requests", "14400"),
    ("x-ratelimit-limit-tokens", "18000"),
    ("x-ratelimit-remaining-requests", "14370"),
    ("x-ratelimit-remaining-tokens", "17997"),
    ("x-ratelimit-reset-requests", "2m59.56s"),
    ("x-ratelimit-reset-tokens", "7.66s"),
];
