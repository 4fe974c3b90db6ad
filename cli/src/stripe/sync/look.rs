//! What Stripe has, as far as it is ours.

use super::{Wanted, steps::Kind};
use crate::stripe::client::{Client, StripeError};
use edge_core::billing::stripe::METER_EVENT;
use futures_util::TryStreamExt as _;
use std::collections::BTreeMap;
use stripe_billing::{
    BillingMeter, BillingMeterStatus, BillingPortalConfiguration, PortalSubscriptionCancelMode,
    billing_meter::ListBillingMeter, billing_portal_configuration::ListBillingPortalConfiguration,
};
use stripe_misc::{WebhookEndpoint, webhook_endpoint::ListWebhookEndpoint};
use stripe_product::{price::ListPrice, product::ListProduct};
use stripe_shared::{Price, Product, RecurringInterval};

/// How many lookup keys Stripe takes in one call.
const KEYS: usize = 10;

/// The name in metadata that says that something is ours.
pub(super) const MARK: &str = "ai_tool_nest";

#[derive(Debug, Default)]
pub(super) struct Found {
    /// Products of plans, by id.
    pub(super) products: BTreeMap<String, FoundProduct>,
    /// Prices, by lookup key.
    pub(super) prices: BTreeMap<String, FoundPrice>,
    pub(super) meter: Option<String>,
    pub(super) portal: Option<FoundPortal>,
    /// Those at our address.
    pub(super) endpoints: Vec<FoundEndpoint>,
}

#[derive(Debug)]
pub(super) struct FoundProduct {
    pub(super) name: String,
    pub(super) active: bool,
}

#[derive(Debug)]
pub(super) struct FoundPrice {
    pub(super) id: String,
    pub(super) product: String,
    pub(super) currency: String,
    pub(super) cents: Option<i64>,
    pub(super) is_monthly: bool,
    pub(super) meter: Option<String>,
    pub(super) active: bool,
}

#[derive(Debug)]
pub(super) struct FoundPortal {
    pub(super) id: String,
    /// Whether customers may do there what they should.
    pub(super) fits: bool,
}

#[derive(Debug)]
pub(super) struct FoundEndpoint {
    pub(super) id: String,
    pub(super) api_version: Option<String>,
    pub(super) events: Vec<String>,
    pub(super) enabled: bool,
}

pub(super) async fn at(client: &Client, wanted: &Wanted) -> Result<Found, StripeError> {
    let ids: Vec<&str> = wanted.plans.iter().map(|it| it.plan.id.as_str()).collect();
    let mut found = Found::default();
    let product_ids: Vec<String> = ids.iter().map(|it| product_id(it)).collect();
    // An empty list of ids would ask for all products.
    if !product_ids.is_empty() {
        let list = ListProduct::new().ids(product_ids).limit(100);
        let products: Vec<Product> = list.paginate().stream(client).try_collect().await?;
        found.products = products
            .into_iter()
            .map(|it| (it.id.to_string(), FoundProduct { name: it.name, active: it.active }))
            .collect();
    }
    let keys: Vec<String> = ids.iter().flat_map(|id| Kind::ALL.map(|kind| kind.lookup_key(id))).collect();
    for keys in keys.chunks(KEYS) {
        let list = ListPrice::new().lookup_keys(keys).limit(100);
        let prices: Vec<Price> = list.paginate().stream(client).try_collect().await?;
        found.prices.extend(prices.into_iter().filter_map(|it| Some((it.lookup_key.clone()?, price(&it)))));
    }
    let meters = ListBillingMeter::new().status(BillingMeterStatus::Active).limit(100);
    let meters: Vec<BillingMeter> = meters.paginate().stream(client).try_collect().await?;
    found.meter = meters.into_iter().find(|it| it.event_name == METER_EVENT).map(|it| it.id.to_string());
    let portals = ListBillingPortalConfiguration::new().active(true).limit(100);
    let portals: Vec<BillingPortalConfiguration> = portals.paginate().stream(client).try_collect().await?;
    // Sessions are made without naming a configuration, so it is the default one that counts.
    found.portal = portals.iter().find(|it| it.is_default).map(portal);
    if let Some(url) = &wanted.webhook_url {
        let list = ListWebhookEndpoint::new().limit(100);
        let endpoints: Vec<WebhookEndpoint> = list.paginate().stream(client).try_collect().await?;
        found.endpoints = endpoints.into_iter().filter(|it| it.url == *url).map(endpoint).collect();
    }
    Ok(found)
}

/// The id that a plan's product has at Stripe.
pub(super) fn product_id(plan: &str) -> String {
    format!("nest_plan_{plan}")
}

fn price(price: &Price) -> FoundPrice {
    let recurring = price.recurring.as_ref();
    FoundPrice {
        id: price.id.to_string(),
        product: price.product.id().to_string(),
        currency: price.currency.to_string(),
        cents: price.unit_amount,
        is_monthly: recurring.is_some_and(|it| it.interval == RecurringInterval::Month && it.interval_count == 1),
        meter: recurring.and_then(|it| it.meter.clone()),
        active: price.active,
    }
}

fn portal(portal: &BillingPortalConfiguration) -> FoundPortal {
    let features = &portal.features;
    let cancels = &features.subscription_cancel;
    let fits = features.invoice_history.enabled
        && features.payment_method_update.enabled
        && cancels.enabled
        && cancels.mode == PortalSubscriptionCancelMode::AtPeriodEnd
        && !features.subscription_update.enabled;
    FoundPortal { id: portal.id.to_string(), fits }
}

fn endpoint(endpoint: WebhookEndpoint) -> FoundEndpoint {
    FoundEndpoint {
        id: endpoint.id.to_string(),
        api_version: endpoint.api_version,
        events: endpoint.enabled_events,
        enabled: endpoint.status == "enabled",
    }
}
