//! Disputes: a bank takes a payment back for its customer.

use super::{
    Call, Route,
    list::{chosen, page, page_of},
    metadata,
};
use crate::{
    calendar::DAY_S,
    object::{number, text},
    random,
    refusal::Refusal,
    world::World,
};
use serde_json::{Map, Value, json};

/// What Stripe asks for a dispute, in cents.
const FEE: i64 = 1_500;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/v1/disputes", page!("charge", "created", "payment_intent"), list),
    ("GET", "/v1/disputes/*", &[], get),
    ("POST", "/v1/disputes/*", &["evidence", "metadata", "submit"], update),
    ("POST", "/v1/disputes/*/close", &[], close),
];

/// How a bank decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The money comes back.
    Won,
    /// It stays away.
    Lost,
}

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    page_of(&chosen(world.objects.all("dispute"), call, &["charge", "payment_intent"])?, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("dispute", call.id, "id").cloned()
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let before = world.objects.get("dispute", call.id, "id")?.clone();
    let mut evidence = before["evidence"].clone();
    for (name, value) in call.form.map("evidence") {
        evidence[name] = value;
    }
    let submitted = call.form.truth("submit")?.unwrap_or(true);
    let status =
        if submitted && before["status"] == "needs_response" { "under_review" } else { text(&before, "status") };
    let fields =
        json!({ "evidence": evidence, "metadata": metadata(call.form, &before["metadata"]), "status": status });
    world.update(call.id, fields, "charge.dispute.updated");
    Ok(world.copy(call.id))
}

fn close(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let dispute = world.objects.get("dispute", call.id, "id")?;
    if matches!(text(dispute, "status"), "won" | "lost") {
        return Err(Refusal::new("This dispute is already closed."));
    }
    world.decide(call.id, Decision::Lost);
    Ok(world.copy(call.id))
}

impl World {
    /// A customer's bank takes a charge back.
    pub(crate) fn dispute(&mut self, charge: &str) -> Result<String, Refusal> {
        let of = self.objects.get("charge", charge, "charge")?.clone();
        let amount = number(&of, "amount") - number(&of, "amount_refunded");
        let withdrawn = self.balance_transaction(-amount, FEE, charge, "Chargeback withdrawal", "dispute");
        let mut evidence: Map<String, Value> = EVIDENCE.iter().map(|it| ((*it).to_owned(), Value::Null)).collect();
        evidence.insert("enhanced_evidence".to_owned(), json!({}));
        let id = self.add(json!({
            "object": "dispute",
            "amount": amount,
            "balance_transactions": [withdrawn],
            "charge": charge,
            "currency": of["currency"],
            "enhanced_eligibility_types": [],
            "evidence": evidence,
            "evidence_details": { "due_by": self.now() + 7 * DAY_S, "enhanced_eligibility": {}, "has_evidence": false, "past_due": false, "submission_count": 0 },
            "is_charge_refundable": false,
            "livemode": false,
            "metadata": {},
            "payment_intent": of["payment_intent"],
            "payment_method_details": { "card": { "brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4" }, "type": "card" },
            "reason": "fraudulent",
            "status": "needs_response",
        }));
        self.update(charge, json!({ "disputed": true }), "charge.updated");
        self.emit("charge.dispute.created", &id);
        self.emit("charge.dispute.funds_withdrawn", &id);
        Ok(id)
    }

    /// The bank decides.
    pub(crate) fn decide(&mut self, dispute: &str, decision: Decision) {
        let before = self.copy(dispute);
        let (charge, mut moves) = (text(&before, "charge").to_owned(), before["balance_transactions"].clone());
        if decision == Decision::Won
            && let Some(moves) = moves.as_array_mut()
        {
            moves.push(self.balance_transaction(
                number(&before, "amount"),
                -FEE,
                &charge,
                "Chargeback reversal",
                "dispute_reversal",
            ));
        }
        let status = if decision == Decision::Won { "won" } else { "lost" };
        self.set(dispute, json!({ "status": status, "balance_transactions": moves }));
        if decision == Decision::Won {
            self.emit("charge.dispute.funds_reinstated", dispute);
        }
        self.emit("charge.dispute.closed", dispute);
    }

    fn balance_transaction(&self, amount: i64, fee: i64, source: &str, what: &str, category: &str) -> Value {
        let now = self.now();
        let fees = json!([{ "amount": fee, "application": null, "currency": "usd", "description": "Dispute fee", "type": "stripe_fee" }]);
        json!({
            "id": random::id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": now,
            "balance_type": "payments",
            "created": now,
            "currency": "usd",
            "description": format!("{what} for {source}"),
            "exchange_rate": null,
            "fee": fee,
            "fee_details": fees,
            "net": amount - fee,
            "reporting_category": category,
            "source": source,
            "status": "available",
            "type": "adjustment",
        })
    }
}

/// What a merchant may bring forward.
const EVIDENCE: [&str; 27] = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
];
