//! Leaves a store alone that does not answer, so that only the first few who ask wait for nothing.

use shared::time::Timestamp;

/// Failures in a row after which nobody asks any more.
const FAILURES: u32 = 3;

/// How long nobody asks: at first, and at most.
const PAUSE_MS: i64 = 1_000;
const LONGEST_PAUSE_MS: i64 = 30_000;

/// Whether a store may be asked.
///
/// When a pause is over, one who asks tries for all others, and the next pause begins at once: a try that is never told
/// the end of, since its caller has left, costs no more than that.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// Counts openings and closings, so that those who asked before do not count for what came after.
    epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { since: Timestamp, pause_ms: i64 },
}

/// Permission to ask once.
#[derive(Debug)]
pub struct Permit {
    epoch: u64,
}

/// What the end of a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    /// From now on nobody asks for a while.
    Opened,
    /// Everybody asks again.
    Closed,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 }, epoch: 0 }
    }
}

impl Breaker {
    /// Permission, unless the store is left alone.
    pub fn ask(&mut self, now: Timestamp) -> Option<Permit> {
        if let State::Open { since, pause_ms } = self.state {
            // A clock that was set back must not make the pause longer.
            if (0..pause_ms).contains(&now.since_ms(since)) {
                return None;
            }
            self.state = State::Open { since: now, pause_ms };
            self.epoch += 1;
        }
        Some(Permit { epoch: self.epoch })
    }

    /// The store has answered.
    pub fn succeeded(&mut self, permit: &Permit) -> Change {
        if permit.epoch != self.epoch {
            return Change::Nothing;
        }
        match std::mem::replace(&mut self.state, State::Closed { failures: 0 }) {
            State::Closed { .. } => Change::Nothing,
            State::Open { .. } => {
                self.epoch += 1;
                Change::Closed
            }
        }
    }

    /// The store has given no decision.
    pub fn failed(&mut self, permit: &Permit, now: Timestamp) -> Change {
        if permit.epoch != self.epoch {
            return Change::Nothing;
        }
        match self.state {
            State::Closed { failures } if failures + 1 < FAILURES => {
                self.state = State::Closed { failures: failures + 1 };
                Change::Nothing
            }
            State::Closed { .. } => {
                self.state = State::Open { since: now, pause_ms: PAUSE_MS };
                self.epoch += 1;
                Change::Opened
            }
            State::Open { pause_ms, .. } => {
                self.state = State::Open { since: now, pause_ms: (2 * pause_ms).min(LONGEST_PAUSE_MS) };
                self.epoch += 1;
                Change::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(ms)
    }

    /// A breaker that has just opened.
    fn open(now: Timestamp) -> Breaker {
        let mut breaker = Breaker::default();
        let changes: Vec<Change> = (0..3)
            .map(|_| {
                let permit = breaker.ask(now).unwrap();
                breaker.failed(&permit, now)
            })
            .collect();
        assert_eq!(changes, [Change::Nothing, Change::Nothing, Change::Opened]);
        breaker
    }

    /// Checklist 64.
    #[test]
    fn the_fourth_does_not_ask_any_more() {
        let mut breaker = open(at(0));
        for now_ms in [0, 1, 999] {
            assert!(breaker.ask(at(now_ms)).is_none(), "{now_ms}");
        }
        assert!(breaker.ask(at(1_000)).is_some());
    }

    #[test]
    fn failures_count_in_a_row() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 0..2 {
                let permit = breaker.ask(at(0)).unwrap();
                assert_eq!(breaker.failed(&permit, at(0)), Change::Nothing);
            }
            let permit = breaker.ask(at(0)).unwrap();
            assert_eq!(breaker.succeeded(&permit), Change::Nothing);
        }
        assert!(breaker.ask(at(0)).is_some());
    }

    #[test]
    fn one_tries_after_each_pause_and_pauses_double_up_to_half_a_minute() {
        let (mut breaker, mut now) = (open(at(0)), at(0));
        for pause_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            assert!(breaker.ask(now.plus_ms(pause_ms - 1)).is_none(), "{pause_ms}");
            now = now.plus_ms(pause_ms);
            let permit = breaker.ask(now).unwrap();
            assert!(breaker.ask(now).is_none(), "{pause_ms}");
            assert_eq!(breaker.failed(&permit, now), Change::Nothing);
        }
        now = now.plus_ms(30_000);
        let permit = breaker.ask(now).unwrap();
        assert_eq!(breaker.succeeded(&permit), Change::Closed);
        assert!(breaker.ask(now).is_some());
        // The next outage begins with the shortest pause.
        assert!(open(now).ask(now.plus_ms(1_000)).is_some());
    }

    #[test]
    fn a_try_whose_caller_leaves_is_followed_by_another() {
        let mut breaker = open(at(0));
        let lost = breaker.ask(at(1_000)).unwrap();
        assert!(breaker.ask(at(1_999)).is_none());
        let next = breaker.ask(at(2_000)).unwrap();
        assert_eq!(breaker.failed(&lost, at(2_000)), Change::Nothing);
        assert_eq!(breaker.succeeded(&next), Change::Closed);
    }

    #[test]
    fn those_who_asked_before_it_opened_change_nothing() {
        let mut breaker = Breaker::default();
        let early: Vec<Permit> = (0..10).map(|_| breaker.ask(at(0)).unwrap()).collect();
        for permit in &early[..3] {
            breaker.failed(permit, at(150));
        }
        assert_eq!(breaker.failed(&early[3], at(900)), Change::Nothing);
        assert_eq!(breaker.succeeded(&early[4]), Change::Nothing);
        assert!(breaker.ask(at(1_149)).is_none());
        assert!(breaker.ask(at(1_150)).is_some());
    }

    #[test]
    fn a_clock_that_is_set_back_ends_the_pause() {
        assert!(open(at(1_000_000)).ask(at(5)).is_some());
    }
}
