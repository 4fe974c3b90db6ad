//! Invoices, and their payments.

use super::{
    Call, Route,
    list::{chosen, page, page_of},
    metadata,
};
use crate::{object::text, refusal::Refusal, world::World};
use serde_json::{Value, json};

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/v1/invoices", page!("collection_method", "created", "customer", "status", "subscription"), list),
    ("GET", "/v1/invoices/*", &[], get),
    ("POST", "/v1/invoices/*", &["description", "metadata"], update),
    ("GET", "/v1/invoices/*/lines", page!(), lines),
    ("POST", "/v1/invoices/*/pay", &["off_session", "payment_method"], pay),
    ("POST", "/v1/invoices/*/void", &[], void),
    ("GET", "/v1/invoice_payments", page!("created", "invoice", "payment", "status"), payments),
    ("GET", "/v1/invoice_payments/*", &[], payment),
];

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let mut all = chosen(world.objects.all("invoice"), call, &["collection_method", "customer", "status"])?;
    if let Some(subscription) = call.form.text("subscription") {
        all.retain(|it| it["parent"]["subscription_details"]["subscription"] == subscription);
    }
    page_of(&all, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("invoice", call.id, "id").cloned()
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let before = world.objects.get("invoice", call.id, "id")?.clone();
    let mut fields = super::given(call, &["description"]);
    fields.insert("metadata".to_owned(), metadata(call.form, &before["metadata"]));
    world.update(call.id, fields.into(), "invoice.updated");
    Ok(world.copy(call.id))
}

fn lines(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let invoice = world.objects.get("invoice", call.id, "id")?;
    page_of(&invoice["lines"]["data"].as_array().cloned().unwrap_or_default(), call)
}

fn pay(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let invoice = world.objects.get("invoice", call.id, "id")?.clone();
    if invoice["status"] != "open" {
        return Err(
            Refusal::new(format!("Invoice is already {}", text(&invoice, "status"))).code("invoice_not_editable")
        );
    }
    let subscription = text(&invoice["parent"]["subscription_details"], "subscription").to_owned();
    if let Some(method) = call.form.text("payment_method") {
        let method = world.attach(method, text(&invoice, "customer"))?;
        world.set(&subscription, json!({ "default_payment_method": method }));
    }
    if world.collect(call.id, call.form.truth("off_session")? == Some(false)) {
        world.revive(&subscription);
        return Ok(world.copy(call.id));
    }
    Err(Refusal::card("card_declined", "Your card was declined.").with("decline_code", "generic_decline".into()))
}

fn void(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let invoice = world.objects.get("invoice", call.id, "id")?.clone();
    if invoice["status"] != "open" {
        return Err(Refusal::new(format!(
            "You can only pass in open invoices. This invoice is {}.",
            text(&invoice, "status")
        )));
    }
    let mut transitions = invoice["status_transitions"].clone();
    transitions["voided_at"] = world.now().into();
    let fields = json!({ "status": "void", "status_transitions": transitions, "next_payment_attempt": null });
    world.set(call.id, fields);
    world.emit("invoice.voided", call.id);
    Ok(world.copy(call.id))
}

fn payments(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let mut all = chosen(world.objects.all("invoice_payment"), call, &["invoice", "status"])?;
    if let Some(intent) = call.form.text("payment.payment_intent") {
        all.retain(|it| it["payment"]["payment_intent"] == intent);
    }
    page_of(&all, call)
}

fn payment(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("invoice_payment", call.id, "id").cloned()
}
