//! Tokens that work once: what a link in a mail carries, and how it is kept.

use crate::{Host, host::random};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "nest_once_";
const SECRET_BYTES: usize = 32;

/// How long a link in a mail works. ASVS 6.5.5 wants ten minutes for codes; a link of 256 bits cannot be guessed, and mail
/// may be slow.
pub(crate) const LINK_LIFE_MS: i64 = 30 * 60_000;

/// A token of 256 random bits. What it permits stands in the row that its hash finds.
pub(crate) struct OnceToken {
    pub(crate) text: SecretString,
}

impl OnceToken {
    pub(crate) fn make(host: &dyn Host) -> Self {
        let secret: [u8; SECRET_BYTES] = random(host);
        Self { text: format!("{PREFIX}{}", BASE64URL.encode(secret)).into() }
    }

    /// What `text` is, if it can be one.
    pub(crate) fn parse(text: SecretString) -> Option<Self> {
        let secret = BASE64URL.decode(text.expose_secret().strip_prefix(PREFIX)?).ok()?;
        (secret.len() == SECRET_BYTES).then_some(Self { text })
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.text.expose_secret().as_bytes()).to_vec()
    }

    /// Where its link leads, below the service's address. What follows the `#` is sent to no server, so a mail scanner that
    /// fetches the page uses nothing up.
    pub(crate) fn path(&self, what: &str) -> String {
        format!("/account.html#{what}={}", self.text.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_256_bits_in_our_form_are_a_token() {
        let good = format!("{PREFIX}{}", BASE64URL.encode([7; 32]));
        for (text, wanted) in [
            (good.clone(), true),
            (good.replace("once", "live"), false),
            (good[..good.len() - 4].to_owned(), false),
            (format!("{good}AAAA"), false),
            (format!(" {good}"), false),
            (String::new(), false),
        ] {
            assert_eq!(OnceToken::parse(text.clone().into()).is_some(), wanted, "{text}");
        }
    }
}
