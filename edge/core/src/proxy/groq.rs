//! Groq, or whatever OpenAI-compatible server `OPENAI_BASE_URL` names: its requests and its list of models.

use super::call::Call;
use crate::{App, config::UpstreamConfig, error::chain, refresh::Refresh};
use bytes::Bytes;
use futures_util::{FutureExt as _, future};
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Limited};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use shared::time::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The models list is read anew behind a request when it is older, and before one when it is missing.
const FRESH_MS: i64 = 60_000;

/// After a list that could not be had, how long the default model stands alone.
const RETRY_MS: i64 = 5_000;

const LIST_BYTES: usize = 4 * 1024 * 1024;

/// What the upstream serves, as it last said.
#[derive(Default)]
pub(crate) struct Catalogue(Mutex<Known>);

#[derive(Default)]
struct Known {
    models: Arc<Vec<String>>,
    due_at: Option<Timestamp>,
    refresh: Refresh,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

/// Models of the upstream; none when none is configured.
pub(super) async fn models(app: &App) -> Arc<Vec<String>> {
    let Some(upstream) = &app.config.upstream else { return Arc::default() };
    let (models, due_at) = {
        let known = app.catalogue.lock();
        (known.models.clone(), known.due_at)
    };
    match due_at {
        None => refresh(app, upstream).await,
        Some(due_at) if due_at <= app.host.now() => {
            if app.catalogue.lock().refresh.claim(app.host.now()) {
                let task = app.clone();
                app.host.defer(
                    async move {
                        if let Some(upstream) = &task.config.upstream {
                            refresh(&task, upstream).await;
                        }
                        task.catalogue.lock().refresh.release();
                    }
                    .boxed(),
                );
            }
            models
        }
        Some(_) => models,
    }
}

async fn refresh(app: &App, upstream: &UpstreamConfig) -> Arc<Vec<String>> {
    let listed = list(app, upstream).await;
    let mut known = app.catalogue.lock();
    let wait_ms = if listed.is_some() { FRESH_MS } else { RETRY_MS };
    known.due_at = Some(app.host.now().plus_ms(wait_ms));
    if let Some(mut models) = listed {
        models.push(upstream.default_model.clone());
        models.sort_unstable();
        models.dedup();
        known.models = Arc::new(models);
    } else if known.models.is_empty() {
        known.models = Arc::new(vec![upstream.default_model.clone()]);
    }
    known.models.clone()
}

/// The upstream's own list, or none when it cannot be had in time.
async fn list(app: &App, upstream: &UpstreamConfig) -> Option<Vec<String>> {
    let request = request(upstream, Method::GET, "/models", Bytes::new());
    let answer = async {
        let response = app.host.fetch(request).await.inspect_err(|error| {
            tracing::warn!(error = %chain(error), "the upstream's list of models cannot be had");
        });
        let (head, body) = response.ok()?.into_parts();
        if !head.status.is_success() {
            tracing::warn!(http.status = head.status.as_u16(), "the upstream refuses to list its models");
            return None;
        }
        let bytes = Limited::new(body, LIST_BYTES).collect().await.ok()?.to_bytes();
        serde_json::from_slice::<List>(&bytes).ok()
    };
    let timeout = app.host.sleep(app.config.connect_timeout_ms);
    let list = match future::select(answer.boxed(), timeout).await {
        future::Either::Left((list, _)) => list?,
        future::Either::Right(_) => return None,
    };
    Some(list.data.into_iter().map(|it| it.id).filter(|it| crate::nodes::is_model_id(it)).collect())
}

/// The request that carries `call`.
pub(super) fn relay_request(upstream: &UpstreamConfig, call: &Call) -> Request<Bytes> {
    request(upstream, Method::POST, call.endpoint.path(), call.body.clone())
}

/// A request of our own making: nothing of the client's headers goes to an upstream.
fn request(upstream: &UpstreamConfig, method: Method, path: &str, body: Bytes) -> Request<Bytes> {
    let base = upstream.base_url.as_str().trim_end_matches('/');
    let bearer = format!("Bearer {}", upstream.api_key.expose_secret());
    let mut bearer = HeaderValue::try_from(bearer).unwrap_or(HeaderValue::from_static("Bearer"));
    bearer.set_sensitive(true);
    Request::builder()
        .method(method)
        .uri(format!("{base}{path}"))
        .header(header::AUTHORIZATION, bearer)
        .header(header::ACCEPT, "*/*")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .expect("a checked base URL with a static path is a URI")
}

impl Catalogue {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
