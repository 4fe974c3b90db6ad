//! Pure decisions about keys: their form, whether one is live, and how long a cached one may be used.

use sha2::{Digest as _, Sha256};
use shared::{id::KeyId, time::Timestamp};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// Why a key was refused. None of the texts holds any part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("no API key: send `Authorization: Bearer nest_...`")]
    Missing,
    #[error("the API key is not valid: check that it was copied whole")]
    Malformed,
    #[error("the API key is not known")]
    Unknown,
    #[error("the API key has expired")]
    Expired,
    #[error("the API key was revoked")]
    Revoked,
    #[error("the organisation of the API key is suspended: write to support")]
    Suspended,
    #[error("an API key does not belong in a URL, where it ends up in logs: send it as `Authorization: Bearer`")]
    InQuery,
}

impl KeyError {
    /// The stable code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing_api_key",
            Self::Malformed | Self::Unknown => "invalid_api_key",
            Self::Expired => "expired_api_key",
            Self::Revoked => "revoked_api_key",
            Self::Suspended => "org_suspended",
            Self::InQuery => "api_key_in_query",
        }
    }
}

const PREFIX: &str = "nest_live_";
const ID_CHARS: usize = 22;
/// 32 base62 characters are 190 bits.
pub(super) const SECRET_CHARS: usize = 32;
const CRC_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SHA-256 of a whole key, which is all that is stored of it. A key is random, so a slow hash would guard nothing.
pub(super) type SecretHash = [u8; 32];

/// Writes the key with `id` and the secret that `random` spells.
///
/// `nest_live_<id, 22><secret, 32><crc, 6>`, all base62: the id finds the row, the checksum finds typos without I/O.
pub(super) fn compose(id: KeyId, random: [u8; SECRET_CHARS]) -> String {
    let mut text = format!("{PREFIX}{}", base62::<ID_CHARS>(id.uuid().as_u128()));
    text.extend(random.iter().map(|byte| char::from(BASE62[usize::from(*byte % 62)])));
    let crc = base62::<CRC_CHARS>(crc32fast::hash(text.as_bytes()).into());
    text + &crc
}

/// Whether a random byte spells a base62 character as often as any other.
pub(super) fn is_unbiased(byte: u8) -> bool {
    byte < 248
}

/// The id inside a key whose form and checksum are right.
pub(super) fn parse(text: &str) -> Result<KeyId, KeyError> {
    let whole = PREFIX.len() + ID_CHARS + SECRET_CHARS + CRC_CHARS;
    if text.len() != whole || !text.is_ascii() || !text.starts_with(PREFIX) {
        return Err(KeyError::Malformed);
    }
    let (body, crc) = text.split_at(whole - CRC_CHARS);
    if base62::<CRC_CHARS>(crc32fast::hash(body.as_bytes()).into()) != crc {
        return Err(KeyError::Malformed);
    }
    let id = &body[PREFIX.len()..PREFIX.len() + ID_CHARS];
    let number = id.bytes().try_fold(0_u128, |number, byte| {
        let digit = BASE62.iter().position(|it| *it == byte)?;
        number.checked_mul(62)?.checked_add(digit as u128)
    });
    number.map(|it| KeyId::from_uuid(Uuid::from_u128(it))).ok_or(KeyError::Malformed)
}

/// What lists show of a key: enough to tell keys apart, too little to use one.
pub(super) fn preview(text: &str) -> (String, String) {
    (text[..PREFIX.len() + 4].to_owned(), text[text.len() - 4..].to_owned())
}

/// Whether a query string carries what looks like one of our keys.
pub(super) fn in_query(query: &str) -> bool {
    query.contains("nest_live_")
}

pub(super) fn hash(text: &str) -> SecretHash {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether the presented key is the stored one and is live at `now`.
pub(super) fn admit(stored: &super::StoredKey, presented: &SecretHash, now: Timestamp) -> Result<(), KeyError> {
    if !bool::from(stored.secret_hash.as_slice().ct_eq(presented)) {
        return Err(KeyError::Unknown);
    }
    if stored.revoked_at.is_some() {
        return Err(KeyError::Revoked);
    }
    match stored.expires_at {
        // Expiry is exclusive: lists say "valid until", so at that instant the key is dead.
        Some(expires_at) if expires_at <= now => Err(KeyError::Expired),
        _ if stored.org_suspended => Err(KeyError::Suspended),
        _ => Ok(()),
    }
}

/// What may be done with something that was read `age_ms` ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Use it.
    Fresh,
    /// Use it, and read it anew behind the request.
    Ageing,
    /// Read it anew first.
    Old,
}

/// Revocation takes effect within five seconds everywhere: older entries are not used while Postgres answers.
pub(super) fn freshness(age_ms: i64) -> Freshness {
    match age_ms {
        ..1_000 => Freshness::Fresh,
        1_000..5_000 => Freshness::Ageing,
        5_000.. => Freshness::Old,
    }
}

/// `number` in base 62, padded to `WIDTH` characters.
fn base62<const WIDTH: usize>(mut number: u128) -> String {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(number % 62) as usize];
        number /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::id::OrgId;

    const NOW: Timestamp = Timestamp(1_000);

    fn id(bits: u128) -> KeyId {
        KeyId::from_uuid(Uuid::from_u128(bits))
    }

    #[test]
    fn a_stored_key_admits_its_own_text_until_it_expires_or_is_revoked() {
        let secret_hash = hash("right");
        for (presented, expires_at, revoked_at, org_suspended, verdict) in [
            ("right", None, None, false, Ok(())),
            ("right", Some(1_001), None, false, Ok(())),
            ("right", Some(1_000), None, false, Err(KeyError::Expired)),
            ("right", Some(999), None, false, Err(KeyError::Expired)),
            ("right", None, Some(5_000), false, Err(KeyError::Revoked)),
            ("right", Some(1), Some(1), false, Err(KeyError::Revoked)),
            ("right", None, None, true, Err(KeyError::Suspended)),
            ("right", None, Some(1), true, Err(KeyError::Revoked)),
            ("wrong", None, None, true, Err(KeyError::Unknown)),
            ("wrong", None, None, false, Err(KeyError::Unknown)),
            ("wrong", Some(1), Some(1), false, Err(KeyError::Unknown)),
        ] {
            let stored = super::super::StoredKey {
                id: id(1),
                org_id: OrgId::from_uuid(Uuid::nil()),
                secret_hash: secret_hash.to_vec(),
                expires_at: expires_at.map(Timestamp),
                revoked_at: revoked_at.map(Timestamp),
                version: 1,
                org_suspended,
            };
            let case = format!("{presented} {expires_at:?} {revoked_at:?} {org_suspended}");
            assert_eq!(admit(&stored, &hash(presented), NOW), verdict, "{case}");
        }
    }

    #[test]
    fn a_cached_key_ages() {
        for (age_ms, freshness_is) in [
            (-5, Freshness::Fresh),
            (0, Freshness::Fresh),
            (999, Freshness::Fresh),
            (1_000, Freshness::Ageing),
            (4_999, Freshness::Ageing),
            (5_000, Freshness::Old),
        ] {
            assert_eq!(freshness(age_ms), freshness_is, "{age_ms}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_looking_it_up() {
        let key = compose(id(u128::MAX), [61; SECRET_CHARS]);
        assert_eq!(parse(&key), Ok(id(u128::MAX)));
        for text in [
            "",
            "sk-123",
            &key[1..],
            &key[..key.len() - 1],
            &format!("{key}0"),
            &key.replacen("live", "test", 1),
            &key.replacen('z', "é", 1),
            // The checksum is right, but the id is larger than any UUID.
            &{
                let body = format!("{PREFIX}{}{}", "z".repeat(ID_CHARS), "0".repeat(SECRET_CHARS));
                let crc = base62::<CRC_CHARS>(crc32fast::hash(body.as_bytes()).into());
                body + &crc
            },
        ] {
            assert_eq!(parse(text), Err(KeyError::Malformed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_names_its_row(bits in any::<u128>(), random in any::<[u8; SECRET_CHARS]>()) {
            let key = compose(id(bits), random);
            prop_assert_eq!(parse(&key), Ok(id(bits)));
            let (prefix, last_four) = preview(&key);
            prop_assert!(key.starts_with(&prefix) && key.ends_with(&last_four));
        }

        #[test]
        fn one_wrong_character_is_noticed(bits in any::<u128>(), random in any::<[u8; SECRET_CHARS]>(), at in any::<prop::sample::Index>(), digit in 0_usize..62) {
            let key = compose(id(bits), random);
            let at = PREFIX.len() + at.index(key.len() - PREFIX.len());
            let mut changed = key.clone().into_bytes();
            changed[at] = BASE62[digit];
            let changed = String::from_utf8(changed).unwrap();
            prop_assume!(changed != key);
            prop_assert_eq!(parse(&changed), Err(KeyError::Malformed));
        }
    }
}
