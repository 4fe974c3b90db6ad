//! A sign-in that has been begun: everything that must come back with the person, sealed in a cookie.
//!
//! Nothing of it is stored, so a sign-in that is never finished costs nothing, and any edge can finish what another began.

use super::provider::Provider;
use crate::{App, auth::AuthError, host::random, seal::Place};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use http::{HeaderMap, HeaderValue, header::COOKIE as COOKIE_HEADER};
use serde::{Deserialize, Serialize};
use shared::time::Timestamp;
use subtle::ConstantTimeEq as _;

const COOKIE: &str = "__Host-nest_oidc";

/// How long a person may take at the provider.
const LIFE_MS: i64 = 600_000;

#[derive(Serialize, Deserialize)]
pub(super) struct Attempt {
    state: String,
    pub(super) nonce: String,
    /// PKCE's.
    pub(super) verifier: String,
    /// A checked path of ours.
    pub(super) redirect: String,
    pub(super) begun_at: Timestamp,
}

impl Attempt {
    pub(super) fn begin(app: &App, redirect: &str) -> Self {
        let secret = || BASE64URL.encode(random::<32>(&*app.host));
        Self {
            state: secret(),
            nonce: secret(),
            verifier: secret(),
            redirect: redirect.to_owned(),
            begun_at: app.host.now(),
        }
    }

    #[cfg(test)]
    pub(super) fn of_test(nonce: &str, begun_at: Timestamp) -> Self {
        let text = || "test".to_owned();
        Self { state: text(), nonce: nonce.to_owned(), verifier: text(), redirect: text(), begun_at }
    }

    pub(super) fn state(&self) -> &str {
        &self.state
    }

    /// The cookie that carries it. A provider's redirect brings it back, so it is `Lax`.
    pub(super) fn cookie(&self, app: &App, provider: &Provider) -> HeaderValue {
        let plain = serde_json::to_vec(self).expect("an attempt is plain data");
        let sealed = app.config.keyring.seal(&*app.host, place(provider), &plain);
        let age_s = LIFE_MS / 1_000;
        let value = BASE64URL.encode(sealed);
        let cookie = format!("{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age_s}");
        HeaderValue::try_from(cookie).expect("base64 is plain ASCII")
    }

    /// The attempt that this browser has begun with `provider`, if `state` belongs to it and it is not too old.
    pub(super) fn resume(
        app: &App,
        provider: &Provider,
        headers: &HeaderMap,
        state: Option<&str>,
    ) -> Result<Self, AuthError> {
        let attempt = Self::opened(app, provider, headers).ok_or(AuthError::SignInLost)?;
        let age_ms = app.host.now().since_ms(attempt.begun_at);
        let same: bool = state.unwrap_or_default().as_bytes().ct_eq(attempt.state.as_bytes()).into();
        if same && (0..LIFE_MS).contains(&age_ms) { Ok(attempt) } else { Err(AuthError::SignInLost) }
    }

    fn opened(app: &App, provider: &Provider, headers: &HeaderMap) -> Option<Self> {
        let pairs =
            headers.get_all(COOKIE_HEADER).iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(';'));
        let (_, value) = pairs.filter_map(|it| it.trim().split_once('=')).find(|(name, _)| *name == COOKIE)?;
        let sealed = BASE64URL.decode(value).ok()?;
        let plain = app.config.keyring.open(place(provider), &sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }
}

/// Takes the cookie away: an attempt is finished once.
pub(super) fn forget() -> HeaderValue {
    HeaderValue::from_static("__Host-nest_oidc=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// An attempt with one provider is none with another.
fn place(provider: &Provider) -> Place<'_> {
    Place { column: "cookie.oidc", row: &provider.id }
}
