//! What is kept in the store: for how long, by whose clock, and for how many commands.

use super::{Client, MINUTE_MS, START_MS, costing, counter, fixed, granted, grants, sliding, slots};
use edge_core::limits::counters::{Counter, Decision, Kind, Settlement, TAKE};
use nest_tests::{FakeUpstash, redis::Said};
use std::collections::BTreeMap;

/// Checklist 62.
#[tokio::test]
async fn every_counter_is_forgotten_some_time() {
    let store = FakeUpstash::start().await;
    let client = Client::of(&store);
    let start_ms = store.redis.now_ms().await;
    let settled = Counter {
        settle: Some(Settlement { window: start_ms / MINUTE_MS, delta: 5 }),
        ..costing(sliding("debt", 1), 2, 2)
    };
    let takes = [
        vec![sliding("a", 5), fixed("b", 5), slots("c", 5, "x")],
        vec![counter("day", Kind::Fixed { window_ms: 86_400_000 }, 5)],
        // Refused, and settled all the same.
        vec![settled],
        // Given back, by one of two holders.
        vec![slots("c", 5, "y")],
        vec![costing(slots("c", 5, "x"), 0, 0)],
        // A clock that was far ahead, and one that is set back.
        vec![sliding("a", 5), fixed("b", 5)],
    ];
    for (number, take) in takes.iter().enumerate() {
        let hours = [0, 0, 0, 0, 0, 5][number];
        client.take_at(take, start_ms + hours * 60 * MINUTE_MS).await;
        client.take_at(take, start_ms).await;
        client.take(take).await;
        for (key, lifetime_ms) in store.redis.lifetimes().await {
            // The longest: a day, five hours ahead, and what is known of it in case a clock is set back.
            assert!((1..=30 * 3_600_000).contains(&lifetime_ms), "{key} is kept for {lifetime_ms} ms");
        }
    }
    assert_eq!(store.redis.lifetimes().await.len(), 5);
}

#[tokio::test]
async fn nothing_is_kept_of_what_took_nothing() {
    let store = FakeUpstash::start().await;
    let client = Client::of(&store);
    let peek = [sliding("a", 5), fixed("b", 5), slots("c", 5, "x")].map(|it| costing(it, 0, 0));
    assert!(granted(&client.take(&peek).await).is_some());
    let refused = [sliding("a", 5), costing(fixed("b", 5), 6, 6), slots("c", 5, "x")];
    assert!(granted(&client.take(&refused).await).is_none());
    assert_eq!(store.redis.lifetimes().await, []);
    // The last holder takes the counter along.
    client.take(&[slots("c", 5, "x")]).await;
    client.take(&[costing(slots("c", 5, "x"), 0, 0)]).await;
    assert_eq!(store.redis.lifetimes().await, []);
}

/// Checklist 63.
#[tokio::test]
async fn the_store_s_clock_decides_whatever_clients_believe() {
    const SECOND_MS: i64 = 1_000;
    let store = FakeUpstash::start().await;
    let clients = [-3_600_000, -2_000, 2_000, 3_600_000].map(|skew_ms| {
        let client = Client::of(&store);
        client.watch.advance_ms(skew_ms);
        client
    });
    let one = [counter("requests", Kind::Fixed { window_ms: SECOND_MS }, 100)];
    let before = store.redis.now_ms().await;
    let mut passed: BTreeMap<i64, u64> = BTreeMap::new();
    for number in 0..600 {
        let decision = clients[number % 4].take(&one).await;
        if let Decision::Granted(grants) = decision {
            *passed.entry(grants[0].window).or_default() += 1;
        }
    }
    let after = store.redis.now_ms().await;
    assert!(passed.values().all(|it| *it <= 100), "{passed:?}");
    let real = before / SECOND_MS..=after / SECOND_MS;
    assert!(passed.keys().all(|it| real.contains(it)), "{passed:?} in {real:?}");
}

#[tokio::test]
async fn a_take_is_one_command_and_a_store_that_forgot_the_script_is_told_it_once() {
    let store = FakeUpstash::start().await;
    let client = Client::of(&store);
    let verbs = || store.commands().iter().map(|it| it[0].clone()).collect::<Vec<_>>();
    let all = [sliding("a", 5), fixed("b", 5), slots("c", 5, "x")];
    client.take(&all).await;
    assert_eq!(verbs(), ["EVALSHA", "EVAL"]);
    client.take(&all).await;
    client.take(&all).await;
    assert_eq!((verbs().len(), store.calls(), store.takes()), (4, 4, 4));
    store.redis.command(&["SCRIPT", "FLUSH"]).await;
    // What was refused for want of the script has counted nothing.
    let decision = client.take(&all).await;
    assert_eq!(grants(&decision)[1].standing.remaining, 1);
    assert_eq!(verbs()[4..], ["EVALSHA", "EVAL"]);
    // Nothing to take is nothing to ask.
    assert_eq!(client.take(&[]).await, Decision::Granted(Vec::new()));
    assert_eq!(store.calls(), 6);
}

#[tokio::test]
async fn redis_names_the_script_as_we_do() {
    let store = FakeUpstash::start().await;
    let name = store.redis.command(&["SCRIPT", "LOAD", TAKE.text]).await;
    assert_eq!(name, Said::Text(TAKE.sha1.clone().into_bytes()));
}

#[tokio::test]
async fn large_numbers_are_counted_to_the_last_digit() {
    let store = FakeUpstash::start().await;
    let client = Client::of(&store);
    const MOST: u64 = (1 << 53) - 1;
    let much = |cost| [costing(fixed("tokens", u64::MAX), cost, cost)];
    let decision = client.take_at(&much(MOST - 8), START_MS).await;
    assert_eq!(grants(&decision)[0].standing.remaining, 8);
    let decision = client.take_at(&much(7), START_MS).await;
    assert_eq!(grants(&decision)[0].standing.remaining, 1);
    assert_eq!(granted(&client.take_at(&much(2), START_MS).await), None);
}

#[tokio::test]
async fn tests_may_move_the_clock_that_takes_are_decided_by() {
    let store = FakeUpstash::start().await;
    let client = Client::of(&store);
    let hour = || [counter("requests", Kind::Fixed { window_ms: 3_600_000 }, 1)];
    assert!(granted(&client.take(&hour()).await).is_some());
    store.advance_ms(3_600_000);
    assert!(granted(&client.take(&hour()).await).is_some());
    assert!(granted(&client.take(&hour()).await).is_none());
}
