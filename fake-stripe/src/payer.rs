//! What the visitor of a checkout page does.

use crate::{
    api::{cards::Card, payment_intents::Intent},
    object::{number, text},
    random,
    refusal::Refusal,
    subscriptions::NewSubscription,
    world::World,
};
use serde_json::{Value, json};

/// How somebody pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// At once.
    By(Card),
    /// By a bank that says later whether the money came.
    Later,
}

impl World {
    /// Pays an open session; errs as its page tells the payer, and stays open then.
    pub(crate) fn pay(&mut self, session: &str, way: Way, email: &str) -> Result<(), Refusal> {
        let of = self.objects.get("checkout.session", session, "id")?.clone();
        if of["status"] != "open" {
            return Err(Refusal::new(format!("This page is {}.", text(&of, "status"))));
        }
        match text(&of, "mode") {
            "payment" => self.pay_once(&of, way, email)?,
            "subscription" => self.subscribe(&of, way, email)?,
            _ => self.leave_card(&of, way, email)?,
        }
        self.emit("checkout.session.completed", session);
        Ok(())
    }

    /// What the bank says at last of a session that is paid later.
    pub(crate) fn settle(&mut self, session: &str, paid: bool) -> Result<(), Refusal> {
        let of = self.objects.get("checkout.session", session, "id")?.clone();
        let Some(intent) = of["payment_intent"].as_str().filter(|_| of["payment_status"] == "unpaid") else {
            return Err(Refusal::new("Nothing is awaited for this session."));
        };
        let method = text(&of, "_method").to_owned();
        if paid {
            self.pay_intent(intent, &method);
            self.set(session, json!({ "payment_status": "paid" }));
            self.emit("checkout.session.async_payment_succeeded", session);
        } else {
            self.set(intent, json!({ "status": "requires_payment_method", "payment_method": null }));
            self.emit("payment_intent.payment_failed", intent);
            self.emit("checkout.session.async_payment_failed", session);
        }
        Ok(())
    }

    fn pay_once(&mut self, session: &Value, way: Way, email: &str) -> Result<(), Refusal> {
        let id = text(session, "id");
        let plan = session["_intent"].clone();
        let keeps_card = plan["setup_future_usage"].is_string();
        let method = self.new_card(if let Way::By(card) = way { card } else { Card::Good });
        if let Way::By(card) = way
            && let Some(refusal) = card.verdict(true).refusal()
        {
            // The intent is there from the first try on, and the next try uses it again.
            let intent = self.intent_of(session, &plan, email);
            self.set(id, json!({ "payment_intent": intent }));
            return self.confirm(&intent, &method, true).and(Err(refusal));
        }
        let customer = match session["customer"].as_str() {
            None if keeps_card || session["customer_creation"] == "always" => Some(self.guest(email)),
            customer => customer.map(str::to_owned),
        };
        self.set(id, json!({ "customer": customer }));
        let intent = self.intent_of(&self.copy(id), &plan, email);
        if let Some(customer) = customer.filter(|_| keeps_card) {
            self.attach(&method, &customer)?;
        }
        let payment_status = if way == Way::Later {
            self.set(&intent, json!({ "status": "processing", "payment_method": method }));
            self.emit("payment_intent.processing", &intent);
            "unpaid"
        } else {
            self.pay_intent(&intent, &method);
            "paid"
        };
        self.complete(
            id,
            email,
            json!({ "payment_intent": intent, "payment_status": payment_status, "_method": method }),
        );
        Ok(())
    }

    /// The session's intent, made unless an earlier try made it.
    fn intent_of(&mut self, session: &Value, plan: &Value, email: &str) -> String {
        if let Some(intent) = session["payment_intent"].as_str() {
            self.set(intent, json!({ "customer": session["customer"] }));
            return intent.to_owned();
        }
        let mut fields = plan.clone();
        if fields["receipt_email"].is_null() {
            fields["receipt_email"] = email.into();
        }
        self.new_intent(Intent {
            amount: number(session, "amount_total"),
            currency: text(session, "currency").to_owned(),
            customer: session["customer"].clone(),
            fields,
        })
    }

    fn subscribe(&mut self, session: &Value, way: Way, email: &str) -> Result<(), Refusal> {
        let Way::By(card) = way else { return Err(Refusal::new("A subscription is paid by card here.")) };
        let (id, plan) = (text(session, "id"), session["_subscription_data"].clone());
        if let Some(refusal) = card.verdict(true).refusal() {
            return Err(refusal);
        }
        let customer = session["customer"].as_str().map_or_else(|| self.guest(email), str::to_owned);
        let method = self.new_card(card);
        self.attach(&method, &customer)?;
        let items = session["_line_items"]["data"].as_array().cloned().unwrap_or_default();
        let new = NewSubscription {
            customer: customer.clone(),
            items: items.iter().map(|it| (text(&it["price"], "id").to_owned(), it["quantity"].as_i64())).collect(),
            trial_days: plan["trial_days"].as_i64(),
            method: Some(method),
            fields: json!({ "description": plan["description"], "metadata": plan["metadata"] }),
            present: true,
        };
        let subscription = self.new_subscription(new)?;
        let invoice = self.copy(&subscription)["latest_invoice"].clone();
        self.complete(
            id,
            email,
            json!({
                "customer": customer,
                "invoice": invoice,
                "payment_status": if plan["trial_days"].is_null() { "paid" } else { "no_payment_required" },
                "subscription": subscription,
            }),
        );
        Ok(())
    }

    fn leave_card(&mut self, session: &Value, way: Way, email: &str) -> Result<(), Refusal> {
        let Way::By(card) = way else { return Err(Refusal::new("Only a card can be left here.")) };
        let id = text(session, "id");
        let customer = session["customer"].as_str().map_or_else(|| self.guest(email), str::to_owned);
        let method = self.new_card(card);
        self.attach(&method, &customer)?;
        let intent = self.new_setup_intent(&customer, &method, &session["metadata"]);
        self.emit("setup_intent.succeeded", &intent);
        self.complete(id, email, json!({ "customer": customer, "setup_intent": intent }));
        Ok(())
    }

    fn complete(&mut self, session: &str, email: &str, fields: Value) {
        let details = json!({
            "address": { "city": null, "country": "US", "line1": null, "line2": null, "postal_code": "94103", "state": null },
            "business_name": null,
            "email": email,
            "individual_name": null,
            "name": "Jenny Rosen",
            "phone": null,
            "tax_exempt": "none",
            "tax_ids": [],
        });
        self.set(session, fields);
        self.set(session, json!({ "customer_details": details, "status": "complete", "url": null }));
    }

    /// A customer who was not one before.
    fn guest(&mut self, email: &str) -> String {
        let customer = self.new_customer();
        self.set(&customer, json!({ "email": email, "name": "Jenny Rosen" }));
        self.emit("customer.created", &customer);
        customer
    }

    fn new_setup_intent(&mut self, customer: &str, method: &str, metadata: &Value) -> String {
        let id = random::id("seti");
        self.add(json!({
            "id": id,
            "object": "setup_intent",
            "application": null,
            "automatic_payment_methods": null,
            "cancellation_reason": null,
            "client_secret": format!("{id}_secret_{}", random::text(25)),
            "customer": customer,
            "customer_account": null,
            "description": null,
            "excluded_payment_method_types": null,
            "flow_directions": null,
            "last_setup_error": null,
            "latest_attempt": null,
            "livemode": false,
            "mandate": null,
            "metadata": metadata,
            "next_action": null,
            "on_behalf_of": null,
            "payment_method": method,
            "payment_method_configuration_details": null,
            "payment_method_options": { "card": { "mandate_options": null, "network": null, "request_three_d_secure": "automatic" } },
            "payment_method_types": ["card"],
            "single_use_mandate": null,
            "status": "succeeded",
            "usage": "off_session",
        }))
    }
}
