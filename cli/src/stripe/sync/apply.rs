//! Does at Stripe what was decided.

use super::{
    Wanted,
    look::{Found, MARK, product_id},
    steps::{EVENTS, Kind, Step},
};
use crate::stripe::client::{Client, StripeError};
use anyhow::Context as _;
use edge_core::{
    Store,
    billing::{self, Plan, PlanPrices, stripe::METER_EVENT},
};
use std::collections::HashMap;
use stripe_billing::{
    billing_meter::{
        CreateBillingMeter, CreateBillingMeterDefaultAggregation, CreateBillingMeterDefaultAggregationFormula,
    },
    billing_portal_configuration::{
        CreateBillingPortalConfiguration, CreateBillingPortalConfigurationFeatures,
        CreateBillingPortalConfigurationFeaturesSubscriptionCancel as CreateCancel,
        CreateBillingPortalConfigurationFeaturesSubscriptionCancelMode as CreateMode, InvoiceListParam,
        PaymentMethodUpdateParam, UpdateBillingPortalConfiguration, UpdateBillingPortalConfigurationFeatures,
        UpdateBillingPortalConfigurationFeaturesSubscriptionCancel as UpdateCancel,
        UpdateBillingPortalConfigurationFeaturesSubscriptionCancelMode as UpdateMode,
        UpdateBillingPortalConfigurationFeaturesSubscriptionUpdate as UpdateSubscription,
    },
};
use stripe_misc::webhook_endpoint::{CreateWebhookEndpoint, DeleteWebhookEndpoint, UpdateWebhookEndpoint};
use stripe_product::{
    price::{
        CreatePrice, CreatePriceRecurring, CreatePriceRecurringInterval, CreatePriceRecurringUsageType, UpdatePrice,
    },
    product::{CreateProduct, UpdateProduct},
};
use stripe_types::Currency;

/// What was made on the way, that later steps need.
struct Made<'a> {
    meter: Option<String>,
    /// By lookup key.
    prices: HashMap<String, String>,
    found: &'a Found,
}

/// Does all steps; gives the secret of a webhook endpoint that was made.
pub(super) async fn all(
    client: &Client,
    store: &Store,
    wanted: &Wanted,
    found: &Found,
    steps: &[Step],
) -> anyhow::Result<Option<String>> {
    let mut made = Made { meter: found.meter.clone(), prices: HashMap::new(), found };
    let mut secret = None;
    for step in steps {
        let failed = || format!("cannot {step}");
        match step {
            Step::MakeMeter => made.meter = Some(make_meter(client).await.with_context(failed)?),
            Step::MakeProduct { plan } => make_product(client, plan).await.with_context(failed)?,
            Step::ChangeProduct { plan } => change_product(client, plan).await.with_context(failed)?,
            Step::MakePrice { plan, kind, old } => {
                let id = make_price(client, plan, *kind, made.meter.as_deref()).await.with_context(failed)?;
                if let Some(old) = old {
                    UpdatePrice::new(old.as_str()).active(false).send(client).await.with_context(failed)?;
                }
                made.prices.insert(kind.lookup_key(&plan.id), id);
            }
            Step::SavePrices { plan } => {
                let prices =
                    PlanPrices { price: made.price(plan, Kind::Month), meter_price: made.price(plan, Kind::Overage) };
                billing::save_plan_prices(store, plan, prices).await.with_context(failed)?;
            }
            Step::MakePortal => make_portal(client).await.with_context(failed)?,
            Step::ChangePortal { id } => change_portal(client, id).await.with_context(failed)?,
            Step::MakeEndpoint { url } => secret = make_endpoint(client, url).await.with_context(failed)?,
            Step::ChangeEndpoint { id } => change_endpoint(client, id).await.with_context(failed)?,
            Step::KeepOldEndpoint { .. } => {}
            Step::RemoveOldEndpoint { id } => {
                DeleteWebhookEndpoint::new(id.as_str()).send(client).await.with_context(failed)?;
            }
        }
    }
    debug_assert!(wanted.webhook_url.is_some() || secret.is_none(), "no endpoint is made that nobody asked for");
    Ok(secret)
}

impl Made<'_> {
    fn price(&self, plan: &str, kind: Kind) -> Option<String> {
        let key = kind.lookup_key(plan);
        self.prices.get(&key).cloned().or_else(|| self.found.prices.get(&key).map(|it| it.id.clone()))
    }
}

async fn make_meter(client: &Client) -> Result<String, StripeError> {
    let sum = CreateBillingMeterDefaultAggregation::new(CreateBillingMeterDefaultAggregationFormula::Sum);
    let meter = CreateBillingMeter::new(sum, "Use beyond credit, in cents", METER_EVENT);
    Ok(meter.send(client).await?.id.to_string())
}

async fn make_product(client: &Client, plan: &Plan) -> Result<(), StripeError> {
    let product = CreateProduct::new(plan.name.as_str()).id(product_id(&plan.id)).metadata(mark(&plan.id));
    product.send(client).await.map(drop)
}

async fn change_product(client: &Client, plan: &Plan) -> Result<(), StripeError> {
    let product = UpdateProduct::new(product_id(&plan.id)).name(plan.name.as_str()).active(plan.active);
    product.send(client).await.map(drop)
}

async fn make_price(client: &Client, plan: &Plan, kind: Kind, meter: Option<&str>) -> Result<String, StripeError> {
    let mut recurring = CreatePriceRecurring::new(CreatePriceRecurringInterval::Month);
    if kind == Kind::Overage {
        recurring.usage_type = Some(CreatePriceRecurringUsageType::Metered);
        recurring.meter = meter.map(str::to_owned);
    }
    let price = CreatePrice::new(Currency::USD)
        .product(product_id(&plan.id))
        .unit_amount(kind.cents(plan))
        .recurring(recurring)
        .lookup_key(kind.lookup_key(&plan.id))
        .transfer_lookup_key(true)
        .metadata(mark(&plan.id));
    Ok(price.send(client).await?.id.to_string())
}

/// Customers see their invoices, change their card, and cancel at the end of what they paid; plans change by us.
async fn make_portal(client: &Client) -> Result<(), StripeError> {
    let mut cancel = CreateCancel::new(true);
    cancel.mode = Some(CreateMode::AtPeriodEnd);
    let mut features = CreateBillingPortalConfigurationFeatures::new();
    features.invoice_history = Some(InvoiceListParam::new(true));
    features.payment_method_update = Some(PaymentMethodUpdateParam::new(true));
    features.subscription_cancel = Some(cancel);
    CreateBillingPortalConfiguration::new(features).metadata(mark("portal")).send(client).await.map(drop)
}

async fn change_portal(client: &Client, id: &str) -> Result<(), StripeError> {
    let mut cancel = UpdateCancel::new();
    (cancel.enabled, cancel.mode) = (Some(true), Some(UpdateMode::AtPeriodEnd));
    let mut update = UpdateSubscription::new();
    update.enabled = Some(false);
    let mut features = UpdateBillingPortalConfigurationFeatures::new();
    features.invoice_history = Some(InvoiceListParam::new(true));
    features.payment_method_update = Some(PaymentMethodUpdateParam::new(true));
    features.subscription_cancel = Some(cancel);
    features.subscription_update = Some(update);
    UpdateBillingPortalConfiguration::new(id).features(features).send(client).await.map(drop)
}

async fn make_endpoint(client: &Client, url: &str) -> Result<Option<String>, StripeError> {
    let events: Vec<_> = EVENTS.iter().map(|it| it.parse().unwrap_or_else(|never| match never {})).collect();
    let endpoint = CreateWebhookEndpoint::new(events, url)
        .api_version(stripe_client_core::VERSION)
        .description("AI Tool Nest")
        .metadata(mark("webhooks"));
    Ok(endpoint.send(client).await?.secret)
}

async fn change_endpoint(client: &Client, id: &str) -> Result<(), StripeError> {
    let events: Vec<_> = EVENTS.iter().map(|it| it.parse().unwrap_or_else(|never| match never {})).collect();
    UpdateWebhookEndpoint::new(id).enabled_events(events).disabled(false).send(client).await.map(drop)
}

fn mark(what: &str) -> HashMap<String, String> {
    HashMap::from([(MARK.to_owned(), what.to_owned())])
}
