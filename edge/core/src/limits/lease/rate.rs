//! Units of one rate that an isolate holds: what it may spend without asking.

use super::demand::LIFE_MS;
use crate::limits::counters::{Grant, Settlement, Standing};
use shared::time::Timestamp;

/// One rate's part of a lease.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    /// Counted in the store's `window`, and not spent.
    units: u64,
    /// The same when the last take was asked for, and with what it gave. What was spent meanwhile is not left out of it:
    /// the farther the store, the earlier it has to be asked again.
    base: u64,
    full: u64,
    window: i64,
    /// Units are good from when the command for them was sent until then.
    from: Timestamp,
    until: Timestamp,
    /// What the store has still to be told, oldest window first.
    owed: [Option<Settlement>; 2],
    known: Option<Known>,
}

/// What the store said last.
#[derive(Clone, Copy, Debug)]
struct Known {
    remaining: u64,
    reset_at: Timestamp,
}

impl Rate {
    /// What may be spent at `now`. A clock that went back makes units worthless, for nobody knows their window's end.
    pub(super) fn units(&self, now: Timestamp) -> u64 {
        if self.from <= now && now < self.until { self.units } else { 0 }
    }

    /// As [`Rate::units`], right after a grant, whose units are good for whoever asked for them.
    pub(super) const fn granted_units(&self) -> u64 {
        self.units
    }

    pub(super) const fn window(&self) -> i64 {
        self.window
    }

    pub(super) const fn spend(&mut self, cost: u64) {
        self.units = self.units.saturating_sub(cost);
    }

    pub(super) const fn is_half_spent(&self) -> bool {
        self.units * 2 < self.full
    }

    /// How long its units are good for, and whether it is their window that ends then.
    pub(super) fn left(&self, now: Timestamp) -> (i64, bool) {
        (self.until.since_ms(now), self.known.is_some_and(|it| it.reset_at <= self.until))
    }

    /// Takes out what cannot be spent any more, and what is more than `target`.
    pub(super) fn trim(&mut self, target: u64, now: Timestamp) {
        let keep = self.units(now).min(target);
        let back = self.units - keep;
        (self.units, self.base) = (keep, keep);
        self.owe(self.window, -i64::try_from(back).unwrap_or(i64::MAX));
    }

    /// What the store is to be told with the next take.
    pub(super) const fn next_settlement(&mut self) -> Option<Settlement> {
        let first = self.owed[0].take();
        if first.is_none() { self.owed[1].take() } else { first }
    }

    pub(super) fn owes(&self) -> bool {
        self.owed.iter().any(Option::is_some)
    }

    /// Forgets what it would get back; what it has to pay stays.
    pub(super) fn forget_refunds(&mut self) {
        for owed in &mut self.owed {
            owed.take_if(|it| it.delta < 0);
        }
    }

    /// Forgets units that another store has counted.
    pub(super) const fn forget_units(&mut self) {
        self.units = 0;
    }

    /// Adds what a take gave, whose command was sent at `sent_at`.
    pub(super) fn grant(&mut self, grant: Grant, sent_at: Timestamp) {
        let reset_ms = grant.standing.reset_ms.max(0);
        let until = sent_at.plus_ms(reset_ms.min(LIFE_MS));
        if grant.window < self.window {
            // A late answer: what it gave belongs to a window that is over.
            self.owe(grant.window, -i64::try_from(grant.granted).unwrap_or(i64::MAX));
            return;
        }
        if grant.window > self.window {
            let left = std::mem::take(&mut self.units);
            self.owe(self.window, -i64::try_from(left).unwrap_or(i64::MAX));
            (self.window, self.until, self.base) = (grant.window, until, 0);
        }
        self.units += grant.granted;
        self.full = self.base + grant.granted;
        self.from = sent_at;
        self.until = self.until.max(until);
        self.tell(grant.standing, sent_at);
    }

    /// Notes what the store says is left.
    pub(super) fn tell(&mut self, standing: Standing, sent_at: Timestamp) {
        let reset_at = sent_at.plus_ms(standing.reset_ms.max(0));
        self.known = Some(Known { remaining: standing.remaining, reset_at });
    }

    /// Corrects what was taken of `window` by `delta`: here as far as its units go, else with the store.
    pub(super) fn settle(&mut self, window: i64, delta: i64, now: Timestamp) {
        let here = window == self.window && self.from <= now && now < self.until;
        if !here {
            self.owe(window, delta);
        } else if delta < 0 {
            self.units += delta.unsigned_abs();
        } else {
            let paid = self.units.min(delta.unsigned_abs());
            self.units -= paid;
            self.owe(window, delta.saturating_sub_unsigned(paid));
        }
    }

    /// What the store has left and what is held here, and until when; none before the store has said anything.
    pub(super) fn standing(&self, now: Timestamp) -> Option<Standing> {
        let known = self.known.filter(|it| now < it.reset_at)?;
        let remaining = known.remaining.saturating_add(self.units(now));
        Some(Standing { remaining, reset_ms: known.reset_at.since_ms(now) })
    }

    /// Notes a debt. What lies two windows back means nothing to any store.
    fn owe(&mut self, window: i64, delta: i64) {
        if delta == 0 || window < self.window - 1 {
            return;
        }
        for owed in self.owed.iter_mut().flatten() {
            if owed.window == window {
                owed.delta = owed.delta.saturating_add(delta);
                return;
            }
        }
        let new = Some(Settlement { window, delta });
        match self.owed {
            [None, second] => self.owed = [new, second],
            [first, None] => self.owed = [first, new],
            [Some(first), Some(second)] => {
                let newest = if first.window > second.window { first } else { second };
                self.owed = [Some(newest), new];
            }
        }
        self.owed.sort_unstable_by_key(|it| it.map_or(i64::MAX, |it| it.window));
    }
}
