//! `plans`.

use crate::{
    Store,
    audit::Entry,
    sql::{SqlError, row, sql},
};

row! {
    pub(super) struct PlanRow {
        pub(super) id: String,
        pub(super) name: String,
        pub(super) price_cents: i64,
        pub(super) monthly_credit_nanos: i64,
        pub(super) overage_limit_nanos: i64,
        pub(super) overage_price_cents: i64,
        pub(super) limits: Option<String>,
        pub(super) trial_days: i64,
        pub(super) active: bool,
        pub(super) stripe_price_id: Option<String>,
        pub(super) stripe_meter_price_id: Option<String>,
    }
}

row! {
    struct Done {
        done: bool,
    }
}

/// Stripe's prices of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices {
    pub price: Option<String>,
    pub meter_price: Option<String>,
}

sql! {
    ALL() -> PlanRow = "
        select id, name, price_cents, monthly_credit_nanos, overage_limit_nanos, overage_price_cents,
            limits::text as limits, trial_days, active, stripe_price_id, stripe_meter_price_id
        from plans order by price_cents, plans.id";

    // Stripe's prices stay with a plan: `nest stripe sync` makes others where the amounts differ.
    SET(String, Entry) -> Done = "
        with given as (
            select id, name, price_cents, monthly_credit_nanos, overage_limit_nanos, overage_price_cents, limits,
                trial_days, active
            from json_to_recordset($1::text::json) as plan (id text, name text, price_cents bigint,
                monthly_credit_nanos bigint, overage_limit_nanos bigint, overage_price_cents bigint, limits jsonb,
                trial_days bigint, active boolean)
        ),
        set as (
            insert into plans (id, name, price_cents, monthly_credit_nanos, overage_limit_nanos, overage_price_cents,
                limits, trial_days, active)
            select id, name, price_cents, monthly_credit_nanos, overage_limit_nanos, overage_price_cents,
                nullif(limits, 'null'::jsonb), trial_days, active
            from given
            on conflict (id) do update
            set name = excluded.name, price_cents = excluded.price_cents,
                monthly_credit_nanos = excluded.monthly_credit_nanos,
                overage_limit_nanos = excluded.overage_limit_nanos,
                overage_price_cents = excluded.overage_price_cents, limits = excluded.limits,
                trial_days = excluded.trial_days, active = excluded.active
            returning id
        )
        select audit($2::text) > 0 and exists (select from set) as done";

    SAVE_PRICES(String, Option<String>, Option<String>) -> Done = "
        with saved as (
            update plans set stripe_price_id = $2::text, stripe_meter_price_id = $3::text
            where id = $1::text returning id
        )
        select exists (select from saved) as done";
}

impl Store {
    pub(super) async fn plans(&self) -> Result<Vec<PlanRow>, SqlError> {
        self.all(&ALL, ()).await
    }

    pub(super) async fn set_plans(&self, plans: &serde_json::Value, entry: Entry) -> Result<bool, SqlError> {
        Ok(self.first(&SET, (plans.to_string(), entry)).await?.is_some_and(|it| it.done))
    }

    pub(super) async fn save_prices(&self, plan: &str, prices: Prices) -> Result<bool, SqlError> {
        let row = self.first(&SAVE_PRICES, (plan.to_owned(), prices.price, prices.meter_price)).await?;
        Ok(row.is_some_and(|it| it.done))
    }
}
