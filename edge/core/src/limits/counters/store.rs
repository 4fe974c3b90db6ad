//! The store that all edges share, and who leaves it alone while it is away.

use super::{
    Counter, CountersError, Decision,
    breaker::{Breaker, Change},
    script::{self, TAKE},
    upstash::{Upstash, UpstashError},
};
use crate::{Host, error::chain};
use shared::time::Timestamp;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counters in an Upstash Redis.
pub struct Shared {
    upstash: Upstash,
    breaker: Mutex<Breaker>,
}

impl Shared {
    pub fn new(upstash: Upstash) -> Self {
        Self { upstash, breaker: Mutex::default() }
    }

    /// Decides in the store, by its clock unless a time is given.
    pub(super) async fn take(
        &self,
        host: &dyn Host,
        counters: &[Counter],
        at: Option<Timestamp>,
    ) -> Result<Decision, CountersError> {
        let permit = self.breaker().ask(host.now()).ok_or(CountersError::Open)?;
        let decision = self.decide(host, counters, at).await;
        let change = match &decision {
            Ok(_) => self.breaker().succeeded(&permit),
            Err(_) => self.breaker().failed(&permit, host.now()),
        };
        match (change, &decision) {
            (Change::Opened, Err(error)) => {
                tracing::error!(error = %chain(error), "the store of counters is left alone for a while");
            }
            (Change::Closed, _) => tracing::info!("the store of counters is back"),
            _ => {}
        }
        decision
    }

    async fn decide(
        &self,
        host: &dyn Host,
        counters: &[Counter],
        at: Option<Timestamp>,
    ) -> Result<Decision, CountersError> {
        let keys: Vec<&str> = counters.iter().map(|it| it.key.as_str()).collect();
        let arguments = script::arguments(counters, at);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let reply = self.upstash.evaluate(host, &TAKE, &keys, &arguments).await?;
        script::decision(&reply, counters.len()).ok_or(CountersError::Garbled)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<UpstashError> for CountersError {
    fn from(error: UpstashError) -> Self {
        match error {
            UpstashError::Denied => Self::Denied,
            UpstashError::Garbled => Self::Garbled,
            // A token that may read and not write is no better than a wrong one.
            UpstashError::Command(text) if text.starts_with("NOPERM") => Self::Denied,
            // Loading, out of memory, over its quota: whatever it is, it gives no decision.
            UpstashError::Away(_) | UpstashError::Command(_) => Self::Away(error.into()),
        }
    }
}
