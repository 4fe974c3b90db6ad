//! A request to the API, from its bytes to its answer: who asks, what goes wrong, what was answered before, and then the
//! call itself.

use crate::{
    API_VERSION, api,
    faults::Fault,
    form::Form,
    idempotency::Answer,
    random,
    refusal::Refusal,
    shared::Shared,
    world::{Seen, World},
};
use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use base64::Engine as _;
use http::{HeaderMap, Method, header};
use std::time::Duration;

/// The longest body that is read.
const BODY_BYTES: usize = 1 << 20;

/// Marks a response that is never sent: the connection is cut instead.
#[derive(Clone, Copy)]
pub(crate) struct Cut;

/// A request, read.
struct Asked {
    method: Method,
    path: String,
    /// The call as it must be the same again under one idempotency key.
    same: String,
    form: Form,
    headers: HeaderMap,
}

/// What is answered to a request, and how late.
struct Outcome {
    /// Nothing where the connection is cut.
    answer: Option<Answer>,
    replayed: bool,
    late_ms: u64,
}

pub(crate) async fn api(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES).await else {
        return (http::StatusCode::PAYLOAD_TOO_LARGE, "").into_response();
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    let query = parts.uri.query().unwrap_or_default();
    let form = Form::parse(if parts.method == Method::POST { &body } else { query });
    let path = parts.uri.path().to_owned();
    let same = format!("{} {path}?{query}\n{body}", parts.method);
    let asked = Asked { method: parts.method, path, same, form, headers: parts.headers };
    let outcome = shared.act(|world| world.serve(&asked, shared.secret_key()));
    if outcome.late_ms > 0 {
        tokio::time::sleep(Duration::from_millis(outcome.late_ms)).await;
    }
    response(&asked, outcome)
}

impl World {
    fn serve(&mut self, asked: &Asked, secret_key: &str) -> Outcome {
        let fault = self.faults.next(asked.method.as_str(), &asked.path, &mut self.chance);
        let (mut answer, mut replayed) = (None, false);
        if fault != Some(Fault::LoseRequest) {
            let given = self.answer(asked, secret_key, fault);
            replayed = given.1;
            answer = Some(given.0).filter(|_| fault != Some(Fault::LoseAnswer));
        }
        self.seen.push(Seen {
            method: asked.method.to_string(),
            path: asked.path.clone(),
            form: asked.form.tree().clone(),
            idempotency_key: asked.header("idempotency-key"),
            api_version: asked.header("stripe-version"),
            status: answer.as_ref().map_or(0, |it| it.status),
            replayed,
        });
        let late_ms = if let Some(Fault::Late(ms)) = fault { ms } else { 0 };
        Outcome { answer, replayed, late_ms }
    }

    /// The answer, and whether it is one that was given before.
    fn answer(&mut self, asked: &Asked, secret_key: &str, fault: Option<Fault>) -> (Answer, bool) {
        let request = random::id("req");
        let refused = |refusal: Refusal| Answer {
            status: refusal.status,
            body: pretty(&refusal.body()),
            request: request.clone(),
        };
        if let Err(refusal) = asked.authorized(secret_key) {
            return (refused(refusal), false);
        }
        if let Some(Fault::Refuse(status)) = fault {
            return (refused(unwell(status)), false);
        }
        let key = asked.header("idempotency-key").filter(|_| asked.method == Method::POST);
        let now = self.now();
        if let Some(key) = &key {
            match self.kept.find(key, &asked.same, now) {
                Ok(Some(answer)) => return (answer, true),
                Ok(None) => {}
                Err(refusal) => return (refused(refusal), false),
            }
        }
        let result = if fault == Some(Fault::Fail) {
            Err(unwell(500))
        } else {
            self.request = Some((request.clone(), key.clone()));
            let result = api::call(self, &asked.method, &asked.path, &asked.form);
            self.request = None;
            result
        };
        let answer = match result {
            Ok(value) => Answer { status: 200, body: pretty(&value), request: request.clone() },
            Err(refusal) => refused(refusal),
        };
        // What was wrong before anything began may be mended, and said again under the same key.
        if let Some(key) = key.filter(|_| answer.status < 400 || answer.status == 402 || answer.status >= 500) {
            self.kept.keep(&key, &asked.same, now, answer.clone());
        }
        (answer, false)
    }
}

impl Asked {
    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(str::to_owned)
    }

    /// Whether the secret key is given, as a bearer token or as the name of basic authentication.
    fn authorized(&self, secret_key: &str) -> Result<(), Refusal> {
        let given = self.header(header::AUTHORIZATION.as_str()).unwrap_or_default();
        let (scheme, value) = given.split_once(' ').unwrap_or_default();
        let given = if scheme.eq_ignore_ascii_case("basic") {
            let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).unwrap_or_default();
            String::from_utf8_lossy(&decoded).split(':').next().unwrap_or_default().to_owned()
        } else {
            value.trim().to_owned()
        };
        if given == secret_key {
            return Ok(());
        }
        let message = if given.is_empty() {
            "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').".to_owned()
        } else {
            let tail: String = given.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
            format!("Invalid API Key provided: ****{tail}")
        };
        Err(Refusal::of(401, "invalid_request_error", message))
    }
}

fn unwell(status: u16) -> Refusal {
    match status {
        429 => Refusal::of(429, "invalid_request_error", "Request rate limit exceeded.").code("rate_limit"),
        409 => Refusal::of(
            409,
            "idempotency_error",
            "There is currently another in-progress request using this Idempotent Key.",
        )
        .code("idempotency_key_in_use"),
        other => Refusal::of(other, "api_error", "An unknown error occurred, as a test asked for."),
    }
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn response(asked: &Asked, outcome: Outcome) -> Response {
    let Some(answer) = outcome.answer else {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(Cut);
        return response;
    };
    let version = asked.header("stripe-version").unwrap_or_else(|| API_VERSION.to_owned());
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-cache, no-store")
        .header("stripe-version", version)
        .header("request-id", if outcome.replayed { random::id("req") } else { answer.request.clone() });
    if let Some(key) = asked.header("idempotency-key") {
        response = response.header("idempotency-key", key).header("original-request", &answer.request);
    }
    if outcome.replayed {
        response = response.header("idempotent-replayed", "true");
    }
    if answer.status == 401 {
        response = response.header(header::WWW_AUTHENTICATE, "Basic realm=\"Stripe\"");
    }
    response.body(Body::from(answer.body)).unwrap_or_default()
}
