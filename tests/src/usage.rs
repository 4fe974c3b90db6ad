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
    pub first_byte_ms: Option<u64>,
    pub latency_ms: u64,
}

/// Every row, in the order of the calls.
pub async fn rows(client: &Client) -> Vec<UsageRow> {
    let rows =
        client.query("select to_jsonb(usage)::text from usage order by started_at, request_id", &[]).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
}
