//! Group commit: calls that end together share one statement.
//!
//! A row waits a moment for others. Then the first to look, whose row is still unwritten and while nobody writes,
//! writes all that is there; the others look again later. Each waits, behind its response, until its own row is in
//! Postgres.
//!
//! Nobody waits for another request's word, only for the host's own timer: on Workers a task that another request
//! wakes runs in that request's context, where it may do no I/O of its own, and on Spin it may not wake at all. A turn
//! to write ends by itself, since a context that goes away runs no destructor.

use super::{Record, journal};
use crate::{App, error::chain, sql::SqlError};
use shared::time::Timestamp;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Rows kept while Postgres is away; beyond it the oldest are lost, loudly.
const CAPACITY: usize = 200_000;

/// Rows in one statement at most.
const BATCH: usize = 1_000;

/// How long a row waits for others. Nobody waits for the row, and where a connection to Postgres costs several
/// milliseconds of CPU, on Workers, the many that share one pay less each.
const GATHER_MS: u64 = 100;

/// How often a row is looked after while somebody else writes.
const LOOK_MS: u64 = 20;

/// A turn that lasts longer is over: whoever had it is gone. A statement ends sooner, one way or the other.
const TURN_MS: i64 = 20_000;

/// Pauses between tries while Postgres is away; the last one repeats.
const PAUSE_MS: [i64; 5] = [100, 400, 1_000, 2_000, 5_000];

/// How long a row's own task waits before it leaves the row to later ones.
const PATIENCE_MS: i64 = 120_000;

#[derive(Default)]
pub(crate) struct Writer(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    /// Unwritten rows, in the order of their arrival.
    records: VecDeque<Record>,
    /// Rows that have left `records`, written or given up; a row's ticket is its place in the order of all.
    settled: u64,
    /// Until when somebody writes, and how many of the first rows.
    turn: Option<Turn>,
    /// Turns given out so far.
    turns: u64,
    /// Tries that have failed in a row.
    failures: usize,
    /// Nobody tries before.
    retry_at: Timestamp,
}

/// The right to write the first `rows` rows.
#[derive(Clone, Copy)]
struct Turn {
    number: u64,
    rows: usize,
    until: Timestamp,
}

/// What the task of a row has to do next.
enum Next {
    Done,
    Write(Turn, Vec<Record>),
    Wait(u64),
}

/// Adds `record` and returns when it is in Postgres, or when that has failed for minutes.
pub(super) async fn write(app: &App, record: Record) {
    let ticket = app.usage.lock().push(record);
    let give_up_at = app.host.now().plus_ms(PATIENCE_MS);
    app.host.sleep(GATHER_MS).await;
    loop {
        let now = app.host.now();
        let next = app.usage.lock().next(ticket, now);
        match next {
            Next::Done => return,
            Next::Write(turn, batch) => write_batch(app, turn, batch).await,
            Next::Wait(_) if now >= give_up_at => {
                tracing::error!(ticket, "usage is still unwritten; it is kept and goes with the next call that ends");
                return;
            }
            Next::Wait(ms) => app.host.sleep(ms).await,
        }
    }
}

/// Writes one batch of what an outage has left, unless somebody writes already. Waits for nothing: under load there is
/// always a row that waits, and its own task sees to it.
pub(super) async fn catch_up(app: &App) {
    let now = app.host.now();
    let next = app.usage.lock().next(u64::MAX, now);
    if let Next::Write(turn, batch) = next {
        write_batch(app, turn, batch).await;
    }
}

/// Writes what is pending, before the process ends.
pub(super) async fn flush(app: &App) {
    loop {
        let now = app.host.now();
        let next = app.usage.lock().next(u64::MAX, now);
        match next {
            Next::Write(turn, batch) => {
                write_batch(app, turn, batch).await;
                if app.usage.lock().failures > 0 {
                    tracing::error!(rows = app.usage.lock().records.len(), "usage is lost");
                    return;
                }
            }
            Next::Wait(ms) if !app.usage.lock().records.is_empty() => app.host.sleep(ms).await,
            Next::Wait(_) | Next::Done => return,
        }
    }
}

/// Writes a batch in its turn. A failure leaves the rows where they are.
async fn write_batch(app: &App, turn: Turn, batch: Vec<Record>) {
    let written = match app.store.insert_usage(&batch).await {
        Ok(_) => Ok(()),
        Err(error @ SqlError::Unavailable(_)) => Err(error),
        // One row is at fault, and must not take the others with it.
        Err(_) => write_singly(app, &batch).await,
    };
    let now = app.host.now();
    let mut pending = app.usage.lock();
    match written {
        Ok(()) => {
            pending.settle(turn);
            drop(pending);
            journal::forget(app, &batch);
        }
        Err(error) => {
            tracing::warn!(error = %chain(&error), rows = pending.records.len(), "usage could not be written yet");
            pending.postpone(turn, now);
        }
    }
}

/// Writes rows one by one; what Postgres refuses for its contents is logged and left out.
async fn write_singly(app: &App, batch: &[Record]) -> Result<(), SqlError> {
    for record in batch {
        match app.store.insert_usage(std::slice::from_ref(record)).await {
            Ok(_) => {}
            Err(error @ SqlError::Unavailable(_)) => return Err(error),
            Err(error) => tracing::error!(error = %chain(&error), ?record, "a usage row cannot be stored"),
        }
    }
    Ok(())
}

impl Writer {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Adds a record and gives its ticket.
    fn push(&mut self, record: Record) -> u64 {
        // A row in somebody's turn stays where it is, so that the turn's count stays right.
        if self.records.len() >= CAPACITY && self.turn.is_none() {
            let lost = self.records.pop_front();
            self.settled += 1;
            tracing::error!(record = ?lost, "too many usage rows wait for Postgres: the oldest is dropped");
        }
        self.records.push_back(record);
        self.settled + self.records.len() as u64
    }

    /// What the holder of `ticket` has to do at `now`.
    fn next(&mut self, ticket: u64, now: Timestamp) -> Next {
        if ticket <= self.settled {
            return Next::Done;
        }
        if now < self.retry_at {
            return Next::Wait(self.retry_at.since_ms(now).unsigned_abs());
        }
        if self.records.is_empty() || self.turn.is_some_and(|turn| now < turn.until) {
            return Next::Wait(LOOK_MS);
        }
        let rows = self.records.len().min(BATCH);
        self.turns += 1;
        let turn = Turn { number: self.turns, rows, until: now.plus_ms(TURN_MS) };
        self.turn = Some(turn);
        Next::Write(turn, self.records.iter().take(rows).cloned().collect())
    }

    /// The rows of `turn` are in Postgres. One that was taken over has nothing to say any more: whoever took over
    /// writes the same rows, and each row counts once.
    fn settle(&mut self, turn: Turn) {
        if self.ends(turn) {
            self.records.drain(..turn.rows);
            self.settled += turn.rows as u64;
            self.failures = 0;
        }
    }

    /// The rows of `turn` have to wait.
    fn postpone(&mut self, turn: Turn, now: Timestamp) {
        if self.ends(turn) {
            self.retry_at = now.plus_ms(PAUSE_MS[self.failures.min(PAUSE_MS.len() - 1)]);
            self.failures += 1;
        }
    }

    fn ends(&mut self, turn: Turn) -> bool {
        self.turn.take_if(|current| current.number == turn.number).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Charge, Outcome, Tokens, TokensSource};
    use shared::id::{KeyId, OrgId, RequestId};
    use uuid::Uuid;

    fn record(number: u128) -> Record {
        Record {
            request_id: RequestId::from_uuid(Uuid::from_u128(number)),
            org_id: OrgId::from_uuid(Uuid::nil()),
            key_id: KeyId::from_uuid(Uuid::nil()),
            endpoint: "chat.completions",
            model: "m".to_owned(),
            upstream: None,
            stream: false,
            status: 200,
            outcome: Outcome::Completed,
            tokens: Tokens::default(),
            tokens_source: TokensSource::None,
            charge: Charge::default(),
            started_at_ms: 0,
            first_byte_ms: None,
            latency_ms: 0,
        }
    }

    fn turn(next: Next) -> (Turn, usize) {
        match next {
            Next::Write(turn, batch) => (turn, batch.len()),
            Next::Done => panic!("nothing is done yet"),
            Next::Wait(ms) => panic!("waits {ms} ms"),
        }
    }

    #[test]
    fn one_writes_for_all_and_the_others_find_their_rows_written() {
        let mut pending = Pending::default();
        let tickets: Vec<u64> = (0..3).map(|number| pending.push(record(number))).collect();
        let (own, rows) = turn(pending.next(tickets[1], Timestamp(0)));
        assert_eq!(rows, 3);
        assert!(matches!(pending.next(tickets[0], Timestamp(1)), Next::Wait(LOOK_MS)));
        let late = pending.push(record(3));
        pending.settle(own);
        for ticket in tickets {
            assert!(matches!(pending.next(ticket, Timestamp(2)), Next::Done));
        }
        assert_eq!(turn(pending.next(late, Timestamp(2))).1, 1);
    }

    #[test]
    fn a_turn_whose_holder_is_gone_passes_on_with_all_its_rows() {
        let mut pending = Pending::default();
        let (first, second) = (pending.push(record(1)), pending.push(record(2)));
        let (lost, _) = turn(pending.next(first, Timestamp(0)));
        assert!(matches!(pending.next(second, Timestamp(TURN_MS - 1)), Next::Wait(_)));
        let (taken, rows) = turn(pending.next(second, Timestamp(TURN_MS)));
        assert_eq!(rows, 2);
        // The lost one comes back after all, and changes nothing.
        pending.settle(lost);
        assert!(matches!(pending.next(first, Timestamp(TURN_MS)), Next::Wait(_)));
        pending.settle(taken);
        assert!(matches!(pending.next(first, Timestamp(TURN_MS)), Next::Done));
        assert!(pending.records.is_empty());
    }

    #[test]
    fn rows_wait_longer_and_longer_for_a_database_that_is_away() {
        let mut pending = Pending::default();
        let ticket = pending.push(record(1));
        let mut now = Timestamp(0);
        for pause_ms in PAUSE_MS.into_iter().chain([5_000]) {
            let (failed, _) = turn(pending.next(ticket, now));
            pending.postpone(failed, now);
            let Next::Wait(ms) = pending.next(ticket, now) else { panic!("tries again at once") };
            assert_eq!(ms, pause_ms.unsigned_abs());
            now = now.plus_ms(pause_ms);
        }
        assert_eq!(turn(pending.next(ticket, now)).1, 1, "nothing is lost");
    }
}
