//! Rows of `usage`, read past the code that wrote them.

use serde::Deserialize;
use tokio_postgres::Client;

/// What a row says, as far as tests ask.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct UsageRow {
    pub request_id: String,
    pub key_id: String,
    pub endpoint: String,
    pub model: String,
    pub upstream: Option<String>,
    pub stream: bool,
    pub status: u16,
    pub outcome: String,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub tokens_source: String,
    pub cost_nanos: i64,
    pub upstream_cost_nanos: i64,
    pub price_version: Option<i64>,
    pub first_byte_ms: Option<u64>,
    pub latency_ms: u64,
}

/// Every row, in the order of the calls.
pub async fn rows(client: &Client) -> Vec<UsageRow> {
    let rows =
        client.query("select to_jsonb(usage)::text from usage order by started_at, request_id", &[]).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
}

/// Checks that the roll-ups are the sums of the rows, of each group and to the last token, and says of how many rows.
pub async fn assert_rolled_up(client: &Client) -> i64 {
    let compare = "
        with summed as (
            select org_id, key_id, (started_at at time zone 'UTC')::date as day,
                case when upstream is null and outcome in ('refused', 'client_left') then '' else model end as model,
                outcome, count(*) as calls, sum(prompt_tokens) as prompt_tokens,
                sum(completion_tokens) as completion_tokens, sum(cached_tokens) as cached_tokens,
                sum(reasoning_tokens) as reasoning_tokens, sum(latency_ms) as latency_ms,
                max(started_at) as last_started_at
            from usage group by 1, 2, 3, 4, 5
        ),
        kept as (
            select org_id, key_id, day, model, outcome, calls, prompt_tokens, completion_tokens, cached_tokens,
                reasoning_tokens, latency_ms, last_started_at
            from usage_rollups
        )
        select
            (select count(*) from (table summed except all table kept) as missing),
            (select count(*) from (table kept except all table summed) as wrong),
            (select count(*) from usage)";
    let row = client.query_one(compare, &[]).await.unwrap();
    let (missing, wrong): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!((missing, wrong), (0, 0), "groups that the roll-ups lack, and groups that they should not have");
    row.get(2)
}
