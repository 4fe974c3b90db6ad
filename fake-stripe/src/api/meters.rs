//! Meters, and the events that they count.

use super::{
    Call, Route, given,
    list::{chosen, page, page_of},
};
use crate::{
    calendar::DAY_S,
    object::{number, text},
    random,
    refusal::Refusal,
    world::World,
};
use serde_json::{Value, json};

pub(super) const ROUTES: &[Route] = &[
    (
        "POST",
        "/v1/billing/meters",
        &[
            "customer_mapping",
            "default_aggregation",
            "display_name",
            "event_name",
            "event_time_window",
            "value_settings",
        ],
        create,
    ),
    ("GET", "/v1/billing/meters", page!("status"), list),
    ("GET", "/v1/billing/meters/*", &[], get),
    ("POST", "/v1/billing/meters/*", &["display_name"], update),
    ("POST", "/v1/billing/meters/*/deactivate", &[], deactivate),
    ("POST", "/v1/billing/meters/*/reactivate", &[], reactivate),
    ("POST", "/v1/billing/meter_events", &["event_name", "identifier", "payload", "timestamp"], event),
];

/// How old an event may be.
const OLDEST_S: i64 = 35 * DAY_S;

/// How far ahead of the clock it may be.
const AHEAD_S: i64 = 300;

fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let form = call.form;
    let (name, event) = (form.need("display_name")?.to_owned(), form.need("event_name")?.to_owned());
    form.need("default_aggregation.formula")?;
    let formula = form.one_of("default_aggregation.formula", &["count", "last", "sum"])?.unwrap_or("sum").to_owned();
    if world.active_meter(&event).is_some() {
        let message = format!("An active meter with event_name `{event}` already exists.");
        return Err(Refusal::new(message).code("resource_already_exists").param("event_name"));
    }
    let now = world.now();
    let id = world.add(json!({
        "object": "billing.meter",
        "customer_mapping": { "event_payload_key": form.text("customer_mapping.event_payload_key").unwrap_or("stripe_customer_id"), "type": "by_id" },
        "default_aggregation": { "formula": formula },
        "display_name": name,
        "event_name": event,
        "event_time_window": form.value("event_time_window"),
        "livemode": false,
        "status": "active",
        "status_transitions": { "deactivated_at": null },
        "updated": now,
        "value_settings": { "event_payload_key": form.text("value_settings.event_payload_key").unwrap_or("value") },
    }));
    world.emit("billing.meter.created", &id);
    Ok(world.copy(&id))
}

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    page_of(&chosen(world.objects.all("billing.meter"), call, &["status"])?, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("billing.meter", call.id, "id").cloned()
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("billing.meter", call.id, "id")?;
    let mut fields = given(call, &["display_name"]);
    fields.insert("updated".to_owned(), world.now().into());
    world.update(call.id, fields.into(), "billing.meter.updated");
    Ok(world.copy(call.id))
}

fn deactivate(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("billing.meter", call.id, "id")?;
    let fields = json!({ "status": "inactive", "status_transitions": { "deactivated_at": world.now() } });
    world.update(call.id, fields, "billing.meter.deactivated");
    Ok(world.copy(call.id))
}

fn reactivate(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("billing.meter", call.id, "id")?;
    let fields = json!({ "status": "active", "status_transitions": { "deactivated_at": null } });
    world.update(call.id, fields, "billing.meter.reactivated");
    Ok(world.copy(call.id))
}

fn event(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let form = call.form;
    let name = form.need("event_name")?.to_owned();
    let none =
        || Refusal::new(format!("No active meter found for event name {name}.")).code("no_meter").param("event_name");
    let meter = world.active_meter(&name).ok_or_else(none)?;
    let key = |part: &str| text(&meter[part], "event_payload_key").to_owned();
    let (customer, value) = (key("customer_mapping"), key("value_settings"));
    let customer = form.need(&format!("payload.{customer}"))?.to_owned();
    if meter["default_aggregation"]["formula"] != "count" {
        let text = form.need(&format!("payload.{value}"))?;
        let whole = text.parse::<i64>().ok().filter(|it| *it >= 0);
        whole.ok_or_else(|| {
            Refusal::new(format!("Invalid meter event value: {text}")).code("meter_event_invalid_value")
        })?;
    }
    let now = world.now();
    let at = form.integer("timestamp")?.unwrap_or(now);
    if at < now - OLDEST_S {
        let message = "The timestamp must be within the past 35 calendar days.";
        return Err(Refusal::new(message).code("timestamp_too_far_in_past").param("timestamp"));
    }
    if at > now + AHEAD_S {
        let message = "The timestamp must not be more than 5 minutes in the future.";
        return Err(Refusal::new(message).code("timestamp_in_future").param("timestamp"));
    }
    let identifier = form.text("identifier").map_or_else(|| random::text(32), str::to_owned);
    let same = |it: &&Value| it["identifier"] == identifier.as_str() && now - number(it, "created") < DAY_S;
    if world.objects.all("billing.meter_event").iter().any(same) {
        let message = format!("An event already exists with identifier {identifier}.");
        return Err(Refusal::new(message).code("duplicate_meter_event").param("identifier"));
    }
    let id = world.add(json!({
        "object": "billing.meter_event",
        "event_name": name,
        "identifier": identifier,
        "livemode": false,
        "payload": form.map("payload"),
        "timestamp": at,
        "_meter": meter["id"],
        "_customer": customer,
    }));
    // A meter event has no id of its own.
    let mut answer = world.copy(&id);
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("id");
    }
    Ok(answer)
}

impl World {
    fn active_meter(&self, event_name: &str) -> Option<Value> {
        let fits = |it: &&Value| it["event_name"] == event_name && it["status"] == "active";
        self.objects.all("billing.meter").into_iter().find(fits).cloned()
    }

    /// What a customer used from `from` until before `to`.
    pub(crate) fn metered(&self, meter: &str, customer: &str, from: i64, to: i64) -> i64 {
        let meter = self.copy(meter);
        let key = text(&meter["value_settings"], "event_payload_key");
        let theirs = |it: &&Value| {
            it["_meter"] == meter["id"] && it["_customer"] == customer && (from..to).contains(&number(it, "timestamp"))
        };
        let mut events: Vec<&Value> = self.objects.all("billing.meter_event").into_iter().filter(theirs).collect();
        events.sort_by_key(|it| number(it, "timestamp"));
        let mut values = events.iter().map(|it| text(&it["payload"], key).parse::<i64>().unwrap_or_default());
        match text(&meter["default_aggregation"], "formula") {
            "count" => i64::try_from(events.len()).unwrap_or(i64::MAX),
            "last" => values.next_back().unwrap_or_default(),
            _ => values.sum(),
        }
    }
}
