//! Counters that all edges share: one decision over any number of them, all or nothing.
//!
//! They are kept in an Upstash Redis, where one script decides; without one, in this process, by the same rules. A
//! refused take counts nothing, every counter is forgotten some time after its window, and a clock that is set back
//! gives nobody anything again.

mod breaker;
mod memory;
mod reply;
mod script;
mod slots;
mod store;
mod upstash;
mod window;

pub use breaker::{Breaker, Change, Permit};
pub use memory::{CAPACITY, Memory};
pub use reply::Reply;
pub use script::{Script, TAKE};
pub use store::Shared;
pub use upstash::{Upstash, UpstashError};

use crate::{Host, config::UpstashConfig};
use shared::time::Timestamp;
use std::error::Error;

/// Where counters are kept.
pub enum Counters {
    /// In this process, by the host's clock.
    Memory(Memory),
    /// In a store that other edges share, by the store's clock.
    Shared(Shared),
}

impl Counters {
    /// The counters of the store that is configured; without one, of this process.
    pub fn new(config: Option<&UpstashConfig>) -> Self {
        match config {
            Some(config) => Self::Shared(Shared::new(Upstash::new(config.clone()))),
            None => Self::Memory(Memory::default()),
        }
    }

    /// Takes from every one of `counters`, each of which is named once, or from none.
    ///
    /// What is settled is settled in either case. When it errs, nobody knows whether something was counted.
    pub async fn take(&self, host: &dyn Host, counters: &[Counter]) -> Result<Decision, CountersError> {
        self.take_at(host, counters, None).await
    }

    /// The same at a given time, for tests of what time does.
    pub async fn take_at(
        &self,
        host: &dyn Host,
        counters: &[Counter],
        at: Option<Timestamp>,
    ) -> Result<Decision, CountersError> {
        if counters.is_empty() {
            return Ok(Decision::Granted(Vec::new()));
        }
        match self {
            Self::Memory(memory) => Ok(memory.take(counters, at.unwrap_or_else(|| host.now()))),
            Self::Shared(shared) => shared.take(host, counters, at).await,
        }
    }
}

/// One limit within a take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its name in the store, such as `nest:{org_...}:key_...:requests_per_minute`.
    pub key: String,
    pub kind: Kind,
    pub limit: u64,
    /// What is needed now.
    pub cost: u64,
    /// What would be taken ahead; at least `cost`. Ahead of it no more than an eighth of what is left is given.
    pub want: u64,
    /// What an earlier take got too much (below zero) or too little. Of windows alone: slots are said anew each time.
    pub settle: Option<Settlement>,
}

/// How a limit counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any span of this length, estimated from the present window and the one before.
    Sliding { window_ms: i64 },
    /// Windows of the epoch, each by itself.
    Fixed { window_ms: i64 },
    /// Things held at the same time: `cost` and `want` are how many `holder` holds in all, for `ttl_ms` unless it says so again.
    Slots { holder: String, ttl_ms: i64 },
}

/// A correction of what was counted in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The window's number, as [`Grant::window`] told it.
    pub window: i64,
    pub delta: i64,
}

/// What a store decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every counter gave at least its cost; in the order of the counters.
    Granted(Vec<Grant>),
    /// One could not, and none has counted anything.
    Refused {
        /// Which of the counters; of several, the one that takes longest.
        at: usize,
        /// Until it is likely to have as much: at least 1.
        retry_ms: i64,
        standings: Vec<Standing>,
    },
}

/// What a counter gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Between cost and want.
    pub granted: u64,
    /// The number of the window that it counts in; 0 of slots.
    pub window: i64,
    pub standing: Standing,
}

/// What is left of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub remaining: u64,
    /// Until its window ends; of slots, how long what is held stays held.
    pub reset_ms: i64,
}

/// A store gave no decision. None of the texts holds a value, a key or a token.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// Refused, too slow, or saying that it is busy or broken.
    #[error("the store of counters is away")]
    Away(#[source] Box<dyn Error + Send + Sync>),
    /// It does not take our token.
    #[error("the store of counters refuses our token")]
    Denied,
    /// It said what no store of counters says.
    #[error("the store of counters answered something else")]
    Garbled,
    /// It was away a moment ago and was not asked again.
    #[error("the store of counters is left alone for now")]
    Open,
}
