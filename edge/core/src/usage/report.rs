//! `GET /usage`: what an organisation used, by day, key, model and outcome.

use super::{
    Csv, Day,
    rollups::Line,
    rules::{self, Asked, Cursor, Format, Group, Question},
};
use crate::{
    App, Error,
    orgs::Member,
    page::{Page, Paging},
    payload::Query,
};
use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use shared::{id::KeyId, money::Nanos, time::Timestamp};
use utoipa::ToSchema;

/// Lines of a spreadsheet at most. It has no next page, so that what is longer is refused, not cut off.
const MOST_LINES: usize = 10_000;

/// What was used within some days.
#[derive(Serialize, ToSchema)]
#[schema(as = UsageReport)]
pub(super) struct Report {
    /// The first day, in UTC.
    #[schema(value_type = String, format = Date)]
    from: Day,
    /// The last day, included.
    #[schema(value_type = String, format = Date)]
    to: Day,
    /// What makes a line of its own.
    group_by: Vec<Group>,
    /// Of all lines, on whatever page they are.
    totals: Sums,
    /// Sorted by day, key, model and outcome, as far as these are told apart.
    data: Vec<UsageLine>,
    /// For the next page; null on the last.
    next_cursor: Option<String>,
}

/// The sums of one group of calls.
#[derive(Serialize, ToSchema)]
pub(super) struct UsageLine {
    /// In UTC; when lines are grouped by day.
    #[schema(format = Date)]
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    /// When lines are grouped by key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_name: Option<String>,
    /// When lines are grouped by model; empty for calls that were over before any model was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// When lines are grouped by outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Serialize, ToSchema)]
#[schema(as = UsageSums)]
pub(super) struct Sums {
    calls: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    /// Part of `prompt_tokens`.
    cached_tokens: i64,
    /// Part of `completion_tokens`.
    reasoning_tokens: i64,
    cost_usd: Nanos,
    /// Null without calls.
    mean_latency_ms: Option<i64>,
    /// When the last of these calls began.
    last_used_at: Option<Timestamp>,
}

pub(super) async fn report(
    app: App,
    member: Member,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    Query(paging): Query<Paging>,
) -> Result<Response, Error> {
    let question = rules::question(&asked, Day::of(app.host.now()))?;
    let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let mut response = match rules::format(asked.format, accept) {
        Format::Json => {
            let lines = app.store.usage_report(member.org_id, &question, paging.after()?, paging.rows()).await?;
            Json(Report::of(&question, &paging, lines)).into_response()
        }
        Format::Csv => {
            let most = MOST_LINES as i64 + 1;
            let lines = app.store.usage_report(member.org_id, &question, None, most).await?;
            if lines.len() > MOST_LINES {
                let message = format!("more than {MOST_LINES} lines: ask for fewer days, or group by less");
                return Err(Error::Invalid { message, param: Some("group_by") });
            }
            spreadsheet(&question, lines)
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

impl Report {
    fn of(question: &Question, paging: &Paging, mut rows: Vec<Line>) -> Self {
        let Question { from, to, ref group_by, .. } = *question;
        let totals = rows.first().expect("there is a row for the sums of all").all();
        rows.retain(|row| row.day.is_some());
        let page = Page::of(paging, rows, Line::cursor, |row| row.view(question));
        let (data, next_cursor) = page.into_parts();
        Self { from, to, group_by: group_by.clone(), totals, data, next_cursor }
    }
}

impl Line {
    fn cursor(&self) -> Cursor {
        Cursor([&self.day, &self.key, &self.model, &self.outcome].map(|it| it.clone().unwrap_or_default()))
    }

    fn view(self, question: &Question) -> UsageLine {
        let sums = self.sums();
        UsageLine {
            day: self.day.filter(|_| question.groups(Group::Day)),
            key_id: self.key.and_then(|it| it.parse().ok()).map(KeyId::from_uuid),
            key_name: self.key_name,
            model: self.model.filter(|_| question.groups(Group::Model)),
            outcome: self.outcome.filter(|_| question.groups(Group::Outcome)),
            sums,
        }
    }

    fn sums(&self) -> Sums {
        Sums {
            calls: self.calls,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            cached_tokens: self.cached_tokens,
            reasoning_tokens: self.reasoning_tokens,
            cost_usd: Nanos(self.cost_nanos),
            mean_latency_ms: self.mean_latency_ms,
            last_used_at: self.last_used_at,
        }
    }

    fn all(&self) -> Sums {
        Sums {
            calls: self.all_calls,
            prompt_tokens: self.all_prompt_tokens,
            completion_tokens: self.all_completion_tokens,
            cached_tokens: self.all_cached_tokens,
            reasoning_tokens: self.all_reasoning_tokens,
            cost_usd: Nanos(self.all_cost_nanos),
            mean_latency_ms: self.all_mean_latency_ms,
            last_used_at: self.all_last_used_at,
        }
    }
}

/// The lines as a file for a spreadsheet.
fn spreadsheet(question: &Question, lines: Vec<Line>) -> Response {
    let of_group = |by: &Group| match by {
        Group::Day => &["day"][..],
        Group::Key => &["key_id", "key_name"],
        Group::Model => &["model"],
        Group::Outcome => &["outcome"],
    };
    let sums = [
        "calls",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "reasoning_tokens",
        "cost_usd",
        "mean_latency_ms",
    ];
    let header: Vec<&str> = question.group_by.iter().flat_map(of_group).copied().chain(sums).collect();
    let mut csv = Csv::new(&header);
    for line in lines.into_iter().filter(|line| line.day.is_some()) {
        csv.line(&fields(line.view(question)));
    }
    let name = format!("attachment; filename=\"usage-{}-{}.csv\"", question.from, question.to);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, HeaderValue::try_from(name).expect("days are plain ASCII")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, csv.into_text()).into_response()
}

fn fields(line: UsageLine) -> Vec<String> {
    let UsageLine { day, key_id, key_name, model, outcome, sums } = line;
    // A line of a key has a name, too: both columns are there, or neither.
    let key = key_id.map(|it| [it.to_string(), key_name.unwrap_or_default()]);
    let counts = [sums.calls, sums.prompt_tokens, sums.completion_tokens, sums.cached_tokens, sums.reasoning_tokens];
    let groups = day.into_iter().chain(key.into_iter().flatten()).chain(model).chain(outcome);
    let mean = sums.mean_latency_ms.map(|it| it.to_string()).unwrap_or_default();
    groups.chain(counts.map(|it| it.to_string())).chain([sums.cost_usd.to_string(), mean]).collect()
}
