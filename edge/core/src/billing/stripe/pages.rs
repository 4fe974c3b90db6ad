//! What we have Stripe do: pages to pay on, a portal, a payment with a card that was used before. People come back to an
//! address of the settings, never to one that a request names.

use super::{
    apply::{Kind, Told, apply},
    client::{self, StripeError, form},
    customer,
    objects::{Invoice, PaymentIntent, Session},
};
use crate::{
    App, Error,
    billing::{BillingError, top_up::CENT},
};
use shared::{id::OrgId, money::Nanos, time::Timestamp};
use uuid::Uuid;

/// Invoices that are listed: two years of months.
const INVOICES: &str = "24";

/// A page on which something is paid.
pub(in crate::billing) struct Bought {
    pub(in crate::billing) session_id: String,
    pub(in crate::billing) url: String,
}

/// An invoice, as its list shows it.
pub(in crate::billing) struct InvoiceRow {
    pub(in crate::billing) id: String,
    pub(in crate::billing) number: Option<String>,
    pub(in crate::billing) status: String,
    pub(in crate::billing) total: Nanos,
    pub(in crate::billing) created_at: Timestamp,
    pub(in crate::billing) url: Option<String>,
    pub(in crate::billing) pdf: Option<String>,
}

/// A page on which credit is paid for. The same page for the same `id`.
pub(in crate::billing) async fn top_up_page(app: &App, org: OrgId, id: Uuid, cents: i64) -> Result<Bought, Error> {
    let name = format!("Credit for {}", app.config.project_name);
    let mut fields = form([
        ("mode", "payment"),
        ("line_items[0][quantity]", "1"),
        ("line_items[0][price_data][currency]", "usd"),
        ("line_items[0][price_data][unit_amount]", &cents.to_string()),
        ("line_items[0][price_data][product_data][name]", &name),
        // So that automatic top-ups may use the card.
        ("payment_intent_data[setup_future_usage]", "off_session"),
    ]);
    page(app, org, id, &mut fields, &format!("top_up:{id}")).await
}

/// A page on which a plan is subscribed to.
pub(in crate::billing) async fn plan_page(
    app: &App,
    org: OrgId,
    id: Uuid,
    (price, meter_price): (&str, Option<&str>),
    trial_days: i64,
) -> Result<Bought, Error> {
    let mut fields = form([
        ("mode", "subscription"),
        ("line_items[0][price]", price),
        ("line_items[0][quantity]", "1"),
        ("allow_promotion_codes", "true"),
    ]);
    if let Some(price) = meter_price {
        fields.extend(form([("line_items[1][price]", price)]));
    }
    if trial_days > 0 {
        fields.extend(form([("subscription_data[trial_period_days]", trial_days.to_string().as_str())]));
    }
    page(app, org, id, &mut fields, &format!("plan:{id}")).await
}

async fn page(app: &App, org: OrgId, id: Uuid, fields: &mut client::Form, key: &str) -> Result<Bought, Error> {
    let customer = customer::of_org(app, org).await?;
    fields.extend(form([
        ("customer", customer.as_str()),
        // Our row: what is paid finds the way back by it.
        ("client_reference_id", &id.to_string()),
        ("success_url", &back(app, "paid")),
        ("cancel_url", &back(app, "cancelled")),
    ]));
    let made = client::post(app, "checkout/sessions", fields, key).await.map_err(BillingError::from)?;
    let session = Session::read(&made);
    match session.url {
        Some(url) if !session.id.is_empty() => Ok(Bought { session_id: session.id, url }),
        // Asked for again after it was paid.
        _ => Err(BillingError::PageGone.into()),
    }
}

/// Where people come back to; `checkout` tells the page there what happened.
fn back(app: &App, what: &str) -> String {
    let url = &app.config.stripe.return_url;
    let (path, fragment) = url.split_once('#').map_or((url.as_str(), None), |(path, rest)| (path, Some(rest)));
    let fragment = fragment.map(|it| format!("#{it}")).unwrap_or_default();
    format!("{path}?checkout={what}{fragment}")
}

/// Closes a page on which nobody may pay any more, or learns that somebody has.
pub(in crate::billing) async fn close(app: &App, session_id: &str) -> Result<(), Error> {
    let path = format!("checkout/sessions/{session_id}/expire");
    match client::post(app, &path, &Vec::new(), &format!("expire:{session_id}")).await {
        // What is over already cannot be closed.
        Ok(_) | Err(StripeError::Refused { .. }) => {}
        Err(error) => return Err(BillingError::from(error).into()),
    }
    apply(app, Kind::Session, Told::unasked(session_id)).await.map_err(|error| {
        tracing::warn!(error = %error, "what became of a checkout could not be applied");
        BillingError::StripeAway.into()
    })
}

/// A visit to Stripe's portal: cards, invoices, the end of a plan.
pub(in crate::billing) async fn portal_page(app: &App, org: OrgId, id: Uuid) -> Result<String, Error> {
    let customer = customer::of_org(app, org).await?;
    let fields = form([("customer", customer.as_str()), ("return_url", &app.config.stripe.return_url)]);
    let made = client::post(app, "billing_portal/sessions", &fields, &format!("portal:{id}")).await;
    let made = made.map_err(BillingError::from)?;
    Ok(super::objects::text(&made, "/url").ok_or(BillingError::StripeAway)?)
}

/// The latest invoices, newest first.
pub(in crate::billing) async fn invoices(app: &App, org: OrgId) -> Result<Vec<InvoiceRow>, Error> {
    if app.config.stripe.secret_key.is_none() {
        return Err(BillingError::PaymentsOff.into());
    }
    let Some(customer) = customer::known(&app.store, org).await? else { return Ok(Vec::new()) };
    let query = form([("customer", customer.as_str()), ("limit", INVOICES)]);
    let page = client::get(app, "invoices", &query).await.map_err(BillingError::from)?;
    // Whatever the list holds, only what is the organisation's own is shown.
    let own = super::objects::list(&page, "/data").iter().map(Invoice::read);
    let own = own.filter(|it| it.customer.as_deref() == Some(customer.as_str()));
    let view = |it: Invoice| InvoiceRow {
        id: it.id,
        number: it.number,
        status: it.status,
        total: Nanos(it.total.saturating_mul(CENT)),
        created_at: Timestamp(it.created_ms),
        url: it.hosted_invoice_url,
        pdf: it.invoice_pdf,
    };
    Ok(own.map(view).collect())
}

/// Pays for credit with a card that was used before, while nobody is there. What came of it is applied.
pub(in crate::billing) async fn charge_card(
    app: &App,
    id: Uuid,
    cents: i64,
    (customer, card): (&str, &str),
) -> Result<(), BillingError> {
    let fields = form([
        ("amount", cents.to_string().as_str()),
        ("currency", "usd"),
        ("customer", customer),
        ("payment_method", card),
        ("off_session", "true"),
        ("confirm", "true"),
        ("metadata[top_up]", &id.to_string()),
    ]);
    let intent = match client::post(app, "payment_intents", &fields, &format!("auto:{id}")).await {
        Ok(made) => PaymentIntent::read(&made).id,
        Err(StripeError::Refused { payment_intent: Some(id), .. }) => id,
        Err(error) => return Err(error.into()),
    };
    apply(app, Kind::PaymentIntent, Told::unasked(&intent)).await.map_err(|error| {
        tracing::warn!(error = %error, "what became of an automatic top-up could not be applied");
        BillingError::StripeAway
    })
}
