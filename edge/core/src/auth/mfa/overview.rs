//! Which second factors someone has.

use super::sql::FactorRow;
use crate::{App, Error, auth::Person};
use axum::Json;
use serde::Serialize;
use shared::{
    id::{PasskeyId, UserId},
    time::Timestamp,
};
use utoipa::ToSchema;

/// A person's second factors.
#[derive(Serialize, ToSchema)]
pub(crate) struct Factors {
    /// When the authenticator app was set up; null without one.
    totp_confirmed_at: Option<Timestamp>,
    passkeys: Vec<Passkey>,
    /// How many recovery codes still work.
    recovery_codes_left: i64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Passkey {
    id: PasskeyId,
    name: String,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
}

impl Factors {
    pub(super) async fn of(app: &App, user: UserId) -> Result<Self, Error> {
        let rows = app.store.factors(user).await?;
        let shared = rows.first().map(|it| (it.totp_confirmed_at, it.codes_left));
        let (totp_confirmed_at, recovery_codes_left) = shared.unwrap_or_default();
        Ok(Self { totp_confirmed_at, recovery_codes_left, passkeys: rows.into_iter().filter_map(passkey).collect() })
    }

    /// Whether there is a second factor; recovery codes alone are none.
    pub(super) fn any(&self) -> bool {
        self.totp_confirmed_at.is_some() || !self.passkeys.is_empty()
    }

    pub(super) fn into_passkeys(self) -> Vec<Passkey> {
        self.passkeys
    }
}

/// A person without passkeys has one row, without one.
fn passkey(row: FactorRow) -> Option<Passkey> {
    let FactorRow { passkey_id, name, created_at, last_used_at, .. } = row;
    Some(Passkey { id: passkey_id?, name: name?, created_at: created_at?, last_used_at })
}

/// `GET /auth/mfa`
pub(crate) async fn show(app: App, person: Person) -> Result<Json<Factors>, Error> {
    Ok(Json(Factors::of(&app, person.user_id).await?))
}
