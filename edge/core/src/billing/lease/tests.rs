//! Leases of one process with an organisation's funds as a model: what is drawn is never more than was there.

use super::rules::{Back, Drawn, EXTEND_MS, IDLE_MS, LIFE_MS, Lease, Look, REFUSED_MS, Step, TURN_MS, Take, Watch};
use crate::billing::BillingError;
use proptest::prelude::*;
use shared::time::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

const START: Timestamp = Timestamp(1_800_000_000_000);

/// An organisation's funds, as `lease_credit` leases them.
struct Funds {
    /// Neither leased nor spent.
    free: i64,
    /// What remains of each lease, and when it ends.
    leases: BTreeMap<Uuid, (i64, Timestamp)>,
    made: u128,
}

impl Funds {
    fn new(free: i64) -> Self {
        Self { free, leases: BTreeMap::new(), made: 0 }
    }

    fn give_back(&mut self, back: &[Back]) {
        for Back { id, nanos } in back {
            if let Some((remaining, _)) = self.leases.get_mut(id) {
                let nanos = *nanos.min(remaining);
                *remaining -= nanos;
                self.free += nanos;
            }
        }
    }

    fn reap(&mut self, now: Timestamp) {
        let due = |(_, ends): &(i64, Timestamp)| *ends <= now;
        self.free += self.leases.values().filter(|it| due(it)).map(|it| it.0).sum::<i64>();
        self.leases.retain(|_, it| !due(it));
    }

    fn lease(&mut self, take: &Take, now: Timestamp) -> Option<(Uuid, i64, Vec<u8>)> {
        self.reap(now);
        self.give_back(&take.back);
        if self.free < take.need {
            return None;
        }
        let granted = take.want.min(self.free / 8).max(take.need);
        self.made += 1;
        let id = Uuid::from_u128(self.made);
        self.free -= granted;
        self.leases.insert(id, (granted, now.plus_ms(LIFE_MS)));
        Some((id, granted, vec![0; 32]))
    }

    /// Takes the cost of a call off its lease, or, when that is over, off what is free.
    fn charge(&mut self, lease: Uuid, cost: i64) {
        match self.leases.get_mut(&lease) {
            Some((remaining, _)) => *remaining -= cost,
            None => self.free -= cost,
        }
    }
}

/// A whole call to `draw`.
fn call(lease: &mut Lease, funds: &mut Funds, need: i64, now: Timestamp) -> Result<Drawn, BillingError> {
    match lease.step(need, &mut Look::default(), now) {
        Step::Go(drawn) => Ok(drawn),
        Step::Refused(error) => Err(error),
        Step::Wait => panic!("nobody else takes"),
        Step::Take(take) => match funds.lease(&take, now) {
            Some(granted) => Ok(lease.granted(&take, granted, now, now).expect("it is what was needed")),
            None => {
                lease.refused(&take, BillingError::Credit, now);
                Err(BillingError::Credit)
            }
        },
    }
}

#[test]
fn funds_for_three_are_good_for_three() {
    let (mut lease, mut funds) = (Lease::new(START, true), Funds::new(100));
    let passed = (0..32).filter(|_| call(&mut lease, &mut funds, 33, START).is_ok()).count();
    assert_eq!((passed, funds.free), (3, 1));
}

#[test]
fn what_a_call_leaves_is_drawn_by_the_next_without_asking() {
    let (mut lease, mut funds) = (Lease::new(START, true), Funds::new(100));
    let first = call(&mut lease, &mut funds, 100, START).unwrap();
    assert_eq!(lease.settle(&first, 30, START), 70);
    let second = call(&mut lease, &mut funds, 70, START).unwrap();
    assert_eq!((second.lease, funds.made), (first.lease, 1));
    assert!(call(&mut lease, &mut funds, 1, START).is_err());
}

#[test]
fn what_is_left_over_and_fits_nobody_goes_back_with_the_next_take() {
    let (mut lease, mut funds) = (Lease::new(START, true), Funds::new(100));
    let first = call(&mut lease, &mut funds, 60, START).unwrap();
    lease.settle(&first, 10, START);
    funds.charge(first.lease, 10);
    let second = call(&mut lease, &mut funds, 90, START).unwrap();
    assert_ne!(second.lease, first.lease);
    assert_eq!(funds.free, 0);
}

#[test]
fn a_call_that_cost_more_than_it_held_takes_it_off_what_is_left() {
    let (mut lease, mut funds) = (Lease::new(START, true), Funds::new(800));
    let first = call(&mut lease, &mut funds, 10, START).unwrap();
    assert_eq!(lease.settle(&first, 15, START), -5);
    assert_eq!(lease.leftovers(), Vec::new(), "less than nothing does not go back");
}

#[test]
fn a_refusal_is_believed_for_a_moment_and_until_money_comes_free() {
    let (mut lease, mut funds) = (Lease::new(START, true), Funds::new(10));
    let first = call(&mut lease, &mut funds, 10, START).unwrap();
    assert_eq!(call(&mut lease, &mut funds, 5, START), Err(BillingError::Credit));
    assert!(matches!(lease.step(5, &mut Look::default(), START.plus_ms(1)), Step::Refused(BillingError::Credit)));
    assert!(matches!(lease.step(4, &mut Look::default(), START.plus_ms(1)), Step::Take(_)), "less may be there");
    let mut lease_later = lease.clone();
    assert!(matches!(lease_later.step(5, &mut Look::default(), START.plus_ms(TURN_MS + REFUSED_MS)), Step::Take(_)));
    lease.settle(&first, 0, START.plus_ms(2));
    assert!(matches!(lease.step(5, &mut Look::default(), START.plus_ms(2)), Step::Go(_)));
}

#[test]
fn while_one_takes_others_wait_and_are_taken_for() {
    let mut lease = Lease::new(START, true);
    let Step::Take(first) = lease.step(10, &mut Look::default(), START) else { panic!("nothing is held") };
    let mut looks = [Look::default(); 3];
    for look in &mut looks {
        assert!(matches!(lease.step(7, look, START.plus_ms(5)), Step::Wait));
        assert!(matches!(lease.step(7, look, START.plus_ms(10)), Step::Wait), "each is counted once");
    }
    assert!(lease.granted(&first, (Uuid::from_u128(1), 10, Vec::new()), START, START.plus_ms(12)).is_some());
    let Step::Take(second) = lease.step(7, &mut looks[0], START.plus_ms(15)) else { panic!("one lease is used up") };
    assert_eq!((second.need, second.want), (7, 28));
    // Whoever takes and is gone holds nobody up for long.
    assert!(matches!(lease.step(7, &mut looks[1], START.plus_ms(15 + TURN_MS - 1)), Step::Wait));
    assert!(matches!(lease.step(7, &mut looks[1], START.plus_ms(15 + TURN_MS)), Step::Take(_)));
}

#[test]
fn what_nobody_uses_goes_back_and_what_runs_is_extended() {
    let (mut lease, mut funds) = (Lease::new(START, true), Funds::new(800));
    let drawn = call(&mut lease, &mut funds, 100, START).unwrap();
    let unused = call(&mut lease, &mut funds, 50, START).unwrap();
    lease.settle(&unused, 0, START);
    assert_eq!(lease.watch(START.plus_ms(IDLE_MS - 1)), Watch::Wait(20));
    let back = vec![Back { id: unused.lease, nanos: funds.leases[&unused.lease].0 }];
    assert_eq!(lease.watch(START.plus_ms(IDLE_MS)), Watch::Tell { back, extend: Vec::new() });
    let now = START.plus_ms(EXTEND_MS);
    assert_eq!(lease.watch(now), Watch::Tell { back: Vec::new(), extend: vec![drawn.lease] });
    lease.extended(&[drawn.lease], &[drawn.lease], now);
    // Past the end of its first life, it is still there to be settled.
    let now = START.plus_ms(LIFE_MS + 1);
    assert_eq!(lease.clone().settle(&drawn, 30, now), 70);
    // One that was not extended is gone, and so is what its call held.
    lease.extended(&[drawn.lease], &[], now);
    assert_eq!(lease.settle(&drawn, 30, now), 0);
    assert_eq!(lease.watch(now), Watch::Nothing);
}

#[test]
fn of_a_call_that_was_lost_nothing_comes_back_before_its_lease_ends() {
    let (mut lease, mut funds) = (Lease::new(START, true), Funds::new(100));
    let drawn = call(&mut lease, &mut funds, 100, START).unwrap();
    lease.lose(&drawn);
    assert_eq!(lease.watch(START.plus_ms(IDLE_MS)), Watch::Nothing);
    assert!(call(&mut lease, &mut funds, 1, START.plus_ms(LIFE_MS - 1)).is_err());
    assert!(call(&mut lease, &mut funds, 1, START.plus_ms(LIFE_MS + REFUSED_MS)).is_ok());
}

#[test]
fn nothing_is_drawn_near_the_end_of_a_lease_nor_before_it_was_taken() {
    for (later_ms, good) in [(0, true), (54_999, true), (55_000, false), (LIFE_MS, false), (-1, false)] {
        let mut lease = Lease::new(START, true);
        let Step::Take(take) = lease.step(1, &mut Look::default(), START) else { panic!("nothing is held") };
        lease.granted(&take, (Uuid::from_u128(1), 10, Vec::new()), START, START).unwrap();
        let step = lease.step(1, &mut Look::default(), START.plus_ms(later_ms));
        assert_eq!(matches!(step, Step::Go(_)), good, "{later_ms}");
    }
}

#[test]
fn where_nothing_is_remembered_a_call_takes_what_it_needs() {
    let (mut lease, mut funds) = (Lease::new(START, false), Funds::new(1_000_000));
    for _ in 0..200 {
        let drawn = call(&mut lease, &mut funds, 10, START).unwrap();
        assert_eq!(funds.leases[&drawn.lease].0, 10);
    }
}

/// A step of the model.
#[derive(Clone, Copy, Debug)]
enum Act {
    Call {
        who: usize,
        need: i64,
    },
    /// A call of theirs ends, at so many percent of what it held.
    End {
        who: usize,
        percent: i64,
    },
    Watch {
        who: usize,
    },
    Lose {
        who: usize,
    },
}

fn acts() -> impl Strategy<Value = Vec<(Act, i64)>> {
    let act = prop_oneof![
        6 => (0_usize..2, 1_i64..40).prop_map(|(who, need)| Act::Call { who, need }),
        4 => (0_usize..2, 0_i64..=100).prop_map(|(who, percent)| Act::End { who, percent }),
        2 => (0_usize..2).prop_map(|who| Act::Watch { who }),
        1 => (0_usize..2).prop_map(|who| Act::Lose { who }),
    ];
    prop::collection::vec((act, prop_oneof![Just(0_i64), 0_i64..50, 0_i64..3_000, 0_i64..30_000]), 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Checklist 82: whatever two processes do, what calls cost is never more than was there, as long as leases live.
    #[test]
    fn two_processes_never_spend_what_is_not_there(acts in acts(), total in 1_i64..500) {
        let mut funds = Funds::new(total);
        let mut leases = [Lease::new(START, true), Lease::new(START, true)];
        let mut running: [Vec<Drawn>; 2] = Default::default();
        let (mut now, mut spent) = (START, 0);
        for (act, later_ms) in acts {
            now = now.plus_ms(later_ms);
            match act {
                Act::Call { who, need } => {
                    let taken = leases[who].step(need, &mut Look::default(), now);
                    let drawn = match taken {
                        Step::Go(drawn) => Some(drawn),
                        Step::Take(take) => match funds.lease(&take, now) {
                            Some(granted) => leases[who].granted(&take, granted, now, now),
                            None => { leases[who].refused(&take, BillingError::Credit, now); None }
                        },
                        Step::Wait | Step::Refused(_) => None,
                    };
                    running[who].extend(drawn);
                }
                Act::End { who, percent } => {
                    if let Some(drawn) = running[who].pop() {
                        let cost = drawn.nanos * percent / 100;
                        leases[who].settle(&drawn, cost, now);
                        // Of a lease that is over, the model charges what is free, which may be nothing: then it is owed.
                        funds.reap(now);
                        if funds.leases.contains_key(&drawn.lease) {
                            funds.charge(drawn.lease, cost);
                            spent += cost;
                        }
                    }
                }
                Act::Watch { who } => {
                    if let Watch::Tell { back, extend } = leases[who].watch(now) {
                        funds.reap(now);
                        funds.give_back(&back);
                        let live: Vec<Uuid> = extend.iter().copied().filter(|it| funds.leases.contains_key(it)).collect();
                        for id in &live {
                            funds.leases.get_mut(id).unwrap().1 = now.plus_ms(LIFE_MS);
                        }
                        leases[who].extended(&extend, &live, now);
                    }
                }
                Act::Lose { who } => {
                    if let Some(drawn) = running[who].pop() {
                        leases[who].lose(&drawn);
                    }
                }
            }
            let remaining: i64 = funds.leases.values().map(|it| it.0).sum();
            prop_assert!(funds.leases.values().all(|it| it.0 >= 0), "a lease is overdrawn");
            prop_assert!(funds.free >= 0);
            prop_assert_eq!(funds.free + remaining + spent, total);
        }
    }
}
