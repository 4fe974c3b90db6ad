//! API keys: which program is this?
//!
//! Issues, lists and revokes keys, and recognises the caller of a request. Owns `api_keys`.
//! What a caller may do, and how often, is left to other slices.

mod cache;
mod extract;
mod rules;
mod sql;

pub(crate) use cache::Cache;
pub use extract::Caller;
pub(crate) use extract::recognise;
pub use rules::KeyError;
pub use sql::KeySummary;
pub(crate) use sql::statements;
use sql::{NewRow, StoredKey};

use crate::{Host, Store, host::random, sql::SqlError};
use secrecy::SecretString;
use shared::{
    id::{KeyId, OrgId, UserId},
    time::Timestamp,
};

/// What a key is issued for.
pub struct NewKey {
    pub org_id: OrgId,
    pub created_by: Option<UserId>,
    pub name: String,
    pub expires_at: Option<Timestamp>,
}

/// A key at the only moment at which it can be seen.
pub struct IssuedKey {
    pub id: KeyId,
    pub key: SecretString,
}

/// Makes a key; its text is in the answer and nowhere else.
pub async fn issue(host: &dyn Host, store: &Store, new: NewKey) -> Result<IssuedKey, SqlError> {
    let id = KeyId::new(host.now(), random(host));
    let text = rules::compose(id, unbiased(host));
    let (prefix, last_four) = rules::preview(&text);
    let NewKey { org_id, created_by, name, expires_at } = new;
    let secret_hash = rules::hash(&text).to_vec();
    store.insert_key(NewRow { id, org_id, created_by, name, prefix, last_four, secret_hash, expires_at }).await?;
    Ok(IssuedKey { id, key: text.into() })
}

/// Whether `text` is a key that would be let in now.
pub async fn is_live(host: &dyn Host, store: &Store, text: &str) -> Result<bool, SqlError> {
    let Ok(id) = rules::parse(text) else { return Ok(false) };
    let stored = store.key(id).await?;
    Ok(stored.is_some_and(|it| rules::admit(&it, &rules::hash(text), host.now()).is_ok()))
}

/// Every key, oldest first.
pub async fn list(store: &Store) -> Result<Vec<KeySummary>, SqlError> {
    store.key_summaries().await
}

/// Ends a key; false when there is none with this id. Edges notice within five seconds.
pub async fn revoke(store: &Store, id: KeyId) -> Result<bool, SqlError> {
    store.mark_revoked(id).await
}

/// Random bytes of which every base62 character is equally likely to be spelled.
fn unbiased(host: &dyn Host) -> [u8; rules::SECRET_CHARS] {
    let mut secret = [0; rules::SECRET_CHARS];
    for byte in &mut secret {
        *byte = loop {
            let [candidate] = random(host);
            if rules::is_unbiased(candidate) {
                break candidate;
            }
        };
    }
    secret
}
