//! Passwords at rest: argon2id as a PHC string.

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use secrecy::{ExposeSecret as _, SecretString};

/// OWASP's floor: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

/// The PHC string of `password`, or none when its length is not allowed.
pub(super) fn hash(password: &SecretString, salt: [u8; 16]) -> Option<String> {
    let text = password.expose_secret();
    if text.chars().count() < 15 || text.len() > 1024 {
        return None;
    }
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("static parameters");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(text.as_bytes(), &salt).expect("length and salt are in range");
    Some(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordVerifier as _;

    #[test]
    fn a_hash_verifies_its_password_alone_and_names_its_parameters() {
        let stored = hash(&"correct horse battery".into(), [1; 16]).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let parsed = argon2::PasswordHash::new(&stored).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse battery", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"correct horse batterz", &parsed).is_err());
    }

    #[test]
    fn lengths_outside_the_range_are_refused() {
        for (length, allowed) in [(14, false), (15, true), (1024, true), (1025, false)] {
            assert_eq!(hash(&"x".repeat(length).into(), [0; 16]).is_some(), allowed, "{length}");
        }
    }
}
