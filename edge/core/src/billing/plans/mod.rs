//! Plans: what organisations may subscribe to. Operators edit them; Stripe's prices are made from them.

mod sql;

pub use sql::Prices;
pub(super) use sql::statements;

use super::BillingError;
use crate::{
    App, Error, Store, audit,
    auth::Operator,
    limits::Quota,
    openapi::{NoContent, Status},
    payload::Input,
};
use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::money::Nanos;
use sql::PlanRow;
use utoipa::ToSchema;

/// The most that a plan may cost a month, in cents, and the most that it may bring.
const MOST_CENTS: i64 = 10_000_000;
const MOST_NANOS: i64 = 100_000_000_000_000;
const MOST_TRIAL_DAYS: i64 = 730;
/// Plans at most.
const MOST: usize = 100;

/// A plan, as operators write it and a file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Lower-case letters, digits, `-` and `_`; a letter first.
    pub id: String,
    pub name: String,
    /// US cents a month.
    pub price_cents: i64,
    /// Credit that each paid month brings, and that ends with it, in dollars.
    #[schema(value_type = String)]
    pub monthly_credit_usd: Nanos,
    /// How much may be used beyond all credit, to be paid with the next invoice, in dollars.
    #[serde(default)]
    #[schema(value_type = String)]
    pub overage_limit_usd: Nanos,
    /// What each cent's worth of such use costs, in cents.
    #[serde(default = "one")]
    pub overage_price_cents: i64,
    /// How much all keys of an organisation may do together; null leaves the usual limits.
    #[serde(default)]
    pub limits: Option<Quota>,
    /// Days for which a first subscription costs nothing.
    #[serde(default)]
    pub trial_days: i64,
    /// Whether it may be subscribed to. Whoever has a plan keeps it.
    #[serde(default = "yes")]
    pub active: bool,
}

/// A plan, as operators see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OperatedPlan {
    #[serde(flatten)]
    pub plan: Plan,
    /// Stripe's recurring price; null until `nest stripe sync` has made it.
    pub stripe_price_id: Option<String>,
    /// Stripe's metered price, for use beyond credit.
    pub stripe_meter_price_id: Option<String>,
}

/// A plan, as everybody sees it.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlanView {
    id: String,
    name: String,
    /// Dollars a month.
    #[schema(value_type = String)]
    price_usd: Nanos,
    #[schema(value_type = String)]
    monthly_credit_usd: Nanos,
    #[schema(value_type = String)]
    overage_limit_usd: Nanos,
    overage_price_cents: i64,
    limits: Option<Quota>,
    trial_days: i64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PlanList {
    /// The cheapest first.
    data: Vec<PlanView>,
}

/// All plans.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperatedPlanList {
    data: Vec<OperatedPlan>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetPlans {
    /// Plans to make or to change. One that is not among them stays, unless it is set to be not active.
    plans: Vec<Plan>,
}

/// `GET /plans`: those that can be subscribed to.
pub(crate) async fn list(app: App) -> Result<Json<PlanList>, Error> {
    let plans = plans(&app.store).await?.into_iter().filter(|it| it.plan.active);
    let view = |OperatedPlan { plan, .. }| PlanView {
        price_usd: Nanos(plan.price_cents.saturating_mul(super::top_up::CENT)),
        id: plan.id,
        name: plan.name,
        monthly_credit_usd: plan.monthly_credit_usd,
        overage_limit_usd: plan.overage_limit_usd,
        overage_price_cents: plan.overage_price_cents,
        limits: plan.limits,
        trial_days: plan.trial_days,
    };
    Ok(Json(PlanList { data: plans.map(view).collect() }))
}

/// `GET /admin/plans`
pub(crate) async fn operated(app: App, _: Operator) -> Result<Json<OperatedPlanList>, Error> {
    Ok(Json(OperatedPlanList { data: plans(&app.store).await? }))
}

/// `PUT /admin/plans`
pub(crate) async fn set(app: App, operator: Operator, Input(ask): Input<SetPlans>) -> Result<NoContent, Error> {
    import(&app.store, &operator, &ask.plans).await?;
    audit::chain_soon(&app);
    Ok(Status(()))
}

/// Every plan, the cheapest first.
pub async fn plans(store: &Store) -> Result<Vec<OperatedPlan>, Error> {
    Ok(store.plans().await?.into_iter().map(OperatedPlan::from).collect())
}

/// Makes and changes plans. A price that changes has no price at Stripe until `nest stripe sync` has made one; whoever
/// subscribed keeps the old one.
pub async fn import(store: &Store, operator: &Operator, plans: &[Plan]) -> Result<(), Error> {
    if plans.is_empty() || plans.len() > MOST {
        let message = format!("there must be from 1 to {MOST} plans");
        return Err(BillingError::Field { field: "plans", message }.into());
    }
    plans.iter().try_for_each(Plan::check)?;
    let ids: Vec<&str> = plans.iter().map(|it| it.id.as_str()).collect();
    let entry = operator.entry("admin.plans_set").detail(&json!({ "plans": ids }));
    let rows: Vec<_> = plans.iter().map(Plan::row).collect();
    store.set_plans(&json!(rows), entry).await?;
    Ok(())
}

/// Notes what Stripe's prices of a plan are.
pub async fn save_prices(store: &Store, plan: &str, prices: Prices) -> Result<(), Error> {
    if store.save_prices(plan, prices).await? { Ok(()) } else { Err(BillingError::NoPlan.into()) }
}

impl Plan {
    fn check(&self) -> Result<(), BillingError> {
        let refuse = |field, message: &str| Err(BillingError::Field { field, message: message.to_owned() });
        let letter = |it: u8| it.is_ascii_lowercase();
        let named = self.id.len() <= 63
            && self.id.bytes().next().is_some_and(letter)
            && self.id.bytes().all(|it| letter(it) || it.is_ascii_digit() || it == b'-' || it == b'_');
        if !named {
            return refuse("id", "`id` must be lower-case letters, digits, `-` and `_`, a letter first");
        }
        if self.name.trim().is_empty() || self.name.chars().count() > 200 || self.name.chars().any(char::is_control) {
            return refuse("name", "`name` must be a line of 1 to 200 characters");
        }
        if !(0..=MOST_CENTS).contains(&self.price_cents) {
            return refuse("price_cents", "`price_cents` must be from 0 to 10000000");
        }
        let amounts = [self.monthly_credit_usd, self.overage_limit_usd];
        if amounts.iter().any(|it| !(0..=MOST_NANOS).contains(&it.0)) {
            return refuse("monthly_credit_usd", "amounts must be from 0 to 100000 dollars");
        }
        if !(1..=1_000).contains(&self.overage_price_cents) {
            return refuse("overage_price_cents", "`overage_price_cents` must be from 1 to 1000");
        }
        if !(0..=MOST_TRIAL_DAYS).contains(&self.trial_days) {
            return refuse("trial_days", "`trial_days` must be from 0 to 730");
        }
        if self.limits.and_then(|it| it.too_large()).is_some() {
            return refuse("limits", "a limit is larger than any may be");
        }
        Ok(())
    }

    /// As the statement takes it.
    fn row(&self) -> serde_json::Value {
        json!({
            "id": self.id, "name": self.name.trim(), "price_cents": self.price_cents,
            "monthly_credit_nanos": self.monthly_credit_usd.0, "overage_limit_nanos": self.overage_limit_usd.0,
            "overage_price_cents": self.overage_price_cents, "limits": self.limits, "trial_days": self.trial_days,
            "active": self.active,
        })
    }
}

impl From<PlanRow> for OperatedPlan {
    fn from(row: PlanRow) -> Self {
        Self {
            plan: Plan {
                id: row.id,
                name: row.name,
                price_cents: row.price_cents,
                monthly_credit_usd: Nanos(row.monthly_credit_nanos),
                overage_limit_usd: Nanos(row.overage_limit_nanos),
                overage_price_cents: row.overage_price_cents,
                limits: row.limits.and_then(|it| serde_json::from_str(&it).ok()),
                trial_days: row.trial_days,
                active: row.active,
            },
            stripe_price_id: row.stripe_price_id,
            stripe_meter_price_id: row.stripe_meter_price_id,
        }
    }
}

fn one() -> i64 {
    1
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_what_a_shop_could_sell() {
        let good = json!({ "id": "pro", "name": "Pro", "price_cents": 2000, "monthly_credit_usd": "25" });
        let plan = |field: &str, value: serde_json::Value| {
            let mut plan = good.clone();
            plan[field] = value;
            serde_json::from_value::<Plan>(plan).unwrap().check().map_err(|it| it.param())
        };
        assert_eq!(plan("id", json!("pro")), Ok(()));
        for (field, value) in [
            ("id", json!("Pro")),
            ("id", json!("")),
            ("id", json!("1pro")),
            ("name", json!(" ")),
            ("name", json!("a\nb")),
            ("price_cents", json!(-1)),
            ("price_cents", json!(10_000_001)),
            ("monthly_credit_usd", json!("100000.01")),
            ("overage_price_cents", json!(0)),
            ("trial_days", json!(731)),
            ("limits", json!({ "tokens_per_day": u64::MAX })),
        ] {
            assert_eq!(plan(field, value.clone()), Err(Some(field)), "{value}");
        }
    }
}
