//! Windows: what is counted in one and in the one before it, and what that leaves of a limit.
//!
//! The same arithmetic as `take.lua`'s; `tests/it/counters` holds both to one model.

use super::Settlement;
use shared::time::Timestamp;

/// How long a window that stands by itself is known after its end, in case a clock is set back.
pub(super) const KEEP_MS: i64 = 60_000;

/// What was counted in the window `index`, and in the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) index: i64,
    count: u64,
    previous: u64,
}

impl Window {
    pub(super) fn plus(self, granted: u64) -> Self {
        Self { count: self.count.saturating_add(granted), ..self }
    }
}

/// A limit of so much in `span_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) limit: u64,
    pub(super) span_ms: i64,
    pub(super) slides: bool,
}

impl Rule {
    /// The window at `now`, from the one that was counted in last. A clock that was set back goes on in the window that
    /// it had reached.
    pub(super) fn at(&self, last: Option<Window>, now: Timestamp) -> Window {
        let index = now.0.div_euclid(self.span_ms);
        match last {
            Some(last) if last.index >= index => last,
            Some(last) if last.index == index - 1 => Window { index, count: 0, previous: last.count },
            _ => Window { index, count: 0, previous: 0 },
        }
    }

    /// The window with a correction, if that still counts.
    pub(super) fn settled(&self, window: Window, settlement: Settlement) -> Option<Window> {
        match window.index - settlement.window {
            0 => Some(Window { count: window.count.saturating_add_signed(settlement.delta), ..window }),
            1 if self.slides => {
                Some(Window { previous: window.previous.saturating_add_signed(settlement.delta), ..window })
            }
            _ => None,
        }
    }

    /// What is left of the limit.
    pub(super) fn available(&self, window: Window, now: Timestamp) -> u64 {
        self.limit.saturating_sub(self.used(window, now))
    }

    /// Until the window ends.
    pub(super) fn reset_ms(&self, window: Window, now: Timestamp) -> i64 {
        (window.index + 1) * self.span_ms - now.0
    }

    /// Until what was counted has faded enough for `cost`; above the limit that is never, and this is when nothing is
    /// counted any more.
    pub(super) fn retry_ms(&self, window: Window, cost: u64, now: Timestamp) -> i64 {
        let reset_ms = self.reset_ms(window, now);
        let spare = self.limit.saturating_sub(cost);
        let wait_ms = if !self.slides {
            reset_ms
        } else if window.count > spare {
            reset_ms + self.faded_ms(window.count, spare)
        } else if window.previous > 0 {
            window.index * self.span_ms + self.faded_ms(window.previous, spare - window.count) - now.0
        } else {
            reset_ms
        };
        wait_ms.max(1)
    }

    /// When nothing of this is worth knowing any more.
    pub(super) fn forgotten_at(&self, window: Window) -> Timestamp {
        Timestamp((window.index + 1) * self.span_ms + if self.slides { self.span_ms } else { KEEP_MS })
    }

    /// Of a window that slides, the one before counts by the part of it that the last span still covers, rounded up.
    fn used(&self, window: Window, now: Timestamp) -> u64 {
        if !self.slides {
            return window.count;
        }
        let elapsed_ms = (now.0 - window.index * self.span_ms).max(0);
        let covered = i128::from(window.previous) * i128::from(self.span_ms - elapsed_ms);
        let span = i128::from(self.span_ms);
        // A part of the previous count, so it is none too large.
        window.count.saturating_add(u64::try_from((covered + span - 1) / span).unwrap_or(u64::MAX))
    }

    /// How far into a window no more than `left` of the `count` before it counts.
    fn faded_ms(&self, count: u64, left: u64) -> i64 {
        let covered = i128::from(left) * i128::from(self.span_ms) / i128::from(count);
        self.span_ms - i64::try_from(covered).unwrap_or(self.span_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Rule = Rule { limit: 100, span_ms: 60_000, slides: true };
    const FIXED: Rule = Rule { slides: false, ..MINUTE };

    fn window(index: i64, count: u64, previous: u64) -> Window {
        Window { index, count, previous }
    }

    #[test]
    fn a_window_goes_on_and_never_back() {
        for (last, now_ms, expected) in [
            (None, 130_000, window(2, 0, 0)),
            (Some(window(2, 7, 3)), 130_000, window(2, 7, 3)),
            (Some(window(1, 7, 3)), 130_000, window(2, 0, 7)),
            (Some(window(0, 7, 3)), 130_000, window(2, 0, 0)),
            (Some(window(2, 7, 3)), 119_999, window(2, 7, 3)), // set back
            (Some(window(2, 7, 3)), -1, window(2, 7, 3)),
        ] {
            assert_eq!(MINUTE.at(last, Timestamp(now_ms)), expected, "{last:?} {now_ms}");
        }
    }

    #[test]
    fn the_window_before_fades_and_is_rounded_up() {
        for (rule, of, now_ms, available) in [
            (MINUTE, window(1, 0, 100), 60_000, 0),
            (MINUTE, window(1, 0, 100), 60_001, 0),
            (MINUTE, window(1, 0, 100), 60_600, 1),
            (MINUTE, window(1, 10, 100), 90_000, 40),
            (MINUTE, window(1, 0, 1), 119_999, 99),
            (MINUTE, window(1, 101, 0), 90_000, 0), // a settlement brought it above the limit
            (MINUTE, window(1, 0, 100), 10_000, 0), // set back
            (FIXED, window(1, 10, 100), 60_000, 90), // each by itself
        ] {
            assert_eq!(rule.available(of, Timestamp(now_ms)), available, "{of:?} {now_ms}");
        }
    }

    #[test]
    fn a_settlement_corrects_its_own_window_while_that_counts() {
        for (rule, number, delta, expected) in [
            (MINUTE, 5, -3, Some(window(5, 7, 20))),
            (MINUTE, 5, -30, Some(window(5, 0, 20))),
            (MINUTE, 5, 3, Some(window(5, 13, 20))),
            (MINUTE, 4, -3, Some(window(5, 10, 17))),
            (MINUTE, 3, -3, None),
            (MINUTE, 6, -3, None),
            (FIXED, 5, 3, Some(window(5, 13, 20))),
            (FIXED, 4, 3, None),
        ] {
            assert_eq!(
                rule.settled(window(5, 10, 20), Settlement { window: number, delta }),
                expected,
                "{number} {delta}"
            );
        }
    }

    #[test]
    fn a_fixed_window_is_waited_out() {
        assert_eq!(FIXED.retry_ms(window(1, 100, 0), 1, Timestamp(90_000)), 30_000);
        assert_eq!(FIXED.forgotten_at(window(1, 100, 0)), Timestamp(180_000));
        assert_eq!(MINUTE.forgotten_at(window(1, 100, 0)), Timestamp(180_000));
    }

    proptest! {
        #[test]
        fn a_sliding_window_is_waited_for_as_long_as_it_takes_and_no_longer(
            limit in 1_u64..200, count in 0_u64..250, previous in 0_u64..250, cost in 1_u64..200, elapsed in 0_i64..1_000,
        ) {
            let rule = Rule { limit, span_ms: 1_000, slides: true };
            let (of, now) = (window(7, count, previous), Timestamp(7_000 + elapsed));
            prop_assume!(cost <= limit && rule.available(of, now) < cost);
            let wait_ms = rule.retry_ms(of, cost, now);
            let later = |ms| { let at = now.plus_ms(ms); rule.available(rule.at(Some(of), at), at) };
            prop_assert!(later(wait_ms) >= cost, "{} after {wait_ms}", later(wait_ms));
            prop_assert!(later(wait_ms - 1) < cost, "{} before {wait_ms}", later(wait_ms - 1));
        }
    }
}
