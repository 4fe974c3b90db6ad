//! Days and months of seconds since 1970, in UTC. Source: Howard Hinnant, “chrono-Compatible Low-Level Date Algorithms”.

pub(crate) const DAY_S: i64 = 86_400;

/// `at` moved by `months`; the day of the month is that of `anchor`, or the last that the month has.
pub(crate) fn plus_months(at: i64, months: i64, anchor: i64) -> i64 {
    let (year, month, _) = civil(at.div_euclid(DAY_S));
    let (_, _, day) = civil(anchor.div_euclid(DAY_S));
    let month = year * 12 + (month - 1) + months;
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    let first = days(year, month, 1);
    let length = days(if month == 12 { year + 1 } else { year }, month % 12 + 1, 1) - first;
    (first + day.min(length) - 1) * DAY_S + at.rem_euclid(DAY_S)
}

/// `2026-09-30`.
pub(crate) fn date(at: i64) -> String {
    let (year, month, day) = civil(at.div_euclid(DAY_S));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-09-30T12:00:00.000Z`.
pub(crate) fn instant(at: i64) -> String {
    let second = at.rem_euclid(DAY_S);
    format!("{}T{:02}:{:02}:{:02}.000Z", date(at), second / 3_600, second / 60 % 60, second % 60)
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_later_is_the_same_day_or_the_last() {
        // `date -u -d 2027-01-31T01:02:03 +%s`
        let january_31 = 1_801_357_323;
        assert_eq!(instant(january_31), "2027-01-31T01:02:03.000Z");
        let mut at = january_31;
        for expected in ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"] {
            at = plus_months(at, 1, january_31);
            assert_eq!(date(at), expected);
        }
        assert_eq!(date(plus_months(january_31, 13, january_31)), "2028-02-29");
        assert_eq!(date(plus_months(january_31, -2, january_31)), "2026-11-30");
        assert_eq!(date(0), "1970-01-01");
    }
}
