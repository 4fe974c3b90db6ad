//! Three libraries that others wrote, which verify our tokens.

use crate::{Talk, npm, python};
use serde_json::{Value, json};

/// All three, ready to be asked.
pub struct Verifiers {
    python: Talk,
    npm: Talk,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verifier {
    PyJwt,
    Jwcrypto,
    Jose,
}

/// What a token must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The published keys, as `{"keys": [...]}`.
    pub jwks: &'a Value,
    pub issuer: &'a str,
    pub audience: &'a str,
    /// As a header spells them.
    pub algorithms: &'a [&'a str],
}

impl Verifier {
    pub const ALL: [Self; 3] = [Self::PyJwt, Self::Jwcrypto, Self::Jose];
}

impl Verifiers {
    pub async fn start() -> Self {
        Self { python: python::script("tokens.py").talk().await, npm: npm::script("tokens.mjs").talk().await }
    }

    /// The claims of `token`, or why `verifier` refuses it.
    pub async fn verify(&mut self, verifier: Verifier, token: &str, expected: &Expected<'_>) -> Result<Value, String> {
        let (talk, library) = match verifier {
            Verifier::PyJwt => (&mut self.python, "pyjwt"),
            Verifier::Jwcrypto => (&mut self.python, "jwcrypto"),
            Verifier::Jose => (&mut self.npm, "jose"),
        };
        let Expected { jwks, issuer, audience, algorithms } = expected;
        let asked = json!({ "library": library, "token": token, "jwks": jwks, "issuer": issuer,
                            "audience": audience, "algorithms": algorithms });
        let mut answer = talk.ask(&asked).await;
        match answer["refused"].as_str() {
            Some(why) => Err(why.to_owned()),
            None => Ok(answer["claims"].take()),
        }
    }
}
