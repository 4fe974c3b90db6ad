//! Passwords: which may be set, and how they are kept: argon2id as a PHC string, computed where it holds up nobody.

mod accept;
mod argon;
mod estimate;
mod words;

pub(crate) use accept::{Personal, accept, strength};

use super::AuthError;
use crate::{App, Host, host::Busy};
use argon2::{Params, PasswordHash};
use futures_channel::oneshot;
use secrecy::{ExposeSecret as _, SecretString};

/// OWASP's floor: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// NIST SP 800-63B-4: 15 characters when a password may be the only factor, and no rule on what they are.
const SHORTEST_CHARS: usize = 15;
const LONGEST_BYTES: usize = 1_024;

/// A hash of no password, by the present parameters: an account that does not exist costs what one does.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGhlcmUu$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What a check found.
pub(super) struct Checked {
    pub(super) right: bool,
    /// The password's hash by the present parameters, when the stored one is weaker.
    pub(super) upgrade: Option<String>,
}

/// Whether the length is one that is accepted at all; longer ones are refused before they cost anything.
pub(super) fn check_length(password: &SecretString) -> Result<(), AuthError> {
    let text = password.expose_secret();
    if text.len() > LONGEST_BYTES {
        return Err(AuthError::Password { reason: "a password has at most 1024 bytes" });
    }
    if text.chars().count() < SHORTEST_CHARS {
        return Err(AuthError::Password { reason: "a password has at least 15 characters; a few words do well" });
    }
    Ok(())
}

/// The PHC string of `password`.
pub(super) fn hash(password: &SecretString, salt: [u8; 16]) -> Result<String, AuthError> {
    check_length(password)?;
    Ok(hash_now(password, salt))
}

/// As [`hash`], where it holds up nobody.
pub(super) async fn hash_aside(app: &App, password: SecretString) -> Result<String, AuthError> {
    check_length(&password)?;
    let salt = crate::host::random(&*app.host);
    aside(&*app.host, move || hash_now(&password, salt)).await
}

/// Compares `password` with what is stored, or with nobody's hash: either way it takes as long.
pub(super) async fn check(app: &App, password: SecretString, stored: Option<String>) -> Result<Checked, AuthError> {
    let salt = crate::host::random(&*app.host);
    aside(&*app.host, move || check_now(&password, stored, salt)).await
}

fn check_now(password: &SecretString, stored: Option<String>, salt: [u8; 16]) -> Checked {
    let text = password.expose_secret();
    let known = stored.is_some();
    let stored = stored.unwrap_or_else(|| NOBODY.to_owned());
    // A password that could never have been set is not worth the time; that says nothing of any account.
    let right = text.len() <= LONGEST_BYTES
        && PasswordHash::new(&stored).is_ok_and(|it| argon::is_of(&it, text.as_bytes()))
        && known;
    let upgrade = (right && is_weaker(&stored)).then(|| hash_now(password, salt));
    Checked { right, upgrade }
}

fn is_weaker(stored: &str) -> bool {
    let Ok(hash) = PasswordHash::new(stored) else { return true };
    let Ok(params) = Params::try_from(&hash) else { return true };
    hash.algorithm.as_str() != "argon2id" || params.m_cost() < MEMORY_KIB || params.t_cost() < PASSES
}

fn hash_now(password: &SecretString, salt: [u8; 16]) -> String {
    argon::hash(password.expose_secret().as_bytes(), salt, present_params())
}

fn present_params() -> Params {
    Params::new(MEMORY_KIB, PASSES, LANES, None).expect("static parameters")
}

async fn aside<T: Send + 'static>(host: &dyn Host, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AuthError> {
    let (done, result) = oneshot::channel();
    let work = Box::new(move || drop(done.send(work())));
    host.compute(work).await.map_err(|Busy| AuthError::Busy)?;
    result.await.map_err(|_| AuthError::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_verifies_its_password_alone_and_names_its_parameters() {
        let stored = hash(&"correct horse battery".into(), [1; 16]).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        for (password, right) in [("correct horse battery", true), ("correct horse batterz", false)] {
            assert_eq!(check_now(&password.into(), Some(stored.clone()), [2; 16]).right, right);
        }
    }

    #[test]
    fn nobody_s_hash_is_one_and_lets_nobody_in() {
        assert!(PasswordHash::new(NOBODY).is_ok() && !is_weaker(NOBODY));
        assert!(!check_now(&"correct horse battery".into(), None, [0; 16]).right);
    }

    /// Checklist 4.
    #[test]
    fn a_weaker_hash_is_upgraded_when_its_password_comes() {
        let stored = argon::hash(b"correct horse battery", [1; 16], Params::new(8_192, 1, 1, None).unwrap());
        let checked = check_now(&"correct horse battery".into(), Some(stored.clone()), [2; 16]);
        let upgraded = checked.upgrade.unwrap();
        assert!(checked.right && upgraded.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{upgraded}");
        let again = check_now(&"correct horse battery".into(), Some(upgraded), [3; 16]);
        assert!(again.right && again.upgrade.is_none());
        assert!(check_now(&"correct horse batterz".into(), Some(stored), [2; 16]).upgrade.is_none());
    }

    #[test]
    fn lengths_outside_the_range_are_refused() {
        for (length, allowed) in [(14, false), (15, true), (1024, true), (1025, false)] {
            assert_eq!(hash(&"x".repeat(length).into(), [0; 16]).is_ok(), allowed, "{length}");
        }
    }
}
