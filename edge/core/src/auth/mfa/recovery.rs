//! Recovery codes: ten, for whoever has lost the other factors. Each works once.

use super::{rules, totp::change};
use crate::{
    App, Error, Host,
    auth::{AuthError, Person, session::no_store},
    host::random,
    limits::Client,
    mail::{self, Letter, Template},
    openapi::{Describe, Draft},
    sql::{Kind, SqlType, Value, hex},
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

const CODES: usize = 10;

/// 120 bits, so that a plain hash of one is safe to store.
const CODE_BYTES: usize = 15;

/// The digits and letters of Crockford's base 32: none looks like another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// As many are few: their owner is told.
const FEW: usize = 3;

/// Fresh codes, before they are stored.
pub(super) struct Codes(Vec<SecretString>);

/// Codes as they are shown, once.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodes {
    /// Each works once, instead of another second factor. They are not shown again.
    pub(super) recovery_codes: Vec<String>,
}

impl Codes {
    pub(super) fn make(host: &dyn Host) -> Self {
        Self((0..CODES).map(|_| written(random(host)).into()).collect())
    }

    /// What is stored: a JSON list of hashes.
    pub(super) fn hashes(&self) -> String {
        let hashes: Vec<String> = self.0.iter().filter_map(|it| hash(it.expose_secret())).collect();
        json!(hashes).to_string()
    }

    pub(super) fn shown(self) -> RecoveryCodes {
        RecoveryCodes { recovery_codes: self.0.iter().map(|it| it.expose_secret().to_owned()).collect() }
    }
}

/// Twenty-four characters in four groups.
fn written(bytes: [u8; CODE_BYTES]) -> String {
    let character = |at: usize| {
        let bits = (0..5).fold(0, |bits, bit| {
            let place = at * 5 + bit;
            bits << 1 | usize::from(bytes[place / 8] >> (7 - place % 8) & 1)
        });
        char::from(ALPHABET[bits])
    };
    let groups = (0..4).map(|group| (group * 6..group * 6 + 6).map(character).collect::<String>());
    groups.collect::<Vec<_>>().join("-")
}

/// The hash, in hex, of the code that `text` spells; none when it cannot be one.
pub(super) fn hash(text: &str) -> Option<String> {
    const LONGEST_BYTES: usize = 100;
    if text.len() > LONGEST_BYTES {
        return None;
    }
    let meant = |it: char| match it.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        it => it,
    };
    let code: String = text.chars().filter(|it| !it.is_whitespace() && *it != '-').map(meant).collect();
    let spelled = code.len() == CODE_BYTES * 8 / 5 && code.bytes().all(|it| ALPHABET.contains(&it));
    spelled.then(|| hex(&Sha256::digest(code.as_bytes())))
}

/// The mails that tell of no, one, two or three codes left: which of them goes out, only the statement knows.
pub(super) struct Letters(Option<Vec<Letter>>);

impl Letters {
    /// For a statement that may use a recovery code up.
    pub(super) fn few_left(app: &App) -> Self {
        let letter = |left| Letter::new(app, None, Template::RecoveryCodesLow, &json!({ "left": left }));
        Self(Some((0..=FEW).map(letter).collect()))
    }

    /// For one that does not.
    pub(super) const NONE: Self = Self(None);
}

impl SqlType for Letters {
    const KIND: Kind = Kind::Text;
    fn into_value(self) -> Value {
        self.0.map_or(Value::Null, |it| Value::Text(serde_json::to_string(&it).expect("letters are plain data")))
    }
    fn from_value(_: &Value) -> Option<Self> {
        // Letters are written; what is read is a row.
        None
    }
}

/// `POST /auth/mfa/recovery-codes`: new codes, in the place of all others.
pub(crate) async fn renew(app: App, client: Client, person: Person) -> Result<RecoveryCodes, Error> {
    rules::may_change(true, &person.amr)?;
    let codes = Codes::make(&*app.host);
    let change = change(&app, &client, &person, "auth.recovery_codes_renewed", "the recovery codes were renewed");
    if !app.store.renew_recovery_codes(change, codes.hashes()).await? {
        return Err(AuthError::NoSecondFactor.into());
    }
    mail::send_soon(&app);
    Ok(codes.shown())
}

impl IntoResponse for RecoveryCodes {
    fn into_response(self) -> Response {
        no_store(Json(self).into_response())
    }
}

impl Describe for RecoveryCodes {
    fn describe(draft: &mut Draft) {
        Json::<Self>::describe(draft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist 28: 24 characters of 5 bits each.
    #[test]
    fn a_code_spells_all_of_its_120_bits() {
        assert_eq!(written([0; CODE_BYTES]), "000000-000000-000000-000000");
        assert_eq!(written([255; CODE_BYTES]), "zzzzzz-zzzzzz-zzzzzz-zzzzzz");
        let mut bytes = [0; CODE_BYTES];
        for bit in 0..CODE_BYTES * 8 {
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            let code = written(bytes);
            let set = code.bytes().filter(|it| *it != b'-').map(|it| ALPHABET.iter().position(|c| *c == it).unwrap());
            assert_eq!(set.map(usize::count_ones).sum::<u32>(), u32::try_from(bit + 1).unwrap(), "{code}");
        }
    }

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        let code = written([0b0000_1000; CODE_BYTES]);
        let known = hash(&code).unwrap();
        let letters = code.replace('0', "O").replace('1', "l");
        for typed in [code.to_uppercase(), code.replace('-', ""), code.replace('-', " "), letters] {
            assert_eq!(hash(&typed).as_ref(), Some(&known), "{typed}");
        }
        for typed in
            ["", "123456", &code[1..], &format!("{code}0"), &code.replacen(&code[..1], "u", 1), &"0".repeat(101)]
        {
            assert_eq!(hash(typed), None, "{typed}");
        }
    }
}
