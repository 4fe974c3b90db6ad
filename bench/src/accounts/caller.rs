//! One person with a connection: logs in, refreshes, or looks whether the edge is alive.

use crate::gateway::edge::PASSWORD;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, header::CONTENT_TYPE};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use serde_json::json;
use std::net::SocketAddr;

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    LogIn,
    Refresh,
    Healthz,
}

pub(super) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    email: String,
    refresh_token: String,
    device_token: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    refresh_token: String,
    device_token: Option<String>,
}

impl Caller {
    pub(super) fn new(address: SocketAddr, email: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            base: format!("http://{address}"),
            email: email.to_owned(),
            refresh_token: String::new(),
            device_token: None,
        }
    }

    /// Asks once, and checks the answer. True when the edge has no room.
    pub(super) async fn ask(&mut self, kind: Kind) -> anyhow::Result<bool> {
        let (method, path, body) = match kind {
            Kind::LogIn => {
                let body = json!({ "email": self.email, "password": PASSWORD, "device_token": self.device_token });
                (Method::POST, "/api/v1/auth/login", body.to_string())
            }
            Kind::Refresh => {
                (Method::POST, "/api/v1/auth/refresh", json!({ "refresh_token": self.refresh_token }).to_string())
            }
            Kind::Healthz => (Method::GET, "/healthz", String::new()),
        };
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body.into()))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        match status {
            StatusCode::SERVICE_UNAVAILABLE => return Ok(true),
            StatusCode::OK => {}
            other => bail!("{kind:?} of {} was answered {other}: {}", self.email, String::from_utf8_lossy(&body)),
        }
        if !matches!(kind, Kind::Healthz) {
            let tokens: Tokens = serde_json::from_slice(&body).context("no tokens")?;
            self.refresh_token = tokens.refresh_token;
            self.device_token = tokens.device_token.or_else(|| self.device_token.take());
        }
        Ok(false)
    }
}
