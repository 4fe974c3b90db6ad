//! Taking anew: what a lease asks a store for, and what it makes of the answer.

use super::{
    rules::{EARLY_MS, Lease, Need, REFUSED_MS, Refusal, Reserved, SLOTS_EVERY_MS, Source, TURN_MS, Turn},
    slots::TTL_MS,
};
use crate::limits::{
    Ask,
    counters::{Counter, Grant, Kind, Standing},
    quota::{Limit, Name},
};
use shared::time::Timestamp;

/// What to ask a store.
#[derive(Clone, Debug)]
pub(super) struct Take {
    pub(super) turn: u64,
    pub(super) counters: Vec<Counter>,
    pub(super) limits: Vec<Limit>,
    /// Which store the refunds among the settlements are for.
    pub(super) source: Source,
    sent_at: Timestamp,
}

impl Lease {
    /// Begins to take: for `need` now, and for more as far as there are such requests, less what is on its way.
    pub(super) fn begin(&mut self, ask: &Ask, need: Need, now: Timestamp) -> Take {
        self.demand.adapt(now);
        let all = need.and(self.waiting.need()).and(self.waiting.asked_for(now));
        let ahead = self.demand.ahead();
        let spare = if self.demand.is_busy() { self.headroom() } else { 0 };
        let target = Need {
            requests: all.requests.max(ahead),
            tokens: all.tokens.max(ahead.saturating_mul(self.mean_tokens)),
            slots: all.slots.max(spare),
        };
        let take = self.counters(ask, need, target, now);
        self.waiting.sent(&take, need, ask.answered_in_ms, now);
        take
    }

    /// The take that brings the lease from what it holds to `target`, and has to bring it to `need`.
    pub(super) fn counters(&mut self, ask: &Ask, need: Need, target: Need, now: Timestamp) -> Take {
        self.turns += 1;
        self.turn = Some(Turn { number: self.turns, since: now });
        let peak = self.running.sweep(now);
        let (mut counters, mut limits) = (Vec::new(), Vec::new());
        for (limit, value) in ask.quotas.set() {
            let key = ask.counter(limit);
            let unit = limit.name.unit();
            counters.push(match limit.name.window_ms() {
                Some(window_ms) => {
                    let rate = &mut self.rates[limit.index()];
                    rate.trim(target.get(unit), now);
                    let cost = need.get(unit).saturating_sub(rate.units(now));
                    let held = rate.units(now).saturating_add(self.waiting.wanted(limit, now));
                    let want = target.get(unit).saturating_sub(held).max(cost);
                    let kind =
                        if limit.name.is_daily() { Kind::Fixed { window_ms } } else { Kind::Sliding { window_ms } };
                    Counter { key, kind, limit: value, cost, want, settle: rate.next_settlement() }
                }
                None => {
                    let running = self.running.count();
                    // What was in use a moment ago is kept, so that it is not asked for again a moment later.
                    let granted = self.slots[limit.scope as usize].granted(now).min(value);
                    let kept = if target.slots > 0 { peak.min(granted) } else { 0 };
                    let cost = (running + need.slots).max(kept);
                    let want = (running + target.slots).max(cost);
                    let kind = Kind::Slots { holder: ask.holder(), ttl_ms: TTL_MS };
                    Counter { key, kind, limit: value, cost, want, settle: None }
                }
            });
            limits.push(limit);
        }
        Take { turn: self.turns, counters, limits, source: self.source, sent_at: now }
    }

    /// The take of whoever renews behind requests; none if it is not needed any more.
    pub(super) fn renew(&mut self, ask: &Ask, now: Timestamp) -> Option<Take> {
        let taken = self.turn.is_some_and(|turn| (0..TURN_MS).contains(&now.since_ms(turn.since)));
        let due = ask.quotas.set().any(|(limit, value)| match limit.name {
            Name::Concurrent => {
                self.slots[limit.scope as usize].is_ageing(now) || self.is_short_of_slots(limit, value, now)
            }
            _ => {
                let rate = &self.rates[limit.index()];
                rate.is_half_spent() || rate.left(now).0 <= EARLY_MS
            }
        });
        (due && !taken).then(|| self.begin(ask, Need::default(), now))
    }

    /// Whether more slots should be asked for ahead. Not often: where others hold the rest, there are none.
    pub(super) fn is_short_of_slots(&self, limit: Limit, value: u64, now: Timestamp) -> bool {
        let slots = &self.slots[limit.scope as usize];
        let (running, granted) = (self.running.count(), slots.granted(now));
        let rested = now.since_ms(slots.from()) >= SLOTS_EVERY_MS;
        self.demand.is_busy() && rested && granted < value && running + self.headroom() / 2 >= granted
    }

    /// Slots to be kept free for requests to come. Where many come, a moment in which none ends is as good as a crowd.
    pub(super) fn headroom(&self) -> u64 {
        (self.running.count() / 2).max(self.demand.ahead() / 8).max(4)
    }

    /// Lets the next request renew.
    pub(super) const fn renewed(&mut self) {
        self.renewing_until = Timestamp(0);
    }

    /// A store gave what it was asked for. With the request that asked, if there is one, which then goes.
    pub(super) fn granted(
        &mut self,
        take: &Take,
        grants: &[Grant],
        source: Source,
        ask: Option<&Ask>,
        now: Timestamp,
    ) -> Option<Reserved> {
        self.end_turn(take.turn);
        self.counted_by(source);
        self.refusal = None;
        for (limit, grant) in take.limits.iter().zip(grants) {
            match limit.name {
                Name::Concurrent => {
                    self.slots[limit.scope as usize].grant(grant.granted, grant.standing, take.sent_at);
                }
                _ => self.rates[limit.index()].grant(*grant, take.sent_at),
            }
        }
        // What was given to a request for itself is good, even if its window has ended since.
        let ask = ask?;
        let goes = ask.quotas.set().all(|(limit, value)| match limit.name {
            Name::Concurrent => self.running.count() < self.slots[limit.scope as usize].granted(now).min(value),
            name => self.rates[limit.index()].granted_units() >= Need::of(ask).get(name.unit()),
        });
        goes.then(|| self.spend(ask, now))
    }

    /// A store refused.
    pub(super) fn refused(
        &mut self,
        take: &Take,
        at: usize,
        retry_ms: i64,
        standings: &[Standing],
        source: Source,
        now: Timestamp,
    ) -> Option<Refusal> {
        self.end_turn(take.turn);
        self.counted_by(source);
        for (limit, standing) in take.limits.iter().zip(standings) {
            match limit.name {
                Name::Concurrent => self.slots[limit.scope as usize].tell(*standing),
                _ => self.rates[limit.index()].tell(*standing, take.sent_at),
            }
        }
        let (limit, counter) = take.limits.get(at).zip(take.counters.get(at))?;
        let retry_ms = retry_ms.clamp(1, limit.horizon_ms());
        let until = now.plus_ms(retry_ms.min(REFUSED_MS));
        let retry_at = now.plus_ms(retry_ms);
        let refusal = Refusal { limit: *limit, value: counter.limit, cost: counter.cost, until, retry_at };
        self.refusal = Some(refusal);
        Some(refusal)
    }

    /// Nothing more comes of the take of this number.
    pub(super) fn end_turn(&mut self, number: u64) {
        self.turn.take_if(|turn| turn.number == number);
        self.waiting.answered(number);
    }

    /// What one store has counted is nothing to the other: what is left of it goes, and no refund is due.
    pub(super) fn counted_by(&mut self, source: Source) {
        if self.source != source {
            self.source = source;
            for rate in &mut self.rates {
                rate.forget_units();
                rate.forget_refunds();
            }
        }
    }
}
