//! Billing: what does it cost?
//!
//! Prices, a double-entry ledger for each organisation, credit that edges lease ahead of calls, and Stripe, which brings
//! money in. Owns `price_versions`, `prices`, `wallets`, `ledger_entries`, `credit_leases`, `spend`, `spend_alerts`,
//! `idempotency_keys`, and the tables of Stripe's events and objects; SQL functions of migrations 14 and 15 write them. What a
//! call used, the proxy says; its row, and the charge with it, `usage` writes.

mod alerts;
pub mod audit;
mod credit;
mod error;
mod hold;
mod lease;
mod ledger;
mod once;
mod prices;
pub mod receipt;
mod spend;
pub mod stripe;
mod wallet;

pub use credit::{Grant, grant};
pub use error::{BillingError, SpendScope};
pub(crate) use hold::{Hold, Worst, hold};
pub(crate) use lease::Leases;
pub(crate) use prices::Prices;
pub use prices::{ListedPrice, NewPrices, PriceList, list as prices, publish as publish_prices};
pub(crate) use receipt::{Settled, jwks as receipt_keys, sign as sign_receipt};

use crate::{
    App,
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
    [own, prices::routes()].into_iter().flatten().collect()
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
        prices::statements(),
        spend::statements(),
        wallet::statements(),
    ]
    .concat()
}

/// Does what is due by the clock.
pub(crate) async fn tick(app: &App) {
    lease::reap(app).await;
    once::sweep(app).await;
    alerts::tick(app).await;
}

/// Gives back what this process holds of others' money, before it ends.
pub(crate) async fn flush(app: &App) {
    lease::flush(app).await;
}
