//! Days of the calendar, in UTC, as roll-ups count them.

use serde::{Serialize, Serializer};
use shared::time::Timestamp;
use std::{fmt, str::FromStr};

const DAY_MS: i64 = 86_400_000;

/// Days between 0000-03-01 and 1970-01-01. A year that begins in March has its leap day at its end.
const EPOCH: i64 = 719_468;

/// Days of 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;

/// A day in UTC, written as `2026-11-22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    /// Since 1970-01-01.
    number: i64,
}

/// The text is no day between 1970-01-01 and 9999-12-31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day such as `2026-11-22`")]
pub struct DayError;

impl Day {
    /// The day of a point in time.
    pub fn of(at: Timestamp) -> Self {
        Self { number: at.0.div_euclid(DAY_MS) }
    }

    /// The day `days` later, within what can be written.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self { number: self.number.saturating_add(days).clamp(0, from_civil(9999, 12, 31)) }
    }

    /// How many days after `earlier`.
    pub fn since(self, earlier: Self) -> i64 {
        self.number - earlier.number
    }
}

/// The number of a day. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA + year * 365 + year / 4 - year / 100 + of_year - EPOCH
}

/// Year, month and day. The same source, `civil_from_days`.
fn to_civil(number: i64) -> (i64, i64, i64) {
    let (era, of_era) = ((number + EPOCH).div_euclid(ERA), (number + EPOCH).rem_euclid(ERA));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = to_civil(self.number);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let mut parts = text.splitn(3, '-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|it| it.len() == digits && it.bytes().all(|it| it.is_ascii_digit()));
            part.and_then(|it| it.parse::<i64>().ok()).ok_or(DayError)
        };
        let (year, month, day) = (part(4)?, part(2)?, part(2)?);
        if year < 1970 || !(1..=12).contains(&month) {
            return Err(DayError);
        }
        let number = from_civil(year, month, day);
        // A day that its month does not have would be one of the next month.
        if to_civil(number) == (year, month, day) { Ok(Self { number }) } else { Err(DayError) }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_day_is_its_text_and_nothing_else_is_one() {
        for (text, number) in [
            ("1970-01-01", Ok(0)),
            ("1970-02-28", Ok(58)),
            ("1970-03-01", Ok(59)),
            ("2000-02-29", Ok(11_016)),
            ("2024-02-29", Ok(19_782)),
            ("2026-11-22", Ok(20_779)),
            ("9999-12-31", Ok(2_932_896)),
            ("1969-12-31", Err(DayError)),
            ("2026-02-29", Err(DayError)),
            ("2100-02-29", Err(DayError)),
            ("2026-04-31", Err(DayError)),
            ("2026-00-10", Err(DayError)),
            ("2026-13-10", Err(DayError)),
            ("2026-01-00", Err(DayError)),
            ("2026-1-1", Err(DayError)),
            ("2026-01-01T00:00:00Z", Err(DayError)),
            ("+026-01-01", Err(DayError)),
            ("20260101", Err(DayError)),
            ("yesterday", Err(DayError)),
            ("２０２６-01-01", Err(DayError)),
            ("", Err(DayError)),
        ] {
            let day = text.parse::<Day>();
            assert_eq!(day.map(|it| it.number), number, "{text}");
            if let Ok(day) = day {
                assert_eq!(day.to_string(), text);
            }
        }
    }

    #[test]
    fn a_day_ends_at_midnight_in_utc() {
        let midnight = 20_779 * DAY_MS;
        for (at, text) in
            [(midnight - 1, "2026-11-21"), (midnight, "2026-11-22"), (midnight + DAY_MS - 1, "2026-11-22")]
        {
            assert_eq!(Day::of(Timestamp(at)).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn every_day_is_read_back_and_follows_the_one_before(number in 1_i64..2_932_896) {
            let day = Day { number };
            prop_assert_eq!(day.to_string().parse(), Ok(day));
            prop_assert!(day.plus(-1).to_string() < day.to_string());
        }
    }
}
