//! Secrets at rest: sealed with a key of their own, which is wrapped by a key-encryption key from the environment.
//!
//! A sealed value is bound to its place: opened for another column or row, it does not open. Re-wrapping under a new
//! key-encryption key changes only the wrapping, so keys rotate while the edge runs.

mod rotation;
mod setting;
#[cfg(test)]
mod tests;

pub(crate) use rotation::{Replaced, SealedColumn, SealedRow};
pub use rotation::{Rotated, Rotation, Wrapped, columns, rotate, wrapped_by};
pub(crate) use setting::{derived, parse};

use crate::{Host, host::random};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use secrecy::zeroize::Zeroizing;

/// Key-encryption keys by id; the first wraps, every one unwraps.
pub struct Keyring(Vec<(String, Zeroizing<[u8; KEY_BYTES]>)>);

/// Where a sealed value lies: `table.column`, and the row's own id.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub column: &'static str,
    pub row: &'a str,
}

/// A sealed value does not open: it was changed, moved, or wrapped with a key that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("no key-encryption key has the id that a sealed value names")]
    UnknownKey,
    #[error("a sealed value was changed or moved")]
    Broken,
}

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const VERSION: u8 = 1;

/// Version, length of the key's id, the id, the wrapped data key (nonce, key, tag), the value (nonce, text, tag).
const WRAPPED_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;

impl Keyring {
    /// A ring of at least one key, the one that wraps first. Ids have 1 to 32 bytes.
    pub fn new(keys: Vec<(String, [u8; KEY_BYTES])>) -> Self {
        assert!(!keys.is_empty(), "a ring has a key");
        Self(keys.into_iter().map(|(id, key)| (id, Zeroizing::new(key))).collect())
    }

    /// The id of the key that wraps.
    pub fn current(&self) -> &str {
        &self.0[0].0
    }

    /// Whether the key with this id is in the ring.
    pub fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|(it, _)| it == id)
    }

    /// Seals `plain` for `place`.
    pub fn seal(&self, host: &dyn Host, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let data_key = Zeroizing::new(random::<KEY_BYTES>(host));
        let mut sealed = self.wrap(host, place, &data_key);
        sealed.extend(encrypt(host, &data_key, &aad("value", place), plain));
        sealed
    }

    /// The value that was sealed for `place`.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (data_key, value) = self.unwrap(place, sealed)?;
        decrypt(&data_key, &aad("value", place), value).map(Zeroizing::new)
    }

    /// The same value wrapped with the current key; none when it is already.
    pub fn rewrap(&self, host: &dyn Host, place: Place<'_>, sealed: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        let (id, _) = split(sealed)?;
        if id == self.current().as_bytes() {
            return Ok(None);
        }
        let (data_key, value) = self.unwrap(place, sealed)?;
        let mut fresh = self.wrap(host, place, &data_key);
        fresh.extend_from_slice(value);
        Ok(Some(fresh))
    }

    fn wrap(&self, host: &dyn Host, place: Place<'_>, data_key: &[u8; KEY_BYTES]) -> Vec<u8> {
        let (id, key) = &self.0[0];
        let length = u8::try_from(id.len()).expect("an id has at most 32 bytes");
        let mut sealed = vec![VERSION, length];
        sealed.extend_from_slice(id.as_bytes());
        sealed.extend(encrypt(host, key, &aad(id, place), data_key));
        sealed
    }

    fn unwrap<'a>(
        &self,
        place: Place<'_>,
        sealed: &'a [u8],
    ) -> Result<(Zeroizing<[u8; KEY_BYTES]>, &'a [u8]), SealError> {
        let (id, rest) = split(sealed)?;
        let (id, key) = self.0.iter().find(|(it, _)| it.as_bytes() == id).ok_or(SealError::UnknownKey)?;
        let (wrapped, value) = rest.split_at_checked(WRAPPED_BYTES).ok_or(SealError::Broken)?;
        let data_key = Zeroizing::new(decrypt(key, &aad(id, place), wrapped)?);
        let data_key = <[u8; KEY_BYTES]>::try_from(data_key.as_slice()).map_err(|_| SealError::Broken)?;
        Ok((Zeroizing::new(data_key), value))
    }
}

/// The id of the key that wraps a sealed value, as the value itself says.
pub fn key_id(sealed: &[u8]) -> Result<&str, SealError> {
    let (id, _) = split(sealed)?;
    str::from_utf8(id).map_err(|_| SealError::Broken)
}

/// The id of the key that wraps, and what follows.
fn split(sealed: &[u8]) -> Result<(&[u8], &[u8]), SealError> {
    match sealed {
        [VERSION, length, rest @ ..] => rest.split_at_checked(usize::from(*length)).ok_or(SealError::Broken),
        _ => Err(SealError::Broken),
    }
}

/// What a ciphertext is bound to. No part holds the separator.
fn aad(purpose: &str, place: Place<'_>) -> Vec<u8> {
    [purpose, place.column, place.row].join("\n").into_bytes()
}

fn encrypt(host: &dyn Host, key: &[u8; KEY_BYTES], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce = random::<NONCE_BYTES>(host);
    let cipher = XChaCha20Poly1305::new(key.into());
    let text = cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad }).expect("a value fits into memory");
    [&nonce[..], &text].concat()
}

fn decrypt(key: &[u8; KEY_BYTES], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Broken)?;
    let cipher = XChaCha20Poly1305::new(key.into());
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad }).map_err(|_| SealError::Broken)
}
