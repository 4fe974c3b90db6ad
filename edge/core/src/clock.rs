//! The host's clock, compared with the database's.
//!
//! One-time codes, tokens and limits are judged by the host's clock, and edges do not ask one another for the time. The
//! database is the one clock that all of them see, so an edge whose own is wrong is noticed there.

use crate::{
    App, Store,
    sql::{SqlError, row, sql},
};
use shared::time::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};

/// A clock that differs by more is a fault: at half a minute good codes begin to be refused.
const TOLERATED_MS: i64 = 5_000;

const UNKNOWN: i64 = i64::MIN;

/// How far this host's clock was ahead of the database's when they were compared last.
pub(crate) struct Skew(AtomicI64);

impl Default for Skew {
    fn default() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }
}

impl Skew {
    /// In milliseconds; none before the first comparison.
    pub(crate) fn ahead_ms(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|it| *it != UNKNOWN)
    }
}

row! {
    struct DatabaseTime {
        now: Timestamp,
    }
}

sql! {
    DATABASE_TIME() -> DatabaseTime = "select (extract(epoch from clock_timestamp()) * 1000)::int8 as now";
}

impl Store {
    async fn database_time(&self) -> Result<Option<Timestamp>, SqlError> {
        Ok(self.first(&DATABASE_TIME, ()).await?.map(|row| row.now))
    }
}

/// Compares the clocks, and tells whoever reads the log when they differ. To be called by the clock.
pub(crate) async fn compare(app: &App) {
    let asked = app.host.now();
    let told = match app.store.database_time().await {
        Ok(Some(told)) => told,
        Ok(None) => return,
        // That the database is away, others say.
        Err(error) => return tracing::debug!(error = %crate::error::chain(&error), "the clocks were not compared"),
    };
    let ahead_ms = ahead_ms(asked, told, app.host.now());
    app.clock.0.store(ahead_ms, Ordering::Relaxed);
    if ahead_ms.abs() > TOLERATED_MS {
        tracing::error!(ahead_ms, "this host's clock is {ahead_ms} ms ahead of the database's: set one of them right");
    }
}

/// How far ahead a clock is, as far as the answer's way does not explain it.
fn ahead_ms(asked: Timestamp, told: Timestamp, answered: Timestamp) -> i64 {
    if told < asked {
        asked.since_ms(told)
    } else if told > answered {
        answered.since_ms(told)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_answer_s_way_is_no_skew() {
        for (asked, told, answered, ahead) in [
            (0, 0, 0, 0),
            (10, 15, 40, 0),
            (10, 40, 40, 0),
            (10, 9, 40, 1),
            (10, 41, 40, -1),
            (300_000, 50, 300_090, 299_950),
        ] {
            assert_eq!(
                ahead_ms(Timestamp(asked), Timestamp(told), Timestamp(answered)),
                ahead,
                "{asked} {told} {answered}"
            );
        }
        assert_eq!(Skew::default().ahead_ms(), None);
    }
}
