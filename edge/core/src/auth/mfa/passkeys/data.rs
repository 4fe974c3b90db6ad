//! Authenticator data: what an authenticator says and signs (WebAuthn level 3, section 6.1).

use minicbor::{Decoder, data::Type};

const PRESENT: u8 = 0x01;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;
const EXTENDED: u8 = 0x80;

const HASH_BYTES: usize = 32;
const AAGUID_BYTES: usize = 16;

/// The longest id that the standard allows.
const LONGEST_ID_BYTES: usize = 1_023;

/// Deeper CBOR than any authenticator writes.
const DEEPEST: u8 = 4;

/// Parsed authenticator data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: &'a [u8],
    pub(super) present: bool,
    pub(super) backup_eligible: bool,
    pub(super) backed_up: bool,
    pub(super) sign_count: u32,
    /// A new key, in data of its creation.
    pub(super) attested: Option<Attested<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attested<'a> {
    pub(super) credential_id: &'a [u8],
    /// In COSE's form.
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// Reads all of `bytes`, or nothing.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (rp_id_hash, rest) = bytes.split_at_checked(HASH_BYTES)?;
        let (&[flags], rest) = rest.split_first_chunk::<1>()?;
        let (count, mut rest) = rest.split_first_chunk::<4>()?;
        let mut attested = None;
        if flags & ATTESTED != 0 {
            let (key, after) = Attested::parse(rest)?;
            (attested, rest) = (Some(key), after);
        }
        if flags & EXTENDED != 0 {
            rest = &rest[item_bytes(rest, Type::Map)?..];
        }
        rest.is_empty().then_some(Self {
            rp_id_hash,
            present: flags & PRESENT != 0,
            backup_eligible: flags & BACKUP_ELIGIBLE != 0,
            backed_up: flags & BACKED_UP != 0,
            sign_count: u32::from_be_bytes(*count),
            attested,
        })
    }
}

impl<'a> Attested<'a> {
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (_, rest) = bytes.split_at_checked(AAGUID_BYTES)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 || length > LONGEST_ID_BYTES {
            return None;
        }
        let (credential_id, rest) = rest.split_at_checked(length)?;
        let (public_key, rest) = rest.split_at_checked(item_bytes(rest, Type::Map)?)?;
        Some((Self { credential_id, public_key }, rest))
    }
}

/// The authenticator data within an attestation object. Which statement stands beside it does not matter: none was asked
/// for.
pub(super) fn of_attestation(object: &[u8]) -> Option<&[u8]> {
    if item_bytes(object, Type::Map)? != object.len() {
        return None;
    }
    let mut decoder = Decoder::new(object);
    let mut data = None;
    for _ in 0..decoder.map().ok()?? {
        match decoder.str().ok()? {
            "authData" if data.is_none() => data = Some(decoder.bytes().ok()?),
            "authData" => return None,
            _ => decoder.skip().ok()?,
        }
    }
    data
}

/// How long the CBOR item at the beginning of `bytes` is, if it is of this type and not nested deeply.
fn item_bytes(bytes: &[u8], wanted: Type) -> Option<usize> {
    let mut decoder = Decoder::new(bytes);
    if decoder.datatype().ok()? != wanted {
        return None;
    }
    skip(&mut decoder, DEEPEST)?;
    Some(decoder.position())
}

/// Passes over one item. Lengths are definite and keys in order of their writing: CTAP2's canonical form, near enough.
fn skip(decoder: &mut Decoder<'_>, depth: u8) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match decoder.datatype().ok()? {
        Type::Map => {
            for _ in 0..decoder.map().ok()?? {
                skip(decoder, depth)?;
                skip(decoder, depth)?;
            }
        }
        Type::Array => {
            for _ in 0..decoder.array().ok()?? {
                skip(decoder, depth)?;
            }
        }
        Type::MapIndef | Type::ArrayIndef | Type::BytesIndef | Type::StringIndef | Type::Tag => return None,
        _ => decoder.skip().ok()?,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data(flags: u8, rest: &[u8]) -> Vec<u8> {
        [&[7; HASH_BYTES][..], &[flags], &[0, 0, 1, 2], rest].concat()
    }

    fn attested(id_bytes: u16, key: &[u8]) -> Vec<u8> {
        [&[0; AAGUID_BYTES][..], &id_bytes.to_be_bytes(), &vec![9; usize::from(id_bytes)], key].concat()
    }

    /// A map of one pair.
    const KEY: &[u8] = &[0xa1, 0x01, 0x02];

    #[test]
    fn data_is_read_to_its_last_byte() {
        let bytes = data(PRESENT, &[]);
        let read = AuthenticatorData::parse(&bytes).unwrap();
        assert!(read.present && !read.backup_eligible && read.attested.is_none() && read.sign_count == 258);
        for (flags, rest, good) in [
            (PRESENT, vec![0], false),
            (ATTESTED, attested(16, KEY), true),
            (0, attested(16, KEY), false),
            (ATTESTED, attested(16, &[]), false),
            (ATTESTED, attested(16, &[0x01]), false),
            (ATTESTED, attested(0, KEY), false),
            (ATTESTED, attested(1_023, KEY), true),
            (ATTESTED, attested(1_024, KEY), false),
            (ATTESTED, attested(16, &[KEY, &[0]].concat()), false),
            (ATTESTED | EXTENDED, attested(16, &[KEY, KEY].concat()), true),
            (EXTENDED, KEY.to_vec(), true),
            (EXTENDED, vec![0x01], false),
            // A map of indefinite length, and one within one, and so on.
            (EXTENDED, vec![0xbf, 0xff], false),
            (EXTENDED, [[0xa1, 0x01].repeat(5), vec![0x02]].concat(), false),
        ] {
            assert_eq!(AuthenticatorData::parse(&data(flags, &rest)).is_some(), good, "{flags:#x} {rest:?}");
        }
        assert!(AuthenticatorData::parse(&[0; 36]).is_none());
    }

    #[test]
    fn an_attestation_object_is_one_map_with_one_data() {
        let map = |pairs: &[&[u8]]| [&[0xa0 | u8::try_from(pairs.len()).unwrap()][..], &pairs.concat()].concat();
        let data: &[u8] = &[0x68, b'a', b'u', b't', b'h', b'D', b'a', b't', b'a', 0x41, 5];
        let format: &[u8] = &[0x63, b'f', b'm', b't', 0x64, b'n', b'o', b'n', b'e'];
        assert_eq!(of_attestation(&map(&[format, data])), Some(&[5][..]));
        assert_eq!(of_attestation(&map(&[format])), None);
        assert_eq!(of_attestation(&map(&[data, data])), None);
        assert_eq!(of_attestation(&[map(&[data]), vec![0]].concat()), None);
        assert_eq!(of_attestation(data), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, flags: u8) {
            let _ = AuthenticatorData::parse(&data(flags, &bytes));
            let _ = of_attestation(&bytes);
        }
    }
}
