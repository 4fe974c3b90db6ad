//! The script that decides in the store: what it is told, and what it answers.

use super::{Counter, Decision, Grant, Kind, Standing, reply::Reply};
use crate::sql::hex;
use sha1::{Digest as _, Sha1};
use shared::time::Timestamp;
use std::sync::LazyLock;

/// Numbers of the script's language are whole up to here.
const MOST: u64 = (1 << 53) - 1;

/// How many numbers it answers for each counter.
const PARTS: usize = 4;

/// A script, and the name that a store knows it by.
pub struct Script {
    pub text: &'static str,
    pub sha1: String,
}

impl Script {
    pub fn new(text: &'static str) -> Self {
        Self { text, sha1: hex(&Sha1::digest(text)) }
    }
}

/// Takes from every counter, or from none.
pub static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));

/// What [`TAKE`] is told behind its keys: the time, if it is not the store's own, and each counter.
pub(super) fn arguments(counters: &[Counter], at: Option<Timestamp>) -> Vec<String> {
    let mut all = vec![at.map_or_else(String::new, |it| it.0.to_string())];
    for Counter { kind, limit, cost, want, settle, .. } in counters {
        let (kind, span_ms, holder) = match kind {
            Kind::Sliding { window_ms } => ("s", window_ms, None),
            Kind::Fixed { window_ms } => ("f", window_ms, None),
            Kind::Slots { holder, ttl_ms } => ("h", ttl_ms, Some(holder.clone())),
        };
        let (a, b) = match (holder, settle) {
            (Some(holder), _) => (holder, String::new()),
            (None, Some(settle)) => (settle.window.to_string(), settle.delta.to_string()),
            (None, None) => (String::new(), String::new()),
        };
        let number = |it: u64| it.min(MOST).to_string();
        let want = number(*want.max(cost));
        all.extend([kind.to_owned(), number(*limit), number(*cost), want, span_ms.to_string(), a, b]);
    }
    all
}

/// What it answered over `count` counters.
pub(super) fn decision(reply: &Reply, count: usize) -> Option<Decision> {
    let Reply::List(items) = reply else { return None };
    let numbers: Vec<i64> = items.iter().map(Reply::integer).collect::<Option<_>>()?;
    let [refused, retry_ms, parts @ ..] = &numbers[..] else { return None };
    if parts.len() != count * PARTS {
        return None;
    }
    let grants: Vec<Grant> = parts.chunks_exact(PARTS).map(grant).collect::<Option<_>>()?;
    match usize::try_from(*refused).ok()?.checked_sub(1) {
        None => Some(Decision::Granted(grants)),
        Some(at) if at < count && *retry_ms > 0 => {
            let standings = grants.into_iter().map(|it| it.standing).collect();
            Some(Decision::Refused { at, retry_ms: *retry_ms, standings })
        }
        Some(_) => None,
    }
}

fn grant(parts: &[i64]) -> Option<Grant> {
    let [granted, window, remaining, reset_ms] = *parts else { return None };
    let standing = Standing { remaining: remaining.try_into().ok()?, reset_ms };
    Some(Grant { granted: granted.try_into().ok()?, window, standing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::counters::Settlement;

    fn counter(kind: Kind) -> Counter {
        Counter { key: "k".to_owned(), kind, limit: 10, cost: 2, want: 1, settle: None }
    }

    #[test]
    fn a_script_s_name_is_its_sha_1() {
        // Source: FIPS 180-4's example.
        assert_eq!(Script::new("abc").sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn a_counter_is_told_in_seven_parts() {
        let mut sliding = counter(Kind::Sliding { window_ms: 60_000 });
        sliding.settle = Some(Settlement { window: 7, delta: -3 });
        let mut fixed = counter(Kind::Fixed { window_ms: 86_400_000 });
        (fixed.limit, fixed.want) = (u64::MAX, 5);
        let slots = counter(Kind::Slots { holder: "a".to_owned(), ttl_ms: 2_000 });
        let told = arguments(&[sliding, fixed, slots], Some(Timestamp(5)));
        let expected = "5|s|10|2|2|60000|7|-3|f|9007199254740991|2|5|86400000|||h|10|2|2|2000|a|";
        assert_eq!(told.join("|"), expected);
        assert_eq!(arguments(&[], None), [""]);
    }

    #[test]
    fn only_a_whole_answer_is_a_decision() {
        let list = |numbers: &[i64]| Reply::List(numbers.iter().map(|it| Reply::Integer(*it)).collect());
        let standing = Standing { remaining: 7, reset_ms: 9 };
        for (answer, expected) in [
            (list(&[0, 0, 3, 8, 7, 9]), Some(Decision::Granted(vec![Grant { granted: 3, window: 8, standing }]))),
            (list(&[1, 5, 0, 8, 7, 9]), Some(Decision::Refused { at: 0, retry_ms: 5, standings: vec![standing] })),
            (list(&[2, 5, 0, 8, 7, 9]), None),
            (list(&[-1, 5, 0, 8, 7, 9]), None),
            (list(&[1, 0, 0, 8, 7, 9]), None),
            (list(&[0, 0, -3, 8, 7, 9]), None),
            (list(&[0, 0, 3, 8, 7]), None),
            (list(&[0, 0]), None),
            (list(&[]), None),
            (Reply::Null, None),
            (Reply::List(vec![Reply::Null, Reply::Null]), None),
        ] {
            assert_eq!(decision(&answer, 1), expected, "{answer:?}");
        }
    }
}
