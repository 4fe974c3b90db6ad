//! Requests that wait for a take: whom the next one asks for, and what those ask for whose answers have not come.

use super::{
    rules::{Look, Need},
    taking::Take,
};
use crate::limits::{
    Ask,
    counters::Kind,
    quota::{Limit, Unit},
};
use shared::time::Timestamp;

/// Of more takes than this nobody knows any more what is on its way; the oldest are forgotten.
const MOST: usize = 64;

/// Who waits under one lease.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The number of the batch that the next take asks for, and what those need who are in it.
    batch: u64,
    need: Need,
    /// Takes that were sent and not answered, the oldest first.
    sent: Vec<Sent>,
}

/// A take whose answer has not come.
#[derive(Clone, Debug)]
struct Sent {
    take: u64,
    batch: u64,
    /// What those need for whom it asks.
    need: Need,
    /// What it asks for, of each rate.
    wants: [u64; Limit::COUNT],
    at: Timestamp,
    /// After so long no answer comes.
    lasts_ms: i64,
}

impl Waiting {
    pub(super) const fn new() -> Self {
        // A request that was not counted looks with batch 0.
        Self { batch: 1, need: Need { requests: 0, tokens: 0, slots: 0 }, sent: Vec::new() }
    }

    /// Counts the request behind `ask` among those for whom the next take asks, once.
    pub(super) fn join(&mut self, look: &mut Look, ask: &Ask) {
        if look.batch != self.batch {
            look.batch = self.batch;
            self.need = self.need.and(Need::of(ask));
        }
    }

    /// It goes, is refused, or asks for itself. What was asked for it is somebody else's.
    pub(super) fn leave(&mut self, look: &mut Look, ask: &Ask) {
        let of_sent = self.sent.iter_mut().map(|it| (it.batch, &mut it.need));
        let mut all = of_sent.chain([(self.batch, &mut self.need)]);
        if let Some((_, need)) = all.find(|(batch, _)| *batch == look.batch) {
            *need = need.without(Need::of(ask));
        }
        look.batch = 0;
    }

    /// Whether a take asks for whoever looks so, and its answer may still come.
    pub(super) fn is_asked_for(&self, look: &Look, now: Timestamp) -> bool {
        self.on_the_way(now).any(|it| it.batch == look.batch)
    }

    /// What those need for whom nobody has asked yet.
    pub(super) const fn need(&self) -> Need {
        self.need
    }

    /// What those need for whom takes ask whose answers may still come.
    pub(super) fn asked_for(&self, now: Timestamp) -> Need {
        self.on_the_way(now).fold(Need::default(), |all, it| all.and(it.need))
    }

    /// How much of a rate such takes ask for.
    pub(super) fn wanted(&self, limit: Limit, now: Timestamp) -> u64 {
        self.on_the_way(now).fold(0, |all, it| all.saturating_add(it.wants[limit.index()]))
    }

    /// `take` asks for whom the next take was to ask for, and for whoever needs `need`.
    pub(super) fn sent(&mut self, take: &Take, need: Need, lasts_ms: i64, now: Timestamp) {
        self.sent.retain(|it| it.lasts(now));
        if self.sent.len() == MOST {
            self.sent.remove(0);
        }
        let mut wants = [0; Limit::COUNT];
        for (limit, counter) in take.limits.iter().zip(&take.counters) {
            // How many slots are held is said anew with each take.
            if !matches!(counter.kind, Kind::Slots { .. }) {
                wants[limit.index()] = counter.want;
            }
        }
        let need = need.and(std::mem::take(&mut self.need));
        self.sent.push(Sent { take: take.turn, batch: self.batch, need, wants, at: now, lasts_ms });
        self.batch += 1;
    }

    /// The take of this number was answered, or nobody is there to hear its answer.
    pub(super) fn answered(&mut self, take: u64) {
        self.sent.retain(|it| it.take != take);
    }

    fn on_the_way(&self, now: Timestamp) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(move |it| it.lasts(now))
    }
}

impl Sent {
    fn lasts(&self, now: Timestamp) -> bool {
        (0..self.lasts_ms).contains(&now.since_ms(self.at))
    }
}

impl Need {
    pub(super) fn of(ask: &Ask) -> Self {
        Self { requests: 1, tokens: ask.tokens, slots: 1 }
    }

    pub(super) const fn get(self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::Tokens => self.tokens,
            Unit::Slots => self.slots,
        }
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            tokens: self.tokens.saturating_add(other.tokens),
            slots: self.slots + other.slots,
        }
    }

    const fn without(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            tokens: self.tokens.saturating_sub(other.tokens),
            slots: self.slots.saturating_sub(other.slots),
        }
    }
}
