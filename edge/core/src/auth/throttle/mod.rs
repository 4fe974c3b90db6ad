//! How often may it be tried? Counts in Postgres, shared by every edge, which survive restarts.
//!
//! Four counts guard the password of an account. The address (an IPv6 customer's whole network) may try so often in an
//! hour, whatever it tries. An account's strangers share a ladder of pauses, which no stranger can push onto the owner's
//! known devices: each of these has its own. All together may fail only so often on one account in a day. And when the
//! whole service sees too many failures in a minute, only known devices may try. A try is counted before it is made and
//! given back when it was right, so that a thousand at once are counted like a thousand in a row. Owns `throttles`.

mod attempt;
mod bucket;
mod device;
mod rules;
mod sql;

pub(super) use attempt::Attempt;
pub(crate) use bucket::Bucket;
pub(crate) use device::{DeviceToken, set_cookie};
pub(crate) use rules::{HOUR_MS, MAILS, address_ladder, ladder};
pub(super) use sql::Admitted;
pub(crate) use sql::statements;

use super::AuthError;
use crate::{App, Error, limits::Client};

/// Counts a try of the client's address at anything that a guess could profit from, or refuses it.
pub(crate) async fn admit_address(app: &App, client: &Client) -> Result<(), Error> {
    let ladder = address_ladder(app.config.accounts.tries_per_address);
    let wait_ms = app.store.take_try(Bucket::address(client), app.host.now(), HOUR_MS, ladder).await?;
    may_go(wait_ms)
}

/// Forgets what counts no more. Right when many edges do it at once.
pub(super) async fn sweep(app: &App) -> Result<(), Error> {
    let now = app.host.now();
    Ok(app.store.sweep_throttles(now, now.plus_ms(-rules::DAY_MS)).await?)
}

/// Whether a wait that the database found is none.
pub(super) fn may_go(wait_ms: i64) -> Result<(), Error> {
    if wait_ms == 0 {
        return Ok(());
    }
    let retry_after_s = wait_ms.unsigned_abs().div_ceil(1_000);
    Err(AuthError::TooManyTries { retry_after_s }.into())
}
