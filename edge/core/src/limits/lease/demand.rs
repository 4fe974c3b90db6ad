//! How many requests a lease should be good for.

use shared::time::Timestamp;

/// How long a lease is good for at most.
pub(super) const LIFE_MS: i64 = 2_000;

/// More is never taken ahead: a process that dies takes what it holds with it.
const MOST: u64 = 4_096;

/// From here on a lease is renewed behind requests, before it is used up.
const BUSY: u64 = 8;

/// Doubles while leases are used up in less than half their life, halves while more than half of one is left over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    ahead: u64,
    most: u64,
    /// Requests since the last take, and when that was.
    spent: u64,
    since: Timestamp,
}

impl Demand {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self { ahead: 1, most: MOST, spent: 0, since: now }
    }

    /// For a process that lives for a few requests: what it took ahead would be lost with it.
    pub(crate) const fn of_the_moment(now: Timestamp) -> Self {
        Self { most: 1, ..Self::new(now) }
    }

    /// How many requests to take for.
    pub(crate) const fn ahead(&self) -> u64 {
        self.ahead
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.ahead >= BUSY
    }

    /// Counts a request.
    pub(crate) const fn spend(&mut self) {
        self.spent += 1;
    }

    /// Looks at what came since the last take, at the next one.
    pub(crate) fn adapt(&mut self, now: Timestamp) {
        let age_ms = now.since_ms(self.since).max(1).unsigned_abs();
        // At this pace the present size would last so long.
        let lasts_ms = (age_ms * self.ahead).checked_div(self.spent).unwrap_or(u64::MAX);
        if lasts_ms < LIFE_MS.unsigned_abs() / 2 {
            self.ahead = (self.ahead * 2).min(self.most);
        } else if lasts_ms > LIFE_MS.unsigned_abs() * 2 {
            self.ahead = (self.ahead / 2).max(1);
        }
        *self = Self { spent: 0, since: now, ..*self };
    }

    /// Nobody has come for a while.
    pub(crate) const fn rest(&mut self, now: Timestamp) {
        *self = Self { ahead: 1, spent: 0, since: now, ..*self };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The size after leases that were each used up at `per_s` requests a second.
    fn settled(mut demand: Demand, per_s: u64, takes: usize) -> u64 {
        for _ in 0..takes {
            let ahead = demand.ahead();
            for _ in 0..ahead {
                demand.spend();
            }
            demand.adapt(demand.since.plus_ms((ahead * 1_000 / per_s) as i64));
        }
        demand.ahead()
    }

    #[test]
    fn a_lease_grows_until_it_lasts_a_second_and_no_further() {
        for (per_s, ahead) in [(1, 1), (5, 8), (20, 32), (200, 256), (1_000, 1_024), (1_000_000, MOST)] {
            assert_eq!(settled(Demand::new(Timestamp(0)), per_s, 20), ahead, "{per_s} a second");
        }
    }

    #[test]
    fn a_lease_that_is_mostly_left_over_shrinks_to_half() {
        let mut demand = Demand { ahead: 256, spent: 63, ..Demand::new(Timestamp(0)) };
        demand.adapt(Timestamp(1_000));
        assert_eq!(demand.ahead(), 128);
        let mut demand = Demand { ahead: 256, spent: 64, ..Demand::new(Timestamp(0)) };
        demand.adapt(Timestamp(1_000));
        assert_eq!(demand.ahead(), 256, "half of it was used");
        demand.rest(Timestamp(1_000));
        assert_eq!(demand.ahead(), 1);
    }

    proptest! {
        #[test]
        fn a_size_changes_by_two_at_most_and_stays_in_bounds(steps in prop::collection::vec((0_u64..10_000, -10_i64..5_000), 1..60)) {
            let (mut demand, mut now) = (Demand::new(Timestamp(0)), Timestamp(0));
            for (spent, ms) in steps {
                let before = demand.ahead();
                for _ in 0..spent {
                    demand.spend();
                }
                now = now.plus_ms(ms);
                demand.adapt(now);
                prop_assert!((1..=MOST).contains(&demand.ahead()));
                prop_assert!(demand.ahead() <= before * 2 && demand.ahead() >= before / 2);
            }
        }
    }
}
