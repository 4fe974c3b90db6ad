//! Registering clients. The secret is random, so a fast hash of it is all that is kept, and it is shown once.

use crate::{
    Host, Store,
    audit::{Actor, Entry, Origin},
    host::random,
    sql::SqlError,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use shared::{
    id::{ClientId, OrgId, UserId},
    permission::Permissions,
    time::Timestamp,
};

pub(crate) use super::sql::ClientListing;
pub use super::sql::ClientSummary;

/// A program that is to get tokens in its own name.
pub struct NewClient {
    /// None for a client of the platform, which may introspect every token.
    pub org_id: Option<OrgId>,
    pub created_by: Option<UserId>,
    /// 1 to 200 characters.
    pub name: String,
    pub scope: Permissions,
}

/// A client's id and, this once, its secret.
pub struct IssuedClient {
    pub id: ClientId,
    pub secret: SecretString,
}

/// What is stored of a client's secret.
pub(super) fn hash(secret: &SecretString) -> Vec<u8> {
    Sha256::digest(secret.expose_secret().as_bytes()).to_vec()
}

/// Registers a client; none when its organisation has too many.
pub async fn register_client(
    host: &dyn Host,
    store: &Store,
    new: NewClient,
    actor: &Actor,
    origin: &Origin,
) -> Result<Option<IssuedClient>, SqlError> {
    let now = host.now();
    let id = ClientId::new(now, random(host));
    let secret: SecretString = format!("nest_secret_{}", BASE64URL.encode(random::<32>(host))).into();
    let detail = serde_json::json!({ "name": new.name, "scope": new.scope });
    let entry = in_org(Entry::new(now, actor, origin, "auth.client_created").target(id).detail(&detail), new.org_id);
    let made = store.insert_client(id, new, hash(&secret), now, entry).await?;
    Ok(made.then_some(IssuedClient { id, secret }))
}

/// Ends a client of `org`, or of the platform; false when there is no such live client. Its tokens end with it.
pub async fn revoke_client(
    store: &Store,
    id: ClientId,
    org: Option<OrgId>,
    now: Timestamp,
    actor: &Actor,
    origin: &Origin,
) -> Result<bool, SqlError> {
    let entry = in_org(Entry::new(now, actor, origin, "auth.client_revoked").target(id), org);
    store.revoke_client(id, org, now, entry).await
}

fn in_org(entry: Entry, org: Option<OrgId>) -> Entry {
    match org {
        Some(org) => entry.org(org),
        None => entry,
    }
}

/// The platform's own clients, newest first.
pub async fn platform_clients(store: &Store) -> Result<Vec<ClientSummary>, SqlError> {
    store.platform_clients().await
}
