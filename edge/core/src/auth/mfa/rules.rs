//! Pure decisions about second factors.

use crate::auth::AuthError;
use shared::time::Timestamp;
use totp_rs::{Algorithm, Builder, Totp};

/// Bytes of an authenticator app's secret: RFC 4226 asks for 160 bits.
pub(super) const SECRET_BYTES: usize = 20;

/// Seconds that a code counts for.
const STEP_S: u64 = 30;

/// A code of the step before or after is good too: phones' clocks differ, and people type slowly.
const SKEW: u16 = 1;

/// The way that every authenticator app knows.
const ALGORITHM: Algorithm = Algorithm::SHA1;
const DIGITS: u8 = 6;

fn totp(algorithm: Algorithm, digits: u8, secret: &[u8]) -> Option<Totp> {
    let builder = Builder::new().with_algorithm(algorithm).with_digits(digits).with_skew(SKEW);
    builder.with_step_duration(STEP_S).with_secret(secret).build().ok()
}

/// The time step whose code this is, at most one away from the present.
pub(super) fn step(secret: &[u8], code: &str, now: Timestamp) -> Option<i64> {
    let step = totp(ALGORITHM, DIGITS, secret)?.check(code, now.as_seconds().unsigned_abs())?;
    i64::try_from(step).ok()
}

/// The code that an authenticator app shows at `time`.
pub(super) fn code(secret: &[u8], time: Timestamp) -> Option<String> {
    Some(totp(ALGORITHM, DIGITS, secret)?.generate(time.as_seconds().unsigned_abs()).to_string())
}

/// A secret as people type it into an app.
pub(super) fn in_base32(secret: &[u8]) -> String {
    totp_rs::Secret::from(secret).to_base32()
}

/// What an app reads from the QR code (the Key URI format).
pub(super) fn otpauth_uri(issuer: &str, account: &str, secret: &[u8]) -> String {
    let (issuer, account, secret) = (encode(issuer), encode(account), in_base32(secret));
    format!(
        "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_S}"
    )
}

/// Percent-encodes all that RFC 3986 reserves.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|it| if plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect()
}

/// Whether someone who has, or has not, a second factor may change their factors in a session like this. A session that
/// was opened by the password alone may make the first factor, and nothing else.
pub(super) fn may_change(has_second: bool, amr: &[String]) -> Result<(), AuthError> {
    if has_second && !amr.iter().any(|it| it == "mfa") { Err(AuthError::SecondFactorNeeded) } else { Ok(()) }
}

/// A name that a person gives to a passkey.
pub(super) fn passkey_name(text: &str) -> Result<String, AuthError> {
    const LONGEST_CHARS: usize = 200;
    let name = text.trim();
    let fits = (1..=LONGEST_CHARS).contains(&name.chars().count()) && !name.contains(char::is_control);
    let refused =
        AuthError::Field { field: "name", reason: "a name has 1 to 200 characters and no control characters" };
    if fits { Ok(name.to_owned()) } else { Err(refused) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 6238, appendix B: the time, and the codes of eight digits by SHA-1, SHA-256 and SHA-512.
    const VECTORS: [(u64, [&str; 3]); 6] = [
        (59, ["94287082", "46119246", "90693936"]),
        (1_111_111_109, ["07081804", "68084774", "25091201"]),
        (1_111_111_111, ["14050471", "67062674", "99943326"]),
        (1_234_567_890, ["89005924", "91819424", "93441116"]),
        (2_000_000_000, ["69279037", "90698825", "38618901"]),
        (20_000_000_000, ["65353130", "77737706", "47863826"]),
    ];

    /// Checklist 22.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = "1234567890".repeat(7);
        let ways = [(Algorithm::SHA1, 20), (Algorithm::SHA256, 32), (Algorithm::SHA512, 64)];
        for (time, codes) in VECTORS {
            for ((algorithm, length), code) in ways.into_iter().zip(codes) {
                let secret = &secret.as_bytes()[..length];
                for digits in [6, 8] {
                    let code = &code[8 - usize::from(digits)..];
                    let totp = totp(algorithm, digits, secret).unwrap();
                    assert_eq!(totp.generate(time).to_string(), code, "{time} {algorithm}");
                    assert_eq!(totp.check(code, time), Some(time / 30), "{time} {algorithm}");
                }
            }
        }
    }

    /// Checklist 23.
    #[test]
    fn a_code_counts_one_step_before_and_after_its_own() {
        let secret = [7; SECRET_BYTES];
        let at = |seconds: i64| Timestamp(seconds * 1_000);
        let own = code(&secret, at(3_000)).unwrap();
        for (seconds, expected) in [
            (2_969, None),
            (2_970, Some(100)),
            (2_999, Some(100)),
            (3_000, Some(100)),
            (3_029, Some(100)),
            (3_059, Some(100)),
            (3_060, None),
        ] {
            assert_eq!(step(&secret, &own, at(seconds)), expected, "{seconds}");
        }
    }

    #[test]
    fn what_is_no_code_has_no_step() {
        let secret = [7; SECRET_BYTES];
        for text in ["", "12345", "1234567", "+12345", "12345 ", "１２３４５６", "abcdef", "-00001"] {
            assert_eq!(step(&secret, text, Timestamp(3_000_000)), None, "{text:?}");
        }
        assert_eq!(step(&[7; 4], "123456", Timestamp(3_000_000)), None, "a secret that is too short");
    }

    proptest! {
        #[test]
        fn only_codes_of_near_steps_are_good(secret: [u8; SECRET_BYTES], seconds in 0_i64..10_000_000_000, off in -9_i64..=9) {
            let now = Timestamp(seconds * 1_000);
            let shown = code(&secret, now.plus_ms(off * 30_000));
            let near: Vec<_> = [-1, 0, 1].iter().map(|it| code(&secret, now.plus_ms(it * 30_000))).collect();
            prop_assume!(seconds > 300);
            let found = step(&secret, shown.as_deref().unwrap(), now);
            prop_assert_eq!(found.is_some(), near.contains(&shown));
        }
    }

    #[test]
    fn the_uri_names_issuer_and_account() {
        let uri = otpauth_uri("AI Tool Nest", "ada+x@example.com", &[0; SECRET_BYTES]);
        let expected = format!(
            "otpauth://totp/AI%20Tool%20Nest:ada%2Bx%40example.com?secret={}&issuer=AI%20Tool%20Nest&algorithm=SHA1&digits=6&period=30",
            "A".repeat(32)
        );
        assert_eq!(uri, expected);
    }

    #[test]
    fn a_session_without_a_second_factor_makes_the_first_one_alone() {
        for (has_second, amr, may) in
            [(false, "pwd", true), (true, "pwd", false), (true, "pwd otp mfa", true), (true, "pwd otp", false)]
        {
            let amr: Vec<String> = amr.split(' ').map(str::to_owned).collect();
            assert_eq!(may_change(has_second, &amr).is_ok(), may, "{has_second} {amr:?}");
        }
    }

    #[test]
    fn a_passkey_s_name_is_short_and_plain() {
        let long = "x".repeat(201);
        for (text, name) in [
            (" Phone ", Some("Phone")),
            ("ключ", Some("ключ")),
            (" ", None),
            ("a\nb", None),
            (&long, None),
            ("\0", None),
        ] {
            assert_eq!(passkey_name(text).ok().as_deref(), name, "{text:?}");
        }
    }
}
