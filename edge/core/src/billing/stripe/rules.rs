//! What is decided about what Stripe tells, without asking anyone.

use shared::time::Timestamp;

/// Until then whoever applies an event is alone.
pub(super) const CLAIM_MS: i64 = 120_000;

/// Tries of an event that fails by itself, and of one that waits for something else: Stripe, or another event.
const OWN_TRIES: i64 = 5;
const WAITING_TRIES: i64 = 60;

const FIRST_PAUSE_MS: i64 = 5_000;
const LONGEST_PAUSE_MS: i64 = 3_600_000;

/// What comes after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Again(Timestamp),
    /// A person looks at it.
    Dead,
}

/// What comes after try number `attempts`, which failed by itself or for something that passes.
pub(super) fn after_failure(attempts: i64, passing: bool, now: Timestamp) -> Next {
    if attempts >= if passing { WAITING_TRIES } else { OWN_TRIES } {
        return Next::Dead;
    }
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).expect("a small number");
    Next::Again(now.plus_ms((FIRST_PAUSE_MS << doublings).min(LONGEST_PAUSE_MS)))
}

/// Whether an event is one of ours: of the mode of our key, and of our account. Events of connected accounts name theirs.
pub(super) fn is_ours(livemode: bool, account: Option<&str>, our_livemode: bool, our_account: Option<&str>) -> bool {
    livemode == our_livemode && account.is_none_or(|it| our_account == Some(it))
}

/// Whether a refund or a dispute has taken money, and whether that has come back.
pub(super) fn withdrawal(is_dispute: bool, status: &str) -> (bool, bool) {
    match (is_dispute, status) {
        // A bank only asks: no money has moved.
        (true, "warning_needs_response" | "warning_under_review" | "warning_closed" | "prevented") => (false, false),
        (true, "won") | (false, "failed" | "canceled") => (true, true),
        _ => (true, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_tried_for_more_than_a_day_and_what_is_wrong_for_a_minute() {
        for (passing, least_ms, most_ms) in [(true, 86_400_000, 400_000_000), (false, 60_000, 300_000)] {
            let (mut now, mut attempts) = (Timestamp(0), 1);
            while let Next::Again(at) = after_failure(attempts, passing, now) {
                assert!(at > now && at.since_ms(now) <= LONGEST_PAUSE_MS);
                (now, attempts) = (at, attempts + 1);
            }
            assert!((least_ms..most_ms).contains(&now.0), "{passing}: {}", now.0);
        }
    }

    /// Checklist 95.
    #[test]
    fn no_event_of_the_test_mode_or_of_another_account_is_ours() {
        for (livemode, account, our_livemode, our_account, ours) in [
            (true, None, true, None, true),
            (false, None, false, None, true),
            (false, None, true, None, false),
            (true, None, false, None, false),
            (true, None, true, Some("acct_1"), true),
            (true, Some("acct_1"), true, Some("acct_1"), true),
            (true, Some("acct_2"), true, Some("acct_1"), false),
            (true, Some("acct_2"), true, None, false),
        ] {
            let verdict = is_ours(livemode, account, our_livemode, our_account);
            assert_eq!(verdict, ours, "{livemode} {account:?} {our_livemode} {our_account:?}");
        }
    }

    #[test]
    fn money_goes_and_comes_back_as_stripe_says() {
        for (is_dispute, status, taken, returned) in [
            (false, "pending", true, false),
            (false, "succeeded", true, false),
            (false, "requires_action", true, false),
            (false, "failed", true, true),
            (false, "canceled", true, true),
            (true, "warning_needs_response", false, false),
            (true, "warning_closed", false, false),
            (true, "needs_response", true, false),
            (true, "under_review", true, false),
            (true, "lost", true, false),
            (true, "won", true, true),
        ] {
            assert_eq!(withdrawal(is_dispute, status), (taken, returned), "{is_dispute} {status}");
        }
    }
}
