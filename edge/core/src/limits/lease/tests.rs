//! Leases against a store of counters in memory, by a clock that the tests move.

mod slow;

use super::{
    CAPACITY, Leases,
    demand::LIFE_MS,
    rules::{IDLE_MS, Idle, Lease, Look, Refusal, Reserved, Source, Step, TURN_MS},
    slots::TTL_MS,
    taking::Take,
};
use crate::limits::{
    Ask, Limit, Name, Quota, Quotas, Scope,
    counters::{Decision, Memory},
};
use proptest::prelude::*;
use shared::{
    id::{KeyId, OrgId},
    time::Timestamp,
};
use std::collections::VecDeque;
use uuid::Uuid;

/// The beginning of a minute, far from the end of a day.
const START: Timestamp = Timestamp(1_800_000_000_000);

fn ask(key: Quota, tokens: u64) -> Ask {
    let (org_id, key_id) = (OrgId::from_uuid(Uuid::nil()), KeyId::from_uuid(Uuid::nil()));
    let quotas = Quotas { org: Quota::default(), key };
    Ask { org_id, key_id, quotas, tokens, holder: 1, takes_ahead: true, answered_in_ms: TURN_MS }
}

fn a_minute(requests: u64) -> Quota {
    Quota { requests_per_minute: Some(requests), ..Quota::default() }
}

fn at_once(requests: u64) -> Quota {
    Quota { concurrent: Some(requests), ..Quota::default() }
}

fn tokens_a_minute(tokens: u64) -> Quota {
    Quota { tokens_per_minute: Some(tokens), ..Quota::default() }
}

/// Brings a take's decision to the lease that asked.
fn carry(
    lease: &mut Lease,
    store: &Memory,
    take: &Take,
    ask: Option<&Ask>,
    now: Timestamp,
) -> Result<Option<Reserved>, Refusal> {
    match store.take(&take.counters, now) {
        Decision::Granted(grants) => Ok(lease.granted(take, &grants, Source::Shared, ask, now)),
        Decision::Refused { at, retry_ms, standings } => {
            Err(lease.refused(take, at, retry_ms, &standings, Source::Shared, now).unwrap())
        }
    }
}

/// A request that asks a store at once if it has to; whether it asked, and what it got.
fn request(lease: &mut Lease, store: &Memory, ask: &Ask, now: Timestamp) -> (bool, Result<Reserved, Refusal>) {
    match lease.step(ask, &mut Look::default(), now) {
        Step::Go(reserved) => (false, Ok(reserved)),
        Step::Refused(refusal) => (false, Err(refusal)),
        Step::Take(take) => {
            (true, carry(lease, store, &take, Some(ask), now).map(|it| it.expect("what it asked for itself")))
        }
        Step::Wait => panic!("nobody takes"),
    }
}

#[test]
fn memory_is_bounded_however_many_keys_call_and_the_oldest_make_room() {
    let leases = Leases::default();
    let of = |number: usize| Ask { key_id: KeyId::from_uuid(Uuid::from_u128(number as u128)), ..ask(a_minute(10), 0) };
    for number in 0..=CAPACITY {
        let now = START.plus_ms(number as i64);
        leases.with(&of(number), now, |lease| lease.end(0, now));
    }
    let held = leases.held.lock().unwrap();
    assert!(held.len() < CAPACITY && held.len() > CAPACITY / 3, "{}", held.len());
    assert!(held.contains_key(&(of(0).org_id, of(CAPACITY).key_id)));
}

#[test]
fn a_lease_is_asked_for_once_and_spent_by_many() {
    let (mut lease, store, ask) = (Lease::new(START), Memory::default(), ask(a_minute(100_000), 0));
    let mut asked = 0;
    for number in 0..2_000 {
        // Two hundred a second.
        let now = START.plus_ms(number * 5);
        let (took, reserved) = request(&mut lease, &store, &ask, now);
        asked += i32::from(took);
        if let Some(wait_ms) = reserved.unwrap().renew_in_ms {
            assert_eq!(wait_ms, 0);
            if let Some(take) = lease.renew(&ask, now) {
                asked += 1;
                carry(&mut lease, &store, &take, None, now).unwrap();
            }
            lease.renewed();
        }
    }
    // At most one in fifty, what it costs to find out about the pace among it.
    assert!(asked <= 40, "{asked}");
}

#[test]
fn nobody_gets_more_than_the_limit_and_a_refusal_is_believed_for_a_second() {
    let (mut lease, store, ask) = (Lease::new(START), Memory::default(), ask(a_minute(10), 0));
    let passed = (0..50).filter(|_| request(&mut lease, &store, &ask, START).1.is_ok()).count();
    assert_eq!(passed, 10);
    for (ms, asks) in [(999, false), (1_000, true), (1_001, false), (2_001, true)] {
        let (asked, result) = request(&mut lease, &store, &ask, START.plus_ms(ms));
        let refusal = result.unwrap_err();
        assert_eq!(asked, asks, "{ms}");
        assert_eq!((refusal.limit, refusal.value), (Limit { scope: Scope::Key, name: Name::RequestsPerMinute }, 10));
        // The window has to end, and the tenth part of it to fade.
        assert_eq!(refusal.retry_at, START.plus_ms(66_000), "{ms}");
    }
    assert!(request(&mut lease, &store, &ask, START.plus_ms(66_000)).1.is_ok());
}

#[test]
fn a_refusal_of_much_is_none_of_little() {
    let (mut lease, store) = (Lease::new(START), Memory::default());
    assert!(request(&mut lease, &store, &ask(tokens_a_minute(100), 60), START).1.is_ok());
    assert!(request(&mut lease, &store, &ask(tokens_a_minute(100), 60), START).1.is_err());
    let (asked, result) = request(&mut lease, &store, &ask(tokens_a_minute(100), 70), START);
    assert!(!asked && result.is_err(), "more than what was refused");
    assert!(request(&mut lease, &store, &ask(tokens_a_minute(100), 30), START).1.is_ok());
}

#[test]
fn all_limits_are_spent_together_or_none() {
    let quota = Quota { requests_per_minute: Some(10), tokens_per_minute: Some(100), ..Quota::default() };
    let (mut lease, store) = (Lease::new(START), Memory::default());
    assert!(request(&mut lease, &store, &ask(quota, 90), START).1.is_ok());
    // Refused for its tokens: none of these counts as a request.
    for _ in 0..50 {
        assert!(request(&mut lease, &store, &ask(quota, 20), START).1.is_err());
    }
    let passed = (0..50).filter(|_| request(&mut lease, &store, &ask(quota, 1), START).1.is_ok()).count();
    assert_eq!(passed, 9);
}

#[test]
fn while_one_takes_others_wait_and_are_taken_for() {
    let (mut lease, store, ask) = (Lease::new(START), Memory::default(), ask(a_minute(1_000), 0));
    let Step::Take(first) = lease.step(&ask, &mut Look::default(), START) else { panic!("nothing is held") };
    let mut looks = vec![Look::default(); 20];
    for look in &mut looks {
        assert!(matches!(lease.step(&ask, look, START.plus_ms(5)), Step::Wait));
        assert!(matches!(lease.step(&ask, look, START.plus_ms(10)), Step::Wait), "each is counted once");
    }
    assert!(carry(&mut lease, &store, &first, Some(&ask), START.plus_ms(12)).unwrap().is_some());
    let Step::Take(second) = lease.step(&ask, &mut looks[0], START.plus_ms(15)) else { panic!("one was given") };
    assert_eq!((second.counters[0].cost, second.counters[0].want), (1, 20));
    assert!(carry(&mut lease, &store, &second, Some(&ask), START.plus_ms(16)).unwrap().is_some());
    for look in &mut looks[1..] {
        assert!(matches!(lease.step(&ask, look, START.plus_ms(20)), Step::Go(_)));
    }
}

#[test]
fn whoever_takes_and_is_gone_holds_nobody_up_for_long() {
    let (mut lease, store, ask) = (Lease::new(START), Memory::default(), ask(a_minute(100), 0));
    let Step::Take(gone) = lease.step(&ask, &mut Look::default(), START) else { panic!("nothing is held") };
    let mut look = Look::default();
    assert!(matches!(lease.step(&ask, &mut look, START.plus_ms(TURN_MS - 1)), Step::Wait));
    let Step::Take(own) = lease.step(&ask, &mut look, START.plus_ms(TURN_MS)) else { panic!("its time is over") };
    carry(&mut lease, &store, &own, Some(&ask), START.plus_ms(TURN_MS)).unwrap();
    // The first comes back after all, and what it was given is not lost.
    carry(&mut lease, &store, &gone, None, START.plus_ms(TURN_MS)).unwrap();
    assert!(!request(&mut lease, &store, &ask, START.plus_ms(TURN_MS)).0);
}

#[test]
fn units_are_good_until_their_window_ends_and_no_longer_than_their_life() {
    for (since_ms, good_ms) in [(0, LIFE_MS), (59_000, 1_000)] {
        let now = START.plus_ms(since_ms);
        for (later_ms, good) in [(good_ms - 1, true), (good_ms, false), (-1, false)] {
            let (mut lease, store, ask) = (Lease::new(now), Memory::default(), ask(a_minute(1_000), 0));
            let Step::Take(mut take) = lease.step(&ask, &mut Look::default(), now) else { panic!("nothing is held") };
            take.counters[0].want = 5;
            carry(&mut lease, &store, &take, Some(&ask), now).unwrap();
            let (asked, result) = request(&mut lease, &store, &ask, now.plus_ms(later_ms));
            assert!(result.is_ok());
            assert_eq!(!asked, good, "{since_ms} {later_ms}");
        }
    }
}

#[test]
fn what_nobody_uses_goes_back() {
    let (mut lease, store, ask) = (Lease::new(START), Memory::default(), ask(a_minute(100), 0));
    let Step::Take(mut take) = lease.step(&ask, &mut Look::default(), START) else { panic!("nothing is held") };
    take.counters[0].want = 10;
    assert!(carry(&mut lease, &store, &take, Some(&ask), START).unwrap().unwrap().watch);
    assert!(matches!(lease.idle(&ask, START.plus_ms(IDLE_MS - 1)), Idle::Busy(1)));
    let Idle::Return(back) = lease.idle(&ask, START.plus_ms(IDLE_MS)) else { panic!("nine are left") };
    carry(&mut lease, &store, &back, None, START.plus_ms(IDLE_MS)).unwrap();
    // One was used, and all others may be by somebody else.
    let mut other = Lease::new(START);
    let passed = (0..200).filter(|_| request(&mut other, &store, &ask, START.plus_ms(IDLE_MS)).1.is_ok()).count();
    assert_eq!(passed, 99);
    assert!(matches!(lease.idle(&ask, START.plus_ms(2 * IDLE_MS)), Idle::Nothing));
}

#[test]
fn tokens_are_settled_here_while_their_window_lasts_and_with_the_store_after_it() {
    for (settled_ms, used, left) in [(500, 10, 990), (500, 300, 700), (60_500, 10, 990), (1_500, 1_200, 0)] {
        let (mut lease, store) = (Lease::new(START), Memory::default());
        let reserved = request(&mut lease, &store, &ask(tokens_a_minute(1_000), 100), START).1.unwrap();
        let now = START.plus_ms(settled_ms);
        assert_eq!(lease.settle(&reserved, used - 100, now), settled_ms > 5_000, "it is watched still, or anew");
        // Told at the latest when nobody uses the lease.
        let now = now.plus_ms(IDLE_MS);
        if let Idle::Return(back) = lease.idle(&ask(tokens_a_minute(1_000), 0), now) {
            carry(&mut lease, &store, &back, None, now).unwrap();
        }
        let Step::Take(mut look) = Lease::new(now).step(&ask(tokens_a_minute(1_000), 1), &mut Look::default(), now)
        else {
            panic!("nothing is held")
        };
        (look.counters[0].cost, look.counters[0].want) = (0, 0);
        let Decision::Granted(grants) = store.take(&look.counters, now) else { panic!("nothing is asked for") };
        assert_eq!(grants[0].standing.remaining, left, "{settled_ms} {used}");
    }
}

#[test]
fn slots_are_held_while_requests_run_and_come_back_when_they_end() {
    let (mut lease, store, ask) = (Lease::new(START), Memory::default(), ask(at_once(2), 0));
    let first = request(&mut lease, &store, &ask, START).1.unwrap();
    let second = request(&mut lease, &store, &ask, START).1.unwrap();
    let refusal = request(&mut lease, &store, &ask, START).1.unwrap_err();
    assert_eq!(refusal.limit, Limit { scope: Scope::Key, name: Name::Concurrent });
    lease.end(first.number, START);
    let (asked, third) = request(&mut lease, &store, &ask, START);
    assert!(!asked && third.is_ok(), "the slot is still this lease's own");
    // Another edge gets one when it has gone back to the store.
    let other = Ask { holder: 2, ..ask };
    let mut elsewhere = Lease::new(START);
    assert!(request(&mut elsewhere, &store, &other, START).1.is_err());
    lease.end(second.number, START);
    let now = START.plus_ms(IDLE_MS);
    let Idle::Return(back) = lease.idle(&ask, now) else { panic!("one of two runs") };
    carry(&mut lease, &store, &back, None, now).unwrap();
    assert!(request(&mut elsewhere, &store, &other, now).1.is_ok());
    assert!(request(&mut elsewhere, &store, &other, now).1.is_err());
}

#[test]
fn a_request_of_which_nothing_is_heard_loses_its_slot_and_one_that_is_heard_keeps_it() {
    let (mut lease, store, ask) = (Lease::new(START), Memory::default(), ask(at_once(2), 0));
    let _vanished = request(&mut lease, &store, &ask, START).1.unwrap();
    let heard = request(&mut lease, &store, &ask, START).1.unwrap();
    for number in 1..=6 {
        let now = START.plus_ms(number * TTL_MS / 3);
        if lease.hear(&ask, heard.number, now) {
            let take = lease.renew(&ask, now).expect("the store would forget it");
            carry(&mut lease, &store, &take, None, now).unwrap();
            lease.renewed();
        }
    }
    let now = START.plus_ms(2 * TTL_MS);
    let other = Ask { holder: 2, ..ask };
    let mut elsewhere = Lease::new(now);
    assert!(request(&mut elsewhere, &store, &other, now).1.is_ok());
    assert!(request(&mut elsewhere, &store, &other, now).1.is_err());
}

#[test]
fn what_one_store_counted_is_not_refunded_by_the_other() {
    let (mut lease, shared, local, ask) =
        (Lease::new(START), Memory::default(), Memory::default(), ask(tokens_a_minute(1_000), 100));
    let reserved = request(&mut lease, &shared, &ask, START).1.unwrap();
    // The store is lost: the next take is decided here.
    let now = START.plus_ms(LIFE_MS);
    let Step::Take(take) = lease.step(&ask, &mut Look::default(), now) else { panic!("its life is over") };
    assert_eq!(take.source, Source::Shared);
    let Decision::Granted(grants) = local.take(&take.counters, now) else { panic!("nothing is counted yet") };
    assert!(lease.granted(&take, &grants, Source::Local, Some(&ask), now).is_some());
    lease.settle(&reserved, -100, now);
    let Step::Take(take) = lease.step(&ask, &mut Look::default(), now) else { panic!("no unit came from the other") };
    assert_eq!((take.source, take.counters[0].settle), (Source::Local, None));
}

/// A step of the model: who does what, and how much later.
#[derive(Clone, Copy, Debug)]
enum Act {
    Request {
        who: usize,
        tokens: u64,
    },
    /// A request's tokens are settled, and it ends.
    End {
        who: usize,
        used: u64,
    },
    Idle {
        who: usize,
    },
    Renew {
        who: usize,
    },
    /// A store's answer is lost.
    Lose {
        who: usize,
    },
}

fn acts() -> impl Strategy<Value = Vec<(Act, i64)>> {
    let act = prop_oneof![
        6 => (0_usize..2, 0_u64..20).prop_map(|(who, tokens)| Act::Request { who, tokens }),
        4 => (0_usize..2, 0_u64..20).prop_map(|(who, used)| Act::End { who, used }),
        1 => (0_usize..2).prop_map(|who| Act::Idle { who }),
        1 => (0_usize..2).prop_map(|who| Act::Renew { who }),
        1 => (0_usize..2).prop_map(|who| Act::Lose { who }),
    ];
    prop::collection::vec((act, prop_oneof![Just(0_i64), 0_i64..50, 0_i64..3_000]), 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Checklist 60, 61: whatever two leases do with one store, what they let through in a window is no more than the
    /// limit; tokens only as far as calls used no more than they had reserved.
    #[test]
    fn two_leases_never_pass_a_limit_together(acts in acts(), limit in 1_u64..60, tokens in 20_u64..200, slots in 1_u64..5) {
        let quota = Quota {
            requests_per_day: Some(limit), tokens_per_day: Some(tokens), concurrent: Some(slots), ..Quota::default()
        };
        let store = Memory::default();
        let mut leases = [Lease::new(START), Lease::new(START)];
        let mut running: [VecDeque<(Reserved, u64)>; 2] = Default::default();
        let (mut now, mut passed, mut used_tokens) = (START, 0, 0);
        for (act, later_ms) in acts {
            now = now.plus_ms(later_ms);
            let by = |who: usize, tokens| Ask { holder: who as u128, ..ask(quota, tokens) };
            match act {
                Act::Request { who, tokens } => {
                    let ask = by(who, tokens);
                    if let (_, Ok(reserved)) = request(&mut leases[who], &store, &ask, now) {
                        passed += 1;
                        running[who].push_back((reserved, tokens));
                    }
                }
                Act::End { who, used } => {
                    if let Some((reserved, tokens)) = running[who].pop_front() {
                        let used = used.min(tokens);
                        used_tokens += used;
                        leases[who].settle(&reserved, used as i64 - tokens as i64, now);
                        leases[who].end(reserved.number, now);
                    }
                }
                Act::Idle { who } => {
                    if let Idle::Return(take) = leases[who].idle(&by(who, 0), now) {
                        let _ = carry(&mut leases[who], &store, &take, None, now);
                    }
                }
                Act::Renew { who } => {
                    if let Some(take) = leases[who].renew(&by(who, 0), now) {
                        let _ = carry(&mut leases[who], &store, &take, None, now);
                    }
                    leases[who].renewed();
                }
                Act::Lose { who } => {
                    let Step::Take(take) = leases[who].step(&by(who, 1), &mut Look::default(), now) else { continue };
                    store.take(&take.counters, now);
                    now = now.plus_ms(TURN_MS);
                }
            }
            let at_work: u64 = running.iter().flatten().map(|(_, tokens)| tokens).sum();
            prop_assert!(passed <= limit, "{passed} requests of {limit}");
            prop_assert!(used_tokens + at_work <= tokens, "{used_tokens} + {at_work} tokens of {tokens}");
            // All of this takes less than a holder's time, unless nothing is said of a request for so long.
            if now.since_ms(START) < TTL_MS {
                prop_assert!(running[0].len() as u64 + running[1].len() as u64 <= slots);
            }
        }
    }
}

/// Where a process lives for a few requests, what it took ahead would be lost with it, time and again.
#[test]
fn a_process_that_forgets_takes_what_it_needs_and_nothing_ahead() {
    let (mut lease, store, ask) = (Lease::of_the_moment(START), Memory::default(), ask(a_minute(100_000), 0));
    let mut now = START;
    for taken in 1..=500 {
        let Step::Take(take) = lease.step(&ask, &mut Look::default(), now) else { panic!("nothing was left over") };
        let Decision::Granted(grants) = store.take(&take.counters, now) else { panic!("there is plenty") };
        assert_eq!(grants[0].granted, 1, "{taken}");
        let reserved = lease.granted(&take, &grants, Source::Shared, Some(&ask), now).expect("it goes");
        assert_eq!(reserved.renew_in_ms, None, "{taken}");
        now = now.plus_ms(1);
    }
}
