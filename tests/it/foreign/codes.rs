//! One-time codes: ours are those of the libraries that others wrote.

use nest_tests::{
    AuthenticatorApp,
    one_time_codes::{AskedCode, by_otplib, by_pyotp},
};
use proptest::{
    prelude::any,
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use shared::time::Timestamp;
use totp_rs::Secret;

const CASES: usize = 10_000;

/// Seconds of the year 9999, after which JavaScript and Python count otherwise.
const LAST_SECOND: u64 = 253_402_300_799;

/// Checklist 22.
#[tokio::test]
async fn codes_of_10_000_random_secrets_and_times_are_those_of_pyotp_and_otplib() {
    let mut runner = TestRunner::default();
    let strategy = (any::<[u8; 20]>(), 0..=LAST_SECOND);
    let cases: Vec<([u8; 20], u64)> = (0..CASES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let asked = |(secret, time_s): &([u8; 20], u64)| AskedCode {
        secret: Secret::from(*secret).to_base32(),
        time_s: *time_s,
        algorithm: "SHA1",
        digits: 6,
    };
    let asked: Vec<AskedCode> = cases.iter().map(asked).collect();
    let ours =
        |it: &AskedCode| AuthenticatorApp::with(&it.secret).code(Timestamp(i64::try_from(it.time_s).unwrap() * 1_000));
    let ours: Vec<String> = asked.iter().map(ours).collect();
    assert_eq!(by_pyotp(&asked).await, ours, "pyotp");
    assert_eq!(by_otplib(&asked).await, ours, "otplib");
}
