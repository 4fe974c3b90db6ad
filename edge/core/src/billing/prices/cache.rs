//! The newest table of prices, as this process or isolate last read it.

use crate::{App, Error, error::chain, refresh::Refresh, sql::SqlError};
use futures_util::FutureExt as _;
use shared::{price::Price, time::Timestamp};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// An older table is read anew behind a request.
const FRESH_MS: i64 = 5_000;
/// And one that is older than this before a request.
const OLD_MS: i64 = 60_000;

/// A version: all models that have a price.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) version: i64,
    models: HashMap<String, Priced>,
}

/// What a model costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Priced {
    pub(crate) price: Price,
    /// What the upstream takes from us, as far as it is known.
    pub(crate) upstream: Option<Price>,
}

impl Table {
    pub(super) fn new(version: i64, models: HashMap<String, Priced>) -> Self {
        Self { version, models }
    }

    /// What `model` costs; none when it is not for sale.
    pub(crate) fn price(&self, model: &str) -> Option<Priced> {
        self.models.get(model).copied()
    }

    pub(super) fn models(&self) -> impl Iterator<Item = (&str, &Priced)> {
        self.models.iter().map(|(model, priced)| (model.as_str(), priced))
    }
}

#[derive(Default)]
pub(crate) struct Prices(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// None before any version was published.
    table: Option<Arc<Table>>,
    read_at: Option<Timestamp>,
    refresh: Refresh,
}

impl Prices {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next request read first.
    pub(super) fn forget_age(&self) {
        self.lock().read_at = None;
    }
}

/// The newest table of prices; none while nothing costs anything.
pub(crate) async fn current(app: &App) -> Result<Option<Arc<Table>>, Error> {
    let now = app.host.now();
    let (table, read_at) = {
        let known = app.prices.lock();
        (known.table.clone(), known.read_at)
    };
    let age_ms = read_at.map(|it| now.since_ms(it));
    match age_ms {
        // A clock that was set back says nothing of the age.
        Some(0..=FRESH_MS) => Ok(table),
        Some(age_ms @ 0..=OLD_MS) => {
            tracing::trace!(age_ms, "prices are read anew");
            refresh_behind(app);
            Ok(table)
        }
        _ => match read(app).await {
            Err(SqlError::Unavailable(_)) if age_ms.is_some_and(|it| it < app.config.key_grace_ms) => Ok(table),
            result => Ok(result?),
        },
    }
}

fn refresh_behind(app: &App) {
    if app.prices.lock().refresh.claim(app.host.now()) {
        let task = app.clone();
        app.host.defer(
            async move {
                if let Err(error) = read(&task).await {
                    tracing::warn!(error = %chain(&error), "prices could not be read anew");
                }
                task.prices.lock().refresh.release();
            }
            .boxed(),
        );
    }
}

async fn read(app: &App) -> Result<Option<Arc<Table>>, SqlError> {
    let read_at = app.host.now();
    let known = app.prices.lock().table.as_ref().map(|it| it.version);
    let newest = app.store.newest_prices(known).await?;
    let mut cache = app.prices.lock();
    if let Some(table) = newest
        && cache.table.as_ref().is_none_or(|it| it.version < table.version)
    {
        cache.table = Some(Arc::new(table));
    }
    cache.read_at = cache.read_at.max(Some(read_at));
    Ok(cache.table.clone())
}
