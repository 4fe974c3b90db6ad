//! Leases: taking from shared counters without asking them for each request.
//!
//! A process or isolate holds, per key, units of all limits of the key and of its organisation. A request spends of
//! them, or takes anew for itself and for those that wait or are likely to come. Requests never wait for another's
//! word: they look again. What is renewed, watched and returned is so behind requests.

mod demand;
mod permit;
mod rate;
mod rules;
mod slots;
mod taking;
#[cfg(test)]
mod tests;
mod waiting;

pub(crate) use demand::Demand;
pub(crate) use permit::{Permit, Slot};

use super::{
    Ask, Exceeded,
    counters::{Counter, Decision, Standing},
    quota::Limit,
};
use crate::{App, Error, error::chain, host::random, room};
use rules::{Idle, Lease, Look, Reserved, Source, Step};
use shared::{
    id::{KeyId, OrgId},
    time::Timestamp,
};
use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};
use taking::Take;

/// Beyond this many keys, those that were used the longest ago make room.
const CAPACITY: usize = 10_000;

/// How often whoever waits looks again.
const LOOK_MS: u64 = 5;

type Id = (OrgId, KeyId);

/// The leases of this process or isolate.
#[derive(Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<Id, Lease>>,
    /// Who this is, to stores.
    holder: OnceLock<u128>,
}

impl Leases {
    fn with<T>(&self, ask: &Ask, now: Timestamp, act: impl FnOnce(&mut Lease) -> T) -> T {
        let id = (ask.org_id, ask.key_id);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        room::make(&mut held, &id, CAPACITY, Lease::used_at);
        act(held.entry(id).or_insert_with(|| if ask.takes_ahead { Lease::new(now) } else { Lease::of_the_moment(now) }))
    }

    /// A name that no other process or isolate has.
    pub(super) fn holder(&self, app: &App) -> u128 {
        *self.holder.get_or_init(|| u128::from_le_bytes(random(&*app.host)))
    }

    /// What is left of the limits behind `ask`, as far as it is known here.
    pub(super) fn standings(&self, ask: &Ask, now: Timestamp) -> Vec<(Limit, u64, Standing)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = held.get(&(ask.org_id, ask.key_id));
        let fresh = Lease::new(now);
        let lease = lease.unwrap_or(&fresh);
        ask.quotas.set().map(|(limit, value)| (limit, value, lease.standing(limit, value, now))).collect()
    }
}

/// Lets the request behind `ask` through, or says what it has to wait for.
pub(super) async fn take(app: &App, ask: Ask) -> Result<Permit, Error> {
    if ask.quotas.set().next().is_none() {
        return Ok(Permit::unlimited(app, ask));
    }
    let mut look = Look::default();
    loop {
        let now = app.host.now();
        let reserved = match app.leases.with(&ask, now, |lease| lease.step(&ask, &mut look, now)) {
            Step::Go(reserved) => Some(reserved),
            Step::Refused(refusal) => return Err(Exceeded::limit(&refusal_of(&refusal), now).into()),
            Step::Wait => {
                app.host.sleep(LOOK_MS).await;
                None
            }
            Step::Take(take) => match carry(app, &ask, take, true).await {
                Ok(reserved) => reserved,
                Err(refusal) => return Err(Exceeded::limit(&refusal_of(&refusal), app.host.now()).into()),
            },
        };
        if let Some(reserved) = reserved {
            return Ok(admitted(app, ask, reserved));
        }
    }
}

/// Does behind the request what it found to be due.
fn admitted(app: &App, ask: Ask, reserved: Reserved) -> Permit {
    if let Some(wait_ms) = reserved.renew_in_ms {
        renew_soon(app, ask, wait_ms);
    }
    if reserved.watch {
        watch(app, ask);
    }
    Permit::new(app, ask, reserved)
}

fn refusal_of(refusal: &rules::Refusal) -> super::exceeded::Refused {
    super::exceeded::Refused { limit: refusal.limit, value: refusal.value, retry_at: refusal.retry_at }
}

/// Asks for `take`, and gives what comes to the lease. What the request that asks was given, if it can go.
async fn carry(app: &App, ask: &Ask, take: Take, goes: bool) -> Result<Option<Reserved>, rules::Refusal> {
    let _heard = Heard { app, ask, take: take.turn };
    let (source, decision) = decide(app, &take.counters, take.source).await;
    let now = app.host.now();
    app.leases.with(ask, now, |lease| match decision {
        Decision::Granted(grants) => Ok(lease.granted(&take, &grants, source, goes.then_some(ask), now)),
        Decision::Refused { at, retry_ms, standings } => {
            lease.refused(&take, at, retry_ms, &standings, source, now).map_or(Ok(None), Err)
        }
    })
}

/// That somebody waits for a take's answer. Others rely on it, and need not when its request has gone away.
struct Heard<'a> {
    app: &'a App,
    ask: &'a Ask,
    take: u64,
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        self.app.leases.with(self.ask, self.app.host.now(), |lease| lease.end_turn(self.take));
    }
}

/// The shared store's decision, or, while it is away, that of this process at a share of the limits.
async fn decide(app: &App, counters: &[Counter], refunds_are: Source) -> (Source, Decision) {
    let ours = with_refunds(counters, refunds_are == Source::Shared);
    match app.counters.take(&*app.host, &ours).await {
        Ok(decision) => (Source::Shared, decision),
        Err(error) => {
            tracing::debug!(error = %chain(&error), "limits are counted in this process, at a share of them");
            let mut scaled = with_refunds(counters, refunds_are == Source::Local);
            for counter in &mut scaled {
                counter.limit = super::at_share(counter.limit, app.config.limits.share_percent);
            }
            (Source::Local, app.local_counters.take(&scaled, app.host.now()))
        }
    }
}

/// The counters; refunds are for the store that counted what is refunded, and for no other.
fn with_refunds(counters: &[Counter], keep: bool) -> Vec<Counter> {
    let mut counters = counters.to_vec();
    if !keep {
        for counter in &mut counters {
            counter.settle.take_if(|it| it.delta < 0);
        }
    }
    counters
}

/// Renews the lease behind the request, now or just past the end of its window.
fn renew_soon(app: &App, ask: Ask, wait_ms: u64) {
    let task = app.clone();
    app.host.defer(Box::pin(async move {
        if wait_ms > 0 {
            task.host.sleep(wait_ms).await;
        }
        let now = task.host.now();
        if let Some(take) = task.leases.with(&ask, now, |lease| lease.renew(&ask, now)) {
            // A refusal is noted, and nobody is there to be told.
            let _ = carry(&task, &ask, take, false).await;
        }
        let now = task.host.now();
        task.leases.with(&ask, now, Lease::renewed);
    }));
}

/// Watches a lease until nobody uses it, and gives back what is left of it.
fn watch(app: &App, ask: Ask) {
    let task = app.clone();
    app.host.defer(Box::pin(async move {
        let mut wait_ms = rules::IDLE_MS.unsigned_abs();
        loop {
            task.host.sleep(wait_ms).await;
            let now = task.host.now();
            match task.leases.with(&ask, now, |lease| lease.idle(&ask, now)) {
                Idle::Busy(ms) => wait_ms = ms,
                Idle::Nothing => return,
                Idle::Return(take) => {
                    let _ = carry(&task, &ask, take, false).await;
                    return;
                }
            }
        }
    }));
}
