//! argon2 over memory that its thread keeps: as many hashes at once as there are threads need so much memory and no more,
//! whatever the allocator makes of blocks of 19 MiB that come and go.

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::phc::{Output, ParamsString, Salt},
};
use std::cell::RefCell;
use subtle::ConstantTimeEq as _;

const HASH_BYTES: usize = 32;

/// The PHC string of a password.
pub(super) fn hash(password: &[u8], salt: [u8; 16], params: Params) -> String {
    let mut out = [0; HASH_BYTES];
    let text = ParamsString::try_from(&params).expect("numbers fit a PHC string");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    fill(&argon2, password, &salt, &mut out).expect("length and salt are in range");
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: text,
        salt: Some(Salt::new(&salt).expect("a salt of 16 bytes")),
        hash: Some(Output::new(&out).expect("a hash of 32 bytes")),
    };
    hash.to_string()
}

/// Whether `stored` is of this password.
pub(super) fn is_of(stored: &PasswordHash, password: &[u8]) -> bool {
    derived(stored, password).is_some_and(|(derived, expected)| bool::from(derived.ct_eq(&expected)))
}

/// What the password comes to by the parameters of `stored`, and what it should.
fn derived(stored: &PasswordHash, password: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (salt, expected) = (stored.salt.as_ref()?, stored.hash.as_ref()?);
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = Version::try_from(stored.version?).ok()?;
    let argon2 = Argon2::new(algorithm, version, Params::try_from(stored).ok()?);
    let mut out = vec![0; expected.as_ref().len()];
    fill(&argon2, password, salt, &mut out).ok()?;
    Some((out, expected.as_ref().to_vec()))
}

fn fill(argon2: &Argon2<'_>, password: &[u8], salt: &[u8], out: &mut [u8]) -> argon2::Result<()> {
    thread_local! {
        static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
    }
    MEMORY.with_borrow_mut(|memory| {
        let blocks = argon2.params().block_count();
        if memory.len() < blocks {
            memory.reserve_exact(blocks - memory.len());
            memory.resize(blocks, Block::default());
        }
        argon2.hash_password_into_with_memory(password, salt, out, &mut memory[..blocks])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::{PasswordHasher as _, PasswordVerifier as _};

    /// The crate's own way, which allocates, is the reference; and what memory held before changes nothing.
    #[test]
    fn kept_memory_gives_what_fresh_memory_gives() {
        for (password, kib, passes) in [("one", 64, 1), ("two", 19_456, 2), ("three", 8_192, 3), ("", 64, 2)] {
            let params = Params::new(kib, passes, 1, None).unwrap();
            let reference = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
            let ours = hash(password.as_bytes(), [7; 16], params);
            let theirs = reference.hash_password_with_salt(password.as_bytes(), &[7; 16]).unwrap();
            assert_eq!(ours, theirs.to_string());
            assert!(reference.verify_password(password.as_bytes(), &PasswordHash::new(&ours).unwrap()).is_ok());
            assert!(is_of(&theirs, password.as_bytes()) && !is_of(&theirs, b"four"));
        }
    }
}
