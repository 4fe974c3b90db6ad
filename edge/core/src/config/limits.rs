//! Settings of limits.

use crate::limits::{AddressLimits, LimitsConfig, Quota};
use shared::setting::Reader;

/// What an organisation may do for which no operator has set anything.
pub(super) const ORG_LIMITS: &str = "requests_per_minute=6000 requests_per_day=1000000 tokens_per_minute=4000000 tokens_per_day=200000000 concurrent=500";

pub(super) fn read(read: &mut Reader<'_>) -> LimitsConfig {
    let addresses = AddressLimits::parse(&read.required("ADDRESS_LIMITS"));
    if addresses.is_none() {
        let what =
            "ADDRESS_LIMITS must be `class=count/window` entries with spaces between them, such as login=60/m@50";
        read.problems.push(what.to_owned());
    }
    let org = Quota::parse(&read.required("ORG_LIMITS"));
    if org.is_none() {
        let what = "ORG_LIMITS must be `name=limit` pairs with spaces between them, such as requests_per_minute=6000";
        read.problems.push(what.to_owned());
    }
    let share_percent = read.parse::<u64>("LIMIT_SHARE", "a percentage from 1 to 100");
    if !(1..=100).contains(&share_percent) {
        read.problems.push("LIMIT_SHARE must be a percentage from 1 to 100".to_owned());
    }
    LimitsConfig { addresses: addresses.unwrap_or_default(), org: org.unwrap_or_default(), share_percent }
}
