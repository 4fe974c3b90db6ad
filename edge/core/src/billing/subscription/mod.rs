//! The plan that an organisation subscribes to: on Stripe's page, and changed or ended in Stripe's portal. What we know
//! of it is what Stripe's subscription said last.

mod rules;
mod sql;

pub(super) use rules::{GRACE_MS, State, renews};
pub(super) use sql::statements;

use super::{
    BillingError,
    once::{Once, Told},
    stripe,
};
use crate::{App, Error, audit, limits::Client, orgs::Member, payload::Input};
use axum::Json;
use rules::Holds;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{money::Nanos, time::Timestamp};
use sql::Checkout;
use utoipa::ToSchema;
use uuid::Uuid;

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCheckout {
    /// The id of a plan.
    plan: String,
}

/// A page of Stripe's.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct Visit {
    url: String,
}

/// The organisation's subscription; all null without one.
#[derive(Serialize, ToSchema)]
pub(crate) struct SubscriptionView {
    plan: Option<String>,
    /// As Stripe calls it: `active`, `past_due`, ...
    status: Option<String>,
    cancel_at_period_end: bool,
    period_end: Option<Timestamp>,
    trial_end: Option<Timestamp>,
    /// What its state holds at present.
    holds: Option<HoldsView>,
}

/// What a state of a subscription holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct HoldsView {
    /// The plan's limits.
    limits: bool,
    /// What is left of the month's credit.
    credit: bool,
    /// Use beyond credit.
    overage: bool,
    /// Calls at all.
    calls: bool,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct InvoiceList {
    /// Newest first; the last two years.
    data: Vec<InvoiceView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct InvoiceView {
    id: String,
    number: Option<String>,
    /// As Stripe calls it: `paid`, `open`, ...
    status: String,
    #[schema(value_type = String)]
    total_usd: Nanos,
    created_at: Timestamp,
    /// Stripe's page of it.
    url: Option<String>,
    pdf: Option<String>,
}

/// `POST /billing/checkout`
pub(crate) async fn checkout(
    app: App,
    client: Client,
    member: Member,
    once: Once,
    Input(ask): Input<NewCheckout>,
) -> Result<Told<Visit>, Error> {
    super::payments_on(&app)?;
    let answer = once.run(&app, &member.actor, &ask, async |effect| {
        let begun = begin(&app, &client, &member, &ask.plan, effect).await?;
        let price = begun.price.ok_or(BillingError::NoPlan)?;
        let prices = (price.as_str(), begun.meter_price.as_deref());
        let page = stripe::plan_page(&app, member.org_id, effect, prices, begun.trial_days).await?;
        if !app.store.save_checkout_session(effect, page.session_id.clone()).await? {
            // Somebody has begun another meanwhile: nobody is to pay on both.
            stripe::close(&app, &page.session_id).await?;
            return Err(BillingError::CheckoutInFlight.into());
        }
        Ok(Visit { url: page.url })
    });
    let answer = answer.await?;
    audit::chain_soon(&app);
    Ok(answer)
}

/// Begins a checkout, and closes the one before it.
async fn begin(app: &App, client: &Client, member: &Member, plan: &str, id: Uuid) -> Result<Checkout, Error> {
    for _ in 0..2 {
        let entry = member.entry(app, client, "billing.checkout_begun").target(plan).detail(&json!({ "plan": plan }));
        let begun = app.store.begin_checkout(id, member.org_id, plan, app.host.now(), entry).await?;
        if begun.price.is_none() {
            return Err(BillingError::NoPlan.into());
        }
        if begun.subscribed {
            return Err(BillingError::Subscribed.into());
        }
        match (&begun.open_session, begun.mine) {
            (_, true) => return Ok(begun),
            (Some(session), false) => stripe::close(app, session).await?,
            // One that was left behind is closed by now; one that is being begun is another request's.
            (None, false) => {}
        }
    }
    Err(BillingError::CheckoutInFlight.into())
}

/// `POST /billing/portal`
pub(crate) async fn portal(app: App, member: Member, once: Once, client: Client) -> Result<Told<Visit>, Error> {
    super::payments_on(&app)?;
    let answer = once.run(&app, &member.actor, &(), async |effect| {
        let entry = member.entry(&app, &client, "billing.portal_opened").target(member.org_id);
        audit::record(&app.store, entry).await?;
        Ok(Visit { url: stripe::portal_page(&app, member.org_id, effect).await? })
    });
    let answer = answer.await?;
    audit::chain_soon(&app);
    Ok(answer)
}

/// `GET /billing/subscription`
pub(crate) async fn show(app: App, member: Member) -> Result<Json<SubscriptionView>, Error> {
    let row = app.store.subscription(member.org_id).await?;
    let holds = |Holds { limits, credit, overage, calls }| HoldsView { limits, credit, overage, calls };
    Ok(Json(match row {
        Some(row) => SubscriptionView {
            holds: Some(holds(State::read(&row.status).holds())),
            plan: Some(row.plan_id),
            status: Some(row.status),
            cancel_at_period_end: row.cancel_at_period_end,
            period_end: row.period_end,
            trial_end: row.trial_end,
        },
        None => SubscriptionView {
            plan: None,
            status: None,
            cancel_at_period_end: false,
            period_end: None,
            trial_end: None,
            holds: None,
        },
    }))
}

/// `GET /billing/invoices`
pub(crate) async fn invoices(app: App, member: Member) -> Result<Json<InvoiceList>, Error> {
    let rows = stripe::invoices(&app, member.org_id).await?;
    let view = |it: stripe::InvoiceRow| InvoiceView {
        id: it.id,
        number: it.number,
        status: it.status,
        total_usd: it.total,
        created_at: it.created_at,
        url: it.url,
        pdf: it.pdf,
    };
    Ok(Json(InvoiceList { data: rows.into_iter().map(view).collect() }))
}

/// Ends the credit of months that are over.
pub(super) async fn tick(app: &App) {
    if let Err(error) = app.store.end_monthly_credit(app.host.now()).await {
        tracing::warn!(error = %crate::error::chain(&error), "the credit of months that are over could not be ended");
    }
}
