//! A store that answers late, and is waited for.

use crate::limits::Limited;
use edge_core::limits::{Quota, counters::TAKE};
use futures_util::future::join_all;
use nest_tests::{IssuedKey, fake_upstash::Does};

/// Several turns, each of which would ask anew, and less than units live.
const LATE_MS: u64 = 1_200;

/// What edges have asked the store for, of the one limit that `key` has.
fn wanted(limited: &Limited, key: &IssuedKey) -> u64 {
    let name = key.id.to_string();
    let commands = limited.upstash.commands();
    let takes = commands.iter().filter(|it| it.len() > 2 && it[1] == TAKE.sha1);
    takes.filter_map(|it| wanted_by(it, &name)).sum()
}

/// Behind the script and the number of keys come the keys, the time, and of each its kind, limit, cost, want, and three
/// others.
fn wanted_by(take: &[String], name: &str) -> Option<u64> {
    let (keys, rest) = take[3..].split_at(take[2].parse().unwrap());
    let at = keys.iter().position(|it| it.contains(name))?;
    Some(rest[1 + at * 7 + 3].parse().unwrap())
}

/// Checklist 61: while answers are late, whoever waits is asked for once; else a slow store would count each of them
/// again with every turn, and refuse others for it.
#[tokio::test]
async fn a_slow_store_counts_no_more_than_twice_what_is_used() {
    const CALLS: usize = 40;
    let limited = Limited::start(&[("UPSTASH_TIMEOUT_MS", "10000")]).await;
    let quota = Quota { requests_per_day: Some(100_000), ..Quota::default() };
    let (warm, key) = (limited.key(quota).await, limited.key(quota).await);
    // From here on the store knows the script, and each take is one command; and the edge knows the key.
    assert_eq!(limited.chat(&warm).await.status, 200);
    let models = limited.edge.get("/v1/models").bearer_auth(&key.text).send().await.unwrap();
    assert_eq!(models.status(), 200);
    limited.upstash.does(Does::Late(LATE_MS));
    let answers = join_all((0..CALLS).map(|_| limited.chat(&key))).await;
    assert!(answers.iter().all(|it| it.status == 200), "{:?}", answers.iter().map(|it| it.status).collect::<Vec<_>>());
    let wanted = wanted(&limited, &key);
    assert!((CALLS as u64..=2 * CALLS as u64).contains(&wanted), "{wanted} for {CALLS}");
}
