//! Public keys in COSE's form (RFC 9053), and what they verify. ES256 and EdDSA are the algorithms that we offer.

use super::Stored;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use minicbor::{Decoder, data::Type};
use p256::ecdsa::signature::Verifier as _;

pub(super) const ES256: i64 = -7;
pub(super) const EDDSA: i64 = -8;

/// A public key that can verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Es256(Box<p256::ecdsa::VerifyingKey>),
    EdDsa(ed25519_compact::PublicKey),
}

/// The parameters of a key that we know; others are passed over.
#[derive(Default)]
struct Parameters<'a> {
    kty: Option<i64>,
    alg: Option<i64>,
    crv: Option<i64>,
    x: Option<&'a [u8]>,
    y: Option<&'a [u8]>,
}

impl PublicKey {
    /// Reads a COSE key of an algorithm that we offer; none when its point is not one.
    pub(super) fn parse(cose: &[u8]) -> Option<Self> {
        let key = Parameters::read(cose)?;
        match (key.kty, key.alg, key.crv) {
            (Some(2), Some(ES256), Some(1)) => {
                let (x, y): ([u8; 32], [u8; 32]) = (key.x?.try_into().ok()?, key.y?.try_into().ok()?);
                Self::es256(&[&[4][..], &x, &y].concat())
            }
            (Some(1), Some(EDDSA), Some(6)) => Self::eddsa(key.x?),
            _ => None,
        }
    }

    fn es256(point: &[u8]) -> Option<Self> {
        Some(Self::Es256(Box::new(p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?)))
    }

    fn eddsa(bytes: &[u8]) -> Option<Self> {
        let key = ed25519_compact::PublicKey::from_slice(bytes).ok()?;
        key.validate().ok()?;
        Some(Self::EdDsa(key))
    }

    /// The key that was stored.
    pub(super) fn stored(stored: &Stored) -> Option<Self> {
        let bytes = BASE64URL.decode(&stored.public_key).ok()?;
        match stored.alg {
            ES256 => Self::es256(&bytes),
            EDDSA => Self::eddsa(&bytes),
            _ => None,
        }
    }

    /// Algorithm and bytes, for storing.
    pub(super) fn parts(&self) -> (i64, String) {
        match self {
            Self::Es256(key) => (ES256, BASE64URL.encode(key.to_sec1_point(false).as_bytes())),
            Self::EdDsa(key) => (EDDSA, BASE64URL.encode(key.as_ref())),
        }
    }

    /// Whether `signature` is this key's, over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256(key) => {
                p256::ecdsa::DerSignature::from_bytes(signature).is_ok_and(|it| key.verify(message, &it).is_ok())
            }
            Self::EdDsa(key) => ed25519_compact::Signature::from_slice(signature)
                .is_ok_and(|it| ed25519_compact::PublicKey::verify(key, message, &it).is_ok()),
        }
    }
}

impl<'a> Parameters<'a> {
    fn read(cose: &'a [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(cose);
        let mut key = Self::default();
        for _ in 0..decoder.map().ok()?? {
            // Labels may be texts; none of ours is.
            if decoder.datatype().ok()? == Type::String {
                decoder.skip().ok()?;
                decoder.skip().ok()?;
                continue;
            }
            match decoder.i64().ok()? {
                1 => once(&mut key.kty, decoder.i64().ok()?)?,
                3 => once(&mut key.alg, decoder.i64().ok()?)?,
                -1 => once(&mut key.crv, decoder.i64().ok()?)?,
                -2 => once(&mut key.x, decoder.bytes().ok()?)?,
                -3 => once(&mut key.y, decoder.bytes().ok()?)?,
                _ => decoder.skip().ok()?,
            }
        }
        (decoder.position() == cose.len()).then_some(key)
    }
}

/// A parameter that comes twice is none.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use minicbor::Encoder;
    use p256::ecdsa::{SigningKey, signature::Signer as _};

    fn cose(numbers: &[(i64, i64)], bytes: &[(i64, &[u8])]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.map(u64::try_from(numbers.len() + bytes.len()).unwrap()).unwrap();
        for (label, number) in numbers {
            encoder.i64(*label).unwrap().i64(*number).unwrap();
        }
        for (label, value) in bytes {
            encoder.i64(*label).unwrap().bytes(value).unwrap();
        }
        encoder.into_writer()
    }

    fn es256() -> (SigningKey, [u8; 32], [u8; 32]) {
        let key = SigningKey::from_slice(&[3; 32]).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        let bytes = point.as_bytes();
        (key, bytes[1..33].try_into().unwrap(), bytes[33..].try_into().unwrap())
    }

    #[test]
    fn a_key_verifies_what_it_signed_and_survives_storing() {
        let (es256, x, y) = es256();
        let ed25519 = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([5; 32]));
        let signature: p256::ecdsa::DerSignature = es256.sign(b"message");
        for (key, signature) in [
            (cose(&[(1, 2), (3, ES256), (-1, 1)], &[(-2, &x), (-3, &y)]), signature.as_bytes().to_vec()),
            (
                cose(&[(1, 1), (3, EDDSA), (-1, 6)], &[(-2, ed25519.pk.as_ref())]),
                ed25519.sk.sign(b"message", None).to_vec(),
            ),
        ] {
            let key = PublicKey::parse(&key).unwrap();
            assert!(key.verifies(b"message", &signature) && !key.verifies(b"massage", &signature));
            assert!(!key.verifies(b"message", &signature[1..]) && !key.verifies(b"message", &[]));
            let (alg, public_key) = key.parts();
            let stored = Stored { alg, public_key, backup_eligible: false, transports: Vec::new() };
            assert_eq!(PublicKey::stored(&stored), Some(key));
        }
    }

    #[test]
    fn a_key_that_is_not_one_of_ours_is_refused() {
        let (_, x, y) = es256();
        let numbers = [(1, 2), (3, ES256), (-1, 1)];
        assert!(PublicKey::parse(&cose(&numbers, &[(-2, &x), (-3, &y)])).is_some());
        for (numbers, bytes) in [
            // Another algorithm, another type of key, another curve.
            (vec![(1, 2), (3, -35), (-1, 2)], vec![(-2, &x[..]), (-3, &y[..])]),
            (vec![(1, 3), (3, -257)], vec![(-2, &x[..]), (-3, &y[..])]),
            (vec![(1, 2), (3, EDDSA), (-1, 1)], vec![(-2, &x[..]), (-3, &y[..])]),
            (vec![(1, 1), (3, EDDSA), (-1, 1)], vec![(-2, &x[..])]),
            // A point that is not on the curve, one half of one, and none.
            (numbers.to_vec(), vec![(-2, &x[..]), (-3, &x[..])]),
            (numbers.to_vec(), vec![(-2, &x[..])]),
            (numbers.to_vec(), vec![(-2, &x[1..]), (-3, &y[..])]),
            (numbers.to_vec(), vec![]),
            // Of small order, and too short.
            (vec![(1, 1), (3, EDDSA), (-1, 6)], vec![(-2, &[0; 32][..])]),
            (vec![(1, 1), (3, EDDSA), (-1, 6)], vec![(-2, &x[..31])]),
            // A parameter that comes twice.
            ([&numbers[..], &[(3, ES256)]].concat(), vec![(-2, &x[..]), (-3, &y[..])]),
        ] {
            assert!(PublicKey::parse(&cose(&numbers, &bytes)).is_none(), "{numbers:?}");
        }
        assert!(PublicKey::parse(&[]).is_none());
    }
}
