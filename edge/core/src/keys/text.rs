//! The text of a key: how it is spelled, what it proves by itself, and how it is found where it does not belong.

use super::{Environment, KeyError};
use sha2::{Digest as _, Sha256};
use shared::id::KeyId;
use uuid::Uuid;

/// What every key matches, for whoever looks for keys where none should be; the checksum then tells a key from a text
/// that only looks like one.
pub const PATTERN: &str = "nest_(live|test)_[0-9A-Za-z]{60}";

/// Both environments are spelled with four letters.
const PREFIX_CHARS: usize = 10;
const ID_CHARS: usize = 22;
/// 32 base62 characters are 190 bits.
pub(super) const SECRET_CHARS: usize = 32;
const CRC_CHARS: usize = 6;
const WHOLE: usize = PREFIX_CHARS + ID_CHARS + SECRET_CHARS + CRC_CHARS;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Each byte's value as a base62 digit, or [`NO_DIGIT`].
const DIGITS: [u8; 256] = {
    let (mut digits, mut at) = ([NO_DIGIT; 256], 0);
    while at < BASE62.len() {
        digits[BASE62[at] as usize] = at as u8;
        at += 1;
    }
    digits
};
const NO_DIGIT: u8 = 62;

/// SHA-256 of a whole key, which is all that is stored of it. A key is random, so a slow hash would guard nothing.
pub(super) type SecretHash = [u8; 32];

/// Writes the key with `id` and the secret that `random` spells.
///
/// `nest_live_<id, 22><secret, 32><crc, 6>`, all base62: the id finds the row, the checksum finds typos without I/O.
pub(super) fn compose(environment: Environment, id: KeyId, random: [u8; SECRET_CHARS]) -> String {
    let mut text = format!("{}{}", environment.prefix(), base62::<ID_CHARS>(id.uuid().as_u128()));
    text.extend(random.iter().map(|byte| char::from(BASE62[usize::from(*byte % 62)])));
    let crc = base62::<CRC_CHARS>(crc32fast::hash(text.as_bytes()).into());
    text + &crc
}

/// Whether a random byte spells a base62 character as often as any other.
pub(super) fn is_unbiased(byte: u8) -> bool {
    byte < 248
}

/// Whether a bearer token is meant to be a key, and no token of another kind.
pub(super) fn is_meant(text: &str) -> bool {
    Environment::ALL.iter().any(|it| text.starts_with(it.prefix()))
}

/// The id inside a key whose form and checksum are right.
pub(super) fn parse(text: &str) -> Result<KeyId, KeyError> {
    if text.len() != WHOLE || !text.is_ascii() || !is_meant(text) {
        return Err(KeyError::Malformed);
    }
    let (body, crc) = text.split_at(WHOLE - CRC_CHARS);
    if digits::<CRC_CHARS>(crc32fast::hash(body.as_bytes()).into()) != crc.as_bytes() {
        return Err(KeyError::Malformed);
    }
    let id = &body[PREFIX_CHARS..PREFIX_CHARS + ID_CHARS];
    let number = id.bytes().try_fold(0_u128, |number, byte| {
        let digit = DIGITS[usize::from(byte)];
        if digit == NO_DIGIT { None } else { number.checked_mul(62)?.checked_add(digit.into()) }
    });
    number.map(|it| KeyId::from_uuid(Uuid::from_u128(it))).ok_or(KeyError::Malformed)
}

/// What lists show of a key: enough to tell keys apart, too little to use one.
pub(super) fn preview(text: &str) -> (String, String) {
    (text[..PREFIX_CHARS + 4].to_owned(), text[text.len() - 4..].to_owned())
}

pub(super) fn hash(text: &str) -> SecretHash {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether a query carries what looks like one of our keys, however it is encoded.
pub(super) fn in_query(query: &str) -> bool {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.into_iter().any(|(name, value)| {
        [name, value].iter().any(|it| Environment::ALL.iter().any(|env| it.contains(env.prefix())))
    })
}

/// A key that was found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it begins, in bytes.
    pub at: usize,
    pub key_id: KeyId,
    /// What lists show of it.
    pub prefix: String,
    pub last_four: String,
}

/// Every key in `text`, by [`PATTERN`] and checksum.
pub fn find(text: &[u8]) -> impl Iterator<Item = Found> {
    let starts = memchr::memmem::find_iter(text, b"nest_");
    starts.filter_map(|at| {
        let candidate = std::str::from_utf8(text.get(at..at + WHOLE)?).ok()?;
        let key_id = parse(candidate).ok()?;
        let (prefix, last_four) = preview(candidate);
        Some(Found { at, key_id, prefix, last_four })
    })
}

/// Bytes of a key: whoever reads a text in parts keeps one less of each for the next.
pub const KEY_BYTES: usize = WHOLE;

/// `number` in base 62, padded to `WIDTH` characters.
fn base62<const WIDTH: usize>(number: u128) -> String {
    digits::<WIDTH>(number).iter().copied().map(char::from).collect()
}

fn digits<const WIDTH: usize>(mut number: u128) -> [u8; WIDTH] {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(number % 62) as usize];
        number /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(bits: u128) -> KeyId {
        KeyId::from_uuid(Uuid::from_u128(bits))
    }

    fn environments() -> impl Strategy<Value = Environment> {
        prop_oneof![Just(Environment::Live), Just(Environment::Test)]
    }

    /// Checklist 45's part: these never reach a lookup.
    #[test]
    fn what_is_no_key_is_refused_without_looking_it_up() {
        let key = compose(Environment::Live, id(u128::MAX), [61; SECRET_CHARS]);
        assert_eq!(parse(&key), Ok(id(u128::MAX)));
        for text in [
            "",
            "sk-123",
            &key[1..],
            &key[..key.len() - 1],
            &format!("{key}0"),
            &key.replacen("live", "test", 1),
            &key.replacen("live", "prod", 1),
            &key.replacen('z', "é", 1),
            // The checksum is right, but the id is larger than any UUID.
            &{
                let body = format!("nest_live_{}{}", "z".repeat(ID_CHARS), "0".repeat(SECRET_CHARS));
                let crc = base62::<CRC_CHARS>(crc32fast::hash(body.as_bytes()).into());
                body + &crc
            },
            // The checksum is right, but a character is none of the sixty-two.
            &{
                let body = format!("nest_live_{}{}", "-".repeat(ID_CHARS), "0".repeat(SECRET_CHARS));
                let crc = base62::<CRC_CHARS>(crc32fast::hash(body.as_bytes()).into());
                body + &crc
            },
        ] {
            assert_eq!(parse(text), Err(KeyError::Malformed), "{text:?}");
        }
    }

    /// Checklist 53's part.
    #[test]
    fn a_key_in_a_query_is_seen_however_it_is_encoded() {
        for (query, seen) in [
            ("api_key=nest_live_abc", true),
            ("a=1&key=nest_test_abc", true),
            ("nest_live_abc", true),
            ("key=nest%5flive%5Fabc", true),
            ("key=%6eest_live_abc", true),
            ("key=Bearer+nest_live_abc", true),
            ("", false),
            ("limit=5&cursor=key_0190", false),
            ("note=the+nest+is+live", false),
        ] {
            assert_eq!(in_query(query), seen, "{query}");
        }
    }

    /// Checklist 47's part.
    #[test]
    fn keys_are_found_in_any_text_and_nothing_else_is() {
        let key = compose(Environment::Test, id(7), [5; SECRET_CHARS]);
        let mut typo = key.clone();
        typo.replace_range(20..21, if &key[20..21] == "a" { "b" } else { "a" });
        let text = format!("x{key}y\u{e9}nest_{key}{typo} nest_live_ {}", &key[..key.len() - 1]);
        let found: Vec<Found> = find(text.as_bytes()).collect();
        let at: Vec<usize> = text.match_indices(&key).map(|(at, _)| at).collect();
        assert_eq!(found.iter().map(|it| it.at).collect::<Vec<_>>(), at);
        assert!(
            found.iter().all(|it| it.key_id == id(7) && key.starts_with(&it.prefix) && key.ends_with(&it.last_four))
        );
        assert_eq!(find(b"\xff\xfenest_live_\xff").count(), 0);
    }

    proptest! {
        #[test]
        fn a_key_names_its_row(environment in environments(), bits in any::<u128>(), random in any::<[u8; SECRET_CHARS]>()) {
            let key = compose(environment, id(bits), random);
            prop_assert_eq!(parse(&key), Ok(id(bits)));
            prop_assert_eq!(key.len(), KEY_BYTES);
            prop_assert!(key[PREFIX_CHARS..].bytes().all(|it| it.is_ascii_alphanumeric()));
            let (prefix, last_four) = preview(&key);
            prop_assert!(key.starts_with(&prefix) && key.ends_with(&last_four));
        }

        #[test]
        fn one_wrong_character_is_noticed(bits in any::<u128>(), random in any::<[u8; SECRET_CHARS]>(), at in any::<prop::sample::Index>(), digit in 0_usize..62) {
            let key = compose(Environment::Live, id(bits), random);
            let at = PREFIX_CHARS + at.index(key.len() - PREFIX_CHARS);
            let mut changed = key.clone().into_bytes();
            changed[at] = BASE62[digit];
            let changed = String::from_utf8(changed).unwrap();
            prop_assume!(changed != key);
            prop_assert_eq!(parse(&changed), Err(KeyError::Malformed));
        }
    }
}
