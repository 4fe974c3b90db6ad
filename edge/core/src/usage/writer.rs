//! Group commit: calls that end together share one statement.
//!
//! There is no timer. The first to come writes what is there; whoever comes while it writes waits, and the next of
//! them writes for all. Each waits, behind its response, until its own row is in Postgres.

use super::Record;
use crate::{App, error::chain, sql::SqlError};
use futures_util::lock::Mutex as AsyncMutex;
use shared::time::Timestamp;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows kept while Postgres is away; beyond it the oldest are lost, loudly.
const CAPACITY: usize = 200_000;

/// Rows in one statement at most.
const BATCH: usize = 1_000;

/// Pauses between tries while Postgres is away; the last one repeats.
const PAUSE_MS: [i64; 5] = [100, 400, 1_000, 2_000, 5_000];

/// How long a row's own task waits before it leaves the row to later ones.
const PATIENCE_MS: i64 = 120_000;

#[derive(Default)]
pub(crate) struct Writer {
    pending: Mutex<Pending>,
    /// Held by whoever writes.
    turn: AsyncMutex<()>,
}

#[derive(Default)]
struct Pending {
    records: Vec<Record>,
    /// Tickets given out so far; a record's ticket is the count at its arrival.
    arrived: u64,
    /// Every ticket up to this one is settled.
    settled: u64,
    /// Tries that have failed in a row.
    failures: usize,
    /// Nobody tries before.
    retry_at: Timestamp,
}

/// Adds `record` and returns when it is in Postgres, or when that has failed for minutes.
pub(super) async fn write(app: &App, record: Record) {
    let ticket = app.usage.lock().push(record);
    let give_up_at = app.host.now().plus_ms(PATIENCE_MS);
    while !settled(app, ticket).await {
        let now = app.host.now();
        if now >= give_up_at {
            tracing::error!(ticket, "usage is still unwritten; it is kept and goes with the next call that ends");
            return;
        }
        let pause_ms = app.usage.lock().retry_at.since_ms(now);
        app.host.sleep(pause_ms.max(1).unsigned_abs()).await;
    }
}

/// Takes its turn, and writes all that is pending if nobody did and it is time to try.
async fn settled(app: &App, ticket: u64) -> bool {
    let _turn = app.usage.turn.lock().await;
    let (settled, retry_at) = {
        let pending = app.usage.lock();
        (pending.settled, pending.retry_at)
    };
    if settled >= ticket {
        return true;
    }
    if app.host.now() < retry_at {
        return false;
    }
    match write_pending(app).await {
        Ok(()) => {
            app.usage.lock().failures = 0;
            true
        }
        Err(error) => {
            let mut pending = app.usage.lock();
            tracing::warn!(error = %chain(&error), rows = pending.records.len(), "usage could not be written yet");
            pending.retry_at = app.host.now().plus_ms(PAUSE_MS[pending.failures.min(PAUSE_MS.len() - 1)]);
            pending.failures += 1;
            false
        }
    }
}

/// Writes what is pending, before the process ends.
pub(super) async fn flush(app: &App) {
    let _turn = app.usage.turn.lock().await;
    if let Err(error) = write_pending(app).await {
        tracing::error!(error = %chain(&error), rows = app.usage.lock().records.len(), "usage is lost");
    }
}

/// Writes all that is pending now; the caller holds the turn.
async fn write_pending(app: &App) -> Result<(), SqlError> {
    loop {
        let (batch, last) = app.usage.lock().take_batch();
        if batch.is_empty() {
            return Ok(());
        }
        match app.store.insert_usage(&batch).await {
            Ok(_) => {}
            Err(error @ SqlError::Unavailable(_)) => {
                app.usage.lock().put_back(batch);
                return Err(error);
            }
            // One row is at fault, and must not take the others with it.
            Err(_) => write_singly(app, batch).await?,
        }
        app.usage.lock().settled = last;
    }
}

/// Writes rows one by one; what Postgres refuses for its contents is logged and left out.
async fn write_singly(app: &App, batch: Vec<Record>) -> Result<(), SqlError> {
    let mut rest = batch.into_iter();
    while let Some(record) = rest.next() {
        match app.store.insert_usage(std::slice::from_ref(&record)).await {
            Ok(_) => {}
            Err(error @ SqlError::Unavailable(_)) => {
                app.usage.lock().put_back(std::iter::once(record).chain(rest).collect());
                return Err(error);
            }
            Err(error) => tracing::error!(error = %chain(&error), ?record, "a usage row cannot be stored"),
        }
    }
    Ok(())
}

impl Writer {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Adds a record and gives its ticket.
    fn push(&mut self, record: Record) -> u64 {
        if self.records.len() >= CAPACITY {
            let lost = self.records.remove(0);
            tracing::error!(record = ?lost, "too many usage rows wait for Postgres: the oldest is dropped");
        }
        self.records.push(record);
        self.arrived += 1;
        self.arrived
    }

    /// Takes the oldest records, and the ticket up to which they go.
    fn take_batch(&mut self) -> (Vec<Record>, u64) {
        let rest = self.records.split_off(self.records.len().min(BATCH));
        let batch = std::mem::replace(&mut self.records, rest);
        (batch, self.arrived - self.records.len() as u64)
    }

    /// Puts records back in front.
    fn put_back(&mut self, mut batch: Vec<Record>) {
        batch.append(&mut self.records);
        self.records = batch;
    }
}
