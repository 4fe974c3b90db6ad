//! The life of a subscription: begun, renewed, changed, past due, ended.

use crate::{
    api::catalogue,
    calendar::{DAY_S, plus_months},
    invoices::Line,
    object::{number, shown, text},
    random,
    refusal::Refusal,
    world::World,
};
use serde_json::{Value, json};

/// What a subscription begins with.
pub(crate) struct NewSubscription {
    pub(crate) customer: String,
    /// Prices, each with its quantity; a metered one has none.
    pub(crate) items: Vec<(String, Option<i64>)>,
    pub(crate) trial_days: Option<i64>,
    pub(crate) method: Option<String>,
    pub(crate) fields: Value,
    /// Whether the holder of the card is there.
    pub(crate) present: bool,
}

/// Days after which a payment is tried again; after the last, the subscription ends.
pub(crate) const RETRIES: [i64; 3] = [3, 5, 7];

impl World {
    pub(crate) fn new_subscription(&mut self, new: NewSubscription) -> Result<String, Refusal> {
        let now = self.now();
        let first = self.objects.get("price", &new.items[0].0, "items[0][price]")?.clone();
        let trial_end = new.trial_days.filter(|it| *it > 0).map(|days| now + days * DAY_S);
        let end = trial_end.unwrap_or_else(|| period_end(&first["recurring"], now, now));
        let id = random::id("sub");
        let mut items = Vec::new();
        for (price, quantity) in &new.items {
            let price = self.objects.get("price", price, "items[0][price]")?.clone();
            if price["recurring"].is_null() {
                let message = format!(
                    "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`: {}",
                    text(&price, "id")
                );
                return Err(Refusal::new(message).param("items[0][price]"));
            }
            items.push(item(&id, &price, *quantity, now, end));
        }
        self.add(blank(&id, &new, &first, now, trial_end, items));
        self.set(&id, new.fields);
        self.emit("customer.subscription.created", &id);
        let lines = if trial_end.is_some() { self.trial_lines(&id) } else { self.licensed_lines(&id) };
        let invoice = self.new_invoice(&id, &lines, "subscription_create", (now, now));
        let paid = self.collect(&invoice, new.present);
        let status = match (trial_end, paid) {
            (Some(_), _) => "trialing",
            (None, true) => "active",
            (None, false) => "incomplete",
        };
        self.update(&id, json!({ "latest_invoice": invoice, "status": status }), "customer.subscription.updated");
        Ok(id)
    }

    /// The next period begins: what the last one used and what this one costs is billed.
    pub(crate) fn renew(&mut self, id: &str) {
        let before = self.copy(id);
        let (start, old_end) = period(&before);
        if before["cancel_at_period_end"] == true {
            self.bill_last(id);
            self.end_subscription(id, "cancellation_requested");
            return;
        }
        let was_trial = before["status"] == "trialing";
        if was_trial && !self.trial_may_end(&before) {
            return;
        }
        let mut lines = self.metered_lines(id, start, old_end);
        let anchor = if was_trial { old_end } else { number(&before, "billing_cycle_anchor") };
        let end = period_end(&before["items"]["data"][0]["price"]["recurring"], old_end, anchor);
        self.set_period(id, old_end, end);
        self.set(id, json!({ "billing_cycle_anchor": anchor, "_trial_told": null }));
        lines.extend(self.take_pending(id));
        lines.extend(self.licensed_lines(id));
        let invoice = self.new_invoice(id, &lines, "subscription_cycle", (start, old_end));
        let paid = self.collect(&invoice, false);
        let status = if paid { "active" } else { "past_due" };
        self.update(id, json!({ "latest_invoice": invoice, "status": status }), "customer.subscription.updated");
    }

    /// Without a card, a trial ends as its settings say; says whether there is something to be paid with.
    fn trial_may_end(&mut self, subscription: &Value) -> bool {
        let (id, customer) = (text(subscription, "id"), self.copy(text(subscription, "customer")));
        let has_card = subscription["default_payment_method"].is_string()
            || customer["invoice_settings"]["default_payment_method"].is_string();
        match subscription["trial_settings"]["end_behavior"]["missing_payment_method"].as_str() {
            Some("cancel") if !has_card => self.end_subscription(id, "payment_failed"),
            Some("pause") if !has_card => {
                self.set(id, json!({ "status": "paused" }));
                self.emit("customer.subscription.paused", id);
            }
            _ => return true,
        }
        false
    }

    /// It ends now.
    pub(crate) fn end_subscription(&mut self, id: &str, reason: &str) {
        let now = self.now();
        let fields = json!({
            "canceled_at": if self.copy(id)["canceled_at"].is_null() { now.into() } else { self.copy(id)["canceled_at"].clone() },
            "cancellation_details": { "comment": null, "feedback": null, "reason": reason },
            "ended_at": now,
            "status": "canceled",
        });
        self.set(id, fields);
        self.emit("customer.subscription.deleted", id);
    }

    /// What was used since the last invoice, billed at the end.
    pub(crate) fn bill_last(&mut self, id: &str) {
        let (start, _) = period(&self.copy(id));
        let now = self.now();
        let mut lines = self.metered_lines(id, start, now);
        lines.retain(|it| it.amount != 0);
        lines.extend(self.take_pending(id));
        if !lines.is_empty() {
            let invoice = self.new_invoice(id, &lines, "subscription_cycle", (start, now));
            self.collect(&invoice, false);
            self.set(id, json!({ "latest_invoice": invoice }));
        }
    }

    /// Another price or quantity of an item from now on; what that means for the running period becomes lines.
    pub(crate) fn exchange(&mut self, id: &str, at: usize, price: &Value, quantity: Option<i64>) -> Vec<Line> {
        let subscription = self.copy(id);
        let old = subscription["items"]["data"][at].clone();
        let (start, end) = period(&subscription);
        let (now, whole) = (self.now(), (end - start).max(1));
        let share =
            |it: i64| i64::try_from(i128::from(it) * i128::from(end - now) / i128::from(whole)).unwrap_or_default();
        let mut items = subscription["items"]["data"].clone();
        let mut new = item(id, price, quantity, start, end);
        new["id"] = old["id"].clone();
        items[at] = new.clone();
        let list = item_list(id, &items);
        self.set(id, json!({ "items": list }));
        if subscription["status"] == "trialing" {
            return Vec::new();
        }
        let cost = |it: &Value| it["quantity"].as_i64().map_or(0, |quantity| catalogue::amount(&it["price"], quantity));
        let line = |item: &Value, amount: i64, words: &str| Line {
            amount,
            quantity: item["quantity"].as_i64().unwrap_or_default(),
            price: item["price"].clone(),
            item: text(item, "id").to_owned(),
            period: (now, end),
            description: format!(
                "{words} {}",
                self.copy(text(&item["price"], "product"))["name"].as_str().unwrap_or_default()
            ),
            proration: true,
        };
        let (back, due) =
            (line(&old, -share(cost(&old)), "Unused time on"), line(&new, share(cost(&new)), "Remaining time on"));
        [back, due].into_iter().filter(|it| it.amount != 0).collect()
    }

    /// Lines that wait for the next invoice.
    pub(crate) fn add_pending(&mut self, id: &str, lines: &[Line]) {
        let mut pending = self.copy(id)["_pending"].as_array().cloned().unwrap_or_default();
        pending.extend(lines.iter().map(Line::saved));
        self.set(id, json!({ "_pending": pending }));
    }

    fn take_pending(&mut self, id: &str) -> Vec<Line> {
        let pending = self.copy(id)["_pending"].as_array().cloned().unwrap_or_default();
        self.set(id, json!({ "_pending": [] }));
        pending.iter().map(Line::restored).collect()
    }

    /// What the running period costs, whatever is used.
    pub(crate) fn licensed_lines(&self, id: &str) -> Vec<Line> {
        self.item_lines(id, |price, quantity| quantity.map(|it| catalogue::amount(price, it)))
    }

    fn trial_lines(&self, id: &str) -> Vec<Line> {
        self.item_lines(id, |_, quantity| quantity.map(|_| 0))
    }

    fn item_lines(&self, id: &str, amount: impl Fn(&Value, Option<i64>) -> Option<i64>) -> Vec<Line> {
        let subscription = self.copy(id);
        let items = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
        let line = |item: &Value| {
            let quantity = item["quantity"].as_i64();
            Some(Line {
                amount: amount(&item["price"], quantity)?,
                quantity: quantity.unwrap_or_default(),
                price: item["price"].clone(),
                item: text(item, "id").to_owned(),
                period: period(&subscription),
                description: self.copy(text(&item["price"], "product"))["name"].as_str().unwrap_or_default().to_owned(),
                proration: false,
            })
        };
        items.iter().filter_map(line).collect()
    }

    fn metered_lines(&self, id: &str, from: i64, to: i64) -> Vec<Line> {
        let subscription = self.copy(id);
        let items = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
        let line = |item: &Value| {
            let meter = item["price"]["recurring"]["meter"].as_str()?;
            let quantity = self.metered(meter, text(&subscription, "customer"), from, to);
            Some(Line {
                amount: catalogue::amount(&item["price"], quantity),
                quantity,
                price: item["price"].clone(),
                item: text(item, "id").to_owned(),
                period: (from, to),
                description: self.copy(text(&item["price"], "product"))["name"].as_str().unwrap_or_default().to_owned(),
                proration: false,
            })
        };
        items.iter().filter_map(line).collect()
    }

    pub(crate) fn set_period(&mut self, id: &str, start: i64, end: i64) {
        let mut items = self.copy(id)["items"].clone();
        for item in items["data"].as_array_mut().into_iter().flatten() {
            item["current_period_start"] = start.into();
            item["current_period_end"] = end.into();
        }
        self.set(id, json!({ "items": items }));
    }
}

/// Since 2025 the period is the items', which here all have the same.
pub(crate) fn period(subscription: &Value) -> (i64, i64) {
    let first = &subscription["items"]["data"][0];
    (number(first, "current_period_start"), number(first, "current_period_end"))
}

/// When the period that begins at `start` ends.
fn period_end(recurring: &Value, start: i64, anchor: i64) -> i64 {
    let count = number(recurring, "interval_count").max(1);
    match text(recurring, "interval") {
        "day" => start + count * DAY_S,
        "week" => start + count * 7 * DAY_S,
        "year" => plus_months(start, 12 * count, anchor),
        _ => plus_months(start, count, anchor),
    }
}

pub(crate) fn item_list(id: &str, items: &Value) -> Value {
    let url = format!("/v1/subscription_items?subscription={id}");
    json!({ "object": "list", "data": items, "has_more": false, "total_count": items.as_array().map_or(0, Vec::len), "url": url })
}

pub(crate) fn item(subscription: &str, price: &Value, quantity: Option<i64>, start: i64, end: i64) -> Value {
    let metered = price["recurring"]["usage_type"] == "metered";
    let mut item = json!({
        "id": random::id("si"),
        "object": "subscription_item",
        "billing_thresholds": null,
        "created": start,
        "current_period_end": end,
        "current_period_start": start,
        "discounts": [],
        "metadata": {},
        "plan": catalogue::plan(price),
        "price": shown(price),
        "subscription": subscription,
        "tax_rates": [],
    });
    if !metered {
        item["quantity"] = quantity.unwrap_or(1).into();
    }
    item
}

fn blank(id: &str, new: &NewSubscription, price: &Value, now: i64, trial_end: Option<i64>, items: Vec<Value>) -> Value {
    json!({
        "id": id,
        "object": "subscription",
        "application": null,
        "application_fee_percent": null,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null },
        "billing_cycle_anchor": trial_end.unwrap_or(now),
        "billing_cycle_anchor_config": null,
        "billing_mode": { "flexible": { "proration_discounts": "included" }, "type": "flexible", "updated_at": now },
        "billing_schedules": [],
        "billing_thresholds": null,
        "cancel_at": null,
        "cancel_at_period_end": false,
        "canceled_at": null,
        "cancellation_details": { "comment": null, "feedback": null, "reason": null },
        "collection_method": "charge_automatically",
        "currency": price["currency"],
        "customer": new.customer,
        "customer_account": null,
        "days_until_due": null,
        "default_payment_method": new.method,
        "default_source": null,
        "default_tax_rates": [],
        "description": null,
        "discounts": [],
        "ended_at": null,
        "invoice_settings": { "account_tax_ids": null, "issuer": { "type": "self" } },
        "items": item_list(id, &items.into()),
        "latest_invoice": null,
        "livemode": false,
        "metadata": {},
        "next_pending_invoice_item_invoice": null,
        "on_behalf_of": null,
        "pause_collection": null,
        "payment_settings": { "payment_method_options": null, "payment_method_types": null, "save_default_payment_method": "off" },
        "pending_invoice_item_interval": null,
        "pending_setup_intent": null,
        "pending_update": null,
        "schedule": null,
        "start_date": now,
        "status": if trial_end.is_some() { "trialing" } else { "incomplete" },
        "test_clock": null,
        "transfer_data": null,
        "trial_end": trial_end,
        "trial_settings": { "end_behavior": { "missing_payment_method": "create_invoice" } },
        "trial_start": trial_end.map(|_| now),
    })
}
