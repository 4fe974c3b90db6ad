//! A store whose answers take longer than a turn, or never come.

use super::{START, a_minute, ask, at_once, carry, request};
use crate::limits::{
    Ask, Quota,
    counters::{Decision, Memory},
    lease::{
        rules::{Lease, Look, Source, Step, TURN_MS},
        taking::Take,
    },
};
use proptest::prelude::*;

/// What one request of twenty that wait asks for, which all came after another had asked; a turn later.
fn asked_for_twenty(lease: &mut Lease, ask: &Ask, looks: &mut [Look]) -> (Take, Take) {
    let Step::Take(first) = lease.step(ask, &mut Look::default(), START) else { panic!("nothing is held") };
    for look in &mut *looks {
        assert!(matches!(lease.step(ask, look, START.plus_ms(5)), Step::Wait));
    }
    let Step::Take(second) = lease.step(ask, &mut looks[0], START.plus_ms(TURN_MS)) else { panic!("a turn is over") };
    assert_eq!((first.counters[0].want, second.counters[0].want), (1, 20));
    (first, second)
}

#[test]
fn a_store_that_is_slower_than_a_turn_is_asked_once_for_each() {
    let (mut lease, store) = (Lease::new(START), Memory::default());
    let ask = Ask { answered_in_ms: 10_000, ..ask(a_minute(1_000), 0) };
    let mut looks = vec![Look::default(); 20];
    let (first, second) = asked_for_twenty(&mut lease, &ask, &mut looks);
    for ms in (2 * TURN_MS..9 * TURN_MS).step_by(5) {
        for look in &mut looks[1..] {
            assert!(matches!(lease.step(&ask, look, START.plus_ms(ms)), Step::Wait), "{ms}");
        }
    }
    // Whoever comes anew is nobody's to ask for.
    let now = START.plus_ms(9 * TURN_MS);
    let Step::Take(third) = lease.step(&ask, &mut Look::default(), now) else { panic!("nobody has asked") };
    assert_eq!((third.counters[0].cost, third.counters[0].want), (1, 1));
    for take in [first, second, third] {
        assert!(carry(&mut lease, &store, &take, Some(&ask), now).unwrap().is_some());
    }
    for look in &mut looks[1..] {
        assert!(matches!(lease.step(&ask, look, now), Step::Go(_)));
    }
    assert!(request(&mut lease, &store, &ask, now).0, "and nothing is left over");
}

/// How much slots are is said anew with each take, so that those who wait must be in each.
#[test]
fn slots_that_are_asked_for_are_not_taken_back_by_who_asks_next() {
    let (mut lease, store) = (Lease::new(START), Memory::default());
    let ask = Ask { answered_in_ms: 10_000, ..ask(at_once(100), 0) };
    let Step::Take(first) = lease.step(&ask, &mut Look::default(), START) else { panic!("nothing is held") };
    let mut looks = vec![Look::default(); 5];
    for look in &mut looks {
        assert!(matches!(lease.step(&ask, look, START.plus_ms(5)), Step::Wait));
    }
    let mut now = START.plus_ms(TURN_MS);
    let Step::Take(second) = lease.step(&ask, &mut looks[0], now) else { panic!("a turn is over") };
    now = now.plus_ms(TURN_MS);
    let Step::Take(third) = lease.step(&ask, &mut Look::default(), now) else { panic!("a turn is over") };
    for take in [first, second, third] {
        assert!(carry(&mut lease, &store, &take, Some(&ask), now).unwrap().is_some());
    }
    for look in &mut looks[1..] {
        assert!(matches!(lease.step(&ask, look, now), Step::Go(_)));
    }
}

#[test]
fn a_lost_answer_is_waited_for_no_longer_than_one_may_take_and_not_at_all_when_nobody_hears_it() {
    const ANSWERED_IN_MS: i64 = 1_000;
    for heard in [true, false] {
        let mut lease = Lease::new(START);
        let ask = Ask { answered_in_ms: ANSWERED_IN_MS, ..ask(a_minute(1_000), 0) };
        let mut looks = vec![Look::default(); 20];
        let (_, second) = asked_for_twenty(&mut lease, &ask, &mut looks);
        let mut now = START.plus_ms(TURN_MS);
        if heard {
            now = now.plus_ms(ANSWERED_IN_MS);
            assert!(matches!(lease.step(&ask, &mut looks[1], now.plus_ms(-1)), Step::Wait));
        } else {
            lease.end_turn(second.turn);
        }
        // One asks for itself at once, and after another turn for all others.
        let Step::Take(own) = lease.step(&ask, &mut looks[1], now) else { panic!("nobody asks for it") };
        assert_eq!(own.counters[0].cost, 1, "{heard}");
        for look in &mut looks[2..] {
            assert!(matches!(lease.step(&ask, look, now), Step::Wait), "{heard}");
        }
        let Step::Take(all) = lease.step(&ask, &mut looks[2], now.plus_ms(TURN_MS)) else { panic!("a turn is over") };
        assert_eq!(all.counters[0].want, 18, "{heard}");
    }
}

proptest! {
    /// Whenever requests come and answers do: each goes, and where nothing is taken ahead, no more is taken than what is
    /// used, and for each that asks its own need: what others left of theirs may already be on its way to it.
    #[test]
    fn a_slow_store_gives_little_more_than_is_used(
        comes_ms in prop::collection::vec(0_i64..1_500, 1..80), late_ms in prop::collection::vec(0_i64..1_500, 80),
    ) {
        let (mut lease, store) = (Lease::of_the_moment(START), Memory::default());
        let ask = Ask { answered_in_ms: 2_000, ..ask(Quota { requests_per_day: Some(100_000), ..Quota::default() }, 0) };
        let mut waiting: Vec<(i64, Look)> = comes_ms.iter().map(|ms| (*ms, Look::default())).collect();
        let mut sent: Vec<(i64, Take)> = Vec::new();
        let (mut taken, mut takes, mut late_ms) = (0, 0, late_ms.into_iter().cycle());
        for ms in (0..10_000).step_by(5) {
            let now = START.plus_ms(ms);
            for (_, take) in sent.extract_if(.., |(at, _)| *at <= ms) {
                let Decision::Granted(grants) = store.take(&take.counters, now) else { panic!("there is plenty") };
                taken += grants[0].granted;
                prop_assert!(lease.granted(&take, &grants, Source::Shared, Some(&ask), now).is_some());
            }
            waiting.retain_mut(|(comes_ms, look)| {
                if *comes_ms > ms {
                    return true;
                }
                match lease.step(&ask, look, now) {
                    Step::Go(_) => false,
                    Step::Take(take) => {
                        takes += 1;
                        sent.push((ms + late_ms.next().unwrap(), take));
                        false
                    }
                    Step::Wait => true,
                    Step::Refused(refusal) => panic!("{refusal:?}"),
                }
            });
        }
        prop_assert!(waiting.is_empty() && sent.is_empty(), "{} wait", waiting.len());
        let used = comes_ms.len() as u64;
        prop_assert!((used..=used + takes).contains(&taken) && takes <= used, "{taken} by {takes} for {used}");
    }
}
