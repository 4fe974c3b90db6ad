//! Receipts: what a settled call cost, signed, so that whoever keeps one can prove it and nobody has to ask us.
//!
//! A receipt is a compact JWS (RFC 7515) of type `receipt+jwt`. Its keys are derived from the root secret for this purpose
//! alone, one for each secret, and published at `/.well-known/receipt-keys.json`. It says nothing that could let anybody in.

use crate::{
    App,
    auth::{Jwk, Jwks},
    root::{Root, Roots},
    sql::hex,
    usage::{Record, Tokens},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use serde::{Deserialize, Serialize};
use shared::{
    id::{KeyId, OrgId, RequestId},
    money::Nanos,
    time::Timestamp,
};
use std::sync::{Arc, OnceLock};

const TYPE: &str = "receipt+jwt";

/// No honest receipt is longer.
const LONGEST_BYTES: usize = 4_096;

/// The keys of this edge, derived when first asked for: an edge has one configuration for life.
#[derive(Default)]
pub(crate) struct Keys(OnceLock<Arc<[Key]>>);

struct Key {
    pair: KeyPair,
    jwk: Jwk,
    /// The first part of each receipt.
    header: String,
}

/// A call that was settled and cost something.
pub(crate) struct Settled {
    pub(crate) request_id: RequestId,
    pub(crate) org_id: OrgId,
    pub(crate) key_id: KeyId,
    pub(crate) model: String,
    pub(crate) tokens: Tokens,
    pub(crate) price_version: Option<i64>,
    pub(crate) cost: Nanos,
    pub(crate) ended_at: Timestamp,
    /// The head of the organisation's ledger, in hexadecimal digits.
    pub(crate) ledger: Option<String>,
}

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The service's public address.
    pub iss: String,
    /// When the call ended, in seconds.
    pub iat: i64,
    pub request_id: RequestId,
    pub org_id: OrgId,
    pub key_id: KeyId,
    pub model: String,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cached_tokens: i64,
    pub reasoning_tokens: i64,
    pub price_version: i64,
    /// Billionths of a US dollar.
    pub cost_nanos: i64,
    /// The head of the organisation's ledger when this was signed, in hexadecimal digits.
    pub ledger: Option<String>,
}

/// Why a text is no receipt of these keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    #[error("the text is no receipt")]
    Malformed,
    #[error("the keys are no JSON Web Key Set")]
    Keys,
    #[error("none of the keys is the receipt's")]
    UnknownKey,
    #[error("the signature is wrong: the receipt was changed, or is none of theirs")]
    Signature,
}

impl Settled {
    /// `ledger` is the head of the chain when the money was leased.
    pub(crate) fn of(record: &Record, ledger: Option<[u8; 32]>) -> Self {
        Self {
            request_id: record.request_id,
            org_id: record.org_id,
            key_id: record.key_id,
            model: record.model.clone(),
            tokens: record.tokens,
            price_version: record.charge.price_version,
            cost: record.charge.cost,
            ended_at: Timestamp(record.started_at_ms).plus_ms(record.latency_ms),
            ledger: ledger.map(|it| hex(&it)),
        }
    }

    fn claims(&self, iss: &str) -> Option<Claims> {
        let Tokens { prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens } = self.tokens;
        let price_version = self.price_version.filter(|_| self.cost.0 > 0)?;
        Some(Claims {
            iss: iss.to_owned(),
            iat: self.ended_at.as_seconds(),
            request_id: self.request_id,
            org_id: self.org_id,
            key_id: self.key_id,
            model: self.model.clone(),
            prompt_tokens,
            completion_tokens,
            cached_tokens,
            reasoning_tokens,
            price_version,
            cost_nanos: self.cost.0,
            ledger: self.ledger.clone(),
        })
    }
}

/// The receipt for a call; none for one that cost nothing.
pub(crate) fn sign(app: &App, settled: &Settled) -> Option<String> {
    let claims = settled.claims(&app.config.public_url)?;
    Some(seal(&app.receipt_keys.all(&app.config.roots)[0], &claims))
}

/// The keys that have signed receipts, or will.
pub(crate) fn jwks(app: &App) -> Jwks {
    Jwks::of(app.receipt_keys.all(&app.config.roots).iter().map(|it| it.jwk.clone()).collect())
}

fn seal(key: &Key, claims: &Claims) -> String {
    let claims = serde_json::to_vec(claims).expect("claims are plain data");
    let signed = format!("{}.{}", key.header, BASE64URL.encode(claims));
    let signature = key.pair.sk.sign(&signed, None);
    format!("{signed}.{}", BASE64URL.encode(signature.as_slice()))
}

/// What a receipt says, if one of `keys`, a JSON Web Key Set, has signed it. Asks nobody.
pub fn verify(keys: &str, text: &str) -> Result<Claims, ReceiptError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Public>,
    }
    #[derive(Deserialize)]
    struct Public {
        kid: String,
        x: String,
    }
    #[derive(Deserialize)]
    struct Header {
        alg: String,
        typ: String,
        kid: String,
    }
    let set: Set = serde_json::from_str(keys).map_err(|_| ReceiptError::Keys)?;
    if text.len() > LONGEST_BYTES {
        return Err(ReceiptError::Malformed);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(ReceiptError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(ReceiptError::Malformed)?;
    let header: Header = decoded(header)?;
    if header.alg != "EdDSA" || header.typ != TYPE {
        return Err(ReceiptError::Malformed);
    }
    let key = set.keys.iter().find(|it| it.kid == header.kid).ok_or(ReceiptError::UnknownKey)?;
    let key = BASE64URL.decode(&key.x).ok().and_then(|it| PublicKey::from_slice(&it).ok()).ok_or(ReceiptError::Keys)?;
    let signature = BASE64URL.decode(signature).ok().and_then(|it| Signature::from_slice(&it).ok());
    key.verify(signed, &signature.ok_or(ReceiptError::Malformed)?).map_err(|_| ReceiptError::Signature)?;
    decoded(claims)
}

fn decoded<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, ReceiptError> {
    let json = BASE64URL.decode(part).map_err(|_| ReceiptError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| ReceiptError::Malformed)
}

impl Keys {
    /// That of the present root secret first.
    fn all(&self, roots: &Roots) -> Arc<[Key]> {
        self.0.get_or_init(|| derive_all(roots)).clone()
    }
}

fn derive_all(roots: &Roots) -> Arc<[Key]> {
    let mut keys: Vec<Key> = Vec::new();
    for key in roots.all().map(Key::derive) {
        // A secret that is set twice publishes its key once: verifiers refuse a set in which two keys have one name.
        if !keys.iter().any(|it| it.header == key.header) {
            keys.push(key);
        }
    }
    keys.into()
}

impl Key {
    fn derive(root: &Root) -> Self {
        let pair = KeyPair::from_seed(Seed::new(root.derive("nest receipt key v1")));
        let jwk = Jwk::of(&pair.pk);
        let header = format!(r#"{{"alg":"EdDSA","typ":"{TYPE}","kid":"{}"}}"#, jwk.id());
        Self { header: BASE64URL.encode(header), pair, jwk }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(current: &str, previous: Option<&str>) -> Roots {
        let root = |it: &str| Root::new(&it.into());
        Roots { current: root(current), previous: previous.map(root), next: None }
    }

    fn settled(cost: i64) -> Settled {
        Settled {
            request_id: RequestId::from_uuid(uuid::Uuid::from_u128(1)),
            org_id: OrgId::from_uuid(uuid::Uuid::from_u128(2)),
            key_id: KeyId::from_uuid(uuid::Uuid::from_u128(3)),
            model: "m".to_owned(),
            tokens: Tokens { prompt_tokens: 10, completion_tokens: 20, cached_tokens: 3, reasoning_tokens: 4 },
            price_version: Some(7),
            cost: Nanos(cost),
            ended_at: Timestamp(1_790_000_000_500),
            ledger: Some(hex(&[0xab; 32])),
        }
    }

    fn set(keys: &[Key]) -> String {
        serde_json::json!({ "keys": keys.iter().map(|it| it.jwk.clone()).collect::<Vec<_>>() }).to_string()
    }

    #[test]
    fn a_receipt_is_verified_by_the_published_keys_alone() {
        let keys = derive_all(&roots("one", None));
        let claims = settled(1_500).claims("https://nest.example.com").unwrap();
        assert_eq!((claims.iat, claims.ledger.as_deref().map(str::len)), (1_790_000_000, Some(64)));
        let receipt = seal(&keys[0], &claims);
        assert_eq!(verify(&set(&keys), &receipt), Ok(claims.clone()));
        // While the root secret is being replaced, receipts of both are good.
        assert_eq!(verify(&set(&derive_all(&roots("two", Some("one")))), &receipt), Ok(claims));
        assert_eq!(derive_all(&roots("two", Some("two"))).len(), 1);
    }

    #[test]
    fn what_cost_nothing_has_no_receipt() {
        assert_eq!(settled(0).claims("x"), None);
        assert_eq!(Settled { price_version: None, ..settled(1) }.claims("x"), None);
    }

    /// Whatever is changed about a receipt, it is one no more.
    #[test]
    fn a_changed_receipt_is_refused() {
        let (keys, others) = (derive_all(&roots("one", None)), derive_all(&roots("other", None)));
        let receipt = seal(&keys[0], &settled(1_500).claims("x").unwrap());
        let set_of = set(&keys);
        for at in 0..receipt.len() {
            let mut bytes = receipt.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(&set_of, &changed).is_err(), "{at}: {changed}");
        }
        let (signed, signature) = receipt.rsplit_once('.').unwrap();
        let none = BASE64URL.encode(r#"{"alg":"none","typ":"receipt+jwt","kid":"x"}"#);
        let claims = signed.split_once('.').unwrap().1;
        for (keys, text, error) in [
            (set(&others).as_str(), receipt.as_str(), ReceiptError::UnknownKey),
            ("{}", &receipt, ReceiptError::Keys),
            (&set_of, "", ReceiptError::Malformed),
            (&set_of, "a.b.c", ReceiptError::Malformed),
            (&set_of, &format!("{none}.{claims}."), ReceiptError::Malformed),
            (&set_of, &format!("{}.{claims}.{signature}", others[0].header), ReceiptError::UnknownKey),
            (&set_of, &"x".repeat(5_000), ReceiptError::Malformed),
        ] {
            assert_eq!(verify(keys, text), Err(error), "{text}");
        }
    }
}
