//! Billing: what does it cost?
//!
//! Prices, a double-entry ledger for each organisation, credit that edges lease ahead of calls, and Stripe, which brings
//! money in. Owns `price_versions`, `prices`, `wallets`, `ledger_entries`, `credit_leases`, `spend`, `spend_alerts`,
//! `idempotency_keys`, `plans`, `subscriptions`, `top_ups`, and the tables of Stripe's events and objects; SQL functions
//! of migrations 14 to 17 write them. What a call used, the proxy says; its row, and the charge with it, `usage` writes.

mod alerts;
pub mod audit;
mod credit;
mod error;
mod hold;
mod lease;
mod ledger;
mod once;
mod plans;
mod prices;
pub mod receipt;
mod spend;
pub mod stripe;
mod subscription;
mod top_up;
mod wallet;

pub use credit::{Grant, grant};
pub use error::{BillingError, SpendScope};
pub(crate) use hold::{Hold, Worst, hold};
pub(crate) use lease::Leases;
pub use plans::{
    OperatedPlan, Plan, Prices as PlanPrices, import as import_plans, plans, save_prices as save_plan_prices,
};
pub(crate) use prices::Prices;
pub use prices::{ListedPrice, NewPrices, PriceList, list as prices, publish as publish_prices};
pub(crate) use receipt::{Settled, jwks as receipt_keys, sign as sign_receipt};

use crate::{
    App, Error,
    access::Access,
    route::{Route, get, post, put},
    sql::Described,
};
use shared::permission::Permission::{BillingRead, BillingWrite};

/// The routes of billing.
pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::member;
    let own = vec![
        get(
            "/billing",
            needs(BillingRead),
            wallet::show,
            "Shows an organisation's credit, its caps and what it spent.",
        ),
        get("/billing/ledger", needs(BillingRead), ledger::list, "Lists an organisation's ledger, newest first."),
        put("/billing/spend", needs(BillingWrite), spend::set_org, "Sets what an organisation may spend in a period."),
        put(
            "/orgs/{org}/members/{user}/spend",
            needs(BillingWrite),
            spend::set_member,
            "Sets what all keys of a member may spend in a period.",
        ),
        // Not `{org}`: that is what a member's routes are guarded by.
        post(
            "/admin/orgs/{organisation}/credit",
            Access::OPERATOR.fresh(),
            credit::add,
            "Grants an organisation credit.",
        ),
    ];
    [own, prices::routes(), paying(), stripe::routes()].into_iter().flatten().collect()
}

/// The routes by which money comes in.
fn paying() -> Vec<Route> {
    let (read, write) = (Access::member(BillingRead), Access::member(BillingWrite));
    vec![
        get("/plans", Access::ANYONE, plans::list, "Lists the plans that can be subscribed to."),
        get("/billing/subscription", read, subscription::show, "Shows the organisation's subscription."),
        post("/billing/checkout", write, subscription::checkout, "Begins to subscribe to a plan, on Stripe's page."),
        post("/billing/portal", write, subscription::portal, "Opens Stripe's portal: cards, invoices, the plan's end."),
        get("/billing/invoices", read, subscription::invoices, "Lists the organisation's latest invoices."),
        get("/billing/top-ups", read, top_up::list, "Lists the credit that was bought, newest first."),
        post("/billing/top-ups", write, top_up::begin, "Begins to buy credit, on Stripe's page."),
        get("/billing/auto-top-up", read, top_up::show_auto, "Shows when credit is bought automatically."),
        put("/billing/auto-top-up", write, top_up::set_auto, "Sets when credit is bought automatically."),
        get("/admin/plans", Access::OPERATOR, plans::operated, "Lists all plans."),
        put("/admin/plans", Access::OPERATOR.fresh(), plans::set, "Makes and changes plans."),
    ]
}

/// Refuses what needs Stripe where there is no key for it.
fn payments_on(app: &App) -> Result<(), Error> {
    if app.config.stripe.secret_key.is_some() { Ok(()) } else { Err(BillingError::PaymentsOff.into()) }
}

/// This slice's statements.
pub(crate) fn statements() -> Vec<Described> {
    [
        alerts::statements(),
        audit::statements(),
        credit::statements(),
        lease::statements(),
        ledger::statements(),
        once::statements(),
        plans::statements(),
        prices::statements(),
        spend::statements(),
        stripe::statements(),
        subscription::statements(),
        top_up::statements(),
        wallet::statements(),
    ]
    .concat()
}

/// Does what is due by the clock.
pub(crate) async fn tick(app: &App) {
    lease::reap(app).await;
    once::sweep(app).await;
    alerts::tick(app).await;
    stripe::tick(app).await;
    subscription::tick(app).await;
    top_up::tick(app).await;
}

/// Gives back what this process holds of others' money, before it ends.
pub(crate) async fn flush(app: &App) {
    lease::flush(app).await;
}
