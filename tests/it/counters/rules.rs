//! What a take gives and costs.

use super::{MINUTE_MS, Place, START_MS, costing, fixed, granted, grants, remaining, sliding, slots};
use edge_core::limits::counters::{Counter, Decision, Settlement, Standing};

/// Checklist 61.
#[tokio::test]
async fn a_take_is_whole_or_nothing_and_a_refused_one_costs_nothing() {
    for place in Place::both().await {
        let client = place.client();
        let all = |cost| {
            [
                costing(sliding("requests_per_minute", 10), 1, 1),
                costing(fixed("tokens_per_day", 100), cost, cost),
                costing(slots("concurrent", 5, "a"), 1, 1),
            ]
        };
        assert_eq!(granted(&client.take_at(&all(60), START_MS).await), Some(vec![1, 60, 1]), "{}", place.name);
        for _ in 0..20 {
            // The measured flaw of others: a refused cost is charged, and the limit is lost for the window.
            let refused = client.take_at(&all(41), START_MS).await;
            assert!(matches!(refused, Decision::Refused { at: 1, .. }), "{}: {refused:?}", place.name);
            assert_eq!(remaining(&refused), [9, 40, 4], "{}", place.name);
        }
        assert_eq!(granted(&client.take_at(&all(40), START_MS).await), Some(vec![1, 40, 1]), "{}", place.name);
    }
}

#[tokio::test]
async fn what_is_taken_ahead_is_an_eighth_of_what_is_left() {
    for place in Place::both().await {
        let client = place.client();
        let mut given = Vec::new();
        for _ in 0..40 {
            let lease = costing(fixed("requests_per_day", 100), 1, 30);
            let Some(counts) = granted(&client.take_at(&[lease], START_MS).await) else { break };
            given.push(counts[0]);
        }
        let expected = [&[12, 11, 9, 8, 7, 6, 5, 5, 4, 4, 3, 3, 2, 2, 2, 2][..], &[1; 15]].concat();
        assert_eq!(given, expected, "{}", place.name);
        assert_eq!(given.iter().sum::<u64>(), 100);
        // What is needed is given in any case, and what is wanted is not exceeded.
        let all = [
            costing(fixed("a", 100), 90, 95),
            costing(fixed("b", 100), 0, 3),
            costing(fixed("c", 100), 5, 2),
            costing(fixed("d", 0), 0, 9),
        ];
        assert_eq!(granted(&client.take_at(&all, START_MS).await), Some(vec![90, 3, 5, 0]), "{}", place.name);
    }
}

#[tokio::test]
async fn of_several_that_refuse_the_slowest_is_told() {
    for place in Place::both().await {
        let client = place.client();
        let all = [sliding("a", 1), fixed("b", 1), slots("c", 1, "x")];
        client.take_at(&all, START_MS + 10_000).await;
        let others = [sliding("a", 1), fixed("b", 1), slots("c", 1, "y")];
        // A sliding window is full until the next one is over, a fixed one until its own end.
        let refused = client.take_at(&others, START_MS + 10_000).await;
        let Decision::Refused { at: 0, retry_ms, standings } = refused else { panic!("{}: {refused:?}", place.name) };
        assert_eq!(retry_ms, 110_000, "{}", place.name);
        let standing = |reset_ms| Standing { remaining: 0, reset_ms };
        assert_eq!(standings, [standing(50_000), standing(50_000), standing(2_000)], "{}", place.name);
    }
}

#[tokio::test]
async fn whoever_waits_as_long_as_he_is_told_is_let_through() {
    for place in Place::both().await {
        let client = place.client();
        for (name, limit, taken, at_ms, cost) in [
            ("early", 100, 100, 0, 1),
            ("late", 100, 100, 59_999, 1),
            ("much", 100, 100, 30_000, 100),
            ("odd", 7, 7, 12_345, 3),
        ] {
            let mut now_ms = START_MS + at_ms;
            client.take_at(&[costing(sliding(name, limit), taken, taken)], now_ms).await;
            let wanted = [costing(sliding(name, limit), cost, cost)];
            let refused = client.take_at(&wanted, now_ms).await;
            let Decision::Refused { retry_ms, .. } = refused else { panic!("{name}: {refused:?}") };
            now_ms += retry_ms;
            assert_eq!(granted(&client.take_at(&wanted, now_ms - 1).await), None, "{} {name}", place.name);
            assert_eq!(granted(&client.take_at(&wanted, now_ms).await), Some(vec![cost]), "{} {name}", place.name);
        }
    }
}

#[tokio::test]
async fn a_settlement_counts_in_its_own_window_even_when_the_take_is_refused() {
    for place in Place::both().await {
        let client = place.client();
        let tokens = |cost| costing(fixed("tokens", 1_000), cost, cost);
        let settled = |cost, window, delta| [Counter { settle: Some(Settlement { window, delta }), ..tokens(cost) }];
        let first = client.take_at(&[tokens(900)], START_MS).await;
        let window = grants(&first)[0].window;
        assert_eq!(window, START_MS / MINUTE_MS);
        // Much less was used than was reserved, and the next does not fit even so.
        let refused = client.take_at(&settled(600, window, -400), START_MS).await;
        assert_eq!((granted(&refused), remaining(&refused)), (None, vec![500]), "{}", place.name);
        assert_eq!(remaining(&client.take_at(&[tokens(0)], START_MS).await), [500], "{}", place.name);
        // More was used: a debt above the limit is waited for.
        assert_eq!(remaining(&client.take_at(&settled(0, window, 700), START_MS).await), [0], "{}", place.name);
        assert_eq!(granted(&client.take_at(&settled(1, window, -199), START_MS).await), None, "{}", place.name);
        assert_eq!(granted(&client.take_at(&settled(1, window, -2), START_MS).await), Some(vec![1]), "{}", place.name);
        // Nobody gets more than the window had.
        assert_eq!(remaining(&client.take_at(&settled(0, window, -9_000), START_MS).await), [1_000], "{}", place.name);
        // A window that is over is settled by its end.
        let next = START_MS + MINUTE_MS;
        assert_eq!(remaining(&client.take_at(&settled(0, window, 700), next).await), [1_000], "{}", place.name);
    }
}

#[tokio::test]
async fn in_a_sliding_window_a_late_settlement_fades_with_what_it_corrects() {
    for place in Place::both().await {
        let client = place.client();
        let first = client.take_at(&[costing(sliding("tokens", 1_000), 800, 800)], START_MS).await;
        let window = grants(&first)[0].window;
        let peek = |settle| [Counter { settle, ..costing(sliding("tokens", 1_000), 0, 0) }];
        let half = START_MS + MINUTE_MS + MINUTE_MS / 2;
        assert_eq!(remaining(&client.take_at(&peek(None), half).await), [600], "{}", place.name);
        let back = peek(Some(Settlement { window, delta: -600 }));
        assert_eq!(remaining(&client.take_at(&back, half).await), [900], "{}", place.name);
    }
}

#[tokio::test]
async fn slots_are_said_anew_and_a_dead_holder_s_are_free_after_its_time() {
    for place in Place::both().await {
        let client = place.client();
        let hold = |holder: &str, count| [costing(slots("concurrent", 10, holder), count, count)];
        let mut at_ms = START_MS;
        assert_eq!(granted(&client.take_at(&hold("a", 6), at_ms).await), Some(vec![6]), "{}", place.name);
        assert_eq!(granted(&client.take_at(&hold("b", 5), at_ms).await), None, "{}", place.name);
        assert_eq!(granted(&client.take_at(&hold("b", 4), at_ms).await), Some(vec![4]), "{}", place.name);
        // It is a count, and no addition.
        assert_eq!(granted(&client.take_at(&hold("a", 5), at_ms).await), Some(vec![5]), "{}", place.name);
        at_ms += 1_500;
        let renewed = client.take_at(&hold("b", 5), at_ms).await;
        assert_eq!((granted(&renewed), remaining(&renewed)), (Some(vec![5]), vec![0]), "{}", place.name);
        let refused = client.take_at(&hold("c", 1), at_ms).await;
        assert!(matches!(refused, Decision::Refused { retry_ms: 500, .. }), "{}: {refused:?}", place.name);
        // `a` says nothing any more.
        at_ms += 500;
        assert_eq!(granted(&client.take_at(&hold("c", 5), at_ms).await), Some(vec![5]), "{}", place.name);
        assert_eq!(granted(&client.take_at(&hold("c", 0), at_ms).await), Some(vec![0]), "{}", place.name);
        assert_eq!(remaining(&client.take_at(&hold("d", 0), at_ms).await), [5], "{}", place.name);
    }
}

#[tokio::test]
async fn a_holder_may_shrink_under_a_limit_that_has_shrunk() {
    for place in Place::both().await {
        let client = place.client();
        let hold = |limit, count| [costing(slots("concurrent", limit, "a"), count, count)];
        client.take_at(&hold(10, 8), START_MS).await;
        assert_eq!(granted(&client.take_at(&hold(2, 9), START_MS).await), None, "{}", place.name);
        let shrunk = client.take_at(&hold(2, 7), START_MS).await;
        assert_eq!((granted(&shrunk), remaining(&shrunk)), (Some(vec![7]), vec![0]), "{}", place.name);
    }
}

/// Checklist 63.
#[tokio::test]
async fn a_clock_that_steps_back_refunds_nothing() {
    for place in Place::both().await {
        let client = place.client();
        for window in [fixed("fixed", 10), sliding("sliding", 10)] {
            let all = [costing(window, 10, 10)];
            let at_ms = START_MS + 500;
            assert!(granted(&client.take_at(&all, at_ms).await).is_some(), "{}", place.name);
            for back_ms in [1, 499, 501, 2_000, MINUTE_MS, 10 * MINUTE_MS] {
                let refused = client.take_at(&all, at_ms - back_ms).await;
                assert_eq!((granted(&refused), remaining(&refused)), (None, vec![0]), "{} {back_ms}", place.name);
            }
        }
        // What is taken meanwhile counts in the window that was reached, and is not forgotten when that comes again.
        for window in [fixed("fixed, later", 10), sliding("sliding, later", 10)] {
            let take = |cost| [costing(window.clone(), cost, cost)];
            let mut given = 0;
            for (at_ms, cost) in [(500, 6), (-500, 3), (-MINUTE_MS - 500, 1), (600, 1), (-1, 1), (700, 1)] {
                given += granted(&client.take_at(&take(cost), START_MS + at_ms).await).map_or(0, |it| it[0]);
            }
            assert_eq!(given, 10, "{} {}", place.name, window.key);
        }
        let holds = |holder: &str| [slots("slots", 1, holder)];
        client.take_at(&holds("a"), START_MS).await;
        assert_eq!(granted(&client.take_at(&holds("b"), START_MS - 90_000).await), None, "{}", place.name);
    }
}
