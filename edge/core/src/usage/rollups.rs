//! Reading `usage_rollups`. The trigger of migration 12 writes them, within each statement that adds to `usage`.

use super::{
    Day,
    rules::{Cursor, Group, Question},
};
use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{KeyId, OrgId},
    time::Timestamp,
};

row! {
    /// The sums of one group, and beside them those of all groups. Without any group there is one row, with sums alone.
    pub(super) struct Line {
        /// Null when there is no line; this and the next ones are empty where lines are not told apart by them.
        pub(super) day: Option<String>,
        pub(super) key: Option<String>,
        pub(super) key_name: Option<String>,
        pub(super) model: Option<String>,
        pub(super) outcome: Option<String>,
        pub(super) calls: i64,
        pub(super) prompt_tokens: i64,
        pub(super) completion_tokens: i64,
        pub(super) cached_tokens: i64,
        pub(super) reasoning_tokens: i64,
        pub(super) cost_nanos: i64,
        pub(super) mean_latency_ms: Option<i64>,
        pub(super) last_used_at: Option<Timestamp>,
        pub(super) all_calls: i64,
        pub(super) all_prompt_tokens: i64,
        pub(super) all_completion_tokens: i64,
        pub(super) all_cached_tokens: i64,
        pub(super) all_reasoning_tokens: i64,
        pub(super) all_cost_nanos: i64,
        pub(super) all_mean_latency_ms: Option<i64>,
        pub(super) all_last_used_at: Option<Timestamp>,
    }
}

row! {
    /// Calls and tokens of one key on one model.
    #[derive(Clone, Debug, serde::Serialize)]
    pub struct Total {
        pub key_id: KeyId,
        pub key_name: String,
        /// Empty for calls that were over before any model was asked.
        pub model: String,
        pub calls: i64,
        pub completed: i64,
        pub prompt_tokens: i64,
        pub completion_tokens: i64,
        pub cost_nanos: i64,
        pub mean_latency_ms: i64,
    }
}

sql! {
    // Names are compared byte by byte, so that the pages of a list fit together whatever the database's language is.
    // A sum that is too large for its type is told as the largest number: an upstream may report any.
    REPORT(OrgId, String, String, Option<KeyId>, Option<String>, Option<String>, bool, bool, bool, bool, Option<String>,
        i64) -> Line = "
        with grouped as (
            select case when $7::bool then to_char(day, 'YYYY-MM-DD') else '' end as day,
                case when $8::bool then key_id::text else '' end as key,
                case when $9::bool then model else '' end as model,
                case when $10::bool then outcome else '' end as outcome,
                sum(calls) as calls, sum(prompt_tokens) as prompt_tokens, sum(completion_tokens) as completion_tokens,
                sum(cached_tokens) as cached_tokens, sum(reasoning_tokens) as reasoning_tokens,
                sum(cost_nanos) as cost_nanos, sum(latency_ms) as latency_ms, max(last_started_at) as last_used_at
            from usage_rollups
            where org_id = $1::text::uuid and day between $2::text::date and $3::text::date
                and ($4::text is null or key_id = $4::text::uuid) and ($5::text is null or model = $5::text)
                and ($6::text is null or outcome = $6::text)
            group by 1, 2, 3, 4
        ),
        all_groups as (
            select coalesce(sum(calls), 0) as calls, coalesce(sum(prompt_tokens), 0) as prompt_tokens,
                coalesce(sum(completion_tokens), 0) as completion_tokens,
                coalesce(sum(cached_tokens), 0) as cached_tokens,
                coalesce(sum(reasoning_tokens), 0) as reasoning_tokens, coalesce(sum(cost_nanos), 0) as cost_nanos,
                sum(latency_ms) as latency_ms, max(last_used_at) as last_used_at
            from grouped
        ),
        page as (
            select day, key, model, outcome, calls, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens,
                cost_nanos, latency_ms, last_used_at
            from grouped
            where $11::text is null or (day collate \"C\", key collate \"C\", model collate \"C\", outcome collate \"C\")
                > ($11::text::json ->> 0, $11::text::json ->> 1, $11::text::json ->> 2, $11::text::json ->> 3)
            order by day collate \"C\", key collate \"C\", model collate \"C\", outcome collate \"C\"
            limit $12::int8
        )
        select page.day, page.key, named.name as key_name, page.model, page.outcome,
            coalesce(page.calls, 0)::int8 as calls,
            least(coalesce(page.prompt_tokens, 0), 9223372036854775807)::int8 as prompt_tokens,
            least(coalesce(page.completion_tokens, 0), 9223372036854775807)::int8 as completion_tokens,
            least(coalesce(page.cached_tokens, 0), 9223372036854775807)::int8 as cached_tokens,
            least(coalesce(page.reasoning_tokens, 0), 9223372036854775807)::int8 as reasoning_tokens,
            least(coalesce(page.cost_nanos, 0), 9223372036854775807)::int8 as cost_nanos,
            round(page.latency_ms / nullif(page.calls, 0))::int8 as mean_latency_ms,
            (extract(epoch from page.last_used_at) * 1000)::int8 as last_used_at,
            all_groups.calls::int8 as all_calls,
            least(all_groups.prompt_tokens, 9223372036854775807)::int8 as all_prompt_tokens,
            least(all_groups.completion_tokens, 9223372036854775807)::int8 as all_completion_tokens,
            least(all_groups.cached_tokens, 9223372036854775807)::int8 as all_cached_tokens,
            least(all_groups.reasoning_tokens, 9223372036854775807)::int8 as all_reasoning_tokens,
            least(all_groups.cost_nanos, 9223372036854775807)::int8 as all_cost_nanos,
            round(all_groups.latency_ms / nullif(all_groups.calls, 0))::int8 as all_mean_latency_ms,
            (extract(epoch from all_groups.last_used_at) * 1000)::int8 as all_last_used_at
        from all_groups left join page on true
            left join api_keys named on named.org_id = $1::text::uuid and named.id::text = page.key
        order by page.day collate \"C\", page.key collate \"C\", page.model collate \"C\", page.outcome collate \"C\"";

    TOTALS(String) -> Total = "
        select rollup.key_id::text, key.name as key_name, rollup.model, sum(rollup.calls)::int8 as calls,
            coalesce(sum(rollup.calls) filter (where rollup.outcome = 'completed'), 0)::int8 as completed,
            least(sum(rollup.prompt_tokens), 9223372036854775807)::int8 as prompt_tokens,
            least(sum(rollup.completion_tokens), 9223372036854775807)::int8 as completion_tokens,
            least(sum(rollup.cost_nanos), 9223372036854775807)::int8 as cost_nanos,
            round(sum(rollup.latency_ms) / sum(rollup.calls))::int8 as mean_latency_ms
        from usage_rollups rollup join api_keys key on key.id = rollup.key_id
        where rollup.day >= $1::text::date
        group by rollup.key_id, key.name, rollup.model order by calls desc, rollup.key_id, rollup.model";
}

impl Store {
    /// The lines after `after`, at most `limit`, with the sums of all lines.
    pub(super) async fn usage_report(
        &self,
        org: OrgId,
        question: &Question,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Vec<Line>, SqlError> {
        let after = after.map(|it| serde_json::to_string(&it).expect("a cursor is plain data"));
        let params = (
            org,
            question.from.to_string(),
            question.to.to_string(),
            question.key_id,
            question.model.clone(),
            question.outcome.map(|it| it.name().to_owned()),
            question.groups(Group::Day),
            question.groups(Group::Key),
            question.groups(Group::Model),
            question.groups(Group::Outcome),
            after,
            limit,
        );
        self.all(&REPORT, params).await
    }

    pub(super) async fn usage_totals(&self, since: Day) -> Result<Vec<Total>, SqlError> {
        self.all(&TOTALS, (since.to_string(),)).await
    }
}
