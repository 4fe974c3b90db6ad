//! Stripe's signature on a webhook: `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>...]`, where each `v1` is the
//! HMAC-SHA256 of `<seconds>.<raw body>` under the secret of an endpoint. Source: docs.stripe.com/webhooks/signature.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use shared::time::Timestamp;

/// How far Stripe's clock and ours may be apart, either way.
pub const TOLERANCE_MS: i64 = 300_000;

/// Why a message is not taken for Stripe's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No time, or no signature of a known scheme.
    #[error("the signature header has another form")]
    Malformed,
    /// Too old, or from the future: it may be a copy.
    #[error("the message was signed at another time")]
    OutOfTime,
    /// Signed by somebody else, or changed on its way.
    #[error("the signature does not fit the message")]
    Mismatch,
}

/// Checks that Stripe signed `payload`, the raw body, with one of `secrets`, which are several while one is rotated.
pub fn verify(payload: &[u8], header: &str, secrets: &[SecretString], now: Timestamp) -> Result<(), SignatureError> {
    let field = |name: &str| {
        let name = name.to_owned();
        header.split(',').filter_map(move |it| it.trim().strip_prefix(name.as_str())?.strip_prefix('='))
    };
    let time = field("t").next().ok_or(SignatureError::Malformed)?;
    let seconds: i64 = time.parse().map_err(|_| SignatureError::Malformed)?;
    let signatures: Vec<[u8; 32]> = field("v1").filter_map(hex).collect();
    if signatures.is_empty() {
        return Err(SignatureError::Malformed);
    }
    // The signature is looked at first: who cannot sign learns nothing of our clock.
    let signed = signatures.iter().any(|signature| secrets.iter().any(|secret| fits(payload, time, secret, signature)));
    if !signed {
        return Err(SignatureError::Mismatch);
    }
    let apart_ms = seconds.saturating_mul(1_000).saturating_sub(now.0).saturating_abs();
    if apart_ms > TOLERANCE_MS { Err(SignatureError::OutOfTime) } else { Ok(()) }
}

/// Compares in constant time.
fn fits(payload: &[u8], time: &str, secret: &SecretString, signature: &[u8; 32]) -> bool {
    let key = secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(payload);
    mac.verify_slice(signature).is_ok()
}

fn hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed with `printf '%s.%s' 1700000000 '{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test`.
    const PAYLOAD: &[u8] = br#"{"id":"evt_1"}"#;
    const V1: &str = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
    const AT: Timestamp = Timestamp(1_700_000_000_000);

    fn check(payload: &[u8], header: &str, secret: &str, now: Timestamp) -> Result<(), SignatureError> {
        verify(payload, header, &["whsec_other".into(), secret.into()], now)
    }

    #[test]
    fn a_message_counts_as_stripe_signed_it_and_in_its_time() {
        let header = format!("t=1700000000,v1={V1}");
        let zero = "0".repeat(64);
        for (name, header, secret, off_ms, verdict) in [
            ("as signed", header.clone(), "whsec_test", 0, Ok(())),
            ("at the edge of its time", header.clone(), "whsec_test", TOLERANCE_MS, Ok(())),
            ("before its time", header.clone(), "whsec_test", -TOLERANCE_MS - 1, Err(SignatureError::OutOfTime)),
            ("after its time", header.clone(), "whsec_test", TOLERANCE_MS + 1, Err(SignatureError::OutOfTime)),
            ("with another secret", header.clone(), "whsec_tesu", 0, Err(SignatureError::Mismatch)),
            ("as one of several", format!("t=1700000000,v1={zero},v1={V1},v0=x"), "whsec_test", 0, Ok(())),
            ("with spaces", format!("t=1700000000, v1={V1}"), "whsec_test", 0, Ok(())),
            ("by another scheme", format!("t=1700000000,v0={V1}"), "whsec_test", 0, Err(SignatureError::Malformed)),
            ("at another time", format!("t=1700000001,v1={V1}"), "whsec_test", 0, Err(SignatureError::Mismatch)),
            ("without a time", format!("v1={V1}"), "whsec_test", 0, Err(SignatureError::Malformed)),
            ("too short", format!("t=1700000000,v1={}", &V1[2..]), "whsec_test", 0, Err(SignatureError::Malformed)),
            ("no header", String::new(), "whsec_test", 0, Err(SignatureError::Malformed)),
        ] {
            assert_eq!(check(PAYLOAD, &header, secret, AT.plus_ms(off_ms)), verdict, "{name}");
        }
        assert_eq!(check(br#"{"id":"evt_2"}"#, &header, "whsec_test", AT), Err(SignatureError::Mismatch));
    }

    #[test]
    fn garbage_in_the_header_is_refused_without_harm() {
        for header in ["t=,v1=", "t=9999999999999999999999,v1=00", "t=1,v1=ÿÿ", "=", ",,,", "t=-9223372036854775808"]
        {
            assert!(check(PAYLOAD, header, "whsec_test", AT).is_err(), "{header}");
        }
    }
}
