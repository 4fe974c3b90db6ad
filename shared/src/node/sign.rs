//! Signed calls: Ed25519 over method, path, body hash, time and nonce.
//!
//! Both directions use it: the edge signs what it asks of a node, a node signs what it reports to the edge.
//! A receiver accepts a call once, within [`TOLERANCE_MS`] of its own clock; it keeps the nonces of that span.

use crate::time::Timestamp;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ed25519_compact::{KeyPair, Seed, Signature};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// How far a call's time may lie from the receiver's, either way.
pub const TOLERANCE_MS: i64 = 30_000;

/// The headers of a signed call, in the order of [`SignedHeaders`].
pub const HEADERS: [&str; 4] = ["x-nest-key", "x-nest-time", "x-nest-nonce", "x-nest-signature"];

/// What makes a call unlike every other: 16 random bytes.
pub type Nonce = [u8; 16];

/// Values of [`HEADERS`].
pub type SignedHeaders = [String; 4];

/// The secret half of a key that signs calls.
pub struct CallKey(KeyPair);

/// The public half of a [`CallKey`]; its text is base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl utoipa::PartialSchema for PublicKey {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::schema::text("^[A-Za-z0-9_-]{43}$")
    }
}

impl utoipa::ToSchema for PublicKey {}

/// A call whose signature holds: who made it, when, and what tells it from its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedCall {
    /// The signer.
    pub key: PublicKey,
    /// The signer's clock when it signed.
    pub time: Timestamp,
    /// Never used twice by an honest signer.
    pub nonce: Nonce,
}

/// Why a call was not accepted. Each is answered with 401; the text may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// A header is missing or not of its form.
    #[error("the call is not signed: header `{0}` is missing or malformed")]
    Unsigned(&'static str),
    /// The key is none of those the receiver accepts.
    #[error("the call is signed by an unknown key")]
    UnknownKey,
    /// The call was made too long ago, or the clocks disagree.
    #[error("the call's time is {off_ms} ms away from this machine's; 30000 are allowed: check the clocks")]
    Stale {
        /// Receiver's time minus the call's.
        off_ms: i64,
    },
    /// The signature does not fit the call.
    #[error("the call's signature does not match its contents")]
    Forged,
}

impl CallKey {
    /// The key whose seed is `seed`: 32 random bytes, kept secret.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(KeyPair::from_seed(Seed::new(seed)))
    }

    /// Reads a seed from its base64url text.
    pub fn from_text(text: &str) -> Option<Self> {
        decode::<32>(text).map(Self::from_seed)
    }

    /// The half to give away.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.pk)
    }
}

// No secret ever reaches a log by way of a derived format.
impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallKey({})", self.public())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = CallError;
    fn from_str(text: &str) -> Result<Self, CallError> {
        decode::<32>(text).map(Self).ok_or(CallError::Unsigned(HEADERS[0]))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("not an Ed25519 public key"))
    }
}

/// Signs a call. `path` is the path with its query, as the receiver sees it.
pub fn sign(key: &CallKey, method: &str, path: &str, body: &[u8], now: Timestamp, nonce: Nonce) -> SignedHeaders {
    let nonce = BASE64.encode(nonce);
    let signature = key.0.sk.sign(message(method, path, body, now, &nonce), None);
    [key.public().to_string(), now.0.to_string(), nonce, BASE64.encode(signature.as_ref())]
}

/// Checks a call whose header values `header` looks up, and names who made it.
///
/// A copy of a call passes too, so the receiver must still refuse either a [`Nonce`] that it has seen within twice
/// [`TOLERANCE_MS`], or a time that is not later than the last one of the same signer.
pub fn verify<'a>(
    accepted: &[PublicKey],
    method: &str,
    path: &str,
    body: &[u8],
    header: impl Fn(&'static str) -> Option<&'a str>,
    now: Timestamp,
) -> Result<VerifiedCall, CallError> {
    let read = |name: &'static str| header(name).ok_or(CallError::Unsigned(name));
    let [key_header, time_header, nonce_header, signature_header] = HEADERS;
    let key: PublicKey = read(key_header)?.parse()?;
    let time = read(time_header)?.parse().map(Timestamp).map_err(|_| CallError::Unsigned(time_header))?;
    let nonce_text = read(nonce_header)?;
    let nonce = decode::<16>(nonce_text).ok_or(CallError::Unsigned(nonce_header))?;
    let signature = decode::<64>(read(signature_header)?).ok_or(CallError::Unsigned(signature_header))?;
    if !accepted.contains(&key) {
        return Err(CallError::UnknownKey);
    }
    let off_ms = now.since_ms(time);
    if off_ms.saturating_abs() > TOLERANCE_MS {
        return Err(CallError::Stale { off_ms });
    }
    ed25519_compact::PublicKey::new(key.0)
        .verify(message(method, path, body, time, nonce_text), &Signature::new(signature))
        .map_err(|_| CallError::Forged)?;
    Ok(VerifiedCall { key, time, nonce })
}

/// The signed text: one field a line, so that no two calls have the same text.
fn message(method: &str, path: &str, body: &[u8], time: Timestamp, nonce: &str) -> String {
    let body_hash = BASE64.encode(Sha256::digest(body));
    format!("nest-call-v1\n{method}\n{path}\n{body_hash}\n{}\n{nonce}", time.0)
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn check(
        key: &CallKey,
        headers: &SignedHeaders,
        method: &str,
        path: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Nonce, CallError> {
        let header = |name: &str| HEADERS.iter().position(|it| *it == name).map(|at| headers[at].as_str());
        verify(&[key.public()], method, path, body, header, now).map(|call| call.nonce)
    }

    #[test]
    fn a_signed_call_is_accepted_as_it_was_made_and_no_otherwise() {
        let (key, other) = (CallKey::from_seed([1; 32]), CallKey::from_seed([2; 32]));
        let headers = sign(&key, "POST", "/v1/chat/completions", b"{}", NOW, [9; 16]);
        assert_eq!(check(&key, &headers, "POST", "/v1/chat/completions", b"{}", NOW), Ok([9; 16]));
        for (method, path, body, now, wrong) in [
            ("GET", "/v1/chat/completions", b"{}", NOW, CallError::Forged),
            ("POST", "/v1/completions", b"{}", NOW, CallError::Forged),
            ("POST", "/v1/chat/completions", b"[]", NOW, CallError::Forged),
            ("POST", "/v1/chat/completions", b"{}", NOW.plus_ms(30_001), CallError::Stale { off_ms: 30_001 }),
            ("POST", "/v1/chat/completions", b"{}", NOW.plus_ms(-30_001), CallError::Stale { off_ms: -30_001 }),
        ] {
            assert_eq!(check(&key, &headers, method, path, body, now), Err(wrong), "{method} {path} {now:?}");
        }
        assert_eq!(check(&other, &headers, "POST", "/v1/chat/completions", b"{}", NOW), Err(CallError::UnknownKey));
    }

    #[test]
    fn every_header_is_needed() {
        let key = CallKey::from_seed([1; 32]);
        let headers = sign(&key, "POST", "/x", b"", NOW, [9; 16]);
        for (at, name) in HEADERS.into_iter().enumerate() {
            for bad in ["", "!", "AAAA"] {
                let mut headers = headers.clone();
                headers[at] = bad.to_owned();
                assert_eq!(
                    check(&key, &headers, "POST", "/x", b"", NOW),
                    Err(CallError::Unsigned(name)),
                    "{name} {bad:?}"
                );
            }
        }
    }

    #[test]
    fn a_key_prints_its_public_half_only() {
        let key = CallKey::from_seed([7; 32]);
        assert_eq!(format!("{key:?}"), format!("CallKey({})", key.public()));
    }

    proptest! {
        #[test]
        fn no_changed_bit_passes(body in prop::collection::vec(any::<u8>(), 1..64), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let key = CallKey::from_seed([3; 32]);
            let headers = sign(&key, "POST", "/x", &body, NOW, [1; 16]);
            let mut changed = body.clone();
            changed[at.index(body.len())] ^= 1 << bit;
            prop_assert_eq!(check(&key, &headers, "POST", "/x", &changed, NOW), Err(CallError::Forged));
        }
    }
}
