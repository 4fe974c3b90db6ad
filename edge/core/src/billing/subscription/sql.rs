//! `plan_checkouts`, and what is read of `subscriptions`, which SQL functions write (migration 17).

use crate::{
    Store,
    audit::Entry,
    sql::{SqlError, row, sql},
};
use shared::{id::OrgId, time::Timestamp};
use uuid::Uuid;

row! {
    /// How a checkout stands that is to be begun.
    pub(super) struct Checkout {
        /// None where no plan of this name can be subscribed to.
        pub(super) price: Option<String>,
        pub(super) meter_price: Option<String>,
        /// None for whoever has had a subscription before.
        pub(super) trial_days: i64,
        /// Whether there is a subscription that is not over.
        pub(super) subscribed: bool,
        /// Stripe's session of another checkout that is open.
        pub(super) open_session: Option<String>,
        /// Whether this checkout is the one that is open.
        pub(super) mine: bool,
    }
}

row! {
    pub(super) struct Row {
        pub(super) plan_id: String,
        pub(super) status: String,
        pub(super) cancel_at_period_end: bool,
        pub(super) period_end: Option<Timestamp>,
        pub(super) trial_end: Option<Timestamp>,
    }
}

row! {
    struct Done {
        done: bool,
    }
}

row! {
    struct Count {
        count: i64,
    }
}

sql! {
    // $1 the checkout, $2 organisation, $3 plan, $4 now, $5 audit entry. Another one that is open and has no session was
    // left by somebody who is gone, if it is older than any call takes.
    BEGIN(String, OrgId, String, Timestamp, Entry) -> Checkout = "
        with plan as (
            select id, stripe_price_id, stripe_meter_price_id, trial_days from plans
            where id = $3::text and active and stripe_price_id is not null
        ),
        had as (select coalesce(bool_or(not ended), false) as live, count(*) as number
            from subscriptions where org_id = $2::text::uuid),
        left_behind as (
            update plan_checkouts set status = 'expired'
            where org_id = $2::text::uuid and status = 'open' and session_id is null and id <> $1::text::uuid
                and created_at < to_timestamp($4::int8 / 1000.0) - interval '2 minutes'
            returning id
        ),
        other as (
            select session_id from plan_checkouts
            where org_id = $2::text::uuid and status = 'open' and id <> $1::text::uuid
                and id not in (select id from left_behind)
        ),
        begun as (
            insert into plan_checkouts (id, org_id, plan_id, status, created_at)
            select $1::text::uuid, $2::text::uuid, plan.id, 'open', to_timestamp($4::int8 / 1000.0)
            from plan, had
            where not had.live and not exists (select from other) and not exists (select from left_behind)
            on conflict do nothing
            returning id
        ),
        told as materialized (select audit($5::text) as entry from begun)
        select plan.stripe_price_id as price, plan.stripe_meter_price_id as meter_price,
            case when had.number = 0 then coalesce(plan.trial_days, 0) else 0 end::int8 as trial_days,
            had.live as subscribed, other.session_id as open_session,
            exists (select from told where entry > 0) or exists
                (select from plan_checkouts where id = $1::text::uuid and status = 'open') as mine
        from had left join plan on true left join other on true";

    SAVE_SESSION(String, String) -> Done = "
        with saved as (
            update plan_checkouts set session_id = $2::text
            where id = $1::text::uuid and status = 'open' and coalesce(session_id, $2::text) = $2::text returning 1
        )
        select exists (select from saved) as done";

    OF_ORG(OrgId) -> Row = "
        select plan_id, status, cancel_at_period_end, (extract(epoch from period_end) * 1000)::int8 as period_end,
            (extract(epoch from trial_end) * 1000)::int8 as trial_end
        from subscriptions where org_id = $1::text::uuid order by ended, created desc, id limit 1";

    END_CREDIT(Timestamp) -> Count = "select end_monthly_credit(to_timestamp($1::int8 / 1000.0)) as count";
}

impl Store {
    pub(super) async fn begin_checkout(
        &self,
        id: Uuid,
        org: OrgId,
        plan: &str,
        now: Timestamp,
        entry: Entry,
    ) -> Result<Checkout, SqlError> {
        let row = self.first(&BEGIN, (id.to_string(), org, plan.to_owned(), now, entry)).await?;
        row.ok_or(SqlError::Column { index: 0 })
    }

    pub(super) async fn save_checkout_session(&self, id: Uuid, session: String) -> Result<bool, SqlError> {
        Ok(self.first(&SAVE_SESSION, (id.to_string(), session)).await?.is_some_and(|it| it.done))
    }

    pub(super) async fn subscription(&self, org: OrgId) -> Result<Option<Row>, SqlError> {
        self.first(&OF_ORG, (org,)).await
    }

    pub(super) async fn end_monthly_credit(&self, now: Timestamp) -> Result<i64, SqlError> {
        Ok(self.first(&END_CREDIT, (now,)).await?.map_or(0, |it| it.count))
    }
}
