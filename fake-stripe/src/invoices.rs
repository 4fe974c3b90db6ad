//! Invoices: what a subscription owes, and the tries to be paid.

use crate::{
    api::payment_intents::Intent,
    calendar::DAY_S,
    object::{number, text},
    random,
    refusal::Refusal,
    subscriptions::RETRIES,
    world::World,
};
use serde_json::{Value, json};

/// One line of an invoice.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) amount: i64,
    pub(crate) quantity: i64,
    pub(crate) price: Value,
    /// The subscription's item.
    pub(crate) item: String,
    pub(crate) period: (i64, i64),
    pub(crate) description: String,
    pub(crate) proration: bool,
}

impl Line {
    /// As it waits for the next invoice.
    pub(crate) fn saved(&self) -> Value {
        json!({
            "amount": self.amount, "quantity": self.quantity, "price": self.price, "item": self.item, "start": self.period.0,
            "end": self.period.1, "description": self.description,
        })
    }

    pub(crate) fn restored(saved: &Value) -> Self {
        Self {
            amount: number(saved, "amount"),
            quantity: number(saved, "quantity"),
            price: saved["price"].clone(),
            item: text(saved, "item").to_owned(),
            period: (number(saved, "start"), number(saved, "end")),
            description: text(saved, "description").to_owned(),
            proration: true,
        }
    }

    fn shown(&self, invoice: &str, subscription: &Value) -> Value {
        json!({
            "id": random::id("il"),
            "object": "line_item",
            "amount": self.amount,
            "currency": subscription["currency"],
            "description": format!("{} × {}", self.quantity, self.description),
            "discount_amounts": [],
            "discountable": !self.proration,
            "discounts": [],
            "invoice": invoice,
            "livemode": false,
            "metadata": subscription["metadata"],
            "parent": {
                "invoice_item_details": null,
                "subscription_item_details": {
                    "invoice_item": null,
                    "proration": self.proration,
                    "proration_details": { "credited_items": null },
                    "subscription": subscription["id"],
                    "subscription_item": self.item,
                },
                "type": "subscription_item_details",
            },
            "period": { "end": self.period.1, "start": self.period.0 },
            "pretax_credit_amounts": [],
            "pricing": {
                "price_details": { "price": self.price["id"], "product": self.price["product"] },
                "type": "price_details",
                "unit_amount_decimal": self.price["unit_amount_decimal"],
            },
            "quantity": self.quantity.max(0),
            "quantity_decimal": self.quantity.max(0).to_string(),
            "subscription": subscription["id"],
            "subtotal": self.amount,
            "taxes": [],
        })
    }
}

impl World {
    /// An invoice, made and finalized; what is negative becomes the customer's balance.
    pub(crate) fn new_invoice(
        &mut self,
        subscription: &str,
        lines: &[Line],
        reason: &str,
        period: (i64, i64),
    ) -> String {
        let of = self.copy(subscription);
        let customer = self.copy(text(&of, "customer"));
        let id = random::id("in");
        let total: i64 = lines.iter().map(|it| it.amount).sum();
        let lines: Vec<Value> = lines.iter().map(|it| it.shown(&id, &of)).collect();
        let balance = number(&customer, "balance");
        // A negative balance is the customer's credit, and pays first.
        let due = (total + balance).max(0);
        let mut invoice = blank(&id, &of, &customer, reason);
        for (name, value) in [
            ("amount_due", due),
            ("amount_remaining", due),
            ("subtotal", total),
            ("subtotal_excluding_tax", total),
            ("total", total),
            ("total_excluding_tax", total),
            ("period_start", period.0),
            ("period_end", period.1),
            ("starting_balance", balance),
        ] {
            invoice[name] = value.into();
        }
        invoice["lines"] = json!({ "object": "list", "data": lines, "has_more": false, "total_count": lines.len(), "url": format!("/v1/invoices/{id}/lines") });
        self.add(invoice);
        self.emit("invoice.created", &id);
        let sequence = number(&customer, "next_invoice_sequence");
        let balance = total + balance - due;
        self.set(text(&of, "customer"), json!({ "next_invoice_sequence": sequence + 1, "balance": balance }));
        let now = self.now();
        let fields = json!({
            "effective_at": now,
            "ending_balance": balance,
            "hosted_invoice_url": format!("{}/i/{id}", self.url),
            "invoice_pdf": format!("{}/i/{id}", self.url),
            "number": format!("{}-{sequence:04}", text(&customer, "invoice_prefix")),
            "status": "open",
            "status_transitions": { "finalized_at": now, "marked_uncollectible_at": null, "paid_at": null, "voided_at": null },
        });
        self.set(&id, fields);
        self.emit("invoice.finalized", &id);
        id
    }

    /// Tries to be paid; says whether it is.
    pub(crate) fn collect(&mut self, id: &str, present: bool) -> bool {
        let invoice = self.copy(id);
        if number(&invoice, "amount_due") == 0 {
            self.set_paid(id);
            return true;
        }
        let subscription = self.copy(text(&invoice["parent"]["subscription_details"], "subscription"));
        let customer = self.copy(text(&invoice, "customer"));
        let method = subscription["default_payment_method"].as_str();
        let method = method.or(customer["invoice_settings"]["default_payment_method"].as_str()).map(str::to_owned);
        let intent = self.intent_of_invoice(&invoice);
        let outcome = match &method {
            Some(method) => self.confirm(&intent, method, present),
            None => Err(Refusal::new("This customer has no attached payment source or default payment method.")
                .code("resource_missing")),
        };
        let attempts = number(&invoice, "attempt_count") + 1;
        self.set(id, json!({ "attempted": true, "attempt_count": attempts }));
        if outcome.is_ok() {
            self.set_paid(id);
            return true;
        }
        let retry =
            usize::try_from(attempts - 1).ok().and_then(|it| RETRIES.get(it)).map(|days| self.now() + days * DAY_S);
        let retry = retry.filter(|_| invoice["billing_reason"] != "subscription_create");
        self.set(id, json!({ "next_payment_attempt": retry }));
        self.emit("invoice.payment_failed", id);
        if outcome.is_err_and(|it| it.body()["error"]["code"] == "authentication_required") {
            self.emit("invoice.payment_action_required", id);
        }
        false
    }

    /// A later try of an invoice that is still open.
    pub(crate) fn collect_again(&mut self, id: &str) {
        let paid = self.collect(id, false);
        let invoice = self.copy(id);
        let subscription = text(&invoice["parent"]["subscription_details"], "subscription").to_owned();
        if paid {
            self.revive(&subscription);
        } else if invoice["next_payment_attempt"].is_null() {
            self.end_subscription(&subscription, "payment_failed");
        }
    }

    /// A subscription whose invoice is paid at last.
    pub(crate) fn revive(&mut self, subscription: &str) {
        if matches!(text(&self.copy(subscription), "status"), "past_due" | "unpaid" | "incomplete") {
            self.update(subscription, json!({ "status": "active" }), "customer.subscription.updated");
        }
    }

    /// The payment of an invoice: one intent for all its tries.
    fn intent_of_invoice(&mut self, invoice: &Value) -> String {
        let id = text(invoice, "id");
        if let Some(payment) = self.objects.all("invoice_payment").iter().find(|it| it["invoice"] == id) {
            return text(&payment["payment"], "payment_intent").to_owned();
        }
        let description = if invoice["billing_reason"] == "subscription_create" {
            "Subscription creation"
        } else {
            "Subscription update"
        };
        let intent = self.new_intent(Intent {
            amount: number(invoice, "amount_due"),
            currency: text(invoice, "currency").to_owned(),
            customer: invoice["customer"].clone(),
            fields: json!({ "description": description, "setup_future_usage": "off_session" }),
        });
        let payment = self.add(json!({
            "object": "invoice_payment",
            "amount_paid": null,
            "amount_requested": invoice["amount_due"],
            "currency": invoice["currency"],
            "invoice": id,
            "is_default": true,
            "livemode": false,
            "payment": { "payment_intent": intent, "type": "payment_intent" },
            "status": "open",
            "status_transitions": { "canceled_at": null, "paid_at": null },
        }));
        self.tell_payment(id, &payment);
        intent
    }

    fn set_paid(&mut self, id: &str) {
        let (now, invoice) = (self.now(), self.copy(id));
        let mut transitions = invoice["status_transitions"].clone();
        transitions["paid_at"] = now.into();
        let fields = json!({
            "amount_paid": invoice["amount_due"],
            "amount_remaining": 0,
            "attempted": true,
            "next_payment_attempt": null,
            "status": "paid",
            "status_transitions": transitions,
        });
        self.set(id, fields);
        let payment = self
            .objects
            .all("invoice_payment")
            .iter()
            .find(|it| it["invoice"] == id)
            .map(|it| text(it, "id").to_owned());
        if let Some(payment) = payment {
            let fields = json!({
                "amount_paid": invoice["amount_due"],
                "status": "paid",
                "status_transitions": { "canceled_at": null, "paid_at": now },
            });
            self.set(&payment, fields);
            self.tell_payment(id, &payment);
            self.emit("invoice_payment.paid", &payment);
        }
        self.emit("invoice.paid", id);
        self.emit("invoice.payment_succeeded", id);
    }

    /// What an invoice shows of its payment to who expands it.
    fn tell_payment(&mut self, invoice: &str, payment: &str) {
        let payments =
            json!({ "object": "list", "data": [self.copy(payment)], "has_more": false, "url": "/v1/invoice_payments" });
        self.set(invoice, json!({ "_payments": payments }));
    }
}

fn blank(id: &str, subscription: &Value, customer: &Value, reason: &str) -> Value {
    json!({
        "id": id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Fake Stripe",
        "account_tax_ids": null,
        "_payments": { "object": "list", "data": [], "has_more": false, "url": "/v1/invoice_payments" },
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "application": null,
        "attempt_count": 0,
        "attempted": false,
        "auto_advance": true,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null },
        "automatically_finalizes_at": null,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "currency": subscription["currency"],
        "custom_fields": null,
        "customer": customer["id"],
        "customer_account": null,
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": null,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": null,
        "default_source": null,
        "default_tax_rates": [],
        "description": null,
        "discounts": [],
        "due_date": null,
        "effective_at": null,
        "ending_balance": null,
        "footer": null,
        "from_invoice": null,
        "hosted_invoice_url": null,
        "invoice_pdf": null,
        "issuer": { "type": "self" },
        "last_finalization_error": null,
        "latest_revision": null,
        "lines": null,
        "livemode": false,
        "metadata": {},
        "next_payment_attempt": null,
        "number": null,
        "on_behalf_of": null,
        "parent": {
            "quote_details": null,
            "subscription_details": { "metadata": subscription["metadata"], "subscription": subscription["id"] },
            "type": "subscription_details",
        },
        "payment_settings": { "default_mandate": null, "payment_method_options": null, "payment_method_types": null },
        "period_end": 0,
        "period_start": 0,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": null,
        "rendering": null,
        "shipping_cost": null,
        "shipping_details": null,
        "starting_balance": 0,
        "statement_descriptor": null,
        "status": "draft",
        "status_transitions": { "finalized_at": null, "marked_uncollectible_at": null, "paid_at": null, "voided_at": null },
        "subtotal": 0,
        "subtotal_excluding_tax": 0,
        "test_clock": null,
        "total": 0,
        "total_discount_amounts": [],
        "total_excluding_tax": 0,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": null,
    })
}
