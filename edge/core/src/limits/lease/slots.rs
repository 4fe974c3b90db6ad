//! Requests that run at the same time: who holds a slot here, and how many the store lets this lease hold.

use crate::limits::counters::Standing;
use shared::time::Timestamp;
use std::collections::HashMap;

/// How long a holder that says nothing keeps its slots.
pub(super) const TTL_MS: i64 = 30_000;

/// What runs under one lease. Each says now and then that it still does: a request whose context went away runs no
/// destructor, and must not hold its slot for ever.
#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    heard: HashMap<u64, Timestamp>,
    /// The most at the same time since the last take.
    peak: u64,
}

/// How many may run by one limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slots {
    granted: u64,
    from: Timestamp,
    until: Timestamp,
    remaining: u64,
}

impl Running {
    pub(super) fn count(&self) -> u64 {
        self.heard.len() as u64
    }

    pub(super) fn begin(&mut self, number: u64, now: Timestamp) {
        self.heard.insert(number, now);
        self.peak = self.peak.max(self.count());
    }

    /// It still runs.
    pub(super) fn hear(&mut self, number: u64, now: Timestamp) {
        if let Some(heard) = self.heard.get_mut(&number) {
            *heard = now;
        }
    }

    /// Whether it was still known.
    pub(super) fn end(&mut self, number: u64) -> bool {
        self.heard.remove(&number).is_some()
    }

    /// Forgets those of whom nothing was heard for too long, and the most of before; says what that was.
    pub(super) fn sweep(&mut self, now: Timestamp) -> u64 {
        self.heard.retain(|_, heard| now.since_ms(*heard) < TTL_MS);
        let count = self.count();
        std::mem::replace(&mut self.peak, count)
    }
}

impl Slots {
    /// How many may run at `now`.
    pub(super) fn granted(&self, now: Timestamp) -> u64 {
        if self.from <= now && now < self.until { self.granted } else { 0 }
    }

    /// When they were asked for.
    pub(super) const fn from(&self) -> Timestamp {
        self.from
    }

    /// Whether the store would soon forget the holder.
    pub(super) fn is_ageing(&self, now: Timestamp) -> bool {
        self.until.since_ms(now) < TTL_MS * 2 / 3
    }

    pub(super) fn grant(&mut self, granted: u64, standing: Standing, sent_at: Timestamp) {
        let until = sent_at.plus_ms(TTL_MS);
        // A late answer says less than the one before it.
        if until >= self.until || sent_at < self.from {
            *self = Self { granted, from: sent_at, until, remaining: standing.remaining };
        }
    }

    /// Notes what the store says others leave.
    pub(super) const fn tell(&mut self, standing: Standing) {
        self.remaining = standing.remaining;
    }

    /// What the store has left and what is held here and free.
    pub(super) fn standing(&self, running: u64, now: Timestamp) -> Option<Standing> {
        let granted = self.granted(now);
        let free = granted.saturating_sub(running);
        (granted > 0).then_some(Standing { remaining: self.remaining.saturating_add(free), reset_ms: 0 })
    }
}
