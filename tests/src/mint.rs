//! Tokens that are signed as the edge signs, and say what the edge never would.

use crate::TestEdge;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use ed25519_compact::{KeyPair, Seed};
use edge_core::root::Root;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How long a key signs.
pub const PERIOD_MS: i64 = 30 * 86_400_000;

/// A key that signs anything.
pub struct Mint {
    pub pair: KeyPair,
    pub kid: String,
}

impl Mint {
    /// The edge's own key of now, or of so many periods later.
    pub fn of(edge: &TestEdge, later: i64) -> Self {
        Self::derived(&edge.config.roots.current, edge.now().0.div_euclid(PERIOD_MS) + later)
    }

    /// The key of a period, by a root secret.
    pub fn derived(root: &Root, period: i64) -> Self {
        Self::new(root.derive(&format!("nest access token key v1 {period}")))
    }

    /// A key of anyone's.
    pub fn new(seed: [u8; 32]) -> Self {
        let pair = KeyPair::from_seed(Seed::new(seed));
        let kid = BASE64URL.encode(&Sha256::digest(pair.pk.as_slice())[..12]);
        Self { pair, kid }
    }

    /// The key as it is published, a JWK.
    pub fn public_jwk(&self) -> Value {
        let x = BASE64URL.encode(self.pair.pk.as_slice());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid, "alg": "EdDSA", "use": "sig" })
    }

    /// The same with its private half, for whoever signs with code of their own.
    pub fn secret_jwk(&self) -> Value {
        let d = BASE64URL.encode(self.pair.sk.seed().as_slice());
        let mut jwk = self.public_jwk();
        jwk["d"] = json!(d);
        jwk
    }

    /// The header that the edge writes, byte for byte.
    pub fn header(&self) -> String {
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, self.kid)
    }

    /// A token with that header.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(self.header(), claims.to_string())
    }

    /// A signature over anything.
    pub fn sign(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let signed = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
        self.sign_text(&signed)
    }

    /// As [`Mint::sign`], over parts that are encoded already.
    pub fn sign_text(&self, signed: &str) -> String {
        format!("{signed}.{}", BASE64URL.encode(self.pair.sk.sign(signed, None).as_slice()))
    }
}

/// The claims of a token, whoever has signed it.
pub fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL.decode(part).unwrap()).unwrap()
}
