//! Refunds: what is given back of a charge.

use super::{
    Call, Route,
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
    "amount",
    "charge",
    "instructions_email",
    "metadata",
    "origin",
    "payment_intent",
    "reason",
    "refund_application_fee",
    "reverse_transfer",
];

pub(super) const ROUTES: &[Route] = &[
    ("POST", "/v1/refunds", CREATE, create),
    ("GET", "/v1/refunds", page!("charge", "created", "payment_intent"), list),
    ("GET", "/v1/refunds/*", &[], get),
    ("POST", "/v1/refunds/*", &["metadata"], update),
];

fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let form = call.form;
    let charge = match (form.text("charge"), form.text("payment_intent")) {
        (Some(charge), _) => charge.to_owned(),
        (None, Some(intent)) => {
            let intent = world.objects.get("payment_intent", intent, "payment_intent")?;
            let none = || Refusal::new("This PaymentIntent does not have a successful charge to refund.");
            intent["latest_charge"].as_str().filter(|_| intent["status"] == "succeeded").ok_or_else(none)?.to_owned()
        }
        (None, None) => {
            return Err(Refusal::new(
                "One of the following params should be provided for this request: payment_intent or charge.",
            ));
        }
    };
    let reason = form.one_of("reason", &["duplicate", "fraudulent", "requested_by_customer"])?.map(str::to_owned);
    let id = world.refund(&charge, form.integer("amount")?)?;
    world.set(&id, json!({ "reason": reason, "metadata": metadata(form, &Value::Null) }));
    world.tell_of_refund(&id);
    Ok(world.copy(&id))
}

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    page_of(&chosen(world.objects.all("refund"), call, &["charge", "payment_intent"])?, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("refund", call.id, "id").cloned()
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let before = world.objects.get("refund", call.id, "id")?.clone();
    world.update(call.id, json!({ "metadata": metadata(call.form, &before["metadata"]) }), "refund.updated");
    Ok(world.copy(call.id))
}

impl World {
    /// Gives back `amount` of a charge, or all that is left of it.
    pub(crate) fn refund(&mut self, charge: &str, amount: Option<i64>) -> Result<String, Refusal> {
        let of = self.objects.get("charge", charge, "charge")?.clone();
        let left = number(&of, "amount_captured") - number(&of, "amount_refunded");
        if left == 0 {
            let message = format!("Charge {charge} has already been refunded.");
            return Err(Refusal::new(message).code("charge_already_refunded"));
        }
        if of["disputed"] == true {
            let message = format!("Charge {charge} has been charged back; cannot issue a refund.");
            return Err(Refusal::new(message).code("charge_disputed"));
        }
        let amount = amount.unwrap_or(left);
        if amount > left {
            let message = format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
            return Err(Refusal::new(message).param("amount"));
        }
        if amount < 1 {
            return Err(Refusal::new("This value must be greater than or equal to 1.")
                .code("parameter_invalid_integer")
                .param("amount"));
        }
        let id = self.add(json!({
            "object": "refund",
            "amount": amount,
            "balance_transaction": random::id("txn"),
            "charge": charge,
            "currency": of["currency"],
            "destination_details": { "card": { "reference": null, "reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund" }, "type": "card" },
            "metadata": {},
            "payment_intent": of["payment_intent"],
            "reason": null,
            "receipt_number": null,
            "source_transfer_reversal": null,
            "status": "succeeded",
            "transfer_reversal": null,
        }));
        self.count_refunds(charge);
        Ok(id)
    }

    pub(crate) fn tell_of_refund(&mut self, id: &str) {
        let charge = text(&self.copy(id), "charge").to_owned();
        self.count_refunds(&charge);
        self.emit("refund.created", id);
        self.emit("charge.refunded", &charge);
    }

    /// What a bank says of a refund days later: it failed, and the money came back.
    pub(crate) fn fail_refund(&mut self, id: &str) {
        let charge = text(&self.copy(id), "charge").to_owned();
        let fields = json!({
            "status": "failed",
            "failure_reason": "lost_or_stolen_card",
            "failure_balance_transaction": random::id("txn"),
        });
        self.set(id, fields);
        self.count_refunds(&charge);
        self.emit("refund.updated", id);
        self.emit("charge.refund.updated", id);
        self.emit("refund.failed", id);
    }

    /// What a charge says of its refunds.
    fn count_refunds(&mut self, charge: &str) {
        let all: Vec<Value> =
            self.objects.all("refund").into_iter().filter(|it| it["charge"] == charge).cloned().collect();
        let sum: i64 = all.iter().filter(|it| it["status"] != "failed").map(|it| number(it, "amount")).sum();
        let mut list = self.copy(charge)["_refunds"].clone();
        list["data"] = all.iter().map(shown).collect();
        let whole = sum > 0 && sum == number(&self.copy(charge), "amount_captured");
        self.set(charge, json!({ "amount_refunded": sum, "refunded": whole, "_refunds": list }));
    }
}
