//! Customers.

use super::{
    ADDRESS, Call, Route, given,
    list::{chosen, page, page_of},
    metadata, texts,
};
use crate::{object, random, refusal::Refusal, world::World};
use serde_json::{Value, json};

const FIELDS: [&str; 4] = ["description", "email", "name", "phone"];

const PARAMS: &[&str] = &[
    "address",
    "balance",
    "description",
    "email",
    "invoice_prefix",
    "invoice_settings",
    "metadata",
    "name",
    "payment_method",
    "phone",
    "preferred_locales",
    "shipping",
    "tax",
    "tax_exempt",
    "tax_id_data",
    "validate",
];

pub(super) const ROUTES: &[Route] = &[
    ("POST", "/v1/customers", PARAMS, create),
    ("GET", "/v1/customers", page!("email", "created"), list),
    ("GET", "/v1/customers/*", &[], get),
    ("POST", "/v1/customers/*", PARAMS, update),
    ("DELETE", "/v1/customers/*", &[], delete),
];

fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let id = world.new_customer();
    let fields = changed(world, call, &id)?;
    world.set(&id, fields);
    if let Some(method) = call.form.text("payment_method") {
        let method = world.attach(method, &id)?;
        world.default_card(&id, &method);
    }
    world.emit("customer.created", &id);
    Ok(world.copy(&id))
}

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    page_of(&chosen(world.objects.all("customer"), call, &["email"])?, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    match world.objects.any(call.id) {
        // A deleted customer can still be asked for, and says so.
        Some(it) if it["object"] == "customer" => Ok(it.clone()),
        _ => Err(Refusal::no_such("customer", call.id, "id")),
    }
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("customer", call.id, "id")?;
    let fields = changed(world, call, call.id)?;
    world.update(call.id, fields, "customer.updated");
    Ok(world.copy(call.id))
}

fn delete(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("customer", call.id, "id")?;
    let theirs = |it: &&Value| it["customer"] == call.id && it["status"] != "canceled";
    let subscriptions: Vec<String> = world
        .objects
        .all("subscription")
        .into_iter()
        .filter(theirs)
        .map(|it| object::text(it, "id").to_owned())
        .collect();
    for subscription in subscriptions {
        world.end_subscription(&subscription, "cancellation_requested");
    }
    world.emit("customer.deleted", call.id);
    let at = world.copy(call.id)["_at"].clone();
    if let Some(customer) = world.objects.any_mut(call.id) {
        *customer = json!({ "id": call.id, "object": "customer", "deleted": true, "_at": at });
    }
    Ok(world.copy(call.id))
}

/// What a call makes of a customer's fields.
fn changed(world: &World, call: &Call, id: &str) -> Result<Value, Refusal> {
    let before = world.copy(id);
    let mut fields = given(call, &FIELDS);
    fields.insert("metadata".to_owned(), metadata(call.form, &before["metadata"]));
    if call.form.has("address") {
        fields.insert("address".to_owned(), texts(call.form, "address", &ADDRESS));
    }
    if let Some(balance) = call.form.integer("balance")? {
        fields.insert("balance".to_owned(), balance.into());
    }
    if let Some(exempt) = call.form.one_of("tax_exempt", &["exempt", "none", "reverse"])? {
        fields.insert("tax_exempt".to_owned(), exempt.into());
    }
    if call.form.has("invoice_settings.default_payment_method") {
        let method = call.form.value("invoice_settings.default_payment_method");
        let theirs = method.as_str().is_none_or(|it| world.copy(it)["customer"] == id);
        if !theirs {
            let message = "The customer does not have a payment method with this ID. The payment method must be attached to the customer.";
            return Err(Refusal::new(message)
                .code("resource_missing")
                .param("invoice_settings[default_payment_method]"));
        }
        let mut settings = before["invoice_settings"].clone();
        settings["default_payment_method"] = method;
        fields.insert("invoice_settings".to_owned(), settings);
    }
    Ok(Value::Object(fields))
}

impl World {
    /// A customer about whom nothing is known, and of whom nobody is told yet.
    pub(crate) fn new_customer(&mut self) -> String {
        self.add(json!({
            "object": "customer",
            "address": null,
            "balance": 0,
            "currency": null,
            "customer_account": null,
            "default_source": null,
            "delinquent": false,
            "description": null,
            "discount": null,
            "email": null,
            "invoice_prefix": random::text(8).to_uppercase(),
            "invoice_settings": { "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null },
            "livemode": false,
            "metadata": {},
            "name": null,
            "next_invoice_sequence": 1,
            "phone": null,
            "preferred_locales": [],
            "shipping": null,
            "tax_exempt": "none",
            "test_clock": null,
        }))
    }

    /// The card that a customer's invoices and subscriptions are paid with.
    pub(crate) fn default_card(&mut self, customer: &str, method: &str) {
        let mut settings = self.copy(customer)["invoice_settings"].clone();
        settings["default_payment_method"] = method.into();
        self.set(customer, json!({ "invoice_settings": settings }));
    }
}
