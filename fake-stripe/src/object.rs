//! What the fake keeps: every object as the JSON that clients get, and beside it, in fields that begin with `_`, what
//! only the fake knows.

use crate::{random, refusal::Refusal};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// All objects, by id.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    by_id: HashMap<String, Value>,
    /// The place of the next one in the order of their making.
    next: u64,
}

impl Objects {
    /// Keeps a new object, under an id of its kind unless it has one.
    pub(crate) fn add(&mut self, mut object: Value, now: i64) -> String {
        let kind = object["object"].as_str().unwrap_or_default().to_owned();
        let id = object["id"].as_str().map_or_else(|| random::id(prefix(&kind)), str::to_owned);
        self.next += 1;
        object["id"] = id.clone().into();
        object["_at"] = self.next.into();
        if object["created"].is_null() {
            object["created"] = now.into();
        }
        self.by_id.insert(id.clone(), object);
        id
    }

    /// The object of this id and kind.
    pub(crate) fn find(&self, kind: &str, id: &str) -> Option<&Value> {
        self.by_id.get(id).filter(|it| it["object"] == kind && it["deleted"] != true)
    }

    /// The same, or why not; `param` is where the client named it.
    pub(crate) fn get(&self, kind: &str, id: &str, param: &str) -> Result<&Value, Refusal> {
        self.find(kind, id).ok_or_else(|| Refusal::no_such(kind, id, param))
    }

    /// Whatever has this id.
    pub(crate) fn any(&self, id: &str) -> Option<&Value> {
        self.by_id.get(id)
    }

    pub(crate) fn any_mut(&mut self, id: &str) -> Option<&mut Value> {
        self.by_id.get_mut(id)
    }

    /// Puts fields over those of an object, and gives what they were where they changed.
    pub(crate) fn change(&mut self, id: &str, fields: Value) -> Map<String, Value> {
        let mut before = Map::new();
        let Some(object) = self.by_id.get_mut(id).and_then(Value::as_object_mut) else { return before };
        let Value::Object(fields) = fields else { return before };
        for (name, value) in fields {
            let old = object.insert(name.clone(), value.clone()).unwrap_or_default();
            if old != value && !name.starts_with('_') {
                before.insert(name, old);
            }
        }
        before
    }

    /// All of a kind, the latest first.
    pub(crate) fn all(&self, kind: &str) -> Vec<&Value> {
        let mut all: Vec<&Value> =
            self.by_id.values().filter(|it| it["object"] == kind && it["deleted"] != true).collect();
        all.sort_by_key(|it| std::cmp::Reverse(it["_at"].as_u64()));
        all
    }

    /// Everything, to be kept in a file.
    pub(crate) fn saved(&self) -> Value {
        let mut all: Vec<&Value> = self.by_id.values().collect();
        all.sort_by_key(|it| it["_at"].as_u64());
        all.into_iter().cloned().collect()
    }

    /// What [`Self::saved`] gave.
    pub(crate) fn restored(saved: &Value) -> Self {
        let all = saved.as_array().map(Vec::as_slice).unwrap_or_default();
        let next = all.iter().filter_map(|it| it["_at"].as_u64()).max().unwrap_or_default();
        let by_id = all.iter().filter_map(|it| Some((it["id"].as_str()?.to_owned(), it.clone()))).collect();
        Self { by_id, next }
    }
}

/// An object as clients see it: without what only the fake knows.
pub(crate) fn shown(object: &Value) -> Value {
    match object {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !name.starts_with('_'))
            .map(|(name, it)| (name.clone(), shown(it)))
            .collect(),
        Value::Array(members) => members.iter().map(shown).collect(),
        other => other.clone(),
    }
}

/// The texts of a field, for what is a text in every object of its kind.
pub(crate) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_default()
}

/// A number, 0 where there is none.
pub(crate) fn number(object: &Value, name: &str) -> i64 {
    object[name].as_i64().unwrap_or_default()
}

/// What an id of this kind begins with.
fn prefix(kind: &str) -> &'static str {
    match kind {
        "billing.meter" => "mtr_test",
        "billing.meter_event" => "mtrevt",
        "billing_portal.configuration" => "bpc",
        "billing_portal.session" => "bps",
        "charge" => "ch",
        "checkout.session" => "cs_test",
        "customer" => "cus",
        "dispute" => "du",
        "event" => "evt",
        "invoice" => "in",
        "invoice_payment" => "inpay",
        "payment_intent" => "pi",
        "payment_method" => "pm",
        "price" => "price",
        "product" => "prod",
        "refund" => "re",
        "setup_intent" => "seti",
        "subscription" => "sub",
        "v2.core.event" => "evt_test",
        "webhook_endpoint" => "we",
        _ => "obj",
    }
}
