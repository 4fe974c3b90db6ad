//! A lease: what a process or isolate may let through for one key without asking the store of counters.
//!
//! All in here is decided from what it holds and the time. Asking, waiting and telling is `mod.rs`'.

use super::{
    demand::{Demand, LIFE_MS},
    rate::Rate,
    slots::{Running, Slots},
    taking::Take,
    waiting::Waiting,
};
use crate::limits::{
    Ask,
    counters::Standing,
    quota::{Limit, Name, Scope, Unit},
};
use shared::time::Timestamp;

/// While somebody takes, others wait for them so long.
pub(super) const TURN_MS: i64 = 150;

/// Whoever has waited so long in all takes for themselves.
const PATIENCE_MS: i64 = 2_000;

/// A refusal is believed for so long at most.
pub(super) const REFUSED_MS: i64 = 1_000;

/// So long before its end a lease is renewed.
pub(super) const EARLY_MS: i64 = 500;

/// How much past the end of a window it is asked for the next.
const PAST_MS: i64 = 2;

/// Slots are asked for ahead at most so often.
pub(super) const SLOTS_EVERY_MS: i64 = 200;

/// Without a request for so long, a lease goes back.
pub(super) const IDLE_MS: i64 = 1_000;

/// A right to do something for all ends by itself: whoever had it may be gone.
const RIGHT_MS: i64 = 5_000;

/// Which store has counted what a lease holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The one that all edges share.
    Shared,
    /// The one of this process, while the other is away.
    Local,
}

/// What one process or isolate holds for one key of one organisation.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) rates: [Rate; Limit::COUNT],
    pub(super) slots: [Slots; 2],
    pub(super) running: Running,
    pub(super) source: Source,
    pub(super) demand: Demand,
    /// What requests reserve on average.
    pub(super) mean_tokens: u64,
    pub(super) turn: Option<Turn>,
    pub(super) turns: u64,
    pub(super) waiting: Waiting,
    pub(super) refusal: Option<Refusal>,
    pub(super) used_at: Timestamp,
    /// Until when somebody renews behind requests, and somebody watches for idleness.
    pub(super) renewing_until: Timestamp,
    pub(super) watched_until: Timestamp,
    pub(super) permits: u64,
}

/// The right to take for all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) number: u64,
    pub(super) since: Timestamp,
}

/// What requests need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Need {
    pub(super) requests: u64,
    pub(super) tokens: u64,
    pub(super) slots: u64,
}

/// How a waiting request looked before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    since: Option<Timestamp>,
    /// In which batch of those who wait it was counted; 0 in none.
    pub(super) batch: u64,
}

/// What a request has to do next.
#[derive(Debug)]
pub(super) enum Step {
    Go(Reserved),
    Take(Take),
    Wait,
    Refused(Refusal),
}

/// What a request was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reserved {
    pub(super) number: u64,
    /// The windows in which its tokens are counted, and by which store.
    pub(super) windows: [i64; Limit::COUNT],
    pub(super) source: Source,
    /// Whether to renew the lease behind the request, and after how many milliseconds.
    pub(super) renew_in_ms: Option<u64>,
    /// Whether to watch for idleness.
    pub(super) watch: bool,
}

/// What a store refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) limit: Limit,
    pub(super) value: u64,
    pub(super) cost: u64,
    pub(super) until: Timestamp,
    pub(super) retry_at: Timestamp,
}

/// What to do with a lease that is watched.
pub(super) enum Idle {
    /// Look again after so many milliseconds.
    Busy(u64),
    /// Tell the store what goes back.
    Return(Take),
    Nothing,
}

impl Lease {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            rates: [Rate::default(); Limit::COUNT],
            slots: [Slots::default(); 2],
            running: Running::default(),
            source: Source::Shared,
            demand: Demand::new(now),
            mean_tokens: 0,
            turn: None,
            turns: 0,
            waiting: Waiting::new(),
            refusal: None,
            used_at: now,
            renewing_until: Timestamp(0),
            watched_until: Timestamp(0),
            permits: 0,
        }
    }

    /// For a process that lives for a few requests: it takes what they need and nothing ahead.
    pub(super) fn of_the_moment(now: Timestamp) -> Self {
        Self { demand: Demand::of_the_moment(now), ..Self::new(now) }
    }

    pub(super) const fn used_at(&self) -> Timestamp {
        self.used_at
    }

    /// What the request behind `ask` has to do next.
    pub(super) fn step(&mut self, ask: &Ask, look: &mut Look, now: Timestamp) -> Step {
        if ask.quotas.set().all(|(limit, value)| self.lacks(limit, value, ask, now) == 0) {
            self.waiting.leave(look, ask);
            return Step::Go(self.spend(ask, now));
        }
        if let Some(refusal) = self.refusal(ask, now) {
            self.waiting.leave(look, ask);
            return Step::Refused(refusal);
        }
        // A slow store is not asked twice for one request: it would count both.
        if self.waiting.is_asked_for(look, now) {
            return Step::Wait;
        }
        let since = *look.since.get_or_insert(now);
        let patient = (0..PATIENCE_MS).contains(&now.since_ms(since));
        match self.turn {
            Some(turn) if patient && (0..TURN_MS).contains(&now.since_ms(turn.since)) => {
                self.waiting.join(look, ask);
                Step::Wait
            }
            _ => {
                self.waiting.leave(look, ask);
                Step::Take(self.begin(ask, Need::of(ask), now))
            }
        }
    }

    /// What is missing of a limit, so that `ask` cannot go at once.
    fn lacks(&self, limit: Limit, value: u64, ask: &Ask, now: Timestamp) -> u64 {
        let need = Need::of(ask).get(limit.name.unit());
        match limit.name {
            Name::Concurrent => {
                let granted = self.slots[limit.scope as usize].granted(now).min(value);
                (self.running.count() + need).saturating_sub(granted)
            }
            _ => need.saturating_sub(self.rates[limit.index()].units(now)),
        }
    }

    pub(super) fn spend(&mut self, ask: &Ask, now: Timestamp) -> Reserved {
        let need = Need::of(ask);
        let mut windows = [0; Limit::COUNT];
        let mut holds = false;
        for (limit, _) in ask.quotas.set() {
            let rate = &mut self.rates[limit.index()];
            windows[limit.index()] = rate.window();
            match limit.name.unit() {
                Unit::Slots => holds = true,
                unit => rate.spend(need.get(unit)),
            }
        }
        self.permits += 1;
        if holds {
            self.running.begin(self.permits, now);
        }
        self.demand.spend();
        self.mean_tokens = if self.mean_tokens == 0 { ask.tokens } else { (self.mean_tokens * 7 + ask.tokens) / 8 };
        self.used_at = now;
        let renew_in_ms = self.renewal(ask, now);
        let watch = self.watch(now);
        Reserved { number: self.permits, windows, source: self.source, renew_in_ms, watch }
    }

    /// After how long the caller shall renew the lease, if it is due and nobody else does.
    fn renewal(&mut self, ask: &Ask, now: Timestamp) -> Option<u64> {
        if !self.demand.is_busy() || now < self.renewing_until {
            return None;
        }
        let mut wait_ms = None;
        for (limit, value) in ask.quotas.set() {
            if limit.name == Name::Concurrent {
                if self.is_short_of_slots(limit, value, now) {
                    wait_ms = Some(0);
                }
                continue;
            }
            let rate = &self.rates[limit.index()];
            if rate.is_half_spent() {
                wait_ms = Some(0);
                break;
            }
            let (left_ms, window_ends) = rate.left(now);
            if left_ms <= EARLY_MS {
                let past_ms = if window_ends { left_ms.max(0) + PAST_MS } else { 0 };
                wait_ms = Some(wait_ms.unwrap_or(0).max(past_ms));
            }
        }
        let wait_ms = wait_ms?;
        self.renewing_until = now.plus_ms(wait_ms + RIGHT_MS);
        Some(wait_ms.unsigned_abs())
    }

    /// Whether the caller is to watch for idleness.
    fn watch(&mut self, now: Timestamp) -> bool {
        let free = self.watched_until <= now;
        if free {
            self.watched_until = now.plus_ms(RIGHT_MS);
        }
        free
    }

    /// The refusal that is still believed, if it holds for `ask`.
    fn refusal(&self, ask: &Ask, now: Timestamp) -> Option<Refusal> {
        let refusal = self.refusal.filter(|it| now < it.until && it.retry_at.since_ms(now) <= it.limit.horizon_ms())?;
        let value = ask.quotas.get(refusal.limit).filter(|value| *value <= refusal.value)?;
        (self.lacks_for_store(refusal.limit, value, ask, now) >= refusal.cost).then_some(refusal)
    }

    /// What a store would be asked for, of this limit.
    fn lacks_for_store(&self, limit: Limit, value: u64, ask: &Ask, now: Timestamp) -> u64 {
        match limit.name {
            Name::Concurrent => self.running.count() + 1,
            _ => self.lacks(limit, value, ask, now),
        }
    }

    /// Corrects what a request has reserved, by `delta` tokens. Whether somebody has to watch from now on.
    pub(super) fn settle(&mut self, reserved: &Reserved, delta: i64, now: Timestamp) -> bool {
        for limit in Limit::all().filter(|it| it.name.unit() == Unit::Tokens) {
            let window = reserved.windows[limit.index()];
            // A window of 0 is that of a limit that there was not.
            if window != 0 && (delta > 0 || reserved.source == self.source) {
                self.rates[limit.index()].settle(window, delta, now);
            }
        }
        self.used_at = now;
        self.watch(now)
    }

    /// A request is over. Whether somebody has to watch from now on.
    pub(super) fn end(&mut self, number: u64, now: Timestamp) -> bool {
        let held = self.running.end(number);
        self.used_at = now;
        held && self.watch(now)
    }

    /// A request still runs; whether its slot has to be renewed with the store, and by the caller.
    pub(super) fn hear(&mut self, ask: &Ask, number: u64, now: Timestamp) -> bool {
        self.running.hear(number, now);
        let scopes = Scope::ALL.into_iter().filter(|scope| ask.quotas.get(scope.concurrent()).is_some());
        let due = scopes.into_iter().any(|scope| self.slots[scope as usize].is_ageing(now));
        let renews = due && self.renewing_until <= now;
        if renews {
            self.renewing_until = now.plus_ms(RIGHT_MS);
        }
        renews
    }

    /// What whoever watches has to do.
    pub(super) fn idle(&mut self, ask: &Ask, now: Timestamp) -> Idle {
        let rested_ms = now.since_ms(self.used_at);
        if (0..IDLE_MS).contains(&rested_ms) {
            self.watched_until = now.plus_ms(RIGHT_MS);
            return Idle::Busy((IDLE_MS - rested_ms).unsigned_abs());
        }
        self.watched_until = Timestamp(0);
        self.demand.rest(now);
        for rate in &mut self.rates {
            rate.trim(0, now);
        }
        let running = self.running.count();
        let held = |limit: &Limit| self.slots[limit.scope as usize].granted(now) > running;
        let owes = ask.quotas.set().any(|(limit, _)| match limit.name {
            Name::Concurrent => held(&limit),
            _ => self.rates[limit.index()].owes(),
        });
        if owes { Idle::Return(self.counters(ask, Need::default(), Need::default(), now)) } else { Idle::Nothing }
    }

    /// What is left of a limit; all of it, before the store has said anything.
    pub(super) fn standing(&self, limit: Limit, value: u64, now: Timestamp) -> Standing {
        let known = match limit.name {
            Name::Concurrent => self.slots[limit.scope as usize].standing(self.running.count(), now),
            _ => self.rates[limit.index()].standing(now),
        };
        let unknown = Standing { remaining: value, reset_ms: 0 };
        known.map_or(unknown, |it| Standing { remaining: it.remaining.min(value), ..it })
    }
}

impl Scope {
    const fn concurrent(self) -> Limit {
        Limit { scope: self, name: Name::Concurrent }
    }
}

impl Name {
    pub(super) const fn is_daily(self) -> bool {
        matches!(self, Self::RequestsPerDay | Self::TokensPerDay)
    }
}

impl Limit {
    /// The longest that anybody may have to wait for it.
    pub(super) fn horizon_ms(self) -> i64 {
        // A sliding window may have to slide out altogether.
        self.name.window_ms().map_or(LIFE_MS, |window_ms| if self.name.is_daily() { window_ms } else { 2 * window_ms })
    }
}
