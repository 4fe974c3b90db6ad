//! A key that is in use asks no network: not for who it is, and not for its limits.

use crate::{
    limits::{Limited, key},
    upstream::count_to,
};
use edge_core::limits::Quota;
use nest_tests::fake_upstash::Does;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};

const PER_SECOND: u32 = 200;

/// Requests until the pace is known, and those that are looked at.
const FIRST: u32 = 800;
const MEASURED: u32 = 2_000;

/// A machine that has other things to do does not keep the pace: of a few rounds one must be right.
const TRIES: usize = 4;

/// So late the store answers: who waits for it is seen.
const LATE_MS: u64 = 500;

const SETTINGS: [(&str, &str); 3] = [
    // As on the hosts at the edge.
    ("KEY_CACHE_MS", "5000"),
    ("UPSTASH_TIMEOUT_MS", "5000"),
    (
        "ORG_LIMITS",
        "requests_per_minute=100000 requests_per_day=100000000 tokens_per_minute=1000000000 tokens_per_day=100000000000 concurrent=200000",
    ),
];

/// Sends `count` requests at the pace, and says how long each of them took.
async fn at_pace(limited: &Limited, key: &str, count: u32) -> Vec<Duration> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/chat/completions", limited.edge.url);
    let start = tokio::time::Instant::now();
    let mut calls = Vec::new();
    for number in 0..count {
        sleep_until(start + Duration::from_secs(1) * number / PER_SECOND).await;
        let request = client.post(&url).bearer_auth(key).json(&count_to(1));
        calls.push(tokio::spawn(async move {
            let started = Instant::now();
            let response = request.send().await.unwrap();
            let status = response.status();
            assert_eq!(status, 200, "{}", response.text().await.unwrap());
            started.elapsed()
        }));
    }
    let mut took = Vec::new();
    for call in calls {
        took.push(timeout(nest_tests::PATIENCE, call).await.unwrap().unwrap());
    }
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_two_hundred_a_second_a_thousandth_waits_for_the_network_and_a_fiftieth_costs_a_command() {
    let limited = Limited::start(&SETTINGS).await;
    let quota = Quota {
        requests_per_minute: Some(50_000),
        requests_per_day: Some(50_000_000),
        tokens_per_minute: Some(500_000_000),
        tokens_per_day: Some(50_000_000_000),
        concurrent: Some(100_000),
    };
    let key = key(&limited.edge, quota).await;
    // Who it is and who serves it is read once, and not by two hundred at once.
    assert_eq!(limited.chat(&key).await.status, 200);
    at_pace(&limited, &key.text, FIRST).await;
    limited.upstash.does(Does::Late(LATE_MS));
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let round = Round::of(&limited, &key.text).await;
        println!("{round:?}");
        if round.is_right() {
            return;
        }
        seen.push(round);
    }
    panic!("{seen:?}");
}

/// What so many requests cost.
#[derive(Debug)]
struct Round {
    seconds: f64,
    takes: usize,
    /// Of the key.
    reads: usize,
    /// For the store.
    waited: usize,
}

impl Round {
    async fn of(limited: &Limited, key: &str) -> Self {
        let (takes, reads) = (limited.upstash.takes(), limited.edge.statements("from api_keys").await);
        let started = Instant::now();
        let took = at_pace(limited, key, MEASURED).await;
        let seconds = started.elapsed().as_secs_f64();
        let takes = limited.upstash.takes() - takes;
        let reads = limited.edge.statements("from api_keys").await - reads;
        let waited = took.iter().filter(|it| **it >= Duration::from_millis(LATE_MS - 50)).count();
        Self { seconds, takes, reads, waited }
    }

    fn is_right(&self) -> bool {
        let requests = MEASURED as usize;
        // Behind requests, once a second.
        let reads = self.reads as f64 <= 1.5 * self.seconds + 2.0;
        self.waited <= requests / 1_000 && self.takes <= requests / 50 && reads
    }
}
