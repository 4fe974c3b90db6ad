//! Many at once.

use super::{CENTURY_MS, Client, Place, costing, counter, granted, sliding};
use edge_core::limits::counters::{Counter, Kind};
use futures_util::future::join_all;

/// Checklist 60.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_at_once_exactly_as_many_pass_as_may() {
    for place in Place::both().await {
        let clients = [place.client(), place.client()];
        let one = counter("requests", Kind::Fixed { window_ms: CENTURY_MS }, 100);
        let passed = at_once(&clients, 1_000, |_| one.clone()).await;
        assert_eq!(passed.len(), 100, "{}", place.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_of_many_sizes_never_exceed_the_limit_and_exhaust_it() {
    for place in Place::both().await {
        let clients = [place.client(), place.client()];
        let any = |number: u64| {
            costing(counter("tokens", Kind::Fixed { window_ms: CENTURY_MS }, 5_000), number % 7, 7 + number % 90)
        };
        let passed = at_once(&clients, 600, any).await;
        let rest = at_once(&clients, 600, |_| costing(any(0), 1, 1)).await;
        let total: u64 = passed.iter().chain(&rest).sum();
        assert!(passed.iter().any(|it| *it > 50), "{}", place.name);
        assert_eq!(total, 5_000, "{}", place.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn holders_at_once_hold_no_more_than_there_is() {
    for place in Place::both().await {
        let clients = [place.client(), place.client()];
        let hold = |number: u64| {
            let kind = Kind::Slots { holder: format!("edge-{number}"), ttl_ms: 60_000 };
            costing(counter("concurrent", kind, 50), 1, 4)
        };
        let held: u64 = at_once(&clients, 200, hold).await.iter().sum();
        assert_eq!(held, 50, "{}", place.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn takes_over_several_counters_do_not_tear() {
    for place in Place::both().await {
        let clients = [place.client(), place.client()];
        let century = |name: &str, limit| counter(name, Kind::Fixed { window_ms: CENTURY_MS }, limit);
        let all = [century("a", 300), century("b", 40), century("c", 70), sliding("d", 1_000)];
        let calls = (0..400).map(|number| clients[number % 2].take(&all));
        let passed = join_all(calls).await.iter().filter(|it| granted(it).is_some()).count();
        assert_eq!(passed, 40, "{}", place.name);
        let peek = [costing(century("a", 300), 0, 0), costing(century("c", 70), 0, 0)];
        assert_eq!(super::remaining(&clients[0].take(&peek).await), [260, 30], "{}", place.name);
    }
}

/// What was given to those that were not refused.
async fn at_once(clients: &[Client; 2], count: u64, counter: impl Fn(u64) -> Counter) -> Vec<u64> {
    let calls = (0..count).map(|number| {
        let (client, counter) = (clients[usize::from(number % 2 == 1)].clone(), counter(number));
        tokio::spawn(async move { granted(&client.take(&[counter]).await) })
    });
    let all = join_all(calls.collect::<Vec<_>>()).await;
    all.into_iter().filter_map(Result::unwrap).map(|it| it[0]).collect()
}
