//! Payment intents: one attempt after another to be paid an amount.

use super::{
    Call, Route,
    cards::{Card, Verdict},
    currency, given,
    list::{chosen, page, page_of},
    metadata,
};
use crate::{
    object::{number, shown, text},
    random,
    refusal::Refusal,
    world::World,
};
use serde_json::{Value, json};

const CREATE: &[&str] = &[
    "allowed_payment_method_types",
    "amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "confirmation_method",
    "currency",
    "customer",
    "description",
    "error_on_requires_action",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_types",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
];

pub(super) const ROUTES: &[Route] = &[
    ("POST", "/v1/payment_intents", CREATE, create),
    ("GET", "/v1/payment_intents", page!("customer", "created"), list),
    ("GET", "/v1/payment_intents/*", &[], get),
    ("POST", "/v1/payment_intents/*", &["description", "metadata", "receipt_email"], update),
    ("POST", "/v1/payment_intents/*/confirm", &["off_session", "payment_method", "return_url"], confirm),
    ("POST", "/v1/payment_intents/*/cancel", &["cancellation_reason"], cancel),
];

/// The least that Stripe takes in US dollars, in cents.
const LEAST: i64 = 50;

/// What a payment intent is made for.
pub(crate) struct Intent {
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) customer: Value,
    pub(crate) fields: Value,
}

fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let form = call.form;
    form.need("amount")?;
    let amount = form.integer("amount")?.unwrap_or_default();
    let currency = currency(form)?;
    if amount < LEAST {
        let message = "Amount must be at least $0.50 usd";
        return Err(Refusal::new(message).code("amount_too_small").param("amount"));
    }
    if let Some(customer) = form.text("customer") {
        world.objects.get("customer", customer, "customer")?;
    }
    let (confirm, off_session) = (form.truth("confirm")? == Some(true), form.truth("off_session")? == Some(true));
    if off_session && !confirm {
        let message = "You cannot set `off_session` unless `confirm` is true.";
        return Err(Refusal::new(message).param("off_session"));
    }
    let method = form.text("payment_method").map(|it| world.usable(it, form.text("customer"))).transpose()?;
    if confirm && method.is_none() {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method or ConfirmationToken.";
        return Err(Refusal::new(message).code("payment_intent_unexpected_state"));
    }
    let mut fields = given(
        call,
        &["description", "receipt_email", "setup_future_usage", "statement_descriptor", "statement_descriptor_suffix"],
    );
    fields.insert("metadata".to_owned(), metadata(form, &Value::Null));
    fields.insert("payment_method".to_owned(), method.clone().into());
    let status = if method.is_some() { "requires_confirmation" } else { "requires_payment_method" };
    fields.insert("status".to_owned(), status.into());
    let id = world.new_intent(Intent { amount, currency, customer: form.value("customer"), fields: fields.into() });
    if let Some(method) = method.filter(|_| confirm) {
        world.confirm(&id, &method, !off_session)?;
    }
    Ok(world.copy(&id))
}

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    page_of(&chosen(world.objects.all("payment_intent"), call, &["customer"])?, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("payment_intent", call.id, "id").cloned()
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let before = world.objects.get("payment_intent", call.id, "id")?.clone();
    let mut fields = given(call, &["description", "receipt_email"]);
    fields.insert("metadata".to_owned(), metadata(call.form, &before["metadata"]));
    world.set(call.id, fields.into());
    Ok(world.copy(call.id))
}

fn confirm(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let intent = world.objects.get("payment_intent", call.id, "id")?.clone();
    unless_over(&intent)?;
    let method = call.form.text("payment_method").or(intent["payment_method"].as_str());
    let method = method.ok_or_else(|| Refusal::missing("payment_method"))?;
    let method = world.usable(method, intent["customer"].as_str())?;
    world.confirm(call.id, &method, call.form.truth("off_session")? != Some(true))?;
    Ok(world.copy(call.id))
}

fn cancel(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let intent = world.objects.get("payment_intent", call.id, "id")?.clone();
    unless_over(&intent)?;
    let reason = call.form.value("cancellation_reason");
    let fields = json!({ "status": "canceled", "canceled_at": world.now(), "cancellation_reason": reason });
    world.update(call.id, fields, "payment_intent.canceled");
    Ok(world.copy(call.id))
}

fn unless_over(intent: &Value) -> Result<(), Refusal> {
    let status = text(intent, "status");
    if !matches!(status, "succeeded" | "canceled") {
        return Ok(());
    }
    let message = format!("This PaymentIntent could not be changed because it has a status of {status}.");
    Err(Refusal::new(message).code("payment_intent_unexpected_state").with("payment_intent", shown(intent)))
}

impl World {
    /// An intent to be paid, of which the world is told.
    pub(crate) fn new_intent(&mut self, intent: Intent) -> String {
        let id = random::id("pi");
        self.add(json!({
            "id": id,
            "object": "payment_intent",
            "amount": intent.amount,
            "amount_capturable": 0,
            "amount_details": { "tip": {} },
            "amount_received": 0,
            "application": null,
            "application_fee_amount": null,
            "automatic_payment_methods": null,
            "canceled_at": null,
            "cancellation_reason": null,
            "capture_method": "automatic_async",
            "client_secret": format!("{id}_secret_{}", random::text(25)),
            "confirmation_method": "automatic",
            "currency": intent.currency,
            "customer": intent.customer,
            "customer_account": null,
            "description": null,
            "excluded_payment_method_types": null,
            "last_payment_error": null,
            "latest_charge": null,
            "livemode": false,
            "metadata": {},
            "next_action": null,
            "on_behalf_of": null,
            "payment_method": null,
            "payment_method_configuration_details": null,
            "payment_method_options": { "card": { "installments": null, "mandate_options": null, "network": null, "request_three_d_secure": "automatic" } },
            "payment_method_types": ["card"],
            "processing": null,
            "receipt_email": null,
            "review": null,
            "setup_future_usage": null,
            "shipping": null,
            "source": null,
            "statement_descriptor": null,
            "statement_descriptor_suffix": null,
            "status": "requires_payment_method",
            "transfer_data": null,
            "transfer_group": null,
        }));
        self.set(&id, intent.fields);
        self.emit("payment_intent.created", &id);
        id
    }

    /// Tries to be paid with a card; errs as a client is told, after the intent says it too.
    pub(crate) fn confirm(&mut self, intent: &str, method: &str, present: bool) -> Result<(), Refusal> {
        let verdict = self.card(method).unwrap_or(Card::Declined).verdict(present);
        let Some(refusal) = verdict.refusal() else {
            self.pay_intent(intent, method);
            return Ok(());
        };
        let charge = (verdict != Verdict::Authentication).then(|| self.new_charge(intent, method, "failed"));
        let mut refusal = refusal.with("payment_method", shown(&self.copy(method)));
        if let Some(charge) = &charge {
            refusal = refusal.with("charge", charge.as_str().into());
        }
        let fields = json!({
            "status": "requires_payment_method",
            "payment_method": null,
            "last_payment_error": refusal.error(),
            "latest_charge": charge,
        });
        self.set(intent, fields);
        if let Some(charge) = &charge {
            self.emit("charge.failed", charge);
        }
        self.emit("payment_intent.payment_failed", intent);
        Err(refusal.with("payment_intent", shown(&self.copy(intent))))
    }

    /// The intent is paid.
    pub(crate) fn pay_intent(&mut self, intent: &str, method: &str) {
        let charge = self.new_charge(intent, method, "succeeded");
        let amount = number(&self.copy(intent), "amount");
        let fields = json!({
            "status": "succeeded",
            "amount_received": amount,
            "payment_method": method,
            "last_payment_error": null,
            "latest_charge": charge,
        });
        self.set(intent, fields);
        self.emit("charge.succeeded", &charge);
        self.emit("payment_intent.succeeded", intent);
    }

    /// A payment method that this customer may pay with: a test card by its name, or one that is theirs.
    fn usable(&mut self, method: &str, customer: Option<&str>) -> Result<String, Refusal> {
        if let Some(card) = Card::of_token(method) {
            let method = self.new_card(card);
            self.set(&method, json!({ "customer": customer }));
            return Ok(method);
        }
        let found = self.objects.get("payment_method", method, "payment_method")?;
        match (found["customer"].as_str(), customer) {
            (theirs, payer) if theirs == payer => Ok(method.to_owned()),
            (None, Some(_)) => Ok(method.to_owned()),
            _ => {
                let message = "The provided PaymentMethod cannot be attached. To reuse a PaymentMethod, you must attach it to a Customer first.";
                Err(Refusal::new(message).param("payment_method"))
            }
        }
    }
}
