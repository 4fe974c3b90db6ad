//! One call, looked up by its id: `GET /generations/{id}`.

use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{KeyId, OrgId, RequestId},
    time::Timestamp,
};

row! {
    /// A recorded call, and the head of its organisation's ledger.
    #[derive(Clone, Debug)]
    pub(crate) struct Generation {
        pub(crate) request_id: RequestId,
        pub(crate) org_id: OrgId,
        pub(crate) key_id: KeyId,
        pub(crate) endpoint: String,
        pub(crate) model: String,
        pub(crate) stream: bool,
        pub(crate) status: i64,
        pub(crate) outcome: String,
        pub(crate) prompt_tokens: i64,
        pub(crate) completion_tokens: i64,
        pub(crate) cached_tokens: i64,
        pub(crate) reasoning_tokens: i64,
        pub(crate) tokens_source: String,
        pub(crate) cost_nanos: i64,
        pub(crate) price_version: Option<i64>,
        pub(crate) started_at: Timestamp,
        pub(crate) first_byte_ms: Option<i64>,
        pub(crate) latency_ms: i64,
        pub(crate) ledger: Option<String>,
    }
}

sql! {
    FIND(OrgId, Option<KeyId>, RequestId) -> Generation = "
        select usage.request_id::text, usage.org_id::text, usage.key_id::text, usage.endpoint, usage.model,
            usage.stream, usage.status, usage.outcome, usage.prompt_tokens, usage.completion_tokens,
            usage.cached_tokens, usage.reasoning_tokens, usage.tokens_source, usage.cost_nanos, usage.price_version,
            (extract(epoch from usage.started_at) * 1000)::int8 as started_at, usage.first_byte_ms, usage.latency_ms,
            encode(wallets.head, 'hex') as ledger
        from usage left join wallets on wallets.org_id = usage.org_id
        where usage.org_id = $1::text::uuid and ($2::text is null or usage.key_id = $2::text::uuid)
            and usage.request_id = $3::text::uuid";
}

/// A call of an organisation, or of one key of it.
pub(crate) async fn find(
    store: &Store,
    org: OrgId,
    key: Option<KeyId>,
    id: RequestId,
) -> Result<Option<Generation>, SqlError> {
    store.first(&FIND, (org, key, id)).await
}
