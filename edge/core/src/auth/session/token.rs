//! Session tokens: what a refresh token or a session cookie is made of.
//!
//! `nest_refresh_<session, generation, secret, tag>`: the session finds the row, the secret is compared with the row's
//! hash, and the tag (a MAC by the root secret) shows that we made it. So an older token of the same session is known for
//! what it is, though only the hash of the newest is kept, and nobody can end a session by inventing an older token.

use crate::{
    Host,
    host::random,
    root::{Root, Roots},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use shared::id::SessionId;
use uuid::Uuid;

/// How a session's token travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A refresh token in a body, and access tokens in `Authorization`.
    Bearer,
    /// One cookie, for the console.
    Cookie,
}

impl Transport {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Cookie => "cookie",
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Bearer => "nest_refresh_",
            Self::Cookie => "nest_session_",
        }
    }
}

/// A token that we made, at some time.
pub(crate) struct SessionToken {
    pub(crate) session_id: SessionId,
    pub(crate) generation: u32,
    pub(crate) text: SecretString,
}

const SECRET_BYTES: usize = 32;
const BODY_BYTES: usize = 16 + 4 + SECRET_BYTES;
const TAG_BYTES: usize = 16;
/// Of the part in base64, which has no padding: 4 characters for 3 bytes.
const TEXT_CHARS: usize = ((BODY_BYTES + TAG_BYTES) * 4).div_ceil(3);

impl SessionToken {
    /// A fresh token.
    pub(crate) fn make(
        host: &dyn Host,
        roots: &Roots,
        transport: Transport,
        session_id: SessionId,
        generation: u32,
    ) -> Self {
        let secret: [u8; SECRET_BYTES] = random(host);
        let mut bytes = [session_id.uuid().as_bytes(), &generation.to_be_bytes()[..], &secret].concat();
        let tag = tag(&roots.current, transport, &bytes);
        bytes.extend(tag);
        let text = format!("{}{}", transport.prefix(), BASE64URL.encode(bytes)).into();
        Self { session_id, generation, text }
    }

    /// The token that `text` is, if we made it.
    pub(crate) fn parse(roots: &Roots, transport: Transport, text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(transport.prefix()).filter(|it| it.len() == TEXT_CHARS)?;
        let bytes = BASE64URL.decode(encoded).ok()?;
        let (body, given) = bytes.split_at_checked(BODY_BYTES)?;
        let ours = |root: &Root| bool::from(subtle::ConstantTimeEq::ct_eq(&tag(root, transport, body)[..], given));
        if !roots.accepted().chain(&roots.next).any(ours) {
            return None;
        }
        let session_id = SessionId::from_uuid(Uuid::from_slice(&body[..16]).ok()?);
        let generation = u32::from_be_bytes(body[16..20].try_into().ok()?);
        Some(Self { session_id, generation, text: text.into() })
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.text.expose_secret().as_bytes()).to_vec()
    }
}

fn tag(root: &Root, transport: Transport, body: &[u8]) -> [u8; TAG_BYTES] {
    let key = root.derive("nest session token v1");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(transport.prefix().as_bytes());
    mac.update(body);
    let tag = mac.finalize().into_bytes();
    tag[..TAG_BYTES].try_into().expect("a MAC is longer than its tag")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Timestamp;

    fn roots(secret: &str, previous: Option<&str>) -> Roots {
        let root = |it: &str| Root::new(&it.into());
        Roots { current: root(secret), previous: previous.map(root), next: None }
    }

    /// A token with a secret that is the same each time.
    fn token(roots: &Roots, transport: Transport) -> SessionToken {
        let id = SessionId::new(Timestamp(1), [7; 10]);
        let mut bytes = [id.uuid().as_bytes(), &3_u32.to_be_bytes()[..], &[9; SECRET_BYTES]].concat();
        bytes.extend(tag(&roots.current, transport, &bytes));
        let text = format!("{}{}", transport.prefix(), BASE64URL.encode(bytes));
        SessionToken::parse(roots, transport, &text).unwrap()
    }

    #[test]
    fn only_what_we_made_is_a_token_and_each_kind_is_its_own() {
        let ours = roots("a secret of ours", None);
        let refresh = token(&ours, Transport::Bearer);
        let text = refresh.text.expose_secret();
        assert_eq!(refresh.generation, 3);
        assert!(SessionToken::parse(&ours, Transport::Cookie, text).is_none());
        let as_cookie = text.replacen("nest_refresh_", "nest_session_", 1);
        assert!(SessionToken::parse(&ours, Transport::Cookie, &as_cookie).is_none());
        assert!(SessionToken::parse(&roots("another", None), Transport::Bearer, text).is_none());
        assert!(SessionToken::parse(&roots("another", Some("a secret of ours")), Transport::Bearer, text).is_some());
        for at in "nest_refresh_".len()..text.len() {
            let mut changed = text.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(SessionToken::parse(&ours, Transport::Bearer, &changed).is_none(), "{at}");
        }
    }
}
