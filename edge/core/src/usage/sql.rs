//! `usage`: written by this slice alone.

use super::Record;
use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use serde_json::value::RawValue;
use shared::{
    id::{KeyId, OrgId, RequestId},
    time::Timestamp,
};

row! {
    struct Written {
        rows: i64,
    }
}

row! {
    /// A recorded call.
    #[derive(Clone, Debug, serde::Serialize)]
    pub struct Call {
        pub request_id: RequestId,
        pub org_id: OrgId,
        pub key_id: KeyId,
        pub key_name: String,
        pub endpoint: String,
        pub model: String,
        pub upstream: Option<String>,
        pub stream: bool,
        pub status: i64,
        pub outcome: String,
        pub prompt_tokens: i64,
        pub completion_tokens: i64,
        pub tokens_source: String,
        pub cost_nanos: i64,
        pub started_at: Timestamp,
        pub first_byte_ms: Option<i64>,
        pub latency_ms: i64,
    }
}

sql! {
    // One parameter carries any number of rows, since a host binds no arrays. Rows that are there already stay as
    // they are, so that a batch whose fate is unknown can be sent again.
    INSERT(String) -> Written = "
        with written as (
            insert into usage
                (request_id, org_id, key_id, endpoint, model, upstream, stream, status, outcome, prompt_tokens,
                 completion_tokens, cached_tokens, reasoning_tokens, tokens_source, cost_nanos, upstream_cost_nanos,
                 price_version, lease_id, started_at, first_byte_ms, latency_ms)
            select request_id, org_id, key_id, endpoint, model, upstream, stream, status, outcome, prompt_tokens,
                completion_tokens, cached_tokens, reasoning_tokens, tokens_source, cost_nanos, upstream_cost_nanos,
                price_version, lease_id,
                to_timestamp(started_at_ms / 1000.0), first_byte_ms, latency_ms
            from jsonb_to_recordset($1::text::jsonb) as record
                (request_id uuid, org_id uuid, key_id uuid, endpoint text, model text, upstream text, stream boolean,
                 status bigint, outcome text, prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint,
                 reasoning_tokens bigint, tokens_source text, cost_nanos bigint, upstream_cost_nanos bigint,
                 price_version bigint, lease_id uuid, started_at_ms bigint, first_byte_ms bigint, latency_ms bigint)
            on conflict (request_id) do nothing
            returning 1
        )
        select count(*)::int8 as rows from written";

    RECENT(i64) -> Call = "
        select usage.request_id::text, usage.org_id::text, usage.key_id::text, key.name as key_name, usage.endpoint,
            usage.model, usage.upstream, usage.stream, usage.status, usage.outcome, usage.prompt_tokens,
            usage.completion_tokens, usage.tokens_source, usage.cost_nanos,
            (extract(epoch from usage.started_at) * 1000)::int8 as started_at, usage.first_byte_ms, usage.latency_ms
        from usage join api_keys key on key.id = usage.key_id
        order by usage.started_at desc, usage.request_id desc limit $1::int8";
}

impl Store {
    /// Writes what is not there yet, and says how many rows that were.
    pub(super) async fn insert_usage(&self, records: &[Record]) -> Result<i64, SqlError> {
        self.insert_rows(serde_json::to_string(records).expect("records are plain data")).await
    }

    /// The same, of rows that were written down before.
    pub(super) async fn insert_usage_json(&self, rows: &[&RawValue]) -> Result<i64, SqlError> {
        self.insert_rows(serde_json::to_string(rows).expect("rows are plain data")).await
    }

    async fn insert_rows(&self, json: String) -> Result<i64, SqlError> {
        Ok(self.first(&INSERT, (json,)).await?.map_or(0, |row| row.rows))
    }

    pub(super) async fn recent_calls(&self, limit: i64) -> Result<Vec<Call>, SqlError> {
        self.all(&RECENT, (limit,)).await
    }
}
