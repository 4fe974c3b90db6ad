//! Usage: what was used?
//!
//! Records every call of a known key once, by request id, behind its response. Owns `usage`.
//! What a call costs is billing's; which tokens were counted, and by whom, the proxy says.

mod sql;
mod writer;

pub(crate) use sql::statements;
pub use sql::{Call, Total};
pub(crate) use writer::Writer;

use crate::{App, Store, sql::SqlError};
use serde::{Serialize, Serializer};
use shared::{
    id::{KeyId, OrgId, RequestId},
    time::Timestamp,
    usage::Usage,
};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The whole answer went out.
    Completed,
    /// The call was at fault: a 4xx.
    Refused,
    /// We or the upstream were at fault before any answer: a 5xx.
    Failed,
    /// The client went away before the end.
    ClientLeft,
    /// The upstream broke off within its answer.
    UpstreamCut,
}

/// Who counted the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokensSource {
    /// The upstream reported them.
    Upstream,
    /// We counted the events that passed.
    Counted,
    /// There was no answer to count.
    None,
}

/// A row of `usage`, as the insert statement reads it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    #[serde(serialize_with = "uuid")]
    pub(crate) request_id: RequestId,
    #[serde(serialize_with = "uuid")]
    pub(crate) org_id: OrgId,
    #[serde(serialize_with = "uuid")]
    pub(crate) key_id: KeyId,
    pub(crate) endpoint: &'static str,
    pub(crate) model: String,
    pub(crate) upstream: Option<String>,
    pub(crate) stream: bool,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    #[serde(flatten)]
    pub(crate) tokens: Tokens,
    pub(crate) tokens_source: TokensSource,
    pub(crate) started_at_ms: i64,
    pub(crate) first_byte_ms: Option<i64>,
    pub(crate) latency_ms: i64,
}

/// Token counts as Postgres can hold them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tokens {
    prompt_tokens: i64,
    completion_tokens: i64,
    cached_tokens: i64,
    reasoning_tokens: i64,
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        Self {
            prompt_tokens: count(usage.prompt_tokens),
            completion_tokens: count(usage.completion_tokens),
            cached_tokens: count(usage.cached_tokens()),
            reasoning_tokens: count(usage.reasoning_tokens()),
        }
    }
}

fn uuid<S: Serializer, I: Copy + Uuid>(id: &I, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&id.uuid())
}

trait Uuid {
    fn uuid(self) -> uuid::Uuid;
}

macro_rules! uuids {
    ($($id:ty),*) => {$(impl Uuid for $id { fn uuid(self) -> uuid::Uuid { <$id>::uuid(self) } })*};
}

uuids!(RequestId, OrgId, KeyId);

/// Records a call, behind its response.
pub(crate) fn record(app: &App, record: Record) {
    let task = app.clone();
    app.host.defer(Box::pin(async move { writer::write(&task, record).await }));
}

/// Writes what an outage has left, a batch at a time.
pub(crate) async fn catch_up(app: &App) {
    writer::catch_up(app).await;
}

/// Writes what is still pending.
pub(crate) async fn flush(app: &App) {
    writer::flush(app).await;
}

/// The latest calls, newest first.
pub async fn recent(store: &Store, limit: i64) -> Result<Vec<Call>, SqlError> {
    store.recent_calls(limit).await
}

/// Calls and tokens since a point in time, by key and model.
pub async fn totals(store: &Store, since: Timestamp) -> Result<Vec<Total>, SqlError> {
    store.usage_totals(since).await
}
