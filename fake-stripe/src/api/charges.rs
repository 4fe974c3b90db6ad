//! Charges: what was taken from a card, or was not.

use super::{
    Call, Route,
    cards::{billing_details, charged},
    list::{chosen, page, page_of},
    metadata,
};
use crate::{random, refusal::Refusal, world::World};
use serde_json::{Value, json};

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/v1/charges", page!("created", "customer", "payment_intent"), list),
    ("GET", "/v1/charges/*", &[], get),
    ("POST", "/v1/charges/*", &["description", "metadata", "receipt_email"], update),
];

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    page_of(&chosen(world.objects.all("charge"), call, &["customer", "payment_intent"])?, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("charge", call.id, "id").cloned()
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let before = world.objects.get("charge", call.id, "id")?.clone();
    let mut fields = super::given(call, &["description", "receipt_email"]);
    fields.insert("metadata".to_owned(), metadata(call.form, &before["metadata"]));
    world.update(call.id, fields.into(), "charge.updated");
    Ok(world.copy(call.id))
}

impl World {
    /// A charge of an intent, of which nobody is told yet.
    pub(crate) fn new_charge(&mut self, intent: &str, method: &str, status: &str) -> String {
        let (intent, method) = (self.copy(intent), self.copy(method));
        let customer = intent["customer"].as_str().map(|it| self.copy(it)).unwrap_or_default();
        let paid = status == "succeeded";
        let id = random::id("ch");
        let outcome = if paid {
            json!({ "advice_code": null, "network_advice_code": null, "network_decline_code": null, "network_status": "approved_by_network", "reason": null, "risk_level": "normal", "risk_score": 20, "seller_message": "Payment complete.", "type": "authorized" })
        } else {
            json!({ "advice_code": "try_again_later", "network_advice_code": null, "network_decline_code": null, "network_status": "declined_by_network", "reason": "generic_decline", "risk_level": "normal", "risk_score": 20, "seller_message": "The bank did not return any further details with this decline.", "type": "issuer_declined" })
        };
        let receipt = format!("{}/receipts/{id}", self.url);
        self.add(json!({
            "id": id,
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": if paid { intent["amount"].clone() } else { 0.into() },
            "amount_refunded": 0,
            "application": null,
            "application_fee": null,
            "application_fee_amount": null,
            "balance_transaction": if paid { Value::from(random::id("txn")) } else { Value::Null },
            "billing_details": billing_details(&customer["email"], &customer["name"]),
            "calculated_statement_descriptor": "FAKE STRIPE",
            "captured": paid,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": false,
            "failure_balance_transaction": null,
            "failure_code": if paid { Value::Null } else { "card_declined".into() },
            "failure_message": if paid { Value::Null } else { "Your card was declined.".into() },
            "fraud_details": {},
            "livemode": false,
            "metadata": intent["metadata"],
            "on_behalf_of": null,
            "outcome": outcome,
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": charged(&method),
            "presentment_details": null,
            "radar_options": {},
            "receipt_email": intent["receipt_email"],
            "receipt_number": null,
            "receipt_url": receipt,
            "refunded": false,
            "review": null,
            "shipping": null,
            "source": null,
            "source_transfer": null,
            "statement_descriptor": null,
            "statement_descriptor_suffix": null,
            "status": status,
            "transfer_data": null,
            "transfer_group": null,
            "_refunds": { "object": "list", "data": [], "has_more": false, "url": format!("/v1/charges/{id}/refunds") },
        }))
    }
}
