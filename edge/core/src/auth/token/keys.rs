//! The keys that sign access tokens, and how the world learns of them.
//!
//! They are derived from the root secret, one for each period of 30 days, so edges agree on them without a store. Each is
//! published a whole period before it signs and one after. While the root secret is being replaced, those of the one
//! before and of the one to come are published too.

use crate::root::{Root, Roots};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ed25519_compact::{KeyPair, PublicKey, Seed};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::time::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};

/// How long a key signs.
const PERIOD_MS: i64 = 30 * 86_400_000;

/// The keys that this process has derived already: deriving one costs as much as a signature. An edge has one
/// configuration for life, so the period alone tells them apart.
#[derive(Default)]
pub(crate) struct Keys(Mutex<Option<(i64, Arc<[Key]>)>>);

pub(super) struct Key {
    /// The first part of each token that it signs. It names the algorithm, the type and the key, and nothing else; so
    /// whoever finds the key by it has checked all of them.
    pub(super) header: String,
    pub(super) pair: KeyPair,
    id: String,
}

/// A key as RFC 7517 has it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Jwk {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: String,
    x: String,
}

impl Keys {
    /// Every key that may have signed a token that is good now, or will sign the next ones. The one that signs is first.
    pub(super) fn all(&self, roots: &Roots, now: Timestamp) -> Arc<[Key]> {
        let period = now.0.div_euclid(PERIOD_MS);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((of, keys)) if *of == period => keys.clone(),
            _ => {
                let keys: Arc<[Key]> = derive_all(roots, period).into();
                *known = Some((period, keys.clone()));
                keys
            }
        }
    }
}

/// Those of every root secret, of the periods now, before and after.
fn derive_all(roots: &Roots, period: i64) -> Vec<Key> {
    let roots = [Some(&roots.current), roots.previous.as_ref(), roots.next.as_ref()].into_iter().flatten();
    let mut keys: Vec<Key> = Vec::new();
    for key in roots.flat_map(|root| [period, period - 1, period + 1].map(|period| Key::derive(root, period))) {
        // A secret that is set twice publishes its keys once: verifiers refuse a set in which two keys have one name.
        if !keys.iter().any(|it| it.id == key.id) {
            keys.push(key);
        }
    }
    keys
}

impl Key {
    pub(super) fn derive(root: &Root, period: i64) -> Self {
        let seed = root.derive(&format!("nest access token key v1 {period}"));
        let pair = KeyPair::from_seed(Seed::new(seed));
        let id = id(&pair.pk);
        let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{id}"}}"#);
        Self { header: BASE64URL.encode(header), pair, id }
    }

    pub(super) fn jwk(&self) -> Jwk {
        Jwk::of(&self.pair.pk)
    }
}

/// A key's name: the beginning of its hash.
fn id(key: &PublicKey) -> String {
    BASE64URL.encode(&Sha256::digest(key.as_slice())[..12])
}

impl Jwk {
    /// A key that signs.
    pub(crate) fn of(key: &PublicKey) -> Self {
        let x = BASE64URL.encode(key.as_slice());
        Self { kty: "OKP", crv: "Ed25519", alg: "EdDSA", usage: "sig", kid: id(key), x }
    }

    pub(crate) fn id(&self) -> &str {
        &self.kid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(secret: &str) -> Root {
        Root::new(&secret.into())
    }

    fn ids(keys: &[Key]) -> Vec<&str> {
        keys.iter().map(|it| it.id.as_str()).collect()
    }

    /// Checklist 32.
    #[test]
    fn a_key_is_published_a_period_before_it_signs_and_one_after() {
        let roots = Roots { current: root("one"), previous: None, next: None };
        let keys = Keys::default();
        let at = |period: i64| keys.all(&roots, Timestamp(period * PERIOD_MS));
        let signing = at(7)[0].id.clone();
        for (period, published) in [(5, false), (6, true), (7, true), (8, true), (9, false)] {
            assert_eq!(ids(&at(period)).contains(&signing.as_str()), published, "{period}");
        }
        assert_eq!(at(7)[0].id, signing);
        let last = keys.all(&roots, Timestamp(8 * PERIOD_MS - 1));
        assert_eq!(last[0].id, signing);
    }

    #[test]
    fn keys_of_three_root_secrets_are_published_and_the_present_one_signs() {
        let one = Roots { current: root("one"), previous: None, next: Some(root("two")) };
        let two = Roots { current: root("two"), previous: Some(root("one")), next: Some(root("two")) };
        let (one, two) = (derive_all(&one, 3), derive_all(&two, 3));
        assert_eq!(one.len(), 6);
        // What is set twice is there once.
        assert_eq!(two.len(), 6);
        assert_ne!(one[0].id, two[0].id);
        assert!(ids(&one).contains(&two[0].id.as_str()) && ids(&two).contains(&one[0].id.as_str()));
    }
}
