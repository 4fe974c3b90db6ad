//! What is asked of providers: small JSON answers, in time or not at all.

use crate::{App, auth::AuthError, error::chain};
use bytes::Bytes;
use futures_util::{FutureExt as _, future};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;

/// Longest wait for a whole answer.
const WITHIN_MS: u64 = 10_000;

/// No honest answer is longer.
const BODY_BYTES: usize = 256 * 1024;

/// How a provider knows us in its logs; GitHub answers nobody without a name.
const USER_AGENT: &str = concat!("ai-tool-nest/", env!("CARGO_PKG_VERSION"));

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Bytes,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Who we are to the provider.
pub(super) enum Credentials<'a> {
    None,
    Basic(&'a str),
    Bearer(&'a str),
}

/// Reads what is at `url`.
pub(super) async fn get(app: &App, url: &str, credentials: Credentials<'_>) -> Result<Answer, AuthError> {
    ask(app, Method::GET, url, &credentials, Bytes::new()).await
}

/// Sends a form to `url`.
pub(super) async fn post(
    app: &App,
    url: &str,
    credentials: Credentials<'_>,
    form: String,
) -> Result<Answer, AuthError> {
    ask(app, Method::POST, url, &credentials, form.into()).await
}

async fn ask(
    app: &App,
    method: Method,
    url: &str,
    credentials: &Credentials<'_>,
    body: Bytes,
) -> Result<Answer, AuthError> {
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, USER_AGENT);
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let authorization = match credentials {
        Credentials::None => None,
        Credentials::Basic(pair) => Some(format!("Basic {pair}")),
        Credentials::Bearer(token) => Some(format!("Bearer {token}")),
    };
    if let Some(text) = authorization {
        let mut value = HeaderValue::try_from(text).map_err(|_| away(url, "its token fits into no header"))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request.body(body).map_err(|_| away(url, "its address is none"))?;
    let answer = async {
        let response = app.host.fetch(request).await.map_err(|error| away(url, &chain(&error)))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_BYTES).collect().await;
        let body = body.map_err(|error| away(url, &format!("its answer ends early: {error}")))?.to_bytes();
        Ok(Answer { status: head.status, body })
    };
    match future::select(answer.boxed(), app.host.sleep(WITHIN_MS)).await {
        future::Either::Left((answer, _)) => answer,
        future::Either::Right(_) => Err(away(url, "it takes too long")),
    }
}

/// The provider cannot be asked; why is for the log. An address of a provider holds no secret, its query might.
pub(super) fn away(url: &str, why: &str) -> AuthError {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    tracing::warn!(url, why, "a sign-in provider cannot be asked");
    AuthError::ProviderAway
}
