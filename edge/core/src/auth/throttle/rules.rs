//! How many tries, and how long the pauses between them. The SQL function `take_try` walks these ladders.

use std::fmt::Write as _;

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// From so many tries on, each is followed by a pause; none is one until the window ends.
pub(crate) type Step = (u64, Option<i64>);

/// Wrong passwords of one account by its strangers, or by one known device, in a day. The pauses are rauthy's.
pub(super) const ACCOUNT: &[Step] = &[
    (7, Some(MINUTE_MS)),
    (10, Some(10 * MINUTE_MS)),
    (15, Some(15 * MINUTE_MS)),
    (20, Some(HOUR_MS)),
    (25, Some(DAY_MS)),
];

/// Wrong passwords of one account in a window of a day, whoever tries. Any 24 hours touch two windows at most, so they see
/// no more than the 100 tries of NIST SP 800-63B-4 (section 3.2.2). Strangers alone cannot use up as many.
pub(super) const TOTAL_PER_DAY: u64 = 50;

/// Mails that strangers may cause to one address in an hour.
pub(crate) const MAILS: &[Step] = &[(5, None)];

/// A ladder of one step: so many, and then a wait for the window's end.
pub(crate) fn address_ladder(limit: u64) -> String {
    ladder(&[(limit, None)])
}

/// The ladder as the SQL function `take_try` reads it.
pub(crate) fn ladder(steps: &[Step]) -> String {
    let mut text = String::new();
    for (failures, pause_ms) in steps {
        let pause = pause_ms.map_or_else(|| "null".to_owned(), |it| it.to_string());
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}[{failures},{pause}]").expect("a string takes all");
    }
    format!("[{text}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_is_json() {
        for (steps, text) in
            [(&[][..], "[]"), (&[(5, None)], "[[5,null]]"), (&[(7, Some(60_000)), (9, None)], "[[7,60000],[9,null]]")]
        {
            assert_eq!(ladder(steps), text);
        }
    }

    /// Checklist 10: strangers run into their longest pause before they have used up what all may fail together.
    #[test]
    fn strangers_cannot_use_up_the_owner_s_tries() {
        let (last, pause) = ACCOUNT[ACCOUNT.len() - 1];
        assert!(last < TOTAL_PER_DAY && pause == Some(DAY_MS));
        const { assert!(2 * TOTAL_PER_DAY <= 100) };
        assert!(ACCOUNT.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
    }
}
