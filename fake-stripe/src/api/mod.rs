//! The calls that the fake knows: which, with which parameters, and what an answer carries.

pub(crate) mod cards;
pub(crate) mod catalogue;
mod charges;
pub(crate) mod checkout;
mod customers;
pub(crate) mod disputes;
mod events;
mod expand;
mod invoices;
mod list;
mod meters;
pub(crate) mod payment_intents;
mod payment_methods;
mod portal;
pub(crate) mod refunds;
mod subscriptions;
mod webhook_endpoints;

use crate::{form::Form, object::shown, refusal::Refusal, world::World};
use http::Method;
use serde_json::{Map, Value, json};

/// A call, read.
pub(crate) struct Call<'a> {
    /// The id in the path, empty where there is none.
    pub(crate) id: &'a str,
    pub(crate) form: &'a Form,
    pub(crate) path: &'a str,
}

/// What is done for a call.
type Run = fn(&mut World, &Call) -> Result<Value, Refusal>;

/// A method, a path in which `*` stands for an id, the parameters that the call takes, and what it does.
pub(crate) type Route = (&'static str, &'static str, &'static [&'static str], Run);

const TABLES: [&[Route]; 14] = [
    customers::ROUTES,
    payment_methods::ROUTES,
    checkout::ROUTES,
    portal::ROUTES,
    subscriptions::ROUTES,
    invoices::ROUTES,
    payment_intents::ROUTES,
    charges::ROUTES,
    refunds::ROUTES,
    disputes::ROUTES,
    events::ROUTES,
    catalogue::ROUTES,
    meters::ROUTES,
    webhook_endpoints::ROUTES,
];

/// Serves one call.
pub(crate) fn call(world: &mut World, method: &Method, path: &str, form: &Form) -> Result<Value, Refusal> {
    let unrecognized = || {
        Refusal::of(404, "invalid_request_error", format!("Unrecognized request URL ({method}: {path})."))
            .with("code", Value::Null)
    };
    let fits = |it: &&&Route| it.0 == method.as_str() && id_in(it.1, path).is_some();
    // A word of the path is no id, where another route has that word.
    let exact =
        TABLES.iter().flat_map(|it| it.iter()).filter(|it| fits(&it)).min_by_key(|it| it.1.matches('*').count());
    let (_, pattern, known, run) = exact.ok_or_else(unrecognized)?;
    let id = id_in(pattern, path).unwrap_or_default();
    if let Some(name) = form.names().find(|it| *it != "expand" && !known.contains(it)) {
        return Err(Refusal::unknown(name));
    }
    let answer = run(world, &Call { id, form, path })?;
    Ok(shown(&expand::expand(world, answer, &form.texts("expand"))?))
}

/// What stands for `*`, or the empty text where there is none; nothing if the path is another.
fn id_in<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let (mut id, mut steps) = ("", path.split('/'));
    for wanted in pattern.split('/') {
        match steps.next()? {
            step if wanted == "*" && !step.is_empty() => id = step,
            step if wanted == step => {}
            _ => return None,
        }
    }
    if steps.next().is_some() { None } else { Some(id) }
}

/// Puts those of `names` that the call gives into `fields`; an empty text unsets.
fn given(call: &Call, names: &[&str]) -> Map<String, Value> {
    names.iter().filter(|it| call.form.has(it)).map(|it| ((*it).to_owned(), call.form.value(it))).collect()
}

/// `metadata` as it becomes: what is given joins what was there, an empty text takes a name away.
fn metadata(form: &Form, before: &Value) -> Value {
    let mut all = before.as_object().cloned().unwrap_or_default();
    // An empty text for the whole takes all away.
    if form.has("metadata") && form.map("metadata").is_empty() {
        return json!({});
    }
    for (name, value) in form.map("metadata") {
        if value == "" {
            all.remove(&name)
        } else {
            all.insert(name, value)
        };
    }
    Value::Object(all)
}

/// Parts of an address or of other details that are texts alone.
fn texts(form: &Form, path: &str, names: &[&str]) -> Value {
    if !form.has(path) || form.map(path).is_empty() {
        return Value::Null;
    }
    let part = form.part(path);
    Value::Object(names.iter().map(|it| ((*it).to_owned(), part.value(it))).collect())
}

const ADDRESS: [&str; 6] = ["city", "country", "line1", "line2", "postal_code", "state"];

/// A currency, which must be given, in lower case.
fn currency(form: &Form) -> Result<String, Refusal> {
    let text = form.need("currency")?.to_lowercase();
    if text.len() == 3 && text.bytes().all(|it| it.is_ascii_lowercase()) {
        return Ok(text);
    }
    Err(Refusal::new(format!("Invalid currency: {text}.")).param("currency"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_by_its_pattern() {
        for (pattern, path, id) in [
            ("/v1/customers", "/v1/customers", Some("")),
            ("/v1/customers/*", "/v1/customers/cus_1", Some("cus_1")),
            ("/v1/customers/*", "/v1/customers", None),
            ("/v1/customers/*", "/v1/customers/", None),
            ("/v1/customers/*", "/v1/customers/cus_1/x", None),
            ("/v1/checkout/sessions/*/expire", "/v1/checkout/sessions/cs_1/expire", Some("cs_1")),
        ] {
            assert_eq!(id_in(pattern, path), id, "{pattern} {path}");
        }
    }
}
