//! Counters of this process alone: for one edge without a store, and for as long as the store is away.
//!
//! Memory is bounded: beyond [`CAPACITY`] counters, those that come share a few buckets until others are forgotten, so a
//! flood of addresses makes limits stricter for newcomers, and for nobody looser.

use super::{
    Counter, Decision, Grant, Kind, Standing,
    slots::{Found, Slots},
    window::{Rule, Window},
};
use shared::time::Timestamp;
use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Mutex, PoisonError},
};

/// Counters that are told apart.
pub const CAPACITY: usize = 100_000;

/// Buckets for the windows of one length beyond those.
const BUCKETS: u64 = 1_024;

/// A full table is swept at most so often: sweeping looks at every counter.
const SWEEP_MS: i64 = 1_000;

/// What a counter gives ahead: at most this part of what is left.
pub(super) const SHARE: u64 = 8;

/// Counters in this process.
#[derive(Default)]
pub struct Memory(Mutex<Table>);

#[derive(Default)]
struct Table {
    windows: HashMap<String, Kept>,
    slots: HashMap<String, Slots>,
    /// What counters beyond the capacity share.
    shared: HashMap<Bucket, Kept>,
    hasher: RandomState,
    swept_at: Option<Timestamp>,
}

#[derive(Clone, Copy)]
struct Kept {
    window: Window,
    forgotten_at: Timestamp,
}

/// Counters share a bucket only with those whose windows are alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Bucket {
    span_ms: i64,
    slides: bool,
    number: u64,
}

/// What one counter of a take could give, before anything is counted.
enum Offer<'a> {
    Window { rule: Rule, window: Window, settled: bool },
    Slots { holder: &'a str, ttl_ms: i64, found: Found },
}

impl Memory {
    /// Decides over `counters`, each of which is named once.
    pub fn take(&self, counters: &[Counter], now: Timestamp) -> Decision {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.make_room(now);
        let offers: Vec<Offer<'_>> = counters.iter().map(|it| table.offer(it, now)).collect();
        let refusing =
            counters.iter().zip(&offers).enumerate().filter(|(_, (it, offer))| offer.available(now) < it.cost);
        let waits = refusing.map(|(at, (counter, offer))| (at, offer.retry_ms(counter, now)));
        // Whoever waits for the slowest does not come back for nothing.
        let refusal = waits.reduce(|slowest, next| if next.1 > slowest.1 { next } else { slowest });
        let grants = counters.iter().zip(&offers).map(|(counter, offer)| {
            let granted = if refusal.is_none() { share(counter, offer.available(now)) } else { 0 };
            table.write(counter, offer, granted, refusal.is_some(), now)
        });
        let grants: Vec<Grant> = grants.collect();
        match refusal {
            None => Decision::Granted(grants),
            Some((at, retry_ms)) => {
                Decision::Refused { at, retry_ms, standings: grants.into_iter().map(|it| it.standing).collect() }
            }
        }
    }

    /// How many counters are kept, for whoever watches memory.
    pub fn len(&self) -> usize {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.windows.len() + table.slots.len() + table.shared.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is given of `available`, which is enough for the cost.
fn share(counter: &Counter, available: u64) -> u64 {
    counter.want.max(counter.cost).min(counter.cost.max(available / SHARE))
}

impl Offer<'_> {
    fn available(&self, now: Timestamp) -> u64 {
        match self {
            Self::Window { rule, window, .. } => rule.available(*window, now),
            Self::Slots { found, .. } => found.available(),
        }
    }

    fn retry_ms(&self, counter: &Counter, now: Timestamp) -> i64 {
        match self {
            Self::Window { rule, window, .. } => rule.retry_ms(*window, counter.cost, now),
            Self::Slots { found, .. } => found.retry_ms(now),
        }
    }
}

impl Table {
    /// Drops what is forgotten when there is no room for more.
    fn make_room(&mut self, now: Timestamp) {
        let rested = self.swept_at.is_none_or(|at| !(0..SWEEP_MS).contains(&now.since_ms(at)));
        if rested && self.windows.len().max(self.slots.len()) >= CAPACITY {
            self.swept_at = Some(now);
            self.windows.retain(|_, it| it.forgotten_at > now);
            self.shared.retain(|_, it| it.forgotten_at > now);
            self.slots.retain(|_, it| it.forgotten_at() > now);
        }
    }

    fn offer<'a>(&self, counter: &'a Counter, now: Timestamp) -> Offer<'a> {
        let limit = counter.limit;
        let (span_ms, slides) = match &counter.kind {
            Kind::Sliding { window_ms } => (*window_ms, true),
            Kind::Fixed { window_ms } => (*window_ms, false),
            Kind::Slots { holder, ttl_ms } => {
                let nobody = Slots::default();
                let found = self.slots.get(&counter.key).unwrap_or(&nobody).find(holder, limit, now);
                return Offer::Slots { holder, ttl_ms: *ttl_ms, found };
            }
        };
        let rule = Rule { limit, span_ms, slides };
        // One that leaves its bucket takes along what was counted there: nobody's limit begins anew by that.
        let shared = || (!self.shared.is_empty()).then(|| self.shared.get(&self.bucket(&counter.key, rule))).flatten();
        let kept = self.windows.get(&counter.key).or_else(shared);
        let window = rule.at(kept.map(|it| it.window), now);
        let settled = counter.settle.and_then(|it| rule.settled(window, it));
        Offer::Window { rule, window: settled.unwrap_or(window), settled: settled.is_some() }
    }

    /// Counts what was granted, and what is settled in any case.
    fn write(&mut self, counter: &Counter, offer: &Offer<'_>, granted: u64, refused: bool, now: Timestamp) -> Grant {
        match offer {
            Offer::Window { rule, window, settled } => {
                let window = window.plus(granted);
                if granted > 0 || *settled {
                    self.keep(counter, *rule, window);
                }
                let remaining = offer.available(now) - granted;
                let standing = Standing { remaining, reset_ms: rule.reset_ms(window, now) };
                Grant { granted, window: window.index, standing }
            }
            Offer::Slots { holder, ttl_ms, found } => {
                let held = if refused { found.own } else { granted };
                if !refused && (granted > 0 || self.slots.contains_key(&counter.key)) {
                    self.hold(counter, holder, granted, *ttl_ms, now);
                }
                let remaining = found.free.saturating_sub(held);
                Grant { granted, window: 0, standing: Standing { remaining, reset_ms: *ttl_ms } }
            }
        }
    }

    fn keep(&mut self, counter: &Counter, rule: Rule, window: Window) {
        let kept = Kept { window, forgotten_at: rule.forgotten_at(window) };
        if let Some(place) = self.windows.get_mut(&counter.key) {
            *place = kept;
        } else if self.windows.len() < CAPACITY {
            self.windows.insert(counter.key.clone(), kept);
        } else {
            self.shared.insert(self.bucket(&counter.key, rule), kept);
        }
    }

    /// Holders are those of keys, which are in use at this moment: as many as there are of them are kept.
    fn hold(&mut self, counter: &Counter, holder: &str, count: u64, ttl_ms: i64, now: Timestamp) {
        let slots = self.slots.entry(counter.key.clone()).or_default();
        slots.set(holder, count, now.plus_ms(ttl_ms), now);
        if slots.forgotten_at() <= now {
            self.slots.remove(&counter.key);
        }
    }

    fn bucket(&self, key: &str, rule: Rule) -> Bucket {
        Bucket { span_ms: rule.span_ms, slides: rule.slides, number: self.hasher.hash_one(key) % BUCKETS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fmt::Write as _, slice};

    fn address(number: u64) -> Counter {
        Counter {
            key: format!("nest:{{ip}}:health:{number}"),
            kind: Kind::Fixed { window_ms: 60_000 },
            limit: 5,
            cost: 1,
            want: 1,
            settle: None,
        }
    }

    fn hourly() -> Counter {
        Counter { kind: Kind::Fixed { window_ms: 3_600_000 }, ..address(u64::MAX) }
    }

    fn granted(memory: &Memory, counter: Counter, now_ms: i64) -> bool {
        matches!(memory.take(&[counter], Timestamp(now_ms)), Decision::Granted(_))
    }

    /// Checklist 67.
    #[test]
    fn memory_is_bounded_under_ten_million_addresses() {
        let memory = Memory::default();
        let most = CAPACITY + usize::try_from(BUCKETS).unwrap();
        let mut counter = address(0);
        let prefix = counter.key.len() - 1;
        for number in 0..10_000_000 {
            counter.key.truncate(prefix);
            write!(counter.key, "{number}").unwrap();
            // Fifty in a millisecond go on for minutes: sweeps find what is forgotten, and what is not.
            memory.take(slice::from_ref(&counter), Timestamp(number / 50));
            if number % 100_000 == 0 {
                assert!(memory.len() <= most, "{}", memory.len());
            }
        }
    }

    #[test]
    fn newcomers_of_a_flood_share_their_limits_and_others_keep_theirs() {
        let memory = Memory::default();
        for number in 0..CAPACITY as u64 + 64 * BUCKETS {
            memory.take(&[address(number)], Timestamp(0));
        }
        // Some sixty calls came to each bucket, of which it passed five.
        assert!(!granted(&memory, address(u64::MAX), 0));
        assert!((0..4).all(|_| granted(&memory, address(1), 0)));
        assert!(!granted(&memory, address(1), 0));
        // Windows of another length were not flooded.
        assert!(granted(&memory, hourly(), 0));
        // The flood is over, and then forgotten.
        assert!(granted(&memory, address(u64::MAX), 60_000));
        assert!(granted(&memory, address(u64::MAX), 121_000));
        assert_eq!(memory.len(), 3);
    }

    #[test]
    fn leaving_a_bucket_refunds_nothing() {
        let memory = Memory::default();
        for number in 0..CAPACITY as u64 {
            memory.take(&[address(number)], Timestamp(0));
        }
        assert!((0..5).all(|_| granted(&memory, hourly(), 119_000)));
        // The flood is forgotten and there is room, but what the bucket counted is an hour's.
        assert!(!granted(&memory, hourly(), 121_000));
        assert_eq!(memory.len(), 1);
        assert!(granted(&memory, hourly(), 3_600_000));
    }
}
