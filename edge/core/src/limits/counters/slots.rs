//! Slots: who holds how many of a few things, and until when.

use super::window::KEEP_MS;
use shared::time::Timestamp;
use std::collections::HashMap;

/// When a slot is looked for again: they are given back at any time.
const RETRY_MS: i64 = 1_000;

/// The holders of one limit.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(HashMap<String, Held>);

#[derive(Clone, Copy, Debug)]
struct Held {
    count: u64,
    until: Timestamp,
}

/// What a holder finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What the others leave of the limit.
    pub(super) free: u64,
    /// What the holder has itself.
    pub(super) own: u64,
    /// When one of the others is given back, at the latest; none when they hold nothing.
    first: Option<Timestamp>,
}

impl Slots {
    pub(super) fn find(&self, holder: &str, limit: u64, now: Timestamp) -> Found {
        let live = || self.0.iter().filter(|(_, held)| held.until > now);
        let others = || live().filter(|(name, _)| *name != holder).map(|(_, held)| held);
        let own = live().find(|(name, _)| *name == holder).map_or(0, |(_, held)| held.count);
        let free = limit.saturating_sub(others().map(|held| held.count).fold(0, u64::saturating_add));
        Found { free, own, first: others().map(|held| held.until).min() }
    }

    /// Says how many `holder` holds from now on. Those whose time is over hold nothing.
    pub(super) fn set(&mut self, holder: &str, count: u64, until: Timestamp, now: Timestamp) {
        self.0.retain(|name, held| held.until > now && name != holder);
        if count > 0 {
            self.0.insert(holder.to_owned(), Held { count, until });
        }
    }

    /// When nothing of this is worth knowing any more.
    pub(super) fn forgotten_at(&self) -> Timestamp {
        let last = self.0.values().map(|held| held.until).max();
        last.map_or(Timestamp(i64::MIN), |it| it.plus_ms(KEEP_MS))
    }
}

impl Found {
    /// What the holder has is its own, even when the limit has shrunk since.
    pub(super) fn available(&self) -> u64 {
        self.free.max(self.own)
    }

    pub(super) fn retry_ms(&self, now: Timestamp) -> i64 {
        self.first.map_or(RETRY_MS, |first| first.since_ms(now).min(RETRY_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_holds_what_it_last_said_until_its_time_is_over() {
        let mut slots = Slots::default();
        let at = Timestamp;
        slots.set("a", 3, at(1_000), at(0));
        slots.set("b", 2, at(400), at(0));
        slots.set("a", 4, at(1_000), at(0));
        for (holder, now_ms, free, own, available, retry_ms) in [
            ("a", 0, 3, 4, 4, 400),
            ("b", 0, 1, 2, 2, 1_000),
            ("c", 0, 0, 0, 0, 400),
            ("a", 400, 5, 4, 5, 1_000),
            ("c", 999, 1, 0, 1, 1),
            ("a", 1_000, 5, 0, 5, 1_000),
        ] {
            let found = slots.find(holder, 5, at(now_ms));
            let all = (found.free, found.own, found.available(), found.retry_ms(at(now_ms)));
            assert_eq!(all, (free, own, available, retry_ms), "{holder} {now_ms}");
        }
        assert_eq!(slots.forgotten_at(), at(1_000 + KEEP_MS));
        slots.set("a", 0, at(2_000), at(500));
        assert_eq!(slots.forgotten_at(), at(i64::MIN));
    }
}
