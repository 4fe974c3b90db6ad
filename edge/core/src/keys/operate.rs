//! What `nest` does with keys: in every organisation, for whoever has the database's password.

use super::{
    KeyError, KeyView,
    issue::{self, Act, IssuedKey, NewKey},
    key::Kind,
    policy::{self, NAME_CHARS},
    rules, text,
};
use crate::{Error, Host, Store, orgs, sql::SqlError};
use shared::{id::KeyId, permission::Permissions, time::Timestamp};

/// Makes a key, by the rules of the API; its text is in the answer and nowhere else.
pub async fn issue(host: &dyn Host, store: &Store, new: &NewKey) -> Result<IssuedKey, Error> {
    let now = host.now();
    let new = NewKey {
        name: orgs::name(&new.name, NAME_CHARS)?,
        scopes: rules::scopes(new.scopes, Permissions::all())?,
        limits: policy::limits(new.limits)?,
        expires_at: new.expires_at.map(|at| policy::expiry(at, now)).transpose()?,
        ..new.clone()
    };
    issue::make(host, store, &new, Act::at_nest(Some(new.org_id), now, "keys.created")).await
}

/// Every key, oldest first.
pub async fn list(store: &Store, now: Timestamp) -> Result<Vec<KeyView>, SqlError> {
    Ok(store.every_key(now).await?.into_iter().map(|row| row.view(now)).collect())
}

/// Gives a key a new secret, beside which the old one stays good for so many seconds.
pub async fn rotate(
    host: &dyn Host,
    store: &Store,
    id: KeyId,
    overlap_seconds: Option<i64>,
) -> Result<IssuedKey, Error> {
    let overlap_ms = issue::overlap_ms(overlap_seconds)?;
    let environment = store.environment(None, id).await?.ok_or(KeyError::NoKey)?;
    issue::renew(host, store, (id, environment), overlap_ms, Act::at_nest(None, host.now(), "keys.rotated")).await
}

/// Ends a key. Edges notice within the time that their `KEY_CACHE_MS` says.
pub async fn revoke(store: &Store, id: KeyId, now: Timestamp) -> Result<(), Error> {
    issue::end(store, id, Act::at_nest(None, now, "keys.revoked")).await
}

/// Whether `text` is a key with which models could be called now, from somewhere.
pub async fn is_live(host: &dyn Host, store: &Store, text: &str) -> Result<bool, SqlError> {
    let Ok(id) = text::parse(text) else { return Ok(false) };
    let key = store.key(id).await?;
    let verdict = key.map(|it| rules::admit(&it, &text::hash(text), Kind::Inference, None, host.now()));
    Ok(matches!(verdict, Some(Ok(()) | Err(KeyError::Address))))
}
