//! The billing portal, where customers help themselves.

use super::{
    Call, Route, given,
    list::{chosen, page, page_of},
    metadata,
};
use crate::{form::Form, object::text, random, refusal::Refusal, world::World};
use serde_json::{Map, Value, json};

const CONFIGURE: &[&str] =
    &["active", "business_profile", "default_return_url", "features", "login_page", "metadata", "name"];

pub(super) const ROUTES: &[Route] = &[
    (
        "POST",
        "/v1/billing_portal/sessions",
        &["configuration", "customer", "flow_data", "locale", "return_url"],
        create,
    ),
    ("POST", "/v1/billing_portal/configurations", CONFIGURE, configure),
    ("GET", "/v1/billing_portal/configurations", page!("active", "is_default"), list),
    ("GET", "/v1/billing_portal/configurations/*", &[], get),
    ("POST", "/v1/billing_portal/configurations/*", CONFIGURE, reconfigure),
];

fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let customer = call.form.need("customer")?.to_owned();
    world.objects.get("customer", &customer, "customer")?;
    let configuration = match call.form.text("configuration") {
        Some(id) => text(world.objects.get("billing_portal.configuration", id, "configuration")?, "id").to_owned(),
        None => {
            let default =
                world.objects.all("billing_portal.configuration").into_iter().find(|it| it["is_default"] == true);
            let none = "No configuration provided and your test mode default configuration has not been created. Provide a configuration or create your default by saving your customer portal settings in test mode at https://dashboard.stripe.com/test/settings/billing/portal.";
            text(default.ok_or_else(|| Refusal::new(none))?, "id").to_owned()
        }
    };
    let secret = random::text(32);
    let id = world.add(json!({
        "object": "billing_portal.session",
        "configuration": configuration,
        "customer": customer,
        "customer_account": null,
        "flow": null,
        "livemode": false,
        "locale": call.form.value("locale"),
        "on_behalf_of": null,
        "return_url": call.form.value("return_url"),
        "url": format!("{}/p/session/{secret}", world.url),
        "_portal": secret,
    }));
    Ok(world.copy(&id))
}

fn configure(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let is_first = world.objects.all("billing_portal.configuration").is_empty();
    let now = world.now();
    let id = world.add(json!({
        "object": "billing_portal.configuration",
        "active": true,
        "application": null,
        "business_profile": profile(call.form, &json!({ "headline": null, "privacy_policy_url": null, "terms_of_service_url": null })),
        "default_return_url": call.form.value("default_return_url"),
        "features": features(call.form, &no_features())?,
        "is_default": is_first,
        "livemode": false,
        "login_page": { "enabled": false, "url": null },
        "metadata": metadata(call.form, &Value::Null),
        "name": call.form.value("name"),
        "updated": now,
    }));
    world.emit("billing_portal.configuration.created", &id);
    Ok(world.copy(&id))
}

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    page_of(&chosen(world.objects.all("billing_portal.configuration"), call, &["active", "is_default"])?, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("billing_portal.configuration", call.id, "id").cloned()
}

fn reconfigure(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let before = world.objects.get("billing_portal.configuration", call.id, "id")?.clone();
    let mut fields = given(call, &["default_return_url", "name"]);
    if let Some(active) = call.form.truth("active")? {
        fields.insert("active".to_owned(), active.into());
    }
    fields.insert("business_profile".to_owned(), profile(call.form, &before["business_profile"]));
    fields.insert("features".to_owned(), features(call.form, &before["features"])?);
    fields.insert("metadata".to_owned(), metadata(call.form, &before["metadata"]));
    fields.insert("updated".to_owned(), world.now().into());
    world.update(call.id, fields.into(), "billing_portal.configuration.updated");
    Ok(world.copy(call.id))
}

fn profile(form: &Form, before: &Value) -> Value {
    let mut profile = before.clone();
    for (name, value) in form.map("business_profile") {
        profile[name] = if value == "" { Value::Null } else { value };
    }
    profile
}

/// What a customer may do unless a configuration says so: nothing.
fn no_features() -> Value {
    json!({
        "customer_update": { "allowed_updates": [], "enabled": false },
        "invoice_history": { "enabled": false },
        "payment_method_update": { "enabled": false, "payment_method_configuration": null },
        "subscription_cancel": {
            "cancellation_reason": { "enabled": false, "options": [] },
            "enabled": false,
            "mode": "at_period_end",
            "proration_behavior": "none",
        },
        "subscription_update": {
            "billing_cycle_anchor": null,
            "default_allowed_updates": [],
            "enabled": false,
            "proration_behavior": "none",
            "schedule_at_period_end": { "conditions": [] },
            "trial_update_behavior": "end_trial",
        },
    })
}

/// The features as the form changes them; texts that are truths become them.
fn features(form: &Form, before: &Value) -> Result<Value, Refusal> {
    let mut features = before.clone();
    for (name, change) in form.map("features") {
        if features[&name].is_null() {
            return Err(Refusal::unknown(&format!("features[{name}]")));
        }
        join(&mut features[&name], &change);
    }
    Ok(features)
}

fn join(value: &mut Value, change: &Value) {
    match change {
        Value::Object(fields) => {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            for (name, change) in fields {
                join(&mut value[name], change);
            }
        }
        Value::String(text) if text == "true" || text == "false" => *value = (text == "true").into(),
        Value::String(text) if text.is_empty() => *value = Value::Null,
        other => *value = other.clone(),
    }
}
