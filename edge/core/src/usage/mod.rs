//! Usage: what was used?
//!
//! Records every call of a known key once, by request id, behind its response, and answers from the sums. Owns `usage`,
//! and `usage_rollups`, which the database itself keeps in step with it (migration 12).
//! What a call costs is billing's; which tokens were counted, and by whom, the proxy says.

mod charge;
mod csv;
mod day;
mod generation;
mod journal;
mod report;
mod rollups;
mod rules;
mod sql;
mod writer;

pub(crate) use charge::Charge;
pub use csv::Csv;
pub use day::{Day, DayError};
pub(crate) use generation::{Generation, find};
pub(crate) use journal::Journal;
pub use rollups::Total;
pub use sql::Call;
pub(crate) use writer::Writer;

use crate::{
    App, Store,
    access::Access,
    route::{Route, get},
    sql::{Described, SqlError},
};
use serde::{Deserialize, Serialize, Serializer};
use shared::{
    id::{KeyId, OrgId, RequestId},
    permission::Permission,
    usage::Usage,
};

/// The routes of usage.
pub(crate) fn routes() -> Vec<Route> {
    let report = get("/usage", Access::member(Permission::UsageRead), report::report, "Says what was used.");
    vec![report.gives::<report::Report>().exports_csv()]
}

/// This slice's statements.
pub(crate) fn statements() -> Vec<Described> {
    [sql::statements(), generation::statements(), rollups::statements()].concat()
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
    /// We cut the stream: its key was revoked, or died otherwise.
    Revoked,
}

impl Outcome {
    /// As `usage` has it.
    fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::ClientLeft => "client_left",
            Self::UpstreamCut => "upstream_cut",
            Self::Revoked => "revoked",
        }
    }
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
    #[serde(flatten)]
    pub(crate) charge: Charge,
    pub(crate) started_at_ms: i64,
    pub(crate) first_byte_ms: Option<i64>,
    pub(crate) latency_ms: i64,
}

/// Token counts as Postgres can hold them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tokens {
    pub(crate) prompt_tokens: i64,
    pub(crate) completion_tokens: i64,
    /// Part of the prompt's.
    pub(crate) cached_tokens: i64,
    /// Part of the completion's.
    pub(crate) reasoning_tokens: i64,
}

impl Tokens {
    /// Of prompt and completion.
    pub(crate) fn total(self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens).unsigned_abs()
    }
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

/// Notes a call's row as it would be written if the process died now. Its end is noted so before [`record`].
pub(crate) fn note(app: &App, record: &Record) {
    journal::note(app, record);
}

/// Writes what a process that died has left in the host's journal.
pub(crate) async fn recover(app: &App) {
    journal::recover(app).await;
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

/// Calls and tokens since the beginning of a day, by key and model.
pub async fn totals(store: &Store, since: Day) -> Result<Vec<Total>, SqlError> {
    store.usage_totals(since).await
}
