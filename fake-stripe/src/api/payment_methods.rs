//! Payment methods: the cards of customers.

use super::{
    Call, Route,
    cards::Card,
    list::{chosen, page, page_of},
    metadata,
};
use crate::{refusal::Refusal, world::World};
use serde_json::{Value, json};

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/v1/payment_methods", page!("customer", "type"), list),
    ("GET", "/v1/payment_methods/*", &[], get),
    ("POST", "/v1/payment_methods/*", &["metadata"], update),
    ("POST", "/v1/payment_methods/*/attach", &["customer"], attach),
    ("POST", "/v1/payment_methods/*/detach", &[], detach),
    ("GET", "/v1/customers/*/payment_methods", page!("type"), of_customer),
];

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    call.form.need("customer")?;
    page_of(&chosen(world.objects.all("payment_method"), call, &["customer", "type"])?, call)
}

fn of_customer(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("customer", call.id, "id")?;
    let theirs = world.objects.all("payment_method").into_iter().filter(|it| it["customer"] == call.id).collect();
    page_of(&chosen(theirs, call, &["type"])?, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("payment_method", call.id, "id").cloned()
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let before = world.objects.get("payment_method", call.id, "id")?.clone();
    world.update(call.id, json!({ "metadata": metadata(call.form, &before["metadata"]) }), "payment_method.updated");
    Ok(world.copy(call.id))
}

fn attach(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let customer = call.form.need("customer")?;
    world.objects.get("customer", customer, "customer")?;
    let method = world.attach(call.id, customer)?;
    Ok(world.copy(&method))
}

fn detach(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let method = world.objects.get("payment_method", call.id, "id")?.clone();
    if method["customer"].is_null() {
        let message = "The payment method you provided is not attached to a customer so detachment is impossible.";
        return Err(Refusal::new(message));
    }
    let customer = method["customer"].as_str().unwrap_or_default().to_owned();
    let mut settings = world.copy(&customer)["invoice_settings"].clone();
    if settings["default_payment_method"] == call.id {
        settings["default_payment_method"] = Value::Null;
        world.set(&customer, json!({ "invoice_settings": settings }));
    }
    let before = json!({ "customer": customer }).as_object().cloned();
    world.set(call.id, json!({ "customer": null }));
    world.emit_with("payment_method.detached", &world.copy(call.id), before);
    Ok(world.copy(call.id))
}

impl World {
    /// Gives a customer a card, or one of Stripe's test cards by its name; gives the payment method's id.
    pub(crate) fn attach(&mut self, method: &str, customer: &str) -> Result<String, Refusal> {
        let method = match Card::of_token(method) {
            Some(card) => self.new_card(card),
            None => method.to_owned(),
        };
        self.objects.get("payment_method", &method, "payment_method")?;
        if self.card(&method) == Some(Card::Declined) {
            let refusal = Refusal::card("card_declined", "Your card was declined.");
            return Err(refusal.with("decline_code", "generic_decline".into()));
        }
        if self.copy(&method)["customer"] != customer {
            self.set(&method, json!({ "customer": customer }));
            self.emit("payment_method.attached", &method);
        }
        Ok(method)
    }
}
