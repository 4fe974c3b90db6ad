//! `api_keys`: written by this slice alone.

use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{KeyId, OrgId, UserId},
    time::Timestamp,
};

row! {
    /// What admission needs to know of a key.
    #[derive(Clone, Debug)]
    pub(super) struct StoredKey {
        pub(super) id: KeyId,
        pub(super) org_id: OrgId,
        pub(super) secret_hash: Vec<u8>,
        pub(super) expires_at: Option<Timestamp>,
        pub(super) revoked_at: Option<Timestamp>,
        pub(super) version: i64,
        pub(super) org_suspended: bool,
    }
}

row! {
    /// A key as lists show it.
    #[derive(Clone, Debug, serde::Serialize)]
    pub struct KeySummary {
        pub id: KeyId,
        pub org_id: OrgId,
        pub org_name: String,
        pub name: String,
        pub prefix: String,
        pub last_four: String,
        pub created_at: Timestamp,
        pub expires_at: Option<Timestamp>,
        pub revoked_at: Option<Timestamp>,
        pub last_used_at: Option<Timestamp>,
    }
}

row! {
    pub(super) struct Id {
        pub(super) id: KeyId,
    }
}

/// A key on its way into the table.
pub(super) struct NewRow {
    pub(super) id: KeyId,
    pub(super) org_id: OrgId,
    pub(super) created_by: Option<UserId>,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) last_four: String,
    pub(super) secret_hash: Vec<u8>,
    pub(super) expires_at: Option<Timestamp>,
}

sql! {
    // A deleted organisation takes its keys with it.
    BY_ID(KeyId) -> StoredKey = "
        select key.id::text, key.org_id::text, key.secret_hash,
            (extract(epoch from key.expires_at) * 1000)::int8 as expires_at,
            (extract(epoch from coalesce(key.revoked_at, org.deleted_at)) * 1000)::int8 as revoked_at,
            key.version, org.suspended_at is not null as org_suspended
        from api_keys key join orgs org on org.id = key.org_id
        where key.id = $1::text::uuid";

    INSERT(KeyId, OrgId, Option<UserId>, String, String, String, Vec<u8>, Option<Timestamp>) -> Id = "
        insert into api_keys (id, org_id, created_by, name, prefix, last_four, secret_hash, expires_at)
        values ($1::text::uuid, $2::text::uuid, $3::text::uuid, $4::text, $5::text, $6::text, $7::bytea,
            to_timestamp($8::int8 / 1000.0))
        returning id::text";

    LIST() -> KeySummary = "
        select key.id::text, key.org_id::text, org.name as org_name, key.name, key.prefix, key.last_four,
            (extract(epoch from key.created_at) * 1000)::int8 as created_at,
            (extract(epoch from key.expires_at) * 1000)::int8 as expires_at,
            (extract(epoch from key.revoked_at) * 1000)::int8 as revoked_at,
            (extract(epoch from (select max(started_at) from usage where usage.key_id = key.id)) * 1000)::int8
                as last_used_at
        from api_keys key join orgs org on org.id = key.org_id
        order by key.created_at, key.id";

    // Revoking twice keeps the first time; the id comes back either way, so that a retry is no error.
    REVOKE(KeyId) -> Id = "
        update api_keys set revoked_at = coalesce(revoked_at, now()), version = version + 1
        where id = $1::text::uuid
        returning id::text";
}

impl Store {
    pub(super) async fn key(&self, id: KeyId) -> Result<Option<StoredKey>, SqlError> {
        self.first(&BY_ID, (id,)).await
    }

    pub(super) async fn insert_key(&self, key: NewRow) -> Result<(), SqlError> {
        let NewRow { id, org_id, created_by, name, prefix, last_four, secret_hash, expires_at } = key;
        let params = (id, org_id, created_by, name, prefix, last_four, secret_hash, expires_at);
        self.first(&INSERT, params).await.map(|_| ())
    }

    pub(super) async fn key_summaries(&self) -> Result<Vec<KeySummary>, SqlError> {
        self.all(&LIST, ()).await
    }

    /// Whether there was such a key.
    pub(super) async fn mark_revoked(&self, id: KeyId) -> Result<bool, SqlError> {
        Ok(self.first(&REVOKE, (id,)).await?.is_some_and(|row| row.id == id))
    }
}
