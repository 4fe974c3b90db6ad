//! An answer on its way out, event by event.

use std::io;
use std::sync::Arc;
use std::vec;

use axum::body::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::Semaphore;

use super::Fault;
use super::connection::Reset;
use super::record::{Entry, Outcome};

/// Lets events out one by one when a test steps; open otherwise.
#[derive(Clone, Debug)]
pub(super) enum Gate {
    Open,
    Stepped(Arc<Semaphore>),
}

impl Gate {
    async fn pass(&self) {
        match self {
            // The connection writes out what it has before it comes back for the next event.
            Self::Open => tokio::task::yield_now().await,
            Self::Stepped(steps) => {
                if let Ok(step) = steps.acquire().await {
                    step.forget();
                }
            }
        }
    }
}

pub(super) struct Playback {
    events: vec::IntoIter<Bytes>,
    sent: usize,
    fault: Option<Fault>,
    gate: Gate,
    entry: Entry,
    reset: Reset,
}

impl Playback {
    pub(super) fn new(events: Vec<Bytes>, fault: Option<Fault>, gate: Gate, entry: Entry, reset: Reset) -> Self {
        Self { events: events.into_iter(), sent: 0, fault, gate, entry, reset }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::unfold(self, async |mut playback| playback.next().await.map(|event| (event, playback)))
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        self.gate.pass().await;
        if let Some(gap) = self.fault.and_then(Fault::gap) {
            tokio::time::sleep(gap).await;
        }
        match self.fault {
            Some(Fault::StallAfter { events }) if self.due(events) => return std::future::pending().await,
            Some(Fault::ResetAfter { events }) if self.due(events) => {
                self.entry.close(Outcome::Faulted);
                self.reset.on_close();
                return Some(Err(io::Error::other("reset, as asked")));
            }
            Some(Fault::CutAfter { events }) if self.due(events) => {
                self.entry.close(Outcome::Faulted);
                return None;
            }
            _ => {}
        }
        let event = self.events.next()?;
        self.sent += 1;
        self.entry.count_event();
        if self.events.len() == 0 {
            self.entry.close(Outcome::Finished);
        }
        Some(Ok(event))
    }

    /// A fault always comes before the last event, else it would be none.
    fn due(&self, events: usize) -> bool {
        self.sent == events || self.events.len() == 1
    }
}
