//! Stripe's API: forms go out, objects come back. Every object is asked for in one version of the API, and every POST
//! carries a key that is derived from our row, so that a second try is never a second effect.

use super::objects::{self, is_id};
use crate::{App, error::chain};
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{Either, select},
};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::form_urlencoded::Serializer;

/// The version of Stripe's API in which objects are read; the webhook endpoint is made with the same.
pub const API_VERSION: &str = "2026-09-30.endive";

/// Longest wait for a whole answer.
const WITHIN_MS: u64 = 10_000;
/// Tries of one call, and the wait before the second; it doubles.
const TRIES: u32 = 3;
const PAUSE_MS: u64 = 250;
/// A page of a hundred long objects is shorter.
const BODY_BYTES: usize = 4 * 1024 * 1024;
/// How much of a refusal is kept.
const REFUSAL_CHARS: usize = 300;
/// Entries on a page of a list: as many as Stripe gives.
const PAGE: &str = "100";
/// Pages of a list that are read at most.
const PAGES: usize = 100;

/// Why Stripe did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StripeError {
    #[error("payments are off: there is no key for Stripe")]
    Off,
    /// No answer, or none that says anything about the call: it may have had its effect.
    #[error("Stripe gave no answer: {0}")]
    Away(String),
    #[error("Stripe refused ({status}, {code}): {message}")]
    Refused {
        status: StatusCode,
        /// Stripe's code, or else its type.
        code: String,
        message: String,
        /// The payment that was refused, where there is one.
        payment_intent: Option<String>,
    },
}

impl StripeError {
    /// Whether another try may come to another end.
    pub(in crate::billing) fn is_passing(&self) -> bool {
        match self {
            Self::Off | Self::Away(_) => true,
            Self::Refused { status, .. } => *status == StatusCode::UNAUTHORIZED || *status == StatusCode::FORBIDDEN,
        }
    }
}

/// Fields of a form, or of a query.
pub(super) type Form = Vec<(String, String)>;

/// Makes a form of what is known to be there.
pub(super) fn form<const N: usize>(fields: [(&str, &str); N]) -> Form {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Reads an object. `path` names it, such as `invoices/in_1`.
pub(super) async fn get(app: &App, path: &str, query: &Form) -> Result<Value, StripeError> {
    call(app, Method::GET, path, query, None).await
}

/// Reads the object `id` of a collection.
pub(super) async fn object(app: &App, collection: &str, id: &str, query: &Form) -> Result<Value, StripeError> {
    if is_id(id) {
        return get(app, &format!("{collection}/{id}"), query).await;
    }
    let message = "no object has such an id".to_owned();
    Err(StripeError::Refused { status: StatusCode::NOT_FOUND, code: "no_id".to_owned(), message, payment_intent: None })
}

/// Reads a list to its end, newest first.
pub(super) async fn list(app: &App, path: &str, query: &Form) -> Result<Vec<Value>, StripeError> {
    let mut all: Vec<Value> = Vec::new();
    for _ in 0..PAGES {
        let mut query = query.clone();
        query.push(("limit".to_owned(), PAGE.to_owned()));
        if let Some(last) = all.last().and_then(|it| objects::id(it, "")) {
            query.push(("starting_after".to_owned(), last));
        }
        let page = get(app, path, &query).await?;
        let entries = objects::list(&page, "/data");
        all.extend_from_slice(entries);
        if entries.is_empty() || !objects::flag(&page, "/has_more") {
            break;
        }
    }
    Ok(all)
}

/// Has Stripe do something, once however often it is tried: `key` is derived from our row.
pub(super) async fn post(app: &App, path: &str, form: &Form, key: &str) -> Result<Value, StripeError> {
    call(app, Method::POST, path, form, Some(key)).await
}

/// Ends the object `id` of a collection. A second try finds it ended.
pub(super) async fn delete(app: &App, collection: &str, id: &str) -> Result<Value, StripeError> {
    call(app, Method::DELETE, &format!("{collection}/{id}"), &Vec::new(), None).await
}

async fn call(app: &App, method: Method, path: &str, form: &Form, key: Option<&str>) -> Result<Value, StripeError> {
    let secret = app.config.stripe.secret_key.as_ref().ok_or(StripeError::Off)?;
    let mut pause_ms = PAUSE_MS;
    for _ in 1..TRIES {
        match once(app, secret, &method, path, form, key).await {
            Err(StripeError::Away(why)) => tracing::warn!(path, why, "Stripe is asked again"),
            done => return done,
        }
        app.host.sleep(pause_ms).await;
        pause_ms *= 2;
    }
    once(app, secret, &method, path, form, key).await
}

async fn once(
    app: &App,
    secret: &SecretString,
    method: &Method,
    path: &str,
    form: &Form,
    key: Option<&str>,
) -> Result<Value, StripeError> {
    let request = request(app, secret, method, path, form, key)?;
    let answer = async {
        let response = app.host.fetch(request).await.map_err(|error| StripeError::Away(chain(&error)))?;
        outcome(response).await
    };
    match select(answer.boxed(), app.host.sleep(WITHIN_MS)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(StripeError::Away("it takes too long".to_owned())),
    }
}

fn request(
    app: &App,
    secret: &SecretString,
    method: &Method,
    path: &str,
    form: &Form,
    key: Option<&str>,
) -> Result<Request<Bytes>, StripeError> {
    let encoded = Serializer::new(String::new()).extend_pairs(form).finish();
    let base = app.config.stripe.base_url.as_str().trim_end_matches('/');
    let in_query = *method == Method::GET && !encoded.is_empty();
    let url = if in_query { format!("{base}/v1/{path}?{encoded}") } else { format!("{base}/v1/{path}") };
    let bearer = HeaderValue::try_from(format!("Bearer {}", secret.expose_secret()));
    let mut bearer = bearer.map_err(|_| StripeError::Off)?;
    bearer.set_sensitive(true);
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .header(header::AUTHORIZATION, bearer)
        .header(header::USER_AGENT, concat!("ai-tool-nest/", env!("CARGO_PKG_VERSION")))
        .header("stripe-version", API_VERSION);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let body = if *method == Method::GET { Bytes::new() } else { encoded.into() };
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    request.body(body).map_err(|error| StripeError::Away(error.to_string()))
}

async fn outcome(response: Response<axum::body::Body>) -> Result<Value, StripeError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_BYTES).collect().await;
    let body = body.map_err(|error| StripeError::Away(format!("its answer ends early: {error}")))?.to_bytes();
    let read = serde_json::from_slice::<Value>(&body);
    match (status, read) {
        (status, Ok(value)) if status.is_success() => Ok(value),
        (status, Err(_)) if status.is_success() => Err(StripeError::Away("its answer is no JSON".to_owned())),
        // 409: another call with this key is under way.
        (StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT, _) => {
            Err(StripeError::Away(format!("status {status}")))
        }
        (status, _) if status.is_server_error() => Err(StripeError::Away(format!("status {status}"))),
        (status, value) => Err(refusal(status, &value.unwrap_or_default())),
    }
}

fn refusal(status: StatusCode, value: &Value) -> StripeError {
    let said = |name: &str| objects::text(value, &format!("/error/{name}"));
    StripeError::Refused {
        status,
        code: said("code").or_else(|| said("type")).unwrap_or_default(),
        message: said("message").unwrap_or_default().chars().take(REFUSAL_CHARS).collect(),
        payment_intent: objects::id(value, "/error/payment_intent"),
    }
}
