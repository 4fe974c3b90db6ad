//! One-time codes by the libraries that others wrote: pyotp and otplib.

use crate::{npm, python};
use serde::Serialize;

/// Which code is asked for.
#[derive(Clone, Debug, Serialize)]
pub struct AskedCode {
    /// In base32, without padding.
    pub secret: String,
    pub time_s: u64,
    /// `SHA1`, `SHA256` or `SHA512`.
    pub algorithm: &'static str,
    pub digits: u32,
}

/// The codes, each in a step of 30 s, by pyotp.
pub async fn by_pyotp(asked: &[AskedCode]) -> Vec<String> {
    codes(python::script("codes.py"), asked).await
}

/// The same by otplib.
pub async fn by_otplib(asked: &[AskedCode]) -> Vec<String> {
    codes(npm::script("codes.mjs"), asked).await
}

async fn codes(script: crate::Script, asked: &[AskedCode]) -> Vec<String> {
    let answer = script.talk().await.ask(&serde_json::to_value(asked).unwrap()).await;
    serde_json::from_value(answer).unwrap()
}
