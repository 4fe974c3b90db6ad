//! What the auditor reads, of all tables that money is in.

use super::Finding;
use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use shared::id::OrgId;

row! {
    struct Difference {
        org_id: OrgId,
        what: String,
    }
}

row! {
    /// A wallet's end of its ledger.
    pub(super) struct Head {
        pub(super) org_id: OrgId,
        pub(super) entries: i64,
        pub(super) head: Vec<u8>,
    }
}

row! {
    pub(super) struct EntryRow {
        pub(super) seq: i64,
        pub(super) business_key: String,
        pub(super) kind: String,
        pub(super) from_account: String,
        pub(super) to_account: String,
        pub(super) nanos: i64,
        pub(super) at_us: i64,
        pub(super) details: String,
        pub(super) previous_hash: Vec<u8>,
        pub(super) hash: Vec<u8>,
    }
}

sql! {
    // Each figure twice: as it is kept, and as it follows from what it is the sum of.
    DIFFERENCES() -> Difference = "
        with moved as (
            select org_id, to_account as account, nanos::numeric from ledger_entries
            union all
            select org_id, from_account, -nanos::numeric from ledger_entries
        ),
        booked as (select org_id, account, sum(nanos) as nanos from moved group by 1, 2),
        ledger as (
            select org_id, count(*) as entries, max(seq) as last,
                coalesce(sum(nanos) filter (where kind = 'charge'), 0) as charged
            from ledger_entries group by 1
        ),
        held as (select org_id, sum(remaining_nanos) as nanos from credit_leases group by 1),
        calls as (select org_id, sum(cost_nanos) as cost, sum(upstream_cost_nanos) as upstream from usage group by 1),
        rolled as (
            select org_id, sum(cost_nanos) as cost, sum(upstream_cost_nanos) as upstream from usage_rollups group by 1
        ),
        costs as (
            select usage.org_id, whose as subject, (started_at at time zone 'UTC')::date as day, sum(cost_nanos) as nanos
            from usage join api_keys key on key.id = usage.key_id
            cross join unnest(spenders(key.id, key.created_by)) whose
            where cost_nanos > 0 group by 1, 2, 3
        ),
        spent as (
            select costs.org_id, costs.subject, sum(costs.nanos) as total_cost,
                sum(costs.nanos) filter (where costs.day = coalesce(spend.day, costs.day)) as day_cost,
                sum(costs.nanos) filter (where period_start('week', costs.day)
                    = period_start('week', coalesce(spend.day, costs.day))) as week_cost,
                sum(costs.nanos) filter (where period_start('month', costs.day)
                    = period_start('month', coalesce(spend.day, costs.day))) as month_cost
            from costs left join spend on spend.org_id = costs.org_id and spend.subject = costs.subject
            group by 1, 2
        ),
        holders as (
            select org_id, whose as subject, sum(remaining_nanos) as nanos
            from credit_leases cross join unnest(spenders(key_id, user_id)) whose
            where remaining_nanos > 0 group by 1, 2
        ),
        subjects as (
            select org_id, subject from spend union select org_id, subject from costs
            union select org_id, subject from holders
        ),
        figures (org_id, name, kept, expected) as (
            select org_id, 'the balance of ' || account, balance::numeric, coalesce(booked.nanos, 0)
            from wallets
            cross join lateral (values ('credit', credit_nanos), ('allowance', allowance_nanos),
                ('overage', overage_nanos), ('owed', owed_nanos), ('revenue', revenue_nanos),
                ('payments', payments_nanos), ('grants', grants_nanos), ('expired', expired_nanos))
                as accounts (account, balance)
            left join booked using (org_id, account)
            union all
            select org_id, 'the sum of all balances', credit_nanos::numeric + allowance_nanos + overage_nanos
                + owed_nanos + revenue_nanos + payments_nanos + grants_nanos + expired_nanos, 0
            from wallets
            union all
            select org_id, 'the number of entries', wallets.entries, coalesce(ledger.entries, 0)
            from wallets left join ledger using (org_id)
            union all
            select org_id, 'the last entry', wallets.entries, coalesce(ledger.last, 0)
            from wallets left join ledger using (org_id)
            union all
            select org_id, 'what is held', held_nanos, coalesce(held.nanos, 0) from wallets left join held using (org_id)
            union all
            select org_id, 'what was charged', coalesce(ledger.charged, 0), coalesce(calls.cost, 0)
            from calls full join ledger using (org_id)
            union all
            select org_id, 'the cost of calls, summed up', coalesce(rolled.cost, 0), coalesce(calls.cost, 0)
            from calls full join rolled using (org_id)
            union all
            select org_id, 'the upstream cost of calls, summed up', coalesce(rolled.upstream, 0),
                coalesce(calls.upstream, 0)
            from calls full join rolled using (org_id)
            union all
            select subjects.org_id, 'what is held for ' || subjects.subject, coalesce(spend.held_nanos, 0),
                coalesce(holders.nanos, 0)
            from subjects left join spend using (org_id, subject) left join holders using (org_id, subject)
            union all
            select subjects.org_id, 'what ' || subjects.subject || ' spent by the ' || sums.period,
                coalesce(sums.kept, 0), coalesce(sums.nanos, 0)
            from subjects left join spend using (org_id, subject) left join spent using (org_id, subject)
            cross join lateral (values ('day', day_nanos, spent.day_cost), ('week', week_nanos, spent.week_cost),
                ('month', month_nanos, spent.month_cost), ('total', total_nanos, spent.total_cost))
                as sums (period, kept, nanos)
        )
        select org_id::text, name || ' is ' || trim_scale(kept) || ', and should be ' || trim_scale(expected) as what
        from figures where kept <> expected
        order by org_id, name limit 1000";

    HEADS(Option<OrgId>, i64) -> Head = "
        select org_id::text, entries, head from wallets
        where $1::text is null or org_id > $1::text::uuid
        order by wallets.org_id limit $2::int8";

    ENTRIES(OrgId, i64, i64) -> EntryRow = "
        select seq, business_key, kind, from_account, to_account, nanos, (extract(epoch from at) * 1000000)::int8 as at_us,
            details::text, previous_hash, hash
        from ledger_entries where org_id = $1::text::uuid and seq > $2::int8 order by seq limit $3::int8";
}

impl Store {
    pub(super) async fn differences(&self) -> Result<Vec<Finding>, SqlError> {
        let rows = self.all(&DIFFERENCES, ()).await?;
        Ok(rows.into_iter().map(|row| Finding { org_id: row.org_id, what: row.what }).collect())
    }

    pub(super) async fn ledger_heads(&self, after: Option<OrgId>, rows: i64) -> Result<Vec<Head>, SqlError> {
        self.all(&HEADS, (after, rows)).await
    }

    pub(super) async fn ledger_entries(&self, org: OrgId, after: i64, rows: i64) -> Result<Vec<EntryRow>, SqlError> {
        self.all(&ENTRIES, (org, after, rows)).await
    }
}
