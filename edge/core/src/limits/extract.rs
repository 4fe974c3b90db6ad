//! `Client`: where a request comes from.

use crate::{App, app::Id, audit::Origin};
use axum::extract::FromRequestParts;
use http::{
    HeaderMap,
    header::{COOKIE, USER_AGENT},
    request::Parts,
};
use secrecy::SecretString;
use std::convert::Infallible;

/// Bytes of a program's name of itself that are kept.
const USER_AGENT_BYTES: usize = 300;

/// Where a request comes from, and what its program calls itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) origin: Origin,
    pub(crate) user_agent: String,
    /// What it shows to be known from an earlier log-in; `auth` says whether it is.
    pub(crate) device: Option<SecretString>,
}

/// The cookie of a device that logged in before.
pub(crate) const DEVICE_COOKIE: &str = "__Host-nest_device";

fn device(headers: &HeaderMap) -> Option<SecretString> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(';'));
    let found = pairs.filter_map(|it| it.trim().split_once('=')).find(|(name, _)| *name == DEVICE_COOKIE);
    found.map(|(_, value)| value.into())
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let app = App::from_request_parts(parts, state).await?;
        let Id(id) = Id::from_request_parts(parts, state).await?;
        let ip = super::client_ip(&app, &parts.extensions, &parts.headers);
        let user_agent = parts.headers.get(USER_AGENT).and_then(|it| it.to_str().ok()).unwrap_or_default();
        // Header values that read as text are ASCII, so any byte is a boundary.
        let user_agent = user_agent[..user_agent.len().min(USER_AGENT_BYTES)].to_owned();
        let device = device(&parts.headers);
        Ok(Self { origin: Origin { ip, request_id: Some(id.to_string()) }, user_agent, device })
    }
}
