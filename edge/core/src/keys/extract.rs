//! `Caller`: who calls. A handler that takes one cannot run without a live key.

use super::{
    KeyError,
    cache::Entry,
    rules::{self, Freshness},
    sql::StoredKey,
};
use crate::{App, Error, auth, openapi::Describe, sql::SqlError};
use axum::extract::FromRequestParts;
use futures_util::FutureExt as _;
use http::{header::AUTHORIZATION, request::Parts};
use shared::id::{KeyId, OrgId};

/// The live key on a request, and who owns it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub key_id: KeyId,
    pub org_id: OrgId,
}

/// A handler that takes a `Caller` stands in the route table as one that needs a key.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().copied().ok_or_else(|| KeyError::Missing.into())
    }
}

impl Describe for Caller {}

/// The live key on a request.
pub(crate) async fn recognise(app: &App, parts: &Parts) -> Result<Caller, Error> {
    if parts.uri.query().is_some_and(rules::in_query) {
        return Err(KeyError::InQuery.into());
    }
    let header = parts.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    let text = header.and_then(auth::bearer).ok_or(KeyError::Missing)?;
    let id = rules::parse(text)?;
    let stored = known(app, id).await?.ok_or(KeyError::Unknown)?;
    rules::admit(&stored, &rules::hash(text), app.host.now())?;
    tracing::Span::current().record("key.id", tracing::field::display(id));
    Ok(Caller { key_id: id, org_id: stored.org_id })
}

/// The key's row, from the cache as long as that is right.
async fn known(app: &App, id: KeyId) -> Result<Option<StoredKey>, Error> {
    let Some(entry) = app.keys.get(id) else { return Ok(read(app, id).await?) };
    match rules::freshness(app.host.now().since_ms(entry.read_at)) {
        Freshness::Fresh => Ok(Some(entry.key)),
        Freshness::Ageing => {
            refresh_behind(app, id);
            Ok(Some(entry.key))
        }
        Freshness::Old => match read(app, id).await {
            Err(SqlError::Unavailable(cause)) => outage(app, entry, SqlError::Unavailable(cause)),
            result => Ok(result?),
        },
    }
}

/// While Postgres is away a key that was seen lately goes on; nobody is told that a key is wrong for that.
fn outage(app: &App, entry: Entry, cause: SqlError) -> Result<Option<StoredKey>, Error> {
    let in_grace = app.host.now().since_ms(entry.read_at) < app.config.key_grace_ms;
    if in_grace { Ok(Some(entry.key)) } else { Err(cause.into()) }
}

fn refresh_behind(app: &App, id: KeyId) {
    if app.keys.claim_refresh(id, app.host.now()) {
        let task = app.clone();
        app.host.defer(
            async move {
                if let Err(error) = read(&task, id).await {
                    tracing::warn!(error = %crate::error::chain(&error), "key {id} could not be refreshed");
                    task.keys.release_refresh(id);
                }
            }
            .boxed(),
        );
    }
}

async fn read(app: &App, id: KeyId) -> Result<Option<StoredKey>, SqlError> {
    let read_at = app.host.now();
    let row = app.store.key(id).await?;
    match &row {
        Some(key) => app.keys.put(key.clone(), read_at),
        None => app.keys.remove(id),
    }
    Ok(row)
}
