//! Checkout sessions: a page on which somebody pays, subscribes, or leaves a card.

use super::{
    Call, Route, catalogue, currency,
    list::{chosen, page, page_of},
    metadata,
};
use crate::{
    calendar::DAY_S,
    form::Form,
    object::{number, shown, text},
    random,
    refusal::Refusal,
    world::World,
};
use serde_json::{Value, json};

const CREATE: &[&str] = &[
    "allow_promotion_codes",
    "automatic_tax",
    "billing_address_collection",
    "cancel_url",
    "client_reference_id",
    "consent_collection",
    "currency",
    "custom_text",
    "customer",
    "customer_creation",
    "customer_email",
    "customer_update",
    "expires_at",
    "invoice_creation",
    "line_items",
    "locale",
    "metadata",
    "mode",
    "payment_intent_data",
    "payment_method_collection",
    "payment_method_types",
    "saved_payment_method_options",
    "setup_intent_data",
    "submit_type",
    "subscription_data",
    "success_url",
    "tax_id_collection",
    "ui_mode",
];

pub(super) const ROUTES: &[Route] = &[
    ("POST", "/v1/checkout/sessions", CREATE, create),
    ("GET", "/v1/checkout/sessions", page!("created", "customer", "payment_intent", "status", "subscription"), list),
    ("GET", "/v1/checkout/sessions/*", &[], get),
    ("GET", "/v1/checkout/sessions/*/line_items", page!(), line_items),
    ("POST", "/v1/checkout/sessions/*", &["metadata"], update),
    ("POST", "/v1/checkout/sessions/*/expire", &[], expire),
];

fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let form = call.form;
    form.need("mode")?;
    let mode = form.one_of("mode", &["payment", "setup", "subscription"])?.unwrap_or_default().to_owned();
    form.need("success_url")?;
    for name in ["success_url", "cancel_url"] {
        if form.text(name).is_some_and(|it| url::Url::parse(&it.replace("{CHECKOUT_SESSION_ID}", "x")).is_err()) {
            return Err(Refusal::new("Not a valid URL").code("url_invalid").param(name));
        }
    }
    if let Some(customer) = form.text("customer") {
        world.objects.get("customer", customer, "customer")?;
        if form.has("customer_email") {
            let message = "You may only specify one of these parameters: customer, customer_email.";
            return Err(Refusal::new(message));
        }
    }
    let now = world.now();
    let expires_at = form.integer("expires_at")?.unwrap_or(now + DAY_S);
    if !(now + 1_800..=now + DAY_S + 60).contains(&expires_at) {
        let message =
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.";
        return Err(Refusal::new(message).param("expires_at"));
    }
    let lines = lines(world, form, &mode)?;
    let total: Option<i64> = (mode != "setup").then(|| lines.iter().map(|it| number(it, "amount_total")).sum());
    let currency = lines.first().map_or_else(|| form.value("currency"), |it| it["currency"].clone());
    let mut session = blank(form, &mode, &lines);
    session["amount_subtotal"] = total.into();
    session["amount_total"] = total.into();
    session["currency"] = currency;
    session["expires_at"] = expires_at.into();
    session["metadata"] = metadata(form, &Value::Null);
    if mode == "payment" {
        session["total_details"] = json!({ "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 });
        session["_intent"] = json!({
            "description": form.value("payment_intent_data.description"),
            "metadata": metadata(&form.part("payment_intent_data"), &Value::Null),
            "receipt_email": form.value("payment_intent_data.receipt_email"),
            "setup_future_usage": form.value("payment_intent_data.setup_future_usage"),
        });
    }
    if mode == "subscription" {
        session["total_details"] = json!({ "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 });
        session["_subscription_data"] = json!({
            "description": form.value("subscription_data.description"),
            "metadata": metadata(&form.part("subscription_data"), &Value::Null),
            "trial_days": form.integer("subscription_data.trial_period_days")?,
        });
    }
    let id = world.add(session);
    let link = format!("{}/c/pay/{id}", world.url);
    world.set(&id, json!({ "url": link }));
    Ok(world.copy(&id))
}

/// What is bought, as line items.
fn lines(world: &mut World, form: &Form, mode: &str) -> Result<Vec<Value>, Refusal> {
    let mut lines = Vec::new();
    for item in form.list("line_items") {
        let price = match item.text("price") {
            Some(price) => text(world.objects.get("price", price, "line_items[0][price]")?, "id").to_owned(),
            None => {
                item.need("price_data.currency")?;
                let name = item.need("price_data.product_data.name").map(str::to_owned);
                let product = match item.text("price_data.product") {
                    Some(product) => product.to_owned(),
                    None => world.new_product(&name?, None),
                };
                let price = world.new_price(&item.part("price_data"), &product)?;
                // A price that is made in passing can be bought once.
                world.set(&price, json!({ "active": false }));
                price
            }
        };
        let price = world.copy(&price);
        let wanted = if mode == "payment" { "one_time" } else { "recurring" };
        if price["type"] != wanted && mode == "payment" {
            let message = "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use only one-time prices.";
            return Err(Refusal::new(message).param("line_items[0][price]"));
        }
        let metered = price["recurring"]["usage_type"] == "metered";
        let quantity = item.integer("quantity")?;
        if metered && quantity.is_some() {
            let message = "Quantity should not be specified where usage_type is `metered`.";
            return Err(Refusal::new(message).param("line_items[0][quantity]"));
        }
        let quantity =
            if metered { None } else { Some(quantity.ok_or_else(|| Refusal::missing("line_items[0][quantity]"))?) };
        let amount = quantity.map_or(0, |it| catalogue::amount(&price, it));
        lines.push(json!({
            "id": random::id("li"),
            "object": "item",
            "adjustable_quantity": null,
            "amount_discount": 0,
            "amount_subtotal": amount,
            "amount_tax": 0,
            "amount_total": amount,
            "currency": price["currency"],
            "description": world.copy(text(&price, "product"))["name"],
            "metadata": {},
            "price": shown(&price),
            "quantity": quantity,
        }));
    }
    match mode {
        "setup" => {
            currency(form)?;
        }
        "subscription" if !lines.iter().any(|it| it["price"]["type"] == "recurring") => {
            let message = "You must provide at least one recurring price in `subscription` mode when using prices.";
            return Err(Refusal::new(message));
        }
        _ if lines.is_empty() => return Err(Refusal::missing("line_items")),
        _ => {}
    }
    Ok(lines)
}

/// A session with what the form says directly.
fn blank(form: &Form, mode: &str, lines: &[Value]) -> Value {
    json!({
        "object": "checkout.session",
        "adaptive_pricing": { "enabled": false },
        "after_expiration": null,
        "allow_promotion_codes": null,
        "amount_subtotal": null,
        "amount_total": null,
        "automatic_tax": { "enabled": false, "liability": null, "provider": null, "status": null },
        "billing_address_collection": form.value("billing_address_collection"),
        "branding_settings": null,
        "cancel_url": form.value("cancel_url"),
        "client_reference_id": form.value("client_reference_id"),
        "client_secret": null,
        "collected_information": { "business_name": null, "individual_name": null, "shipping_details": null },
        "consent": null,
        "consent_collection": null,
        "currency": null,
        "currency_conversion": null,
        "custom_fields": [],
        "custom_text": { "after_submit": null, "shipping_address": null, "submit": null, "terms_of_service_acceptance": null },
        "customer": form.value("customer"),
        "customer_account": null,
        "customer_creation": if form.has("customer") { Value::Null } else if mode == "payment" { form.text("customer_creation").unwrap_or("if_required").into() } else { "always".into() },
        "customer_details": null,
        "customer_email": form.value("customer_email"),
        "discounts": if mode == "setup" { Value::Null } else { json!([]) },
        "expires_at": 0,
        "invoice": null,
        "invoice_creation": null,
        "livemode": false,
        "locale": form.value("locale"),
        "metadata": {},
        "mode": mode,
        "origin_context": null,
        "payment_intent": null,
        "payment_link": null,
        "payment_method_collection": if mode == "subscription" { form.text("payment_method_collection").unwrap_or("always") } else { "if_required" },
        "payment_method_configuration_details": null,
        "payment_method_options": { "card": { "request_three_d_secure": "automatic" } },
        "payment_method_types": ["card"],
        "payment_status": if mode == "setup" { "no_payment_required" } else { "unpaid" },
        "permissions": null,
        "phone_number_collection": { "enabled": false },
        "presentment_details": null,
        "recovered_from": null,
        "saved_payment_method_options": null,
        "setup_intent": null,
        "shipping_address_collection": null,
        "shipping_cost": null,
        "shipping_options": [],
        "status": "open",
        "submit_type": form.value("submit_type"),
        "subscription": null,
        "success_url": form.value("success_url"),
        "total_details": null,
        "ui_mode": "hosted_page",
        "url": null,
        "wallet_options": null,
        "_line_items": { "object": "list", "data": lines, "has_more": false, "url": "/v1/checkout/sessions/line_items" },
    })
}

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let fields = ["customer", "payment_intent", "status", "subscription"];
    page_of(&chosen(world.objects.all("checkout.session"), call, &fields)?, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("checkout.session", call.id, "id").cloned()
}

fn line_items(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let session = world.objects.get("checkout.session", call.id, "id")?;
    page_of(&session["_line_items"]["data"].as_array().cloned().unwrap_or_default(), call)
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let before = world.objects.get("checkout.session", call.id, "id")?.clone();
    world.set(call.id, json!({ "metadata": metadata(call.form, &before["metadata"]) }));
    Ok(world.copy(call.id))
}

fn expire(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let session = world.objects.get("checkout.session", call.id, "id")?;
    if session["status"] != "open" {
        let message = format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of {}.",
            text(session, "status")
        );
        return Err(Refusal::new(message));
    }
    world.expire_session(call.id);
    Ok(world.copy(call.id))
}

impl World {
    pub(crate) fn expire_session(&mut self, session: &str) {
        self.set(session, json!({ "status": "expired", "url": null }));
        self.emit("checkout.session.expired", session);
    }
}
