//! `Stripe-Signature`, as Stripe makes it. Source: docs.stripe.com/webhooks/signature.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt::Write as _;

/// The header for `payload`, signed at `now` with each of `secrets`.
pub(crate) fn header(payload: &str, secrets: &[&str], now: i64) -> String {
    let mut header = format!("t={now}");
    for secret in secrets {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(format!("{now}.{payload}").as_bytes());
        header.push_str(",v1=");
        for byte in mac.finalize().into_bytes() {
            write!(header, "{byte:02x}").expect("a string takes all");
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_what_openssl_computes() {
        // `printf '%s.%s' 1700000000 '{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test`.
        let v1 = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
        assert_eq!(header(r#"{"id":"evt_1"}"#, &["whsec_test"], 1_700_000_000), format!("t=1700000000,v1={v1}"));
    }
}
