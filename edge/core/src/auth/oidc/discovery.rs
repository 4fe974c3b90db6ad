//! What an OpenID provider says of itself: its endpoints and its keys, kept for an hour.

use super::{
    outbound::{self, Credentials, away},
    provider::{Provider, TokenAuth},
    rules,
};
use crate::{App, auth::AuthError};
use jwt_simple::prelude::{ES256PublicKey, Ed25519PublicKey, RS256PublicKey};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use shared::time::Timestamp;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use url::Url;

/// Endpoints and keys are read anew when they are older.
const FRESH_MS: i64 = 3_600_000;

/// Keys beyond so many are left out.
const KEYS: usize = 100;

/// What providers have said, by their ids. It may be empty at any time.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<String, Arc<Known>>>);

/// A provider's endpoints and keys.
pub(super) struct Known {
    pub(super) issuer: String,
    pub(super) authorization: Url,
    pub(super) token: Url,
    pub(super) userinfo: Option<Url>,
    /// Where it wants our secret.
    pub(super) token_auth: TokenAuth,
    /// Whether whoever comes back brings the issuer's name along (RFC 9207).
    pub(super) names_issuer: bool,
    pub(super) keys: Vec<Key>,
    read_at: Timestamp,
}

/// A key that may sign ID tokens; its kind pins the algorithm.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) public: PublicKey,
}

pub(super) enum PublicKey {
    Rs256(Box<RS256PublicKey>),
    Es256(ES256PublicKey),
    Ed25519(Ed25519PublicKey),
}

/// OpenID Connect Discovery 1.0, section 3, as far as we act on it.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

/// What is known of `provider`, from the cache unless it is old.
pub(super) async fn known(app: &App, provider: &Provider, issuer: &str) -> Result<Arc<Known>, AuthError> {
    let cached = app.oidc.0.lock().unwrap_or_else(PoisonError::into_inner).get(&provider.id).cloned();
    match cached {
        Some(known) if (0..FRESH_MS).contains(&app.host.now().since_ms(known.read_at)) => Ok(known),
        _ => read(app, provider, issuer).await,
    }
}

/// The same, asked anew: a token may be signed by a key that is younger than the cache.
pub(super) async fn read(app: &App, provider: &Provider, issuer: &str) -> Result<Arc<Known>, AuthError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let metadata: Metadata = json(app, &url).await?;
    if metadata.issuer != issuer {
        return Err(away(&url, "its metadata name another issuer"));
    }
    let endpoint = |text: &str| rules::endpoint(text, issuer).ok_or_else(|| away(&url, "an endpoint is no good URL"));
    let jwks: Jwks = json(app, endpoint(&metadata.jwks_uri)?.as_str()).await?;
    let known = Arc::new(Known {
        authorization: endpoint(&metadata.authorization_endpoint)?,
        token: endpoint(&metadata.token_endpoint)?,
        userinfo: metadata.userinfo_endpoint.as_deref().map(endpoint).transpose()?,
        token_auth: token_auth(metadata.token_endpoint_auth_methods_supported.as_deref()),
        names_issuer: metadata.authorization_response_iss_parameter_supported,
        keys: jwks.keys.iter().take(KEYS).filter_map(key).collect(),
        read_at: app.host.now(),
        issuer: metadata.issuer,
    });
    let mut cache = app.oidc.0.lock().unwrap_or_else(PoisonError::into_inner);
    cache.insert(provider.id.clone(), known.clone());
    Ok(known)
}

async fn json<T: DeserializeOwned>(app: &App, url: &str) -> Result<T, AuthError> {
    let answer = outbound::get(app, url, Credentials::None).await?;
    let good = answer.status.is_success().then(|| answer.json()).flatten();
    good.ok_or_else(|| away(url, "its answer is not what it should be"))
}

/// The header is what a provider takes that says nothing of it.
fn token_auth(supported: Option<&[String]>) -> TokenAuth {
    let takes = |method: &str| supported.is_some_and(|it| it.iter().any(|it| it == method));
    if takes("client_secret_post") && !takes("client_secret_basic") { TokenAuth::Form } else { TokenAuth::Header }
}

/// A key that we can verify with; keys of other kinds and uses are not for us.
fn key(jwk: &Value) -> Option<Key> {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    let text = jwk.to_string();
    let public = match (member("kty")?, member("crv")) {
        ("RSA", _) => PublicKey::Rs256(Box::new(RS256PublicKey::from_jwk(&text).ok()?)),
        ("EC", Some("P-256")) => PublicKey::Es256(ES256PublicKey::from_jwk(&text).ok()?),
        ("OKP", Some("Ed25519")) => PublicKey::Ed25519(Ed25519PublicKey::from_jwk(&text).ok()?),
        _ => return None,
    };
    Some(Key { id: member("kid").map(str::to_owned), public })
}

#[cfg(test)]
impl Known {
    /// A provider with these keys, whose endpoints do not matter.
    pub(super) fn of_test(issuer: &str, endpoint: &Url, keys: Vec<Key>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            authorization: endpoint.clone(),
            token: endpoint.clone(),
            userinfo: None,
            token_auth: TokenAuth::Header,
            names_issuer: false,
            keys,
            read_at: Timestamp(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_secret_goes_where_the_provider_takes_it() {
        let supported = |list: &[&str]| Some(list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        for (list, place) in [
            (None, TokenAuth::Header),
            (supported(&["client_secret_basic", "client_secret_post"]), TokenAuth::Header),
            (supported(&["client_secret_post"]), TokenAuth::Form),
            (supported(&["private_key_jwt"]), TokenAuth::Header),
        ] {
            assert_eq!(token_auth(list.as_deref()), place, "{list:?}");
        }
    }

    #[test]
    fn only_keys_that_sign_as_we_verify_are_taken() {
        let ed25519 = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let okp = |more: Value| {
            let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": ed25519, "kid": "a" });
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        for (jwk, taken) in [
            (okp(json!({})), true),
            (okp(json!({ "use": "sig", "alg": "EdDSA" })), true),
            (okp(json!({ "use": "enc" })), false),
            (okp(json!({ "alg": "HS256" })), false),
            (okp(json!({ "d": ed25519 })), false),
            (okp(json!({ "crv": "X25519" })), false),
            (json!({ "kty": "oct", "k": ed25519 }), false),
            (json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" }), false),
            (json!({ "kty": "EC", "crv": "P-256", "x": ed25519, "y": ed25519 }), false),
            (json!("text"), false),
        ] {
            assert_eq!(key(&jwk).is_some(), taken, "{jwk}");
        }
    }
}
