//! `api_keys`, as admission reads it.

use super::key::Key;
use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{ClientId, KeyId, OrgId, UserId},
    time::Timestamp,
};

row! {
    /// What admission needs to know of a key, its organisation and its owner.
    pub(super) struct StoredKey {
        pub(super) id: KeyId,
        pub(super) org_id: OrgId,
        pub(super) name: String,
        pub(super) secret_hash: Vec<u8>,
        pub(super) previous_hash: Option<Vec<u8>>,
        pub(super) previous_until: Option<Timestamp>,
        pub(super) expires_at: Option<Timestamp>,
        pub(super) revoked: bool,
        pub(super) disabled: bool,
        pub(super) version: i64,
        pub(super) org_suspended: bool,
        /// What operators have set, or else what the plan gives; none without either.
        pub(super) org_limits: Option<String>,
        pub(super) environment: String,
        pub(super) scopes: String,
        pub(super) models: String,
        pub(super) ip_allow: String,
        pub(super) limits: String,
        pub(super) created_by: Option<UserId>,
        pub(super) created_by_client: Option<ClientId>,
        pub(super) owner_kind: String,
        pub(super) owner_role: Option<String>,
        pub(super) owner_custom: Option<String>,
        pub(super) owner_scope: Option<String>,
    }
}

sql! {
    // A deleted organisation takes its keys with it.
    BY_ID(KeyId) -> StoredKey = "
        select key.id::text, key.org_id::text, key.name, key.secret_hash, key.previous_hash,
            (extract(epoch from key.previous_until) * 1000)::int8 as previous_until,
            (extract(epoch from key.expires_at) * 1000)::int8 as expires_at,
            key.revoked_at is not null or org.deleted_at is not null as revoked,
            key.disabled_at is not null as disabled, key.version, org.suspended_at is not null as org_suspended,
            coalesce(org.limits, org.plan_limits)::text as org_limits,
            key.environment, key.scopes, key.models, key.ip_allow, key.limits::text as limits,
            key.created_by::text, key.created_by_client::text,
            owner.kind as owner_kind, owner.role as owner_role, owner.custom_permissions as owner_custom,
            owner.client_scope as owner_scope
        from api_keys key
        join orgs org on org.id = key.org_id
        join key_owners owner on owner.key_id = key.id
        where key.id = $1::text::uuid";
}

impl Store {
    pub(super) async fn key(&self, id: KeyId) -> Result<Option<Key>, SqlError> {
        self.first(&BY_ID, (id,)).await?.map(Key::try_from).transpose()
    }
}
