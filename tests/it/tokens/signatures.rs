//! Forged signatures: broken ones, and those that the curve's own mathematics allows.

use super::forgeries::Known;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use ed25519_compact::KeyPair;

/// Other bytes in the signature's place.
pub(super) fn signatures(known: &Known<'_>) -> Vec<String> {
    let [header, claims, signature] = known.parts();
    let bytes = BASE64URL.decode(signature).unwrap();
    let others = BASE64URL.decode(known.other.rsplit('.').next().unwrap()).unwrap();
    let mut forged: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0; 64],
        vec![255; 64],
        vec![0; 32],
        vec![0; 65],
        bytes[..63].to_vec(),
        bytes[..32].to_vec(),
        [&bytes[..], &[0]].concat(),
        [&bytes[..], &bytes[..]].concat(),
        [&bytes[32..], &bytes[..32]].concat(),
        [&bytes[..32], &others[32..]].concat(),
        [&others[..32], &bytes[32..]].concat(),
        bytes.iter().rev().copied().collect(),
        bytes.iter().map(|it| !it).collect(),
        others,
        // As ECDSA's signatures are written in certificates.
        [&[0x30, 0x44, 0x02, 0x20], &bytes[..32], &[0x02, 0x20], &bytes[32..]].concat(),
    ];
    for at in 0..64 {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        forged.push(flipped);
    }
    forged.iter().map(|it| format!("{header}.{claims}.{}", BASE64URL.encode(it))).collect()
}

/// The order of the curve's base point, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Points of small order, as they are written: a signature by such a key, or with such a point, proves nothing.
const SMALL: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
];

/// What is particular to this curve.
pub(super) fn curve(known: &Known<'_>) -> Vec<String> {
    let [header, claims, signature] = known.parts();
    let bytes = BASE64URL.decode(signature).unwrap();
    let mut forged = Vec::new();
    // The same signature, with the curve's order added to its scalar once, twice, ...: other bytes for one number.
    let mut scalar: [u8; 32] = bytes[32..].try_into().unwrap();
    for _ in 0..7 {
        let mut carry = 0;
        for (byte, order) in scalar.iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        forged.push([&bytes[..32], &scalar].concat());
    }
    for small in SMALL {
        let point: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&small[at * 2..at * 2 + 2], 16).unwrap()).collect();
        forged.push([&point[..], &[0; 32]].concat());
        forged.push([&point[..], &bytes[32..]].concat());
    }
    // A point that is on no curve, and one written with a number beyond the field.
    forged.push([&[2; 32][..], &bytes[32..]].concat());
    forged.push([&[0xff; 32][..], &bytes[32..]].concat());
    // A signature over the claims alone, and over their text without its encoding.
    let key: &KeyPair = &known.own.pair;
    forged.push(key.sk.sign(claims, None).to_vec());
    forged.push(key.sk.sign(known.claims().to_string(), None).to_vec());
    forged.push(key.sk.sign(format!("{header}{claims}"), None).to_vec());
    forged.iter().map(|it| format!("{header}.{claims}.{}", BASE64URL.encode(it))).collect()
}
