//! What a key is given besides its secret, as people and programs ask for it.

use super::KeyError;
use crate::limits::Quota;
use serde::{Deserialize, Serialize};
use shared::{money::Nanos, time::Timestamp};
use utoipa::ToSchema;

/// Characters of a key's name at most.
pub(super) const NAME_CHARS: usize = 200;

/// What a key may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Spend {
    pub cap_usd: Nanos,
    pub period: Period,
}

/// Over which time a cap is. Days, weeks from Monday, and months are those of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SpendPeriod)]
pub enum Period {
    Day,
    Week,
    Month,
    Total,
}

impl Period {
    pub(super) const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Total];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }
}

/// A limit at most: more than a day can hold, and exact in every counter.
const MOST: u64 = 1_000_000_000_000;

/// Checks limits that somebody wrote.
pub fn limits(quota: Quota) -> Result<Quota, KeyError> {
    for (field, limit) in [
        ("limits.requests_per_minute", quota.requests_per_minute),
        ("limits.requests_per_day", quota.requests_per_day),
        ("limits.tokens_per_minute", quota.tokens_per_minute),
        ("limits.tokens_per_day", quota.tokens_per_day),
        ("limits.concurrent", quota.concurrent),
    ] {
        // Elsewhere zero often means that there is no limit. Here nobody finds out which was meant by losing either way.
        if limit.is_some_and(|it| !(1..=MOST).contains(&it)) {
            return Err(KeyError::field(field, format!("1 to {MOST}; leave it out for no limit")));
        }
    }
    Ok(quota)
}

/// Checks an expiry that somebody wrote.
pub(super) fn expiry(at: Timestamp, now: Timestamp) -> Result<Timestamp, KeyError> {
    const LONGEST_MS: i64 = 36_525 * 86_400_000;
    if at <= now {
        Err(KeyError::field("expires_at", "is past: give milliseconds since 1970"))
    } else if at.since_ms(now) > LONGEST_MS {
        Err(KeyError::field("expires_at", "is more than a hundred years away: leave it out for never"))
    } else {
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_at_least_one_and_no_larger_than_counters_hold() {
        for (limit, good) in [(0, false), (1, true), (MOST, true), (MOST + 1, false), (u64::MAX, false)] {
            for quota in [
                Quota { requests_per_minute: Some(limit), ..Quota::default() },
                Quota { requests_per_day: Some(limit), ..Quota::default() },
                Quota { tokens_per_minute: Some(limit), ..Quota::default() },
                Quota { tokens_per_day: Some(limit), ..Quota::default() },
                Quota { concurrent: Some(limit), ..Quota::default() },
            ] {
                assert_eq!(limits(quota).is_ok(), good, "{quota:?}");
            }
        }
        assert_eq!(limits(Quota::default()), Ok(Quota::default()));
    }

    #[test]
    fn an_expiry_is_ahead_and_within_a_century() {
        let now = Timestamp(1_800_000_000_000);
        for (at, good) in [
            (now.0, false),
            (now.0 - 1, false),
            (now.0 + 1, true),
            // Seconds, where milliseconds are meant.
            (1_900_000_000, false),
            (now.0 + 36_525 * 86_400_000, true),
            (now.0 + 36_525 * 86_400_000 + 1, false),
            (i64::MAX, false),
            (i64::MIN, false),
            (-1, false),
        ] {
            assert_eq!(expiry(Timestamp(at), now).is_ok(), good, "{at}");
        }
    }
}
