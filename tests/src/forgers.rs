//! The libraries that verify our tokens, as a forger uses them.

use crate::{Mint, npm, python, verifiers::Verifier};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What one of them has made.
pub struct Made {
    /// Signed with the edge's own key, with nothing wrong.
    pub genuine: String,
    /// By what is wrong.
    pub forged: BTreeMap<String, String>,
}

/// Tokens that `library` makes with its own code, of the claims of a good token, the edge's own key, and keys of its own.
pub async fn made_by(library: Verifier, own: &Mint, claims: &Value) -> Made {
    let (script, name) = match library {
        Verifier::PyJwt => (python::script("token_forgeries.py"), "pyjwt"),
        Verifier::Jwcrypto => (python::script("token_forgeries.py"), "jwcrypto"),
        Verifier::Jose => (npm::script("token_forgeries.mjs"), "jose"),
    };
    let known = json!({ "library": name, "secret": own.secret_jwk(), "public": own.public_jwk(), "claims": claims });
    let mut made = script.talk().await.ask(&known).await;
    Made {
        genuine: made["genuine"].as_str().unwrap().to_owned(),
        forged: serde_json::from_value(made["forged"].take()).unwrap(),
    }
}
