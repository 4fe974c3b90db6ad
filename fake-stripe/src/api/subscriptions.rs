//! Subscriptions: begun elsewhere or here, looked at, changed, ended.

use super::{
    Call, Route, given,
    list::{chosen, page, page_of},
    metadata,
};
use crate::{
    form::Form,
    invoices::Line,
    object::text,
    refusal::Refusal,
    subscriptions::{NewSubscription, item, item_list, period},
    world::World,
};
use serde_json::{Value, json};

const CREATE: &[&str] = &[
    "cancel_at_period_end",
    "collection_method",
    "currency",
    "customer",
    "default_payment_method",
    "description",
    "items",
    "metadata",
    "off_session",
    "payment_behavior",
    "payment_settings",
    "proration_behavior",
    "trial_end",
    "trial_period_days",
    "trial_settings",
];

const UPDATE: &[&str] = &[
    "cancel_at",
    "cancel_at_period_end",
    "cancellation_details",
    "default_payment_method",
    "description",
    "items",
    "metadata",
    "off_session",
    "payment_behavior",
    "proration_behavior",
    "proration_date",
    "trial_end",
    "trial_settings",
];

pub(super) const ROUTES: &[Route] = &[
    ("POST", "/v1/subscriptions", CREATE, create),
    ("GET", "/v1/subscriptions", page!("collection_method", "created", "customer", "price", "status"), list),
    ("GET", "/v1/subscriptions/*", &[], get),
    ("POST", "/v1/subscriptions/*", UPDATE, update),
    ("DELETE", "/v1/subscriptions/*", &["cancellation_details", "invoice_now", "prorate"], cancel),
    ("POST", "/v1/subscriptions/*/resume", &["billing_cycle_anchor", "proration_behavior"], resume),
];

fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let form = call.form;
    let customer = form.need("customer")?.to_owned();
    world.objects.get("customer", &customer, "customer")?;
    let mut items = Vec::new();
    for item in form.list("items") {
        items.push((item.need("price")?.to_owned(), item.integer("quantity")?));
    }
    if items.is_empty() {
        return Err(Refusal::missing("items"));
    }
    let method = form.text("default_payment_method").map(|it| world.attach(it, &customer)).transpose()?;
    let has_card = method.is_some() || world.copy(&customer)["invoice_settings"]["default_payment_method"].is_string();
    let trial_days = form.integer("trial_period_days")?;
    if !has_card && trial_days.is_none() && form.text("payment_behavior") != Some("default_incomplete") {
        let message = "This customer has no attached payment source or default payment method. Please consider adding a default payment method.";
        return Err(Refusal::new(message).code("resource_missing"));
    }
    let mut fields = given(call, &["description"]);
    fields.insert("metadata".to_owned(), metadata(form, &Value::Null));
    if let Some(behavior) = form.text("trial_settings.end_behavior.missing_payment_method") {
        fields.insert("trial_settings".to_owned(), json!({ "end_behavior": { "missing_payment_method": behavior } }));
    }
    let present = form.truth("off_session")? != Some(true);
    let new = NewSubscription { customer, items, trial_days, method, fields: fields.into(), present };
    let id = world.new_subscription(new)?;
    Ok(world.copy(&id))
}

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let mut all = chosen(world.objects.all("subscription"), call, &["collection_method", "customer"])?;
    // Unless it is asked for them, the list leaves out what has ended.
    match call.form.text("status") {
        None => all.retain(|it| it["status"] != "canceled"),
        Some("all") => {}
        Some("ended") => all.retain(|it| matches!(text(it, "status"), "canceled" | "incomplete_expired")),
        Some(status) => all.retain(|it| it["status"] == status),
    }
    if let Some(price) = call.form.text("price") {
        all.retain(|it| {
            it["items"]["data"].as_array().is_some_and(|items| items.iter().any(|it| it["price"]["id"] == price))
        });
    }
    page_of(&all, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("subscription", call.id, "id").cloned()
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let (form, before) = (call.form, world.objects.get("subscription", call.id, "id")?.clone());
    if before["status"] == "canceled" {
        let message = "A canceled subscription can only update its cancellation_details and metadata.";
        return Err(Refusal::new(message));
    }
    let mut fields = given(call, &["description"]);
    fields.insert("metadata".to_owned(), metadata(form, &before["metadata"]));
    if let Some(ends) = form.truth("cancel_at_period_end")? {
        let (_, end) = period(&before);
        fields.insert("cancel_at_period_end".to_owned(), ends.into());
        fields.insert("cancel_at".to_owned(), if ends { end.into() } else { Value::Null });
        fields.insert("canceled_at".to_owned(), if ends { world.now().into() } else { Value::Null });
        let reason = ends.then_some("cancellation_requested");
        fields
            .insert("cancellation_details".to_owned(), json!({ "comment": null, "feedback": null, "reason": reason }));
    }
    if form.has("cancel_at") {
        fields.insert("cancel_at".to_owned(), form.integer("cancel_at")?.into());
    }
    if let Some(method) = form.text("default_payment_method") {
        let method = world.attach(method, text(&before, "customer"))?;
        fields.insert("default_payment_method".to_owned(), method.into());
    }
    if form.text("trial_end") == Some("now") && before["status"] == "trialing" {
        let (start, _) = period(&before);
        let now = world.now();
        world.set_period(call.id, start, now);
        fields.insert("trial_end".to_owned(), now.into());
    }
    let lines = exchange(world, call, form)?;
    if !bill(world, call, &lines)? {
        fields.insert("status".to_owned(), "past_due".into());
    }
    // An event says what the whole change came to, so the items are compared with those before it.
    for name in ["items", "latest_invoice"] {
        fields.insert(name.to_owned(), world.copy(call.id)[name].clone());
        world.set(call.id, json!({ name: before[name] }));
    }
    world.update(call.id, fields.into(), "customer.subscription.updated");
    world.catch_up();
    Ok(world.copy(call.id))
}

/// Changes the items as the call says; gives what that means for the running period.
fn exchange(world: &mut World, call: &Call, form: &Form) -> Result<Vec<Line>, Refusal> {
    let mut lines = Vec::new();
    for change in form.list("items") {
        let subscription = world.copy(call.id);
        let items = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
        let at = items.iter().position(|it| it["id"].as_str() == change.text("id"));
        let quantity = change.integer("quantity")?;
        match at {
            Some(at) if change.truth("deleted")? == Some(true) => {
                let mut left = items;
                left.remove(at);
                world.set(call.id, json!({ "items": item_list(call.id, &left.into()) }));
            }
            Some(at) => {
                let price = change.text("price").unwrap_or(text(&items[at]["price"], "id")).to_owned();
                let price = world.objects.get("price", &price, "items[0][price]")?.clone();
                let quantity = quantity.or(items[at]["quantity"].as_i64());
                lines.extend(world.exchange(call.id, at, &price, quantity));
            }
            None if change.has("id") => {
                return Err(Refusal::no_such("subscription_item", change.need("id")?, "items[0][id]"));
            }
            None => {
                let price = world.objects.get("price", change.need("price")?, "items[0][price]")?.clone();
                let (start, end) = period(&subscription);
                let mut more = items;
                more.push(item(call.id, &price, quantity, start, end));
                world.set(call.id, json!({ "items": item_list(call.id, &more.into()) }));
            }
        }
    }
    Ok(lines)
}

/// Bills the lines of a change now or with the next invoice, as `proration_behavior` says; false if it was not paid.
fn bill(world: &mut World, call: &Call, lines: &[Line]) -> Result<bool, Refusal> {
    let behavior = call.form.one_of("proration_behavior", &["always_invoice", "create_prorations", "none"])?;
    if lines.is_empty() || behavior == Some("none") {
        return Ok(true);
    }
    if behavior != Some("always_invoice") {
        world.add_pending(call.id, lines);
        return Ok(true);
    }
    let now = world.now();
    let invoice = world.new_invoice(call.id, lines, "subscription_update", (now, now));
    let paid = world.collect(&invoice, call.form.truth("off_session")? != Some(true));
    world.set(call.id, json!({ "latest_invoice": invoice }));
    Ok(paid)
}

fn cancel(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let subscription = world.objects.get("subscription", call.id, "id")?;
    if subscription["status"] == "canceled" {
        return Err(Refusal::no_such("subscription", call.id, "id"));
    }
    if call.form.truth("invoice_now")? == Some(true) {
        world.bill_last(call.id);
    }
    world.end_subscription(call.id, "cancellation_requested");
    Ok(world.copy(call.id))
}

fn resume(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let subscription = world.objects.get("subscription", call.id, "id")?;
    if subscription["status"] != "paused" {
        let message = "This subscription cannot be resumed because it is not paused.";
        return Err(Refusal::new(message));
    }
    world.set(call.id, json!({ "status": "active" }));
    world.emit("customer.subscription.resumed", call.id);
    world.catch_up();
    Ok(world.copy(call.id))
}
