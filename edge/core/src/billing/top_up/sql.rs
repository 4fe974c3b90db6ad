//! `top_ups` and `auto_top_ups`. What Stripe says of them is applied by SQL functions (migration 17).

use crate::{
    Store,
    audit::Entry,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{OrgId, TopUpId},
    time::Timestamp,
};

row! {
    pub(super) struct TopUp {
        pub(super) id: TopUpId,
        pub(super) cents: i64,
        pub(super) automatic: bool,
        pub(super) status: String,
        pub(super) created_at: Timestamp,
        pub(super) settled_at: Option<Timestamp>,
    }
}

row! {
    pub(super) struct Auto {
        pub(super) threshold_nanos: i64,
        pub(super) cents: i64,
        pub(super) failed_at: Option<Timestamp>,
    }
}

row! {
    /// An automatic top-up to be paid, by nobody else meanwhile.
    pub(super) struct Due {
        pub(super) id: TopUpId,
        pub(super) cents: i64,
        pub(super) customer: String,
        pub(super) payment_method: String,
    }
}

row! {
    struct Done {
        done: bool,
    }
}

sql! {
    // A second try finds its row, and adds no second entry to the log.
    BEGIN(TopUpId, OrgId, i64, Timestamp, Entry) -> Done = "
        with begun as (
            insert into top_ups (id, org_id, cents, automatic, status, created_at)
            values ($1::text::uuid, $2::text::uuid, $3::int8, false, 'open', to_timestamp($4::int8 / 1000.0))
            on conflict (id) do nothing
            returning id
        ),
        told as materialized (select audit($5::text) as entry from begun)
        select exists (select from told where entry > 0) as done";

    SAVE_SESSION(TopUpId, String) -> Done = "
        with saved as (
            update top_ups set session_id = $2::text where id = $1::text::uuid and session_id is null returning 1
        )
        select exists (select from saved) as done";

    LIST(OrgId, Option<TopUpId>, i64) -> TopUp = "
        select id::text, cents, automatic, status, (extract(epoch from created_at) * 1000)::int8 as created_at,
            (extract(epoch from settled_at) * 1000)::int8 as settled_at
        from top_ups
        where org_id = $1::text::uuid and ($2::text is null or id < $2::text::uuid)
        order by top_ups.id desc limit $3::int8";

    AUTO(OrgId) -> Auto = "
        select threshold_nanos, cents, (extract(epoch from failed_at) * 1000)::int8 as failed_at
        from auto_top_ups where org_id = $1::text::uuid";

    SET_AUTO(OrgId, i64, i64, Entry) -> Done = "
        with set as (
            insert into auto_top_ups (org_id, threshold_nanos, cents)
            values ($1::text::uuid, $2::int8, $3::int8)
            on conflict (org_id) do update
            set threshold_nanos = excluded.threshold_nanos, cents = excluded.cents, failed_at = null
            returning org_id
        )
        select audit($4::text) > 0 as done from set";

    UNSET_AUTO(OrgId, Entry) -> Done = "
        with unset as (delete from auto_top_ups where org_id = $1::text::uuid returning org_id)
        select audit($2::text) > 0 as done from unset";

    BEGIN_AUTO(TopUpId, Option<OrgId>, Timestamp, Timestamp) -> Due = "
        select id::text, cents, customer, payment_method
        from begin_auto_top_up($1::text::uuid, $2::text::uuid, to_timestamp($3::int8 / 1000.0),
            to_timestamp($4::int8 / 1000.0))";

    // Those whose payment was asked for, or was to be, by somebody who did not hear what came of it.
    CLAIM_AUTO(Timestamp, Timestamp) -> Due = "
        with due as (
            select id from top_ups
            where automatic and status = 'open' and claimed_until <= to_timestamp($1::int8 / 1000.0)
            order by id limit 20 for update skip locked
        )
        update top_ups set claimed_until = to_timestamp($2::int8 / 1000.0)
        from due where top_ups.id = due.id
        returning top_ups.id::text, cents, customer, payment_method";

    FAIL_AUTO(TopUpId, Timestamp, String) -> Done = "
        select fail_auto_top_up($1::text::uuid, to_timestamp($2::int8 / 1000.0), $3::text::json) as done";
}

impl Store {
    pub(super) async fn begin_top_up(
        &self,
        id: TopUpId,
        org: OrgId,
        cents: i64,
        now: Timestamp,
        entry: Entry,
    ) -> Result<bool, SqlError> {
        Ok(self.first(&BEGIN, (id, org, cents, now, entry)).await?.is_some_and(|it| it.done))
    }

    pub(super) async fn save_top_up_session(&self, id: TopUpId, session: String) -> Result<bool, SqlError> {
        Ok(self.first(&SAVE_SESSION, (id, session)).await?.is_some_and(|it| it.done))
    }

    pub(super) async fn top_ups(&self, org: OrgId, after: Option<TopUpId>, rows: i64) -> Result<Vec<TopUp>, SqlError> {
        self.all(&LIST, (org, after, rows)).await
    }

    pub(super) async fn auto_top_up(&self, org: OrgId) -> Result<Option<Auto>, SqlError> {
        self.first(&AUTO, (org,)).await
    }

    /// Sets threshold and cents, or none.
    pub(super) async fn set_auto_top_up(
        &self,
        org: OrgId,
        auto: Option<(i64, i64)>,
        entry: Entry,
    ) -> Result<bool, SqlError> {
        let row = match auto {
            Some((threshold_nanos, cents)) => self.first(&SET_AUTO, (org, threshold_nanos, cents, entry)).await?,
            None => self.first(&UNSET_AUTO, (org, entry)).await?,
        };
        Ok(row.is_some_and(|it| it.done))
    }

    /// Begins one that is due, in `org` or in any; nobody else sees to it until `until`.
    pub(super) async fn begin_auto_top_up(
        &self,
        id: TopUpId,
        org: Option<OrgId>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Due>, SqlError> {
        self.first(&BEGIN_AUTO, (id, org, now, until)).await
    }

    pub(super) async fn claim_auto_top_ups(&self, now: Timestamp, until: Timestamp) -> Result<Vec<Due>, SqlError> {
        self.all(&CLAIM_AUTO, (now, until)).await
    }

    pub(super) async fn fail_auto_top_up(
        &self,
        id: TopUpId,
        now: Timestamp,
        letters: String,
    ) -> Result<bool, SqlError> {
        Ok(self.first(&FAIL_AUTO, (id, now, letters)).await?.is_some_and(|it| it.done))
    }
}
