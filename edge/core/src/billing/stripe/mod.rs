//! Stripe: who brings money in.
//!
//! What Stripe tells by webhooks is kept as it came ([`events`]), and then the object that it is about is fetched and
//! applied ([`apply`]); the reconciler does the same for what was not told. [`client`] is all that asks Stripe.

mod apply;
mod client;
mod customer;
mod events;
mod leave;
mod meter;
mod objects;
mod pages;
mod reconcile;
mod rules;
pub mod signature;
mod sql;
mod webhook;

pub(in crate::billing) use apply::{CARD_REFUSED, letters};
pub use client::API_VERSION;
pub(in crate::billing) use client::StripeError;
pub(in crate::billing) use customer::has_card;
pub use events::{list as events, replay};
pub use meter::METER_EVENT;
pub(in crate::billing) use pages::{InvoiceRow, charge_card, close, invoices, plan_page, portal_page, top_up_page};
pub(crate) use reconcile::at_once as reconcile;
pub use sql::StoredEvent;

use crate::{
    App,
    access::Access,
    route::{Route, post},
    sql::Described,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        // Stripe sends bursts from few addresses, and whoever cannot sign costs no more than the look at that.
        post("/webhooks/stripe", Access::ANYONE, webhook::receive, "Takes what Stripe tells; signed by Stripe.")
            .at_root()
            .unlimited()
            .takes::<webhook::StripeEvent>(),
    ]
}

pub(super) fn statements() -> Vec<Described> {
    [sql::statements(), customer::statements(), leave::statements(), meter::statements()].concat()
}

/// Applies what was told and what was not, and tells the meter what was used.
pub(super) async fn tick(app: &App) {
    events::all(app).await;
    reconcile::tick(app).await;
    leave::tick(app).await;
    meter::tick(app).await;
}
