//! What `async-stripe` asks by: its types over our own HTTP client, in the one version of Stripe's API that we use.

use crate::report::printable;
use bytes::Bytes;
use edge_core::{billing::stripe::API_VERSION, config::StripeConfig};
use reqwest::{Method, RequestBuilder, StatusCode, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use std::{fmt::Display, time::Duration};
use stripe_client_core::{CustomizedStripeRequest, StripeClient, StripeClientErr, StripeMethod};

/// Tries of one call, all under one idempotency key.
const TRIES: u32 = 4;
/// The pause before the second; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    /// Without a slash at its end.
    base_url: String,
    secret_key: SecretString,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum StripeError {
    #[error("Stripe refused ({status}): {message}")]
    Refused { status: StatusCode, message: String },
    #[error("Stripe gave no answer")]
    Away(#[source] reqwest::Error),
    #[error("Stripe answered what cannot be read: {0}")]
    Unreadable(String),
}

impl StripeClientErr for StripeError {
    fn deserialize_err(message: impl Display) -> Self {
        Self::Unreadable(message.to_string())
    }
}

impl Client {
    pub(super) fn new(config: &StripeConfig, secret_key: SecretString) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(PATIENCE).redirect(Policy::none());
        // What stands in for Stripe is on this machine, and no proxy's business.
        let is_local = config.base_url.scheme() == "http";
        let http = if is_local { http.no_proxy() } else { http };
        let base_url = config.base_url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { http: http.build()?, base_url, secret_key })
    }

    fn request(&self, asked: &stripe_client_core::RequestBuilder, idempotency_key: &str) -> RequestBuilder {
        let method = match asked.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Post => Method::POST,
            StripeMethod::Delete => Method::DELETE,
        };
        let query = asked.query.as_ref().map_or_else(String::new, |it| format!("?{it}"));
        let url = format!("{}/v1/{}{query}", self.base_url, asked.path.trim_start_matches('/'));
        let request = self.http.request(method, url).bearer_auth(self.secret_key.expose_secret());
        let request = request.header("stripe-version", API_VERSION);
        match asked.method {
            StripeMethod::Post => request
                .header("idempotency-key", idempotency_key)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(asked.body.clone().unwrap_or_default()),
            _ => request,
        }
    }
}

impl StripeClient for Client {
    type Err = StripeError;

    /// A call that may have had its effect is made again under the same key, and so has it once.
    async fn execute(&self, request: CustomizedStripeRequest) -> Result<Bytes, StripeError> {
        let (asked, _) = request.into_pieces();
        let (key, mut pause) = (random_key(), FIRST_PAUSE);
        for _ in 1..TRIES {
            match attempt(self.request(&asked, &key)).await {
                Err(error) if error.may_pass() => {}
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        attempt(self.request(&asked, &key)).await
    }
}

impl StripeError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused { status, .. } => {
                status.is_server_error() || [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            Self::Away(_) => true,
            Self::Unreadable(_) => false,
        }
    }
}

async fn attempt(request: RequestBuilder) -> Result<Bytes, StripeError> {
    let answer = request.send().await.map_err(StripeError::Away)?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(StripeError::Away)?;
    if status.is_success() {
        return Ok(body);
    }
    let error: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = error["error"]["message"].as_str().unwrap_or("without a reason");
    Err(StripeError::Refused { status, message: printable(message) })
}

fn random_key() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes.iter().fold("nest-sync-".to_owned(), |key, byte| key + &format!("{byte:02x}"))
}
