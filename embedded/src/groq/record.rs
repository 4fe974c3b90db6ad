//! What the fake saw, and a way to wait for it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use axum::http::{HeaderMap, Method};
use serde_json::Value;
use tokio::sync::watch;

/// A request as it arrived, and what became of its answer.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    /// `null` where it was not JSON.
    pub body: Value,
    /// Events handed to the connection so far; an answer that is not streamed counts as one.
    pub events: usize,
    pub outcome: Outcome,
    pub arrived: Instant,
    /// When `outcome` stopped being `Open`.
    pub ended: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is not over.
    Open,
    /// The whole answer was handed to the connection.
    Finished,
    /// A fault ended it.
    Faulted,
    /// The client went away first.
    Aborted,
}

impl Outcome {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Finished => "finished",
            Self::Faulted => "faulted",
            Self::Aborted => "aborted",
        }
    }
}

/// Everything seen, in order of arrival.
#[derive(Clone, Debug)]
pub(super) struct Record {
    seen: Arc<Mutex<Vec<Seen>>>,
    changed: watch::Sender<()>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self { seen: Arc::default(), changed: watch::Sender::new(()) }
    }

    pub(super) fn all(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Returns what was seen as soon as `enough` holds for it.
    pub(super) async fn until(&self, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let mut changed = self.changed.subscribe();
        loop {
            let seen = self.all();
            if enough(&seen) {
                return seen;
            }
            changed.changed().await.expect("this record holds the sender");
        }
    }

    pub(super) fn open(&self, method: Method, path: String, headers: HeaderMap, body: Value) -> Entry {
        let arrived = Instant::now();
        let seen = Seen { method, path, headers, body, events: 0, outcome: Outcome::Open, arrived, ended: None };
        let index = {
            let mut all = self.lock();
            all.push(seen);
            all.len() - 1
        };
        self.changed.send_replace(());
        Entry { record: self.clone(), index, open: true }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().expect("no holder of this lock panics")
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut Seen)) {
        // A cleared record has no place for what is still open.
        if let Some(seen) = self.lock().get_mut(index) {
            change(seen);
        }
        self.changed.send_replace(());
    }
}

/// The open end of one request; dropped unclosed, it says that the client went away.
#[derive(Debug)]
pub(super) struct Entry {
    record: Record,
    index: usize,
    open: bool,
}

impl Entry {
    pub(super) fn count_event(&self) {
        self.record.change(self.index, |seen| seen.events += 1);
    }

    pub(super) fn close(&mut self, outcome: Outcome) {
        if std::mem::take(&mut self.open) {
            self.record.change(self.index, |seen| {
                seen.outcome = outcome;
                seen.ended = Some(Instant::now());
            });
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.close(Outcome::Aborted);
    }
}
