//! A client's access token, signed as an edge with this configuration signs it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ed25519_compact::{KeyPair, Seed};
use nest_tests::TestEdge;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// A token of the client for these permissions, good for ten minutes.
pub(super) fn client_token(edge: &TestEdge, client_id: &str, scope: &str) -> String {
    let period = edge.now().0.div_euclid(30 * 86_400_000);
    let seed = edge.config.roots.current.derive(&format!("nest access token key v1 {period}"));
    let pair = KeyPair::from_seed(Seed::new(seed));
    let id = BASE64URL.encode(&Sha256::digest(pair.pk.as_slice())[..12]);
    let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{id}"}}"#);
    let (now, url) = (edge.now().as_seconds(), &edge.config.public_url);
    let claims = json!({
        "iss": url, "aud": url, "sub": client_id, "jti": "made by a test", "iat": now, "nbf": now, "exp": now + 600,
        "client_id": client_id, "scope": scope,
    });
    let signed = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims.to_string()));
    let signature = pair.sk.sign(&signed, None);
    format!("{signed}.{}", BASE64URL.encode(signature.as_slice()))
}
