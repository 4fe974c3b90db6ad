//! What a process or isolate holds of an organisation's credit, for the calls of one key.
//!
//! All in here is decided from what it holds and the time. Asking, waiting and telling is `mod.rs`'.

use crate::{billing::BillingError, limits::Demand};
use shared::time::Timestamp;
use uuid::Uuid;

/// How long a lease lives when nobody extends it.
pub(super) const LIFE_MS: i64 = 60_000;
/// How often a lease is extended behind calls that still run.
pub(super) const EXTEND_MS: i64 = 20_000;
/// So long before its end nothing is drawn from a lease any more.
const EARLY_MS: i64 = 5_000;
/// What nobody has used for so long goes back.
pub(super) const IDLE_MS: i64 = 1_000;
/// While somebody takes, others wait for them so long.
pub(super) const TURN_MS: i64 = 150;
/// A refusal is believed for so long at most.
pub(super) const REFUSED_MS: i64 = 500;
/// The right to watch ends by itself: whoever had it may be gone.
const WATCH_MS: i64 = 10_000;
/// Longest wait of whoever watches.
const LONGEST_WAIT_MS: i64 = 5_000;

/// Money of one lease.
#[derive(Clone, Debug)]
struct Grant {
    id: Uuid,
    /// What no call holds; less than nothing where one has cost more than it held.
    left: i64,
    /// Calls that hold some.
    running: u32,
    head: Vec<u8>,
    taken_at: Timestamp,
    expires_at: Timestamp,
    extend_at: Timestamp,
    used_at: Timestamp,
}

/// What is held for one key.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    grants: Vec<Grant>,
    demand: Demand,
    /// What calls hold on average.
    mean: i64,
    turn: Option<Turn>,
    turns: u64,
    /// What those need who wait for somebody's take.
    waiting: i64,
    refusal: Option<Refusal>,
    used_at: Timestamp,
    watched_until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    number: u64,
    since: Timestamp,
}

#[derive(Clone, Debug)]
struct Refusal {
    need: i64,
    error: BillingError,
    until: Timestamp,
}

/// How a waiting call looked before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    turn: u64,
}

/// What a call has to do next.
#[derive(Debug)]
pub(super) enum Step {
    Go(Drawn),
    Take(Take),
    Wait,
    Refused(BillingError),
}

/// What a call holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) lease: Uuid,
    pub(crate) nanos: i64,
    /// The end of the ledger's chain when the lease was taken.
    pub(crate) head: Vec<u8>,
}

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Take {
    turn: u64,
    pub(super) need: i64,
    pub(super) want: i64,
    pub(super) back: Vec<Back>,
}

/// What of a lease goes back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Back {
    pub(super) id: Uuid,
    pub(super) nanos: i64,
}

/// What to do with leases that are watched.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Watch {
    Wait(i64),
    Tell { back: Vec<Back>, extend: Vec<Uuid> },
    Nothing,
}

impl Lease {
    pub(super) fn new(now: Timestamp, takes_ahead: bool) -> Self {
        let demand = if takes_ahead { Demand::new(now) } else { Demand::of_the_moment(now) };
        Self {
            grants: Vec::new(),
            demand,
            mean: 0,
            turn: None,
            turns: 0,
            waiting: 0,
            refusal: None,
            used_at: now,
            watched_until: Timestamp(0),
        }
    }

    pub(super) fn used_at(&self) -> Timestamp {
        self.used_at
    }

    /// What a call that needs `need` has to do.
    pub(super) fn step(&mut self, need: i64, look: &mut Look, now: Timestamp) -> Step {
        self.used_at = now;
        self.sweep(now);
        if let Some(drawn) = self.draw(need, now) {
            return Step::Go(drawn);
        }
        if let Some(refusal) = self.refusal.as_ref().filter(|it| it.need <= need && now < it.until) {
            return Step::Refused(refusal.error.clone());
        }
        match self.turn {
            Some(turn) if (0..TURN_MS).contains(&now.since_ms(turn.since)) => {
                if look.turn != turn.number {
                    look.turn = turn.number;
                    self.waiting = self.waiting.saturating_add(need);
                }
                Step::Wait
            }
            _ => Step::Take(self.begin(need, now)),
        }
    }

    /// Draws from the lease that is over first and in which the whole fits.
    fn draw(&mut self, need: i64, now: Timestamp) -> Option<Drawn> {
        let good = |it: &&mut Grant| it.left >= need && it.taken_at <= now && now.since_ms(it.expires_at) < -EARLY_MS;
        let grant = self.grants.iter_mut().filter(good).min_by_key(|it| it.expires_at)?;
        grant.left -= need;
        grant.running += 1;
        grant.used_at = now;
        self.demand.spend();
        self.mean = if self.mean == 0 { need } else { self.mean / 8 * 7 + need / 8 };
        Some(Drawn { lease: grant.id, nanos: need, head: grant.head.clone() })
    }

    /// Begins to take, for all that wait and are likely to come. What is left over fits nobody, and goes back.
    fn begin(&mut self, need: i64, now: Timestamp) -> Take {
        self.demand.adapt(now);
        let ahead = i64::try_from(self.demand.ahead()).unwrap_or(i64::MAX);
        let waiting = std::mem::take(&mut self.waiting);
        let soon = if ahead > 1 { self.mean.max(need).saturating_mul(ahead) } else { need };
        let want = need.saturating_add(waiting).max(soon);
        self.turns += 1;
        self.turn = Some(Turn { number: self.turns, since: now });
        Take { turn: self.turns, need, want, back: self.leftovers() }
    }

    /// Takes out all that no call holds.
    pub(super) fn leftovers(&mut self) -> Vec<Back> {
        let back = self.grants.iter_mut().filter(|it| it.left > 0);
        back.map(|it| Back { id: it.id, nanos: std::mem::take(&mut it.left) }).collect()
    }

    /// A lease came. With what the call that asked for it holds of it.
    pub(super) fn granted(
        &mut self,
        take: &Take,
        lease: (Uuid, i64, Vec<u8>),
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Option<Drawn> {
        self.end_turn(take);
        self.refusal = None;
        let (id, left, head) = lease;
        self.grants.push(Grant {
            id,
            left,
            running: 0,
            head,
            taken_at: sent_at,
            expires_at: sent_at.plus_ms(LIFE_MS),
            extend_at: sent_at.plus_ms(EXTEND_MS),
            used_at: now,
        });
        self.draw(take.need, now)
    }

    pub(super) fn refused(&mut self, take: &Take, error: BillingError, now: Timestamp) {
        self.end_turn(take);
        self.refusal = Some(Refusal { need: take.need, error, until: now.plus_ms(REFUSED_MS) });
    }

    /// Nobody knows whether anything was leased; if it was, it expires.
    pub(super) fn end_turn(&mut self, take: &Take) {
        self.turn.take_if(|turn| turn.number == take.turn);
    }

    /// A call that held `drawn` cost `cost`. What it leaves is free for others. Says what that is.
    pub(super) fn settle(&mut self, drawn: &Drawn, cost: i64, now: Timestamp) -> i64 {
        let Some(grant) = self.grants.iter_mut().find(|it| it.id == drawn.lease) else { return 0 };
        grant.running = grant.running.saturating_sub(1);
        grant.used_at = now;
        let left = drawn.nanos.saturating_sub(cost);
        grant.left = grant.left.saturating_add(left);
        if left > 0 {
            self.refusal = None;
        }
        left
    }

    /// Nobody knows what a call cost that held `drawn`: until its lease ends nobody else gets it.
    pub(super) fn lose(&mut self, drawn: &Drawn) {
        if let Some(grant) = self.grants.iter_mut().find(|it| it.id == drawn.lease) {
            grant.running = grant.running.saturating_sub(1);
        }
    }

    /// Claims the right to watch; none while somebody does.
    pub(super) fn claim_watch(&mut self, now: Timestamp) -> bool {
        let free = self.watched_until <= now;
        if free {
            self.watched_until = now.plus_ms(WATCH_MS);
        }
        free
    }

    /// What is due at `now`, for whoever watches.
    pub(super) fn watch(&mut self, now: Timestamp) -> Watch {
        self.sweep(now);
        let (mut back, mut extend, mut wait_ms) = (Vec::new(), Vec::new(), LONGEST_WAIT_MS);
        for grant in &mut self.grants {
            let idle_ms = now.since_ms(grant.used_at);
            if grant.left > 0 && idle_ms >= IDLE_MS {
                back.push(Back { id: grant.id, nanos: std::mem::take(&mut grant.left) });
            } else if grant.left > 0 {
                wait_ms = wait_ms.min(IDLE_MS - idle_ms);
            }
            if grant.running > 0 && grant.extend_at <= now {
                grant.extend_at = now.plus_ms(EXTEND_MS);
                extend.push(grant.id);
            } else if grant.running > 0 {
                wait_ms = wait_ms.min(grant.extend_at.since_ms(now));
            }
        }
        self.grants.retain(|it| it.running > 0 || it.left > 0);
        if !back.is_empty() || !extend.is_empty() {
            self.watched_until = now.plus_ms(WATCH_MS);
            Watch::Tell { back, extend }
        } else if self.grants.is_empty() {
            self.watched_until = Timestamp(0);
            self.demand.rest(now);
            Watch::Nothing
        } else {
            self.watched_until = now.plus_ms(WATCH_MS);
            Watch::Wait(wait_ms.max(20))
        }
    }

    /// Leases live on, of those that should have been extended at `asked_at`; the others do not.
    pub(super) fn extended(&mut self, asked: &[Uuid], live: &[Uuid], asked_at: Timestamp) {
        self.grants.retain(|it| !asked.contains(&it.id) || live.contains(&it.id));
        for grant in self.grants.iter_mut().filter(|it| live.contains(&it.id)) {
            grant.expires_at = grant.expires_at.max(asked_at.plus_ms(LIFE_MS));
        }
    }

    /// Forgets what has expired.
    fn sweep(&mut self, now: Timestamp) {
        self.grants.retain(|it| now < it.expires_at);
    }
}
