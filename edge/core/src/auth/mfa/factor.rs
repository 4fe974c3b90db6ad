//! What is offered as a second factor, and whether it is right.

use super::{
    passkeys::{Assertion, Fault, check_assertion},
    recovery, rules,
    sql::Try,
};
use crate::{
    App,
    seal::Place,
    sql::{Kind, SqlType, Value},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use shared::id::UserId;

/// What someone offers.
pub(super) enum Offered {
    Totp(SecretString),
    RecoveryCode(SecretString),
    Passkey(Box<Assertion>),
}

/// A factor that was found to be right, for the SQL function `use_factor`, which uses it up.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Factor {
    Totp {
        step: i64,
    },
    RecoveryCode {
        code_hash: String,
    },
    Passkey {
        passkey: uuid::Uuid,
        sign_count: i64,
        /// Whether the key may be copied to other devices.
        #[serde(skip)]
        synced: bool,
    },
}

/// Why an offered factor is not accepted; for the audit log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("wrong")]
    Wrong,
    #[error("not set up")]
    NotSetUp,
    #[error("used")]
    Used,
    /// What is stored does not open: it was changed, or moved from another row.
    #[error("unreadable")]
    Unreadable,
    /// The passkey has counted fewer uses than we have seen: it may have been cloned.
    #[error("sign count")]
    SignCount,
    #[error("{0}")]
    Ceremony(Fault),
}

impl Offered {
    /// A code of either kind, told apart by its length.
    pub(super) fn code(text: SecretString) -> Self {
        let looks_like_totp = text.expose_secret().len() == 6;
        if looks_like_totp { Self::Totp(text) } else { Self::RecoveryCode(text) }
    }

    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::Totp(_) => "totp",
            Self::RecoveryCode(_) => "recovery_code",
            Self::Passkey(_) => "passkey",
        }
    }

    /// The id of the passkey that is offered.
    pub(super) fn credential_id(&self) -> Option<Vec<u8>> {
        match self {
            Self::Passkey(assertion) => assertion.credential_id(),
            Self::Totp(_) | Self::RecoveryCode(_) => None,
        }
    }
}

/// Where the secret of somebody's authenticator app is sealed.
pub(super) fn place(row: &str) -> Place<'_> {
    Place { column: "totp_secrets.sealed", row }
}

/// Judges what is offered. Whether it was used before, the statement decides.
pub(super) fn check(app: &App, user: UserId, row: &Try, offered: &Offered) -> Result<Factor, Refusal> {
    match offered {
        Offered::Totp(code) => {
            let sealed = row.totp_sealed.as_ref().ok_or(Refusal::NotSetUp)?;
            let secret = app.config.keyring.open(place(&user.uuid().to_string()), sealed).map_err(|error| {
                tracing::error!(user.id = %user, %error, "the secret of {user}'s authenticator app does not open");
                Refusal::Unreadable
            })?;
            let step = rules::step(&secret, code.expose_secret(), app.host.now()).ok_or(Refusal::Wrong)?;
            Ok(Factor::Totp { step })
        }
        Offered::RecoveryCode(code) => {
            let code_hash = recovery::hash(code.expose_secret()).ok_or(Refusal::Wrong)?;
            Ok(Factor::RecoveryCode { code_hash })
        }
        Offered::Passkey(assertion) => check_assertion(app, user, row, assertion),
    }
}

impl Factor {
    /// What it adds to `amr` (RFC 8176) beside `mfa`. A recovery code is neither of the methods that have a name there.
    pub(super) fn amr(&self) -> Option<&'static str> {
        match self {
            Self::Totp { .. } => Some("otp"),
            Self::RecoveryCode { .. } => None,
            Self::Passkey { synced: false, .. } => Some("hwk"),
            // What is copied between devices is held by software.
            Self::Passkey { synced: true, .. } => Some("swk"),
        }
    }

    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::Totp { .. } => "totp",
            Self::RecoveryCode { .. } => "recovery_code",
            Self::Passkey { .. } => "passkey",
        }
    }
}

impl SqlType for Factor {
    const KIND: Kind = Kind::Text;
    fn into_value(self) -> Value {
        Value::Text(serde_json::to_string(&self).expect("a factor is plain data"))
    }
    fn from_value(_: &Value) -> Option<Self> {
        // Factors are used up; what is read is a row.
        None
    }
}
