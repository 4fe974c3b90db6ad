//! All that the fake knows, behind one lock.

use crate::{
    API_VERSION,
    deliveries::Deliveries,
    faults::Faults,
    idempotency::Kept,
    object::{Objects, shown},
    random::Chance,
};
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// A request to the API as it came, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Query or body, as a tree of texts.
    pub form: Value,
    pub idempotency_key: Option<String>,
    /// What the client pinned.
    pub api_version: Option<String>,
    /// What was answered; 0 where the connection was cut instead.
    pub status: u16,
    /// Whether the answer was that of an earlier request with the same idempotency key.
    pub replayed: bool,
}

pub(crate) struct World {
    pub(crate) objects: Objects,
    pub(crate) deliveries: Deliveries,
    pub(crate) faults: Faults,
    pub(crate) kept: Kept,
    pub(crate) seen: Vec<Seen>,
    pub(crate) chance: Chance,
    /// Of the pages, without a slash at its end.
    pub(crate) url: String,
    /// How far its clock is ahead of this machine's.
    ahead_s: i64,
    /// Set while something is done that was due earlier.
    moment: Option<i64>,
    /// The request that is being served: its id, and its idempotency key.
    pub(crate) request: Option<(String, Option<String>)>,
}

impl World {
    pub(crate) fn new(url: String, saved: &Value) -> Self {
        Self {
            objects: Objects::restored(&saved["objects"]),
            deliveries: Deliveries::default(),
            faults: Faults::default(),
            kept: Kept::default(),
            seen: Vec::new(),
            chance: Chance::default(),
            url,
            ahead_s: saved["ahead_s"].as_i64().unwrap_or_default(),
            moment: None,
            request: None,
        }
    }

    /// What a file keeps of it.
    pub(crate) fn saved(&self) -> Value {
        json!({ "objects": self.objects.saved(), "ahead_s": self.ahead_s })
    }

    /// Seconds since 1970 by the fake's clock.
    pub(crate) fn now(&self) -> i64 {
        self.moment.unwrap_or_else(|| system_s() + self.ahead_s)
    }

    /// Moves the clock, past everything that falls due on the way.
    pub(crate) fn advance(&mut self, seconds: i64) {
        let target = self.now() + seconds;
        self.run_until(target);
        self.ahead_s += seconds;
    }

    /// Does what has fallen due by itself.
    pub(crate) fn catch_up(&mut self) {
        let now = self.now();
        self.run_until(now);
    }

    fn run_until(&mut self, target: i64) {
        while let Some((due, id)) = self.next_due().filter(|(due, _)| *due <= target) {
            self.moment = Some(due);
            self.do_due(&id);
        }
        self.moment = None;
    }

    /// Keeps a new object.
    pub(crate) fn add(&mut self, object: Value) -> String {
        let now = self.now();
        self.objects.add(object, now)
    }

    /// A copy of an object, null if there is none.
    pub(crate) fn copy(&self, id: &str) -> Value {
        self.objects.any(id).cloned().unwrap_or_default()
    }

    /// Changes an object without telling anybody.
    pub(crate) fn set(&mut self, id: &str, fields: Value) {
        self.objects.change(id, fields);
    }

    /// Changes an object, and tells by an event what it was before.
    pub(crate) fn update(&mut self, id: &str, fields: Value, event: &str) {
        let before = self.objects.change(id, fields);
        let before = if event.ends_with(".updated") { Some(before) } else { None };
        self.emit_with(event, &self.copy(id), before);
    }

    /// Tells of an object as it is now.
    pub(crate) fn emit(&mut self, event: &str, id: &str) -> String {
        self.emit_with(event, &self.copy(id), None)
    }

    pub(crate) fn emit_with(&mut self, kind: &str, object: &Value, before: Option<Map<String, Value>>) -> String {
        let mut data = json!({ "object": shown(object) });
        if let Some(before) = before {
            data["previous_attributes"] = before.into();
        }
        let (request, key) = self.request.clone().unzip();
        let event = json!({
            "object": "event",
            "api_version": API_VERSION,
            "data": data,
            "livemode": false,
            "pending_webhooks": self.listeners(kind).len(),
            "request": { "id": request, "idempotency_key": key.flatten() },
            "type": kind,
        });
        let id = self.add(event);
        self.deliver(&id);
        id
    }
}

/// Seconds since 1970 by this machine's clock.
pub(crate) fn system_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
