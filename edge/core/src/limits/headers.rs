//! Headers that tell callers their limits: OpenAI's, and those of draft-ietf-httpapi-ratelimit-headers.

use super::counters::Standing;
use super::quota::{Limit, Name, Scope, Unit};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write as _;

/// One limit, as structured fields have it.
pub(super) struct Item {
    pub(super) name: String,
    /// What is counted; requests unless it says otherwise.
    pub(super) unit: Option<&'static str>,
    pub(super) quota: u64,
    pub(super) window_ms: Option<i64>,
    pub(super) remaining: u64,
    pub(super) reset_ms: Option<i64>,
}

/// `RateLimit-Policy` and `RateLimit`, which name each limit.
pub(super) fn fields(items: &[Item]) -> HeaderMap {
    let (mut policy, mut limit) = (String::new(), String::new());
    for item in items {
        let separator = if policy.is_empty() { "" } else { ", " };
        write!(policy, "{separator}\"{}\";q={}", item.name, item.quota).expect("a string takes all");
        if let Some(unit) = item.unit {
            write!(policy, ";qu=\"{unit}\"").expect("a string takes all");
        }
        if let Some(window_ms) = item.window_ms {
            write!(policy, ";w={}", window_ms / 1_000).expect("a string takes all");
        }
        write!(limit, "{separator}\"{}\";r={}", item.name, item.remaining).expect("a string takes all");
        if let Some(reset_ms) = item.reset_ms {
            write!(limit, ";t={}", seconds(reset_ms)).expect("a string takes all");
        }
    }
    let mut headers = HeaderMap::new();
    if !items.is_empty() {
        put(&mut headers, "ratelimit-policy", &policy);
        put(&mut headers, "ratelimit", &limit);
    }
    headers
}

/// Everything about the limits of a call, and how they stand.
pub(super) fn of_call(standings: &[(Limit, u64, Standing)]) -> HeaderMap {
    let items: Vec<Item> = standings.iter().map(|(limit, quota, standing)| item(*limit, *quota, *standing)).collect();
    let mut headers = fields(&items);
    for (unit, word) in [(Unit::Requests, "requests"), (Unit::Tokens, "tokens")] {
        // The one that would be used up first.
        let of_unit = standings.iter().filter(|(limit, ..)| limit.name.unit() == unit);
        if let Some((_, quota, standing)) = of_unit.min_by_key(|(_, quota, standing)| (standing.remaining, *quota)) {
            put(&mut headers, &format!("x-ratelimit-limit-{word}"), &quota.to_string());
            put(&mut headers, &format!("x-ratelimit-remaining-{word}"), &standing.remaining.to_string());
            put(&mut headers, &format!("x-ratelimit-reset-{word}"), &duration(standing.reset_ms));
        }
    }
    headers
}

fn item(limit: Limit, quota: u64, standing: Standing) -> Item {
    let scope = match limit.scope {
        Scope::Org => "org",
        Scope::Key => "key",
    };
    let (name, unit) = match limit.name {
        Name::RequestsPerMinute => ("requests-minute", None),
        Name::RequestsPerDay => ("requests-day", None),
        Name::TokensPerMinute => ("tokens-minute", Some("tokens")),
        Name::TokensPerDay => ("tokens-day", Some("tokens")),
        Name::Concurrent => ("concurrent", Some("concurrent-requests")),
    };
    let window_ms = limit.name.window_ms();
    Item {
        name: format!("{scope}-{name}"),
        unit,
        quota,
        window_ms,
        remaining: standing.remaining,
        reset_ms: window_ms.map(|_| standing.reset_ms),
    }
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::try_from(name).expect("names of headers are plain ASCII in lower case");
    headers.insert(name, HeaderValue::try_from(value).expect("words and numbers are plain ASCII"));
}

const fn seconds(ms: i64) -> u64 {
    let ms = if ms < 0 { 0 } else { ms.unsigned_abs() };
    ms.div_ceil(1_000)
}

/// A time as OpenAI writes it: `6m0s`, `1s`, `20ms`.
fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    if ms > 0 && ms < 1_000 {
        return format!("{ms}ms");
    }
    let seconds = seconds(ms);
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_openai_writes_it() {
        for (ms, text) in [
            (-1, "0s"),
            (0, "0s"),
            (20, "20ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_001, "2s"),
            (59_999, "1m0s"),
            (360_000, "6m0s"),
            (86_400_000, "24h0m0s"),
        ] {
            assert_eq!(duration(ms), text, "{ms}");
        }
    }

    /// Checklist 66.
    #[test]
    fn each_limit_is_named_and_openai_s_headers_tell_the_one_that_is_used_up_first() {
        let of =
            |scope, name, quota, remaining, reset_ms| (Limit { scope, name }, quota, Standing { remaining, reset_ms });
        let headers = of_call(&[
            of(Scope::Org, Name::RequestsPerMinute, 100, 40, 1_500),
            of(Scope::Org, Name::TokensPerDay, 1_000, 10, 7_200_000),
            of(Scope::Key, Name::RequestsPerMinute, 60, 50, 900),
            of(Scope::Key, Name::Concurrent, 5, 4, 0),
        ]);
        let told: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        for expected in [
            (
                "ratelimit-policy",
                r#""org-requests-minute";q=100;w=60, "org-tokens-day";q=1000;qu="tokens";w=86400, "key-requests-minute";q=60;w=60, "key-concurrent";q=5;qu="concurrent-requests""#,
            ),
            (
                "ratelimit",
                r#""org-requests-minute";r=40;t=2, "org-tokens-day";r=10;t=7200, "key-requests-minute";r=50;t=1, "key-concurrent";r=4"#,
            ),
            ("x-ratelimit-limit-requests", "100"),
            ("x-ratelimit-remaining-requests", "40"),
            ("x-ratelimit-reset-requests", "2s"),
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "10"),
            ("x-ratelimit-reset-tokens", "2h0m0s"),
        ] {
            assert!(told.contains(&expected), "{expected:?} in {told:#?}");
        }
        assert_eq!(told.len(), 8);
        assert!(of_call(&[]).is_empty());
    }
}
