//! Who verifies tokens, and who counts one-time codes.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jwt_simple::prelude::{
    Claims, Clock, Duration, ECDSAP256KeyPairLike as _, ECDSAP256PublicKeyLike as _, ES256KeyPair, Ed25519KeyPair,
    EdDSAKeyPairLike as _, JWTClaims, NoCustomClaims,
};
use nest_tests::{
    Verifiers,
    one_time_codes::{AskedCode, by_otplib, by_pyotp},
    verifiers::{Expected, Verifier},
};
use serde_json::{Value, json};

const ISSUER: &str = "https://nest.example";
const AUDIENCE: &str = "https://nest.example/api";

fn claims(issuer: &str, audience: &str, valid_s: u64) -> JWTClaims<NoCustomClaims> {
    let claims = Claims::create(Duration::from_secs(valid_s));
    claims.with_issuer(issuer).with_audience(audience).with_subject("usr_1")
}

/// Signs with a key `k` of its own; the second is that key, published.
type Signer = (Box<dyn Fn(JWTClaims<NoCustomClaims>) -> String>, Value);

fn ed25519() -> Signer {
    let pair = Ed25519KeyPair::generate().with_key_id("k");
    let x = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key().to_bytes());
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k", "alg": "EdDSA", "use": "sig" });
    (Box::new(move |claims| pair.sign(claims).unwrap()), key)
}

fn es256() -> Signer {
    let pair = ES256KeyPair::generate().with_key_id("k");
    let point = pair.public_key().public_key().to_bytes_uncompressed();
    let [x, y] = [&point[1..33], &point[33..]].map(|it| BASE64_URL_SAFE_NO_PAD.encode(it));
    let key = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k", "alg": "ES256", "use": "sig" });
    (Box::new(move |claims| pair.sign(claims).unwrap()), key)
}

/// The same token for another subject, under the same signature.
fn tampered(token: &str) -> String {
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let payload = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(payload.replace("usr_1", "usr_2")))
}

#[tokio::test]
async fn three_libraries_accept_a_good_token_and_refuse_each_bad_one() {
    let mut verifiers = Verifiers::start().await;
    for (algorithm, own, other) in [("EdDSA", ed25519(), ed25519()), ("ES256", es256(), es256())] {
        let jwks = json!({ "keys": [own.1] });
        let algorithms = [algorithm];
        let expected = Expected { jwks: &jwks, issuer: ISSUER, audience: AUDIENCE, algorithms: &algorithms };
        let good = (own.0)(claims(ISSUER, AUDIENCE, 60));
        let mut expired = claims(ISSUER, AUDIENCE, 60);
        expired.expires_at = Some(Clock::now_since_epoch() - Duration::from_hours(1));
        let bad = [
            ("issuer", (own.0)(claims("https://elsewhere.example", AUDIENCE, 60))),
            ("audience", (own.0)(claims(ISSUER, "https://elsewhere.example", 60))),
            ("expiry", (own.0)(expired)),
            ("claims", tampered(&good)),
            ("key", (other.0)(claims(ISSUER, AUDIENCE, 60))),
        ];
        for verifier in Verifier::ALL {
            let told = verifiers.verify(verifier, &good, &expected).await;
            assert_eq!(told.unwrap()["sub"], "usr_1", "{algorithm} {verifier:?}");
            for (what, token) in &bad {
                let told = verifiers.verify(verifier, token, &expected).await;
                assert!(told.is_err(), "{algorithm} {verifier:?}, another {what}: {told:?}");
            }
            let unpinned = Expected { algorithms: &["RS256"], ..expected };
            let told = verifiers.verify(verifier, &good, &unpinned).await;
            assert!(told.is_err(), "{algorithm} {verifier:?}, an algorithm that is not expected: {told:?}");
        }
    }
}

/// RFC 6238, appendix B: the secrets are the digits over and over, as long as the hash.
const SECRETS: [(&str, &str); 3] = [
    ("SHA1", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
    ("SHA256", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA"),
    (
        "SHA512",
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA",
    ),
];

const VECTORS: [(u64, [&str; 3]); 6] = [
    (59, ["94287082", "46119246", "90693936"]),
    (1_111_111_109, ["07081804", "68084774", "25091201"]),
    (1_111_111_111, ["14050471", "67062674", "99943326"]),
    (1_234_567_890, ["89005924", "91819424", "93441116"]),
    (2_000_000_000, ["69279037", "90698825", "38618901"]),
    (20_000_000_000, ["65353130", "77737706", "47863826"]),
];

#[tokio::test]
async fn both_libraries_count_as_rfc_6238_does() {
    let (mut asked, mut expected) = (Vec::new(), Vec::new());
    for (time_s, codes) in VECTORS {
        for ((algorithm, secret), code) in SECRETS.into_iter().zip(codes) {
            for digits in [8, 6] {
                asked.push(AskedCode { secret: secret.to_owned(), time_s, algorithm, digits });
                expected.push(code[code.len() - digits as usize..].to_owned());
            }
        }
    }
    assert_eq!(by_pyotp(&asked).await, expected);
    assert_eq!(by_otplib(&asked).await, expected);
}
