//! `Caller`: who calls. A handler that takes one cannot run without a live key.

use super::{
    Environment, KeyError, Models,
    cache::Seen,
    key::{INFERENCE, Key, Kind},
    rules::{self, Freshness},
    text::{self, SecretHash},
};
use crate::{
    App, Error,
    auth::{self, OrgRef},
    limits::{self, Quota, Quotas},
    openapi::Describe,
    orgs::{self, Member, OrgError},
    sql::SqlError,
};
use axum::extract::FromRequestParts;
use futures_util::FutureExt as _;
use http::{header::AUTHORIZATION, request::Parts};
use shared::id::{KeyId, OrgId};
use std::{fmt, net::IpAddr, sync::Arc};

/// The live inference key on a request, and what it may. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    pub key_id: KeyId,
    pub org_id: OrgId,
    pub environment: Environment,
    /// Limits of the key and of its organisation.
    pub quotas: Quotas,
    pub models: Models,
    /// What the caller has shown for it, by which a stream is looked after.
    pub(super) presented: Presented,
    pub(super) address: Option<IpAddr>,
}

/// The hash of the text that a caller has presented; nothing that prints a caller prints it.
#[derive(Clone, Copy)]
pub(super) struct Presented(pub(super) SecretHash);

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented")
    }
}

/// A handler that takes a `Caller` stands in the route table as one that needs a key.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| KeyError::Missing.into())
    }
}

impl Describe for Caller {}

/// The text of a key in `Authorization`; none when there is something else, or nothing.
pub(crate) fn presented(parts: &Parts) -> Option<&str> {
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let text = headers.next()?.to_str().ok().and_then(auth::bearer)?;
    // Of two, a proxy in front may have judged the other.
    headers.next().is_none().then_some(text).filter(|it| text::is_meant(it))
}

/// Refuses a key in the query, whatever else is presented, so that whoever wrote it there notices.
pub(crate) fn refuse_in_query(parts: &Parts) -> Result<(), Error> {
    if parts.uri.query().is_some_and(text::in_query) { Err(KeyError::InQuery.into()) } else { Ok(()) }
}

/// The limits of a key of `org`.
pub(crate) async fn quota(app: &App, org: OrgId, id: &str) -> Result<(KeyId, Quota), Error> {
    let id = id.parse().map_err(|_| KeyError::NoKey)?;
    let key = app.store.key(id).await?.filter(|it| it.org_id == org).ok_or(KeyError::NoKey)?;
    Ok((id, key.quota))
}

/// The live inference key on a request.
pub(crate) async fn recognise(app: &App, parts: &Parts) -> Result<Caller, Error> {
    let bearer = parts.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()).and_then(auth::bearer);
    let text = presented(parts).ok_or(if bearer.is_some() { KeyError::Malformed } else { KeyError::Missing })?;
    let Live { key, presented, address } = live(app, parts, text, Kind::Inference).await?;
    Ok(Caller {
        presented: Presented(presented),
        address,
        key_id: key.id,
        org_id: key.org_id,
        environment: key.environment,
        quotas: Quotas { org: key.org_quota.unwrap_or(app.config.limits.org), key: key.quota },
        models: key.models.clone(),
    })
}

/// The place of a management key in `org`, which must be its own.
pub(crate) async fn member(app: &App, parts: &Parts, text: &str, org: OrgRef) -> Result<Member, Error> {
    let Live { key, .. } = live(app, parts, text, Kind::Management).await?;
    org.within(Some(key.org_id)).ok_or(OrgError::Unknown)?;
    let own = key.permissions();
    // No key is of both kinds, so whoever makes keys by one could otherwise make none that call models.
    let grants = own.or(INFERENCE.and(key.owner_permissions));
    Ok(orgs::key_member(key.id, key.name.clone(), key.org_id, own, grants, key.owner))
}

/// A key that was let in, and by what.
struct Live {
    key: Arc<Key>,
    presented: SecretHash,
    address: Option<IpAddr>,
}

/// The key that `text` is, if it is live and of the wanted kind.
async fn live(app: &App, parts: &Parts, text: &str, wanted: Kind) -> Result<Live, Error> {
    let (id, hash) = (text::parse(text)?, text::hash(text));
    let address = limits::client_ip(app, &parts.extensions, &parts.headers);
    let admit = |key: &Key| rules::admit(key, &hash, wanted, address, app.host.now());
    let found = known(app, id).await?;
    let mut key = found.key.ok_or_else(|| unknown(&hash))?;
    let mut verdict = admit(&key);
    // The secret may be one that a rotation has made since.
    if verdict == Err(KeyError::Unknown) && found.cached && app.keys.may_reread(id, app.host.now()) {
        key = read(app, id).await?.ok_or_else(|| unknown(&hash))?;
        verdict = admit(&key);
    }
    verdict?;
    tracing::Span::current().record("key.id", tracing::field::display(id));
    Ok(Live { key, presented: hash, address })
}

/// What is answered for an id that no key has, after as much work as for one that a key has.
fn unknown(presented: &SecretHash) -> KeyError {
    rules::compare_with_nothing(presented);
    KeyError::Unknown
}

struct Found {
    key: Option<Arc<Key>>,
    /// Whether it was not read for this request.
    cached: bool,
}

/// The key with this id, from the cache as long as that is right.
async fn known(app: &App, id: KeyId) -> Result<Found, Error> {
    let Some(seen) = app.keys.get(id) else { return Ok(Found { key: read(app, id).await?, cached: false }) };
    match rules::freshness(app.host.now().since_ms(seen.read_at), app.config.key_cache_ms) {
        Freshness::Fresh => Ok(Found { key: Some(seen.key), cached: true }),
        Freshness::Ageing => {
            refresh_behind(app, id);
            Ok(Found { key: Some(seen.key), cached: true })
        }
        Freshness::Old => match read(app, id).await {
            Err(SqlError::Unavailable(cause)) => outage(app, seen, SqlError::Unavailable(cause)),
            result => Ok(Found { key: result?, cached: false }),
        },
    }
}

/// While Postgres is away a key that was seen lately goes on; nobody is told that a key is wrong for that.
fn outage(app: &App, seen: Seen, cause: SqlError) -> Result<Found, Error> {
    let in_grace = app.host.now().since_ms(seen.read_at) < app.config.key_grace_ms;
    if in_grace { Ok(Found { key: Some(seen.key), cached: true }) } else { Err(cause.into()) }
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

pub(super) async fn read(app: &App, id: KeyId) -> Result<Option<Arc<Key>>, SqlError> {
    let read_at = app.host.now();
    let key = app.store.key(id).await?.map(Arc::new);
    match &key {
        Some(key) => app.keys.put(key.clone(), read_at),
        None => app.keys.remove(id),
    }
    Ok(key)
}
