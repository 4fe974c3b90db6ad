//! Second factors: what else proves who someone is, beside the password.
//!
//! Authenticator apps (TOTP), passkeys and recovery codes; log-ins that wait for one of them; and proving oneself again
//! within a session. Writes `totp_secrets`, `recovery_codes`, `passkeys` and `challenges`, and counts failed tries in
//! `throttles`. Passwords are left to `login`.

mod challenge;
mod factor;
mod overview;
mod passkeys;
mod qr;
mod recovery;
mod rules;
mod sql;
mod step_up;
mod totp;
mod verify;

pub use passkeys::Fault as PasskeyFault;
pub(super) use sql::statements;
pub(crate) use verify::verify_inline;

use super::{
    login::{FirstFactor, MfaRequired},
    session::Terms,
};
use crate::{
    App, Error,
    access::Access,
    limits::Class,
    route::{Route, delete, get, patch, post},
};
use challenge::Pending;
use shared::time::Timestamp;

/// The routes of second factors.
pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/auth/mfa/verify", Access::ANYONE, verify::verify, "Ends a log-in by its second factor."),
        post("/auth/reauthenticate", Access::PERSON, step_up::reauthenticate, "Proves again who one is.")
            .limited(Class::Login),
        get("/auth/mfa", Access::PERSON, overview::show, "Says which second factors one has."),
        post("/auth/mfa/totp", Access::PERSON.fresh(), totp::begin, "Begins to set up an authenticator app."),
        post(
            "/auth/mfa/totp/confirm",
            Access::PERSON,
            totp::confirm,
            "Turns an authenticator app on by its first code.",
        ),
        delete("/auth/mfa/totp", Access::PERSON, totp::remove, "Removes the authenticator app."),
        post("/auth/mfa/recovery-codes", Access::PERSON.fresh(), recovery::renew, "Makes new recovery codes."),
        get("/auth/mfa/passkeys", Access::PERSON, passkeys::list, "Lists one's passkeys."),
        post("/auth/mfa/passkeys/options", Access::PERSON.fresh(), passkeys::options, "Begins to make a passkey."),
        post("/auth/mfa/passkeys", Access::PERSON.fresh(), passkeys::register, "Adds the passkey that was made."),
        patch("/auth/mfa/passkeys/{passkey}", Access::PERSON, passkeys::rename, "Names a passkey anew."),
        delete("/auth/mfa/passkeys/{passkey}", Access::PERSON.fresh(), passkeys::remove, "Removes a passkey."),
        post(
            "/auth/mfa/passkeys/challenge",
            Access::ANYONE,
            passkeys::challenge,
            "Says what a passkey has to sign for a log-in.",
        ),
    ]
}

/// Lets a log-in wait for its second factor.
pub(super) async fn require(app: &App, first: &FirstFactor, terms: Terms) -> Result<MfaRequired, Error> {
    challenge::begin(app, first, &Pending::new(first, terms, None)).await
}

/// Forgets challenges that are over. To be called by the clock.
pub(super) async fn sweep(app: &App) {
    const KEPT_MS: i64 = 86_400_000;
    if let Err(error) = app.store.sweep_challenges(app.host.now().plus_ms(-KEPT_MS)).await {
        tracing::warn!(error = %crate::error::chain(&error), "old challenges could not be removed");
    }
}

/// The code that an authenticator app with this secret shows at `time`; none when the secret is shorter than the standard
/// allows.
pub fn totp_code(secret: &[u8], time: Timestamp) -> Option<String> {
    rules::code(secret, time)
}
