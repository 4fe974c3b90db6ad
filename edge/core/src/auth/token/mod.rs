//! Access tokens: JWTs (RFC 9068) that every edge signs and verifies without asking anyone.
//!
//! A token of ours has one of a handful of headers, byte for byte, so nothing of a stranger's is parsed before its
//! signature holds, and no header can ask for another algorithm, key or treatment. That a session has ended, no token can
//! say of itself: [`super::recognise`] asks the database.

mod keys;

pub(crate) use keys::{Jwk, Keys};

use super::AuthError;
use crate::App;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ed25519_compact::Signature;
use keys::Key;
use serde::{Deserialize, Serialize};
use shared::id::{SessionId, UserId};

/// How long an access token lives, in seconds.
pub(crate) const LIFE_S: i64 = 600;

/// Clocks of edges may differ by so much.
const LEEWAY_S: i64 = 30;

/// No honest token is longer.
const LONGEST_BYTES: usize = 4_096;

/// What a token says beside the registered claims.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// The session; none in a token of a client that acts in its own name.
    pub sid: Option<String>,
    /// The person's version: what the person may do on the platform has not changed since.
    pub ver: Option<i64>,
    pub client_id: String,
    /// Permissions, space-separated; `all` for whatever the person may do.
    pub scope: String,
    /// When the person proved who they are, in seconds.
    pub auth_time: Option<i64>,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// `aal1` with one factor, `aal2` with two.
    pub acr: Option<String>,
}

/// Everything in a token, under the names that RFC 9068 gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) jti: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ver: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) amr: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acr: Option<String>,
}

/// A person's session as a verified token tells of it.
#[derive(Clone, Debug)]
pub(crate) struct SessionClaims {
    pub session_id: SessionId,
    pub user_id: UserId,
    pub version: i64,
}

/// A verified token.
pub(crate) enum Verified {
    Session(SessionClaims),
    Client(ClientClaims),
}

/// A client's own token.
#[derive(Clone, Debug)]
pub(crate) struct ClientClaims {
    pub client_id: String,
    pub scope: String,
}

/// Signs a token for `subject`.
pub(crate) fn sign(app: &App, subject: &str, said: Said) -> String {
    let now = app.host.now().as_seconds();
    let id: [u8; 16] = crate::host::random(&*app.host);
    let Said { sid, ver, client_id, scope, auth_time, amr, acr } = said;
    let claims = Claims {
        iss: app.config.public_url.clone(),
        aud: app.config.public_url.clone(),
        sub: subject.to_owned(),
        jti: BASE64URL.encode(id),
        iat: now,
        nbf: now,
        exp: now + LIFE_S,
        client_id,
        scope,
        sid,
        ver,
        auth_time,
        amr,
        acr,
    };
    seal(&app.token_keys.all(&app.config.roots, app.host.now())[0], &claims)
}

fn seal(key: &Key, claims: &Claims) -> String {
    let claims = serde_json::to_vec(claims).expect("claims are plain data");
    let signed = format!("{}.{}", key.header, BASE64URL.encode(claims));
    let signature = key.pair.sk.sign(&signed, None);
    format!("{signed}.{}", BASE64URL.encode(signature.as_slice()))
}

/// Whom a token speaks for that one of our keys has signed, for us, and that is good now.
pub(crate) fn verify(app: &App, text: &str) -> Result<Verified, AuthError> {
    claims(app, text)?.speaker().ok_or(AuthError::InvalidToken)
}

/// The claims of such a token.
pub(crate) fn claims(app: &App, text: &str) -> Result<Claims, AuthError> {
    let now = app.host.now();
    open(&app.token_keys.all(&app.config.roots, now), &app.config.public_url, now.as_seconds(), text)
}

fn open(keys: &[Key], ours: &str, now: i64, text: &str) -> Result<Claims, AuthError> {
    let claims = signed_claims(keys, text).ok_or(AuthError::InvalidToken)?;
    let for_us = claims.iss == ours && claims.aud == ours && claims.speaker().is_some();
    if for_us { claims.check_time(now).map(|()| claims) } else { Err(AuthError::InvalidToken) }
}

/// What one of `keys` has signed.
fn signed_claims(keys: &[Key], text: &str) -> Option<Claims> {
    if text.len() > LONGEST_BYTES {
        return None;
    }
    let (signed, signature) = text.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let key = keys.iter().find(|it| it.header == header)?;
    let signature = Signature::from_slice(&BASE64URL.decode(signature).ok()?).ok()?;
    key.pair.pk.verify(signed, &signature).ok()?;
    serde_json::from_slice(&BASE64URL.decode(claims).ok()?).ok()
}

/// Every key that may have signed a token that is good now, or will sign the next ones.
pub(crate) fn jwks(app: &App) -> Vec<Jwk> {
    app.token_keys.all(&app.config.roots, app.host.now()).iter().map(Key::jwk).collect()
}

impl Claims {
    /// A program that holds a token which is too old, and right in all else, is told so: refreshing will help it.
    fn check_time(&self, now: i64) -> Result<(), AuthError> {
        let life = self.exp.saturating_sub(self.iat);
        let begun = self.iat.max(self.nbf) <= now.saturating_add(LEEWAY_S);
        if !(1..=LIFE_S).contains(&life) || !begun {
            return Err(AuthError::InvalidToken);
        }
        if self.exp.saturating_add(LEEWAY_S) <= now { Err(AuthError::ExpiredToken) } else { Ok(()) }
    }

    /// A person's session or a client; what is neither, or both, is none of ours, whoever signed it.
    pub(crate) fn speaker(&self) -> Option<Verified> {
        match (&self.sid, self.ver) {
            (Some(session), Some(version)) => Some(Verified::Session(SessionClaims {
                session_id: session.parse().ok()?,
                user_id: self.sub.parse().ok()?,
                version,
            })),
            (None, None) if self.sub == self.client_id => {
                Some(Verified::Client(ClientClaims { client_id: self.sub.clone(), scope: self.scope.clone() }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
