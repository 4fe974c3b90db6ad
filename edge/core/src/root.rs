//! The root secret, from which keys for single purposes are derived.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use sha2::Sha256;

/// A root secret. It never leaves this type: only what is derived from it does.
pub struct Root(Zeroizing<Vec<u8>>);

/// The root secret of now, and those beside it while it is being replaced.
pub struct Roots {
    pub current: Root,
    pub previous: Option<Root>,
    pub next: Option<Root>,
}

impl Root {
    pub fn new(secret: &SecretString) -> Self {
        Self(Zeroizing::new(secret.expose_secret().as_bytes().to_vec()))
    }

    /// The key for `purpose`: HMAC-SHA-256 of the purpose's name.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl Roots {
    /// Those by which a signature may still be good: the present one first.
    pub fn accepted(&self) -> impl Iterator<Item = &Root> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten()
    }

    /// All that edges may have while they are given another one by one: the present one first.
    pub fn all(&self) -> impl Iterator<Item = &Root> {
        self.accepted().chain(self.next.as_ref())
    }
}
