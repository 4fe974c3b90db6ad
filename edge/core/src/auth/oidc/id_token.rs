//! ID tokens: what a provider signs about a person, checked as OpenID Connect Core, section 3.1.3.7, says.

use super::{
    attempt::Attempt,
    discovery::{Known, PublicKey},
    provider::Provider,
    rules::{self, Claims, Profile},
};
use jwt_simple::prelude::{
    Audiences, Duration, ECDSAP256PublicKeyLike as _, EdDSAPublicKeyLike as _, JWTClaims, RSAPublicKeyLike as _, Token,
    UnixTimeStamp, VerificationOptions,
};
use serde::Deserialize;
use shared::time::Timestamp;

/// Clocks may differ by so much.
const LEEWAY_S: u64 = 60;

/// No honest token is longer.
const LONGEST_BYTES: usize = 16 * 1024;

/// Why a token was refused; for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No key that we know has its id and algorithm: the provider may have a new one.
    UnknownKey,
    Wrong(String),
}

#[derive(Deserialize)]
struct Said {
    azp: Option<String>,
    at_hash: Option<String>,
    #[serde(flatten)]
    person: Claims,
}

/// What the token says of the person, if the provider signed it for us, for this attempt, and not long ago.
pub(super) fn verify(
    known: &Known,
    provider: &Provider,
    attempt: &Attempt,
    (token, access_token): (&str, &str),
    now: Timestamp,
) -> Result<(Profile, Claims), Refusal> {
    let wrong = |what: &str| Refusal::Wrong(what.to_owned());
    if token.len() > LONGEST_BYTES {
        return Err(wrong("it is too long"));
    }
    let metadata = Token::decode_metadata(token).map_err(|error| Refusal::Wrong(error.to_string()))?;
    let claims = signed(known, provider, attempt, token, now)?;
    claims.expires_at.ok_or_else(|| wrong("it never expires"))?;
    let audiences = claims.audiences.map(Audiences::into_set).unwrap_or_default();
    let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
    if !rules::issued_to(&provider.client_id, &audiences, claims.custom.azp.as_deref()) {
        return Err(wrong("it was issued to another"));
    }
    let right = |it: &str| rules::at_hash_is_right(it, access_token, metadata.algorithm());
    if !claims.custom.at_hash.as_deref().is_none_or(right) {
        return Err(wrong("it belongs to another access token"));
    }
    let person = claims.custom.person;
    let profile = rules::profile(&claims.subject.unwrap_or_default(), &person);
    Ok((profile.ok_or_else(|| wrong("it names no subject"))?, person))
}

/// The claims, if one of the provider's keys has signed them by the one algorithm that the key is for.
fn signed(
    known: &Known,
    provider: &Provider,
    attempt: &Attempt,
    token: &str,
    now: Timestamp,
) -> Result<JWTClaims<Said>, Refusal> {
    let metadata = Token::decode_metadata(token).map_err(|error| Refusal::Wrong(error.to_string()))?;
    let named = |id: Option<&str>| metadata.key_id().is_none() || metadata.key_id() == id;
    let keys = known.keys.iter().filter(|it| named(it.id.as_deref()) && it.public.signs(metadata.algorithm()));
    let mut refusal = Refusal::UnknownKey;
    for key in keys {
        let options = Some(options(known, provider, attempt, now));
        let verified = match &key.public {
            PublicKey::Rs256(key) => key.verify_token(token, options),
            PublicKey::Es256(key) => key.verify_token(token, options),
            PublicKey::Ed25519(key) => key.verify_token(token, options),
        };
        match verified {
            Ok(claims) => return Ok(claims),
            Err(error) => refusal = Refusal::Wrong(error.to_string()),
        }
    }
    Err(refusal)
}

impl PublicKey {
    fn signs(&self, algorithm: &str) -> bool {
        match self {
            Self::Rs256(_) => algorithm == "RS256",
            Self::Es256(_) => algorithm == "ES256",
            Self::Ed25519(_) => ["EdDSA", "Ed25519"].contains(&algorithm),
        }
    }
}

fn options(known: &Known, provider: &Provider, attempt: &Attempt, now: Timestamp) -> VerificationOptions {
    let at = |time: Timestamp| UnixTimeStamp::from_secs(time.as_seconds().unsigned_abs());
    VerificationOptions {
        allowed_issuers: Some(Provider::issuers(&known.issuer).into_iter().collect()),
        allowed_audiences: Some([provider.client_id.clone()].into()),
        required_nonce: Some(attempt.nonce.clone()),
        time_tolerance: Some(Duration::from_secs(LEEWAY_S)),
        // Signed for this attempt, so not before it was begun.
        reject_before: Some(at(attempt.begun_at) - Duration::from_secs(LEEWAY_S)),
        artificial_time: Some(at(now)),
        ..VerificationOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::oidc::{
        discovery::Key,
        provider::{Kind, TokenAuth},
    };
    use jwt_simple::prelude::{Claims as Signed, Ed25519KeyPair, EdDSAKeyPairLike as _};
    use serde_json::{Value, json};
    use url::Url;

    const ISSUER: &str = "https://accounts.google.com";
    const NOW_S: i64 = 1_800_000_000;

    fn pair(seed: u8) -> Ed25519KeyPair {
        let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([seed; 32]));
        Ed25519KeyPair::from_bytes(pair.as_slice()).unwrap()
    }

    fn known(id: Option<&str>) -> Known {
        let url = Url::parse(ISSUER).unwrap();
        let key = Key { id: id.map(str::to_owned), public: PublicKey::Ed25519(pair(1).public_key()) };
        Known::of_test(ISSUER, &url, vec![key])
    }

    fn provider() -> Provider {
        Provider {
            id: "google".to_owned(),
            name: String::new(),
            client_id: "us".to_owned(),
            client_secret: "secret".into(),
            kind: Kind::OpenId { issuer: ISSUER.to_owned() },
            extra_scopes: Vec::new(),
            allow_signup: true,
            token_auth: Some(TokenAuth::Header),
        }
    }

    /// Good claims, changed as `more` says; null takes one away.
    fn token(more: &Value) -> String {
        let mut claims =
            json!({ "iss": ISSUER, "aud": "us", "sub": "1", "nonce": "nonce", "iat": NOW_S, "exp": NOW_S + 600 });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let mut registered = Signed::with_custom_claims(claims, Duration::from_secs(1));
        (registered.issued_at, registered.expires_at, registered.invalid_before) = (None, None, None);
        pair(1).with_key_id("a").sign(registered).unwrap()
    }

    fn check(token: &str, known: &Known) -> Result<Profile, Refusal> {
        let attempt = Attempt::of_test("nonce", Timestamp((NOW_S - 300) * 1_000));
        let now = Timestamp(NOW_S * 1_000);
        verify(known, &provider(), &attempt, (token, "access token"), now).map(|(profile, _)| profile)
    }

    #[test]
    fn a_token_is_good_for_us_and_now_and_this_attempt_alone() {
        let at_hash = "1n3LNLC7s-85JfghpVQvnzfpfFZ6cHi6Ct-ODr8U0F4";
        for (more, good) in [
            (json!({}), true),
            (json!({ "iss": "accounts.google.com" }), true),
            (json!({ "iss": "https://accounts.google.com/" }), false),
            (json!({ "iss": null }), false),
            (json!({ "aud": ["us"] }), true),
            (json!({ "aud": ["us", "them"] }), false),
            (json!({ "aud": ["us", "them"], "azp": "us" }), true),
            (json!({ "aud": "them" }), false),
            (json!({ "aud": null }), false),
            (json!({ "azp": "them" }), false),
            (json!({ "sub": null }), false),
            (json!({ "sub": "" }), false),
            (json!({ "nonce": null }), false),
            (json!({ "nonce": "another" }), false),
            (json!({ "exp": null }), false),
            (json!({ "exp": NOW_S - 59 }), true),
            (json!({ "exp": NOW_S - 61 }), false),
            (json!({ "iat": null }), false),
            (json!({ "iat": NOW_S + 59 }), true),
            (json!({ "iat": NOW_S + 61 }), false),
            // Before the attempt was begun.
            (json!({ "iat": NOW_S - 359 }), true),
            (json!({ "iat": NOW_S - 361 }), false),
            (json!({ "nbf": NOW_S + 61 }), false),
            (json!({ "at_hash": at_hash }), true),
            (json!({ "at_hash": "another" }), false),
        ] {
            let checked = check(&token(&more), &known(Some("a")));
            assert_eq!(checked.is_ok(), good, "{more}: {checked:?}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_id_or_tried() {
        let token = token(&json!({}));
        assert_eq!(check(&token, &known(Some("b"))), Err(Refusal::UnknownKey));
        // A key without an id might be meant only where the token names none.
        assert_eq!(check(&token, &known(None)), Err(Refusal::UnknownKey));
        assert!(matches!(check(&"x".repeat(LONGEST_BYTES + 1), &known(None)), Err(Refusal::Wrong(_))));
        assert!(matches!(check("no token", &known(None)), Err(Refusal::Wrong(_))));
    }
}
