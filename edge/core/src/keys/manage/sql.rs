//! `api_keys`: written by this slice alone, by the SQL functions of migration 11.

use super::{
    super::{Environment, key::Kind, text::SecretHash},
    KeyState,
};
use crate::{
    Store,
    audit::Entry,
    orgs::Standing,
    sql::{SqlError, row, sql},
};
use serde_json::Value;
use shared::{
    id::{ClientId, KeyId, OrgId, UserId},
    permission::Permissions,
    time::Timestamp,
};

row! {
    /// A key as lists show it.
    pub(in super::super) struct KeyRow {
        pub(in super::super) id: KeyId,
        pub(super) org_id: OrgId,
        pub(super) org_name: String,
        pub(super) name: String,
        pub(super) environment: String,
        pub(super) scopes: String,
        pub(super) models: String,
        pub(super) ip_allow: String,
        pub(super) limits: String,
        pub(super) spend_cap_nanos: Option<i64>,
        pub(super) spend_period: Option<String>,
        pub(super) prefix: String,
        pub(super) last_four: String,
        pub(super) created_at: Timestamp,
        pub(super) created_by: Option<UserId>,
        pub(super) created_by_client: Option<ClientId>,
        pub(super) expires_at: Option<Timestamp>,
        pub(super) revoked_at: Option<Timestamp>,
        pub(super) disabled: bool,
        pub(super) previous_until: Option<Timestamp>,
        pub(super) owner_kind: String,
        pub(super) owner_name: Option<String>,
        pub(super) owner_role: Option<String>,
        pub(super) owner_custom: Option<String>,
        pub(super) owner_scope: Option<String>,
        pub(super) last_used_at: Option<Timestamp>,
        pub(super) calls: i64,
        pub(super) prompt_tokens: i64,
        pub(super) completion_tokens: i64,
    }
}

row! {
    struct Labelled {
        environment: String,
    }
}

row! {
    /// What came of an act.
    struct Outcome {
        outcome: String,
    }
}

/// Which keys of an organisation.
pub(super) struct Filter {
    pub(super) environment: Option<Environment>,
    pub(super) kind: Option<Kind>,
    pub(super) state: Option<KeyState>,
    pub(super) after: Option<KeyId>,
    pub(super) rows: i64,
}

/// Keys as [`KeyRow`] has them, at the moment `$1`.
macro_rules! keys {
    ($which:literal) => {
        concat!(
            "
        select key.id::text, key.org_id::text, org.name as org_name, key.name, key.environment, key.scopes, key.models,
            key.ip_allow, key.limits::text as limits, key.spend_cap_nanos, key.spend_period, key.prefix, key.last_four,
            (extract(epoch from key.created_at) * 1000)::int8 as created_at,
            key.created_by::text, key.created_by_client::text,
            (extract(epoch from key.expires_at) * 1000)::int8 as expires_at,
            (extract(epoch from key.revoked_at) * 1000)::int8 as revoked_at,
            key.disabled_at is not null as disabled,
            (extract(epoch from key.previous_until) * 1000)::int8 as previous_until,
            owner.kind as owner_kind, owner.name as owner_name, owner.role as owner_role,
            owner.custom_permissions as owner_custom, owner.client_scope as owner_scope,
            (extract(epoch from used.last_used_at) * 1000)::int8 as last_used_at, used.calls, used.prompt_tokens,
            used.completion_tokens
        from api_keys key
        join orgs org on org.id = key.org_id
        join key_owners owner on owner.key_id = key.id
        cross join lateral key_usage(key.org_id, key.id, to_timestamp($1::int8 / 1000.0)) used
        ",
            $which
        )
    };
}

sql! {
    EVERY(Timestamp) -> KeyRow = keys!("order by key.created_at, key.id");

    OF_ORG(Timestamp, OrgId, Option<String>, Option<String>, Option<String>, Option<KeyId>, i64) -> KeyRow = keys!("
        where key.org_id = $2::text::uuid
            and ($3::text is null or key.environment = $3::text)
            and ($4::text is null or (key.scopes = 'models:use') = ($4::text = 'inference'))
            and ($5::text is null or $5::text = case
                when key.revoked_at is not null then 'revoked'
                when key.expires_at <= to_timestamp($1::int8 / 1000.0) then 'expired'
                when key.disabled_at is not null then 'disabled'
                else 'live' end)
            and ($6::text is null or key.id < $6::text::uuid)
        order by key.id desc limit $7::int8");

    ONE(Timestamp, OrgId, KeyId) -> KeyRow = keys!("where key.org_id = $2::text::uuid and key.id = $3::text::uuid");

    ENVIRONMENT(Option<OrgId>, KeyId) -> Labelled = "
        select environment from api_keys
        where id = $2::text::uuid and ($1::text is null or org_id = $1::text::uuid)";

    CREATE(Standing, String, Entry) -> Outcome = "
        select create_key($1::text::json, $2::text::json, $3::text) as outcome";

    CHANGE(Standing, KeyId, String, String, Entry) -> Outcome = "
        select change_key($1::text::json, $2::text::uuid, $3::text, $4::text::jsonb, $5::text) as outcome";

    ROTATE(Standing, KeyId, String, Vec<u8>, String, Option<Timestamp>, Entry) -> Outcome = "
        select rotate_key($1::text::json, $2::text::uuid, $3::text, $4::bytea, $5::text, $6::int8, $7::text) as outcome";

    REVOKE(Standing, KeyId, String, Entry) -> Outcome = "
        select revoke_key($1::text::json, $2::text::uuid, $3::text, $4::text) as outcome";
}

impl Store {
    /// The keys of every organisation, oldest first.
    pub(in super::super) async fn every_key(&self, now: Timestamp) -> Result<Vec<KeyRow>, SqlError> {
        self.all(&EVERY, (now,)).await
    }

    /// The keys of `org`, newest first.
    pub(super) async fn org_keys(&self, org: OrgId, filter: Filter, now: Timestamp) -> Result<Vec<KeyRow>, SqlError> {
        let Filter { environment, kind, state, after, rows } = filter;
        let (environment, kind) = (environment.map(|it| it.as_str().to_owned()), kind.map(|it| it.as_str().to_owned()));
        let state = state.map(|it| it.as_str().to_owned());
        self.all(&OF_ORG, (now, org, environment, kind, state, after, rows)).await
    }

    pub(super) async fn org_key(&self, org: OrgId, id: KeyId, now: Timestamp) -> Result<Option<KeyRow>, SqlError> {
        self.first(&ONE, (now, org, id)).await
    }

    /// That of a key of `org`, or of any organisation; none when there is no such key.
    pub(in super::super) async fn environment(
        &self,
        org: Option<OrgId>,
        id: KeyId,
    ) -> Result<Option<Environment>, SqlError> {
        Ok(self.first(&ENVIRONMENT, (org, id)).await?.map(|it| Environment::read(&it.environment).unwrap_or_default()))
    }

    pub(in super::super) async fn create_key(
        &self,
        standing: Standing,
        row: Value,
        entry: Entry,
    ) -> Result<String, SqlError> {
        told(self.first(&CREATE, (standing, row.to_string(), entry)).await)
    }

    pub(super) async fn change_key(
        &self,
        standing: Standing,
        id: KeyId,
        reach: Permissions,
        change: Value,
        entry: Entry,
    ) -> Result<String, SqlError> {
        told(self.first(&CHANGE, (standing, id, reach.to_string(), change.to_string(), entry)).await)
    }

    /// Gives a key another secret, by its hash and its last four characters.
    pub(in super::super) async fn rotate_key(
        &self,
        standing: Standing,
        id: KeyId,
        reach: Permissions,
        (hash, last_four): (SecretHash, String),
        overlap_until: Option<Timestamp>,
        entry: Entry,
    ) -> Result<String, SqlError> {
        let params = (standing, id, reach.to_string(), hash.to_vec(), last_four, overlap_until, entry);
        told(self.first(&ROTATE, params).await)
    }

    pub(in super::super) async fn revoke_key(
        &self,
        standing: Standing,
        id: KeyId,
        reach: Permissions,
        entry: Entry,
    ) -> Result<String, SqlError> {
        told(self.first(&REVOKE, (standing, id, reach.to_string(), entry)).await)
    }
}

fn told(row: Result<Option<Outcome>, SqlError>) -> Result<String, SqlError> {
    Ok(row?.map(|it| it.outcome).unwrap_or_default())
}
