//! Leases of credit: money that this process or isolate has taken ahead of calls, so that not each asks Postgres.
//!
//! A call draws the most that it may cost from a lease in which that fits whole, or takes a lease for itself and for
//! those that wait or are likely to come. Calls never wait for another's word: they look again. What is extended and
//! returned is so behind calls.

mod rules;
mod sql;
#[cfg(test)]
mod tests;

pub(super) use rules::Drawn;
pub(super) use sql::statements;

use super::{BillingError, SpendScope, top_up};
use crate::{App, Error, error::chain, host::random, room, sql::SqlError};
use rules::{Back, Lease, Look, Step, Take, Watch};
use shared::{
    id::{KeyId, OrgId, RequestId},
    time::Timestamp,
};
use sql::{Asked, Leased};
use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};
use uuid::Uuid;

/// Beyond this many keys, those that were used the longest ago make room.
const CAPACITY: usize = 10_000;

/// How often whoever waits looks again.
const LOOK_MS: u64 = 5;

/// For whom money is held.
pub(super) type Id = (OrgId, KeyId);

/// The leases of this process or isolate.
#[derive(Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<Id, Lease>>,
    /// Who this is, for whoever reads the table.
    holder: OnceLock<String>,
}

impl Leases {
    fn with<T>(&self, app: &App, id: Id, now: Timestamp, act: impl FnOnce(&mut Lease) -> T) -> T {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        room::make(&mut held, &id, CAPACITY, Lease::used_at);
        act(held.entry(id).or_insert_with(|| Lease::new(now, app.host.remembers())))
    }

    fn holder(&self, app: &App) -> &str {
        self.holder.get_or_init(|| format!("{:032x}", u128::from_le_bytes(random(&*app.host))))
    }

    /// Takes out all that no call holds, of one organisation or of all.
    fn leftovers(&self, org: Option<OrgId>) -> HashMap<OrgId, Vec<Back>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: HashMap<OrgId, Vec<Back>> = HashMap::new();
        for ((of, _), lease) in held.iter_mut().filter(|((of, _), _)| org.is_none_or(|it| it == *of)) {
            let back = lease.leftovers();
            if !back.is_empty() {
                found.entry(*of).or_default().extend(back);
            }
        }
        found
    }
}

/// Holds `need` for a call, or says why that cannot be.
pub(super) async fn draw(app: &App, id: Id, need: i64) -> Result<Drawn, Error> {
    let mut look = Look::default();
    loop {
        let now = app.host.now();
        let drawn = match app.credit.with(app, id, now, |lease| lease.step(need, &mut look, now)) {
            Step::Go(drawn) => Some(drawn),
            Step::Refused(error) => return Err(error.into()),
            Step::Wait => {
                app.host.sleep(LOOK_MS).await;
                None
            }
            Step::Take(take) => take_lease(app, id, take).await?,
        };
        if let Some(drawn) = drawn {
            watch(app, id);
            return Ok(drawn);
        }
    }
}

/// Asks for `take`, and once more when what other keys of the organisation have left over here may have been missing.
async fn take_lease(app: &App, id: Id, mut take: Take) -> Result<Option<Drawn>, Error> {
    loop {
        let sent_at = app.host.now();
        let lease = RequestId::new(sent_at, random(&*app.host)).uuid();
        let holder = app.credit.holder(app);
        let asked =
            Asked { org_id: id.0, key_id: id.1, lease, holder, need: take.need, want: take.want, back: &take.back };
        let answer = app.store.lease_credit(&asked, sent_at).await;
        let now = app.host.now();
        match answer {
            Ok(Leased { granted, head, refused: None }) => {
                if granted < take.want {
                    top_up::soon(app, id.0);
                }
                return Ok(app.credit.with(app, id, now, |it| it.granted(&take, (lease, granted, head), sent_at, now)));
            }
            Ok(Leased { refused: Some(why), .. }) => {
                take.back = app.credit.leftovers(Some(id.0)).remove(&id.0).unwrap_or_default();
                if !take.back.is_empty() {
                    continue;
                }
                let error = refusal(&why);
                if matches!(error, BillingError::Credit | BillingError::Owed) {
                    top_up::soon(app, id.0);
                }
                app.credit.with(app, id, now, |it| it.refused(&take, error.clone(), now));
                return Err(error.into());
            }
            Err(error) => {
                app.credit.with(app, id, now, |it| it.end_turn(&take));
                return Err(error.into());
            }
        }
    }
}

/// The error that a reason of `lease_credit` stands for.
fn refusal(why: &str) -> BillingError {
    let cap = |scope| BillingError::SpendCap { scope };
    match why {
        "owed" => BillingError::Owed,
        "cap_key" => cap(SpendScope::Key),
        "cap_member" => cap(SpendScope::Member),
        "cap_org" => cap(SpendScope::Org),
        _ => match why.strip_prefix("subscription:") {
            Some(state) => BillingError::Subscription { state: known_state(state) },
            None => BillingError::Credit,
        },
    }
}

/// A subscription's state, as Stripe names it.
fn known_state(state: &str) -> &'static str {
    let known = ["past_due", "unpaid", "canceled", "incomplete", "incomplete_expired", "paused"];
    known.into_iter().find(|it| *it == state).unwrap_or("inactive")
}

/// Ends a call that held `drawn` and cost `cost`.
pub(super) fn settle(app: &App, id: Id, drawn: &Drawn, cost: i64) {
    let now = app.host.now();
    let left = app.credit.with(app, id, now, |lease| lease.settle(drawn, cost, now));
    if left > 0 && !app.host.remembers() {
        // Nobody is here a second later.
        give_back_soon(app, id.0);
    } else {
        watch(app, id);
    }
}

/// Ends a call that held `drawn` and of which nobody knows what it cost.
pub(super) fn lose(app: &App, id: Id, drawn: &Drawn) {
    app.credit.with(app, id, app.host.now(), |lease| lease.lose(drawn));
}

fn give_back_soon(app: &App, org: OrgId) {
    let task = app.clone();
    app.host.defer(Box::pin(async move { give_back(&task, Some(org)).await }));
}

/// Gives back all that no call holds. Not tried again: what is lost on the way is free when its lease ends.
async fn give_back(app: &App, org: Option<OrgId>) {
    for (org, back) in app.credit.leftovers(org) {
        if let Err(error) = app.store.return_credit(org, &back, &[], app.host.now()).await {
            tracing::debug!(error = %chain(&error), "credit goes back when its lease ends");
        }
    }
}

/// Gives back what is left, before the process ends.
pub(super) async fn flush(app: &App) {
    give_back(app, None).await;
}

/// Closes the leases of those who are gone.
pub(super) async fn reap(app: &App) {
    match app.store.reap_leases(app.host.now()).await {
        Ok(0) => {}
        Ok(closed) => tracing::info!(closed, "{closed} leases of credit had expired, and are closed"),
        Err(error) => tracing::warn!(error = %chain(&error), "expired leases of credit could not be closed"),
    }
}

/// Sees to the leases of a key, behind calls, until there are none.
fn watch(app: &App, id: Id) {
    let now = app.host.now();
    if !app.credit.with(app, id, now, |lease| lease.claim_watch(now)) {
        return;
    }
    let task = app.clone();
    app.host.defer(Box::pin(async move {
        let mut wait_ms = rules::IDLE_MS;
        loop {
            task.host.sleep(wait_ms.unsigned_abs()).await;
            let now = task.host.now();
            match task.credit.with(&task, id, now, |lease| lease.watch(now)) {
                Watch::Wait(ms) => wait_ms = ms,
                Watch::Nothing => return,
                Watch::Tell { back, extend } => {
                    tell(&task, id, &back, &extend, now).await;
                    wait_ms = rules::IDLE_MS;
                }
            }
        }
    }));
}

async fn tell(app: &App, id: Id, back: &[Back], extend: &[Uuid], now: Timestamp) {
    match app.store.return_credit(id.0, back, extend, now).await {
        Ok(live) => app.credit.with(app, id, now, |lease| lease.extended(extend, &live, now)),
        // They live until they expire, and what went back is free then.
        Err(SqlError::Unavailable(_)) => {}
        Err(error) => tracing::warn!(error = %chain(&error), "leases of credit could not be seen to"),
    }
}
