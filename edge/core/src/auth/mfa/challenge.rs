//! A log-in between its first factor and its second.
//!
//! The challenge's token opens nothing but the routes that answer it: it is no access token, refresh token or cookie, and
//! no other slice knows it.

use crate::{
    App, Error,
    auth::{
        AuthError,
        login::{FirstFactor, MfaRequired},
        session::Terms,
    },
    host::random,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared::{id::SessionId, time::Timestamp};

/// How long a challenge may be answered.
pub(super) const LIFE_MS: i64 = 300_000;

const PREFIX: &str = "nest_mfa_";
const SECRET_BYTES: usize = 32;

/// What is known of a log-in until its second factor comes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The first factor, as `amr` calls it.
    pub(super) method: String,
    /// When that was proven.
    pub(super) at: Timestamp,
    pub(super) terms: Terms,
    /// The session in whose place the new one comes.
    pub(super) replaces: Option<SessionId>,
}

impl Pending {
    pub(super) fn new(first: &FirstFactor, terms: Terms, replaces: Option<SessionId>) -> Self {
        Self { method: first.method.to_owned(), at: first.at, terms, replaces }
    }

    pub(super) fn parse(state: &str) -> Option<Self> {
        serde_json::from_str(state).ok()
    }
}

/// Stores what is known, and says how the log-in goes on.
pub(super) async fn begin(app: &App, first: &FirstFactor, pending: &Pending) -> Result<MfaRequired, Error> {
    let token: SecretString = format!("{PREFIX}{}", BASE64URL.encode(random::<SECRET_BYTES>(&*app.host))).into();
    let hash = hash(&token).expect("a fresh token looks like one");
    let state = serde_json::to_string(pending).expect("what is pending is plain data");
    let now = app.host.now();
    let stored = app.store.begin_challenge(hash, first.user_id, state, now, now.plus_ms(LIFE_MS)).await?;
    let waiting = stored.ok_or(AuthError::InvalidCredentials)?;
    let methods = [("totp", waiting.has_totp), ("passkey", waiting.has_passkey), ("recovery_code", waiting.has_codes)];
    let methods = methods.into_iter().filter(|(_, has)| *has).map(|(name, _)| name.to_owned()).collect();
    Ok(MfaRequired { mfa_required: true, challenge: token.expose_secret().to_owned(), methods })
}

/// What is stored of a token; none when it does not look like one.
pub(super) fn hash(token: &SecretString) -> Option<Vec<u8>> {
    let text = token.expose_secret();
    let secret = BASE64URL.decode(text.strip_prefix(PREFIX)?).ok()?;
    (secret.len() == SECRET_BYTES).then(|| Sha256::digest(text.as_bytes()).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_of_256_bits_is_looked_up() {
        let good = format!("{PREFIX}{}", BASE64URL.encode([1; SECRET_BYTES]));
        assert_eq!(hash(&good.clone().into()).unwrap(), Sha256::digest(good.as_bytes()).to_vec());
        let short = format!("{PREFIX}{}", BASE64URL.encode([1; SECRET_BYTES - 1]));
        for bad in [&good[1..], &good[..good.len() - 1], &short, "", PREFIX, &good.replace("mfa", "refresh")] {
            assert_eq!(hash(&bad.into()), None, "{bad}");
        }
    }
}
