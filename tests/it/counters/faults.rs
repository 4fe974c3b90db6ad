//! A store that is away, slow, or not what it should be.

use super::{Client, START_MS, commands::told, costing, fixed, granted, remaining};
use edge_core::limits::counters::CountersError;
use nest_tests::{
    FakeUpstash,
    fake_upstash::{Does, TOKEN},
};
use std::time::{Duration, Instant};

/// The longest wait that is promised, and what a busy machine may add to it.
const LIMIT: Duration = Duration::from_millis(150);
const SLACK: Duration = Duration::from_millis(600);

/// How a store fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Closed,
    Does(Does),
}

/// What that is to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Away,
    Denied,
    Garbled,
}

const FAULTS: [(Fault, Kind); 10] = [
    (Fault::Closed, Kind::Away),
    (Fault::Does(Does::Hang), Kind::Away),
    (Fault::Does(Does::Lose), Kind::Away),
    (Fault::Does(Does::Late(300)), Kind::Away),
    (Fault::Does(Does::Garble), Kind::Garbled),
    (Fault::Does(Does::Refuse(401)), Kind::Denied),
    (Fault::Does(Does::Refuse(403)), Kind::Denied),
    (Fault::Does(Does::Refuse(404)), Kind::Garbled),
    (Fault::Does(Does::Refuse(429)), Kind::Away),
    (Fault::Does(Does::Refuse(503)), Kind::Away),
];

impl Fault {
    async fn begin(self, store: &FakeUpstash) {
        match self {
            Self::Closed => store.close().await,
            Self::Does(does) => store.does(does),
        }
    }

    async fn end(self, store: &FakeUpstash) {
        match self {
            Self::Closed => store.open().await,
            Self::Does(_) => store.does(Does::Serve),
        }
    }
}

/// Checklist 64.
#[tokio::test]
async fn three_wait_for_a_store_that_fails_and_then_nobody_does() {
    for (fault, kind) in FAULTS {
        let store = FakeUpstash::start().await;
        // The script is known, so that each take is one call.
        Client::of(&store).take(&[fixed("warm", 1)]).await;
        let client = Client::with(&store, &[]);
        fault.begin(&store).await;
        let calls = store.calls();
        for _ in 0..3 {
            let started = Instant::now();
            let error = client.try_take(&[fixed("a", 1)]).await.unwrap_err();
            assert!(started.elapsed() < LIMIT + SLACK, "{fault:?} takes {:?}", started.elapsed());
            assert_eq!(kind_of(&error), Some(kind), "{fault:?}: {error:?}");
            let said = told(&error);
            assert!(!said.contains(TOKEN) && !said.contains("org_1") && !said.contains("EVAL"), "{said}");
        }
        let reached = store.calls();
        assert_eq!(reached - calls, if matches!(fault, Fault::Closed) { 0 } else { 3 }, "{fault:?}");
        let started = Instant::now();
        for _ in 0..100 {
            let error = client.try_take(&[fixed("a", 1)]).await.unwrap_err();
            assert_eq!(kind_of(&error), None, "{fault:?}: {error:?}");
        }
        assert!(started.elapsed() < LIMIT, "{fault:?}: {:?} for a hundred", started.elapsed());
        assert_eq!(store.calls(), reached, "{fault:?}");
    }
}

#[tokio::test]
async fn after_each_pause_one_tries_for_all_and_when_it_is_answered_all_do() {
    for fault in [Fault::Closed, Fault::Does(Does::Refuse(503))] {
        let store = FakeUpstash::start().await;
        let client = Client::of(&store);
        fault.begin(&store).await;
        let fails = async || kind_of(&client.try_take(&[fixed("a", 9)]).await.unwrap_err());
        for _ in 0..3 {
            assert_eq!(fails().await, Some(Kind::Away), "{fault:?}");
        }
        for pause_ms in [1_000, 2_000, 4_000] {
            assert_eq!(fails().await, None, "{fault:?} {pause_ms}");
            client.watch.advance_ms(pause_ms);
            assert_eq!(fails().await, Some(Kind::Away), "{fault:?} {pause_ms}");
        }
        fault.end(&store).await;
        assert_eq!(fails().await, None, "{fault:?}: nobody tries before the pause is over");
        client.watch.advance_ms(8_000);
        for _ in 0..9 {
            assert!(granted(&client.take(&[fixed("a", 9)]).await).is_some(), "{fault:?}");
        }
    }
}

/// What a lost answer took stays taken: a limit is rather not used up than exceeded.
#[tokio::test]
async fn a_lost_answer_is_not_asked_for_again() {
    let store = FakeUpstash::start().await;
    let patient = Client::of(&store);
    let take = [costing(fixed("tokens", 100), 10, 10)];
    patient.take_at(&take, START_MS).await;
    store.does(Does::Lose);
    let hasty = Client::with(&store, &[("UPSTASH_TIMEOUT_MS", "200")]);
    let lost = hasty.try_take(&take).await.unwrap_err();
    assert_eq!(kind_of(&lost), Some(Kind::Away));
    store.does(Does::Serve);
    assert_eq!(store.takes(), 3, "one by the name, one by the text, and the one whose answer was lost");
    let peek = [costing(fixed("tokens", 100), 0, 0)];
    let now_ms = store.redis.now_ms().await;
    assert_eq!(remaining(&patient.take_at(&peek, now_ms).await), [90]);
}

#[tokio::test]
async fn a_store_that_says_it_cannot_is_away() {
    let store = FakeUpstash::start().await;
    let client = Client::of(&store);
    client.take(&[fixed("a", 9)]).await;
    // Out of memory: every write is refused.
    store.redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = client.try_take(&[fixed("a", 9)]).await.unwrap_err();
    assert_eq!(kind_of(&error), Some(Kind::Away), "{error:?}");
    assert!(told(&error).contains("OOM"), "{}", told(&error));
    store.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    // What others keep under our names is not overwritten.
    store.redis.command(&["SET", &fixed("b", 9).key, "theirs"]).await;
    let error = client.try_take(&[fixed("a", 9), fixed("b", 9)]).await.unwrap_err();
    assert!(told(&error).contains("WRONGTYPE"), "{}", told(&error));
    assert_eq!(remaining(&client.take(&[costing(fixed("a", 9), 0, 0)]).await), [8]);
}

/// None for one that was not asked at all.
fn kind_of(error: &CountersError) -> Option<Kind> {
    match error {
        CountersError::Away(_) => Some(Kind::Away),
        CountersError::Denied => Some(Kind::Denied),
        CountersError::Garbled => Some(Kind::Garbled),
        CountersError::Open => None,
    }
}
