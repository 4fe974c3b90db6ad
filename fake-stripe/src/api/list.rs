//! Pages of a list, the latest first.

use super::Call;
use crate::{object, refusal::Refusal};
use serde_json::{Value, json};

/// The parameters of every list.
macro_rules! page {
    ($($more:literal),* $(,)?) => {
        &["limit", "starting_after", "ending_before" $(, $more)*]
    };
}
pub(super) use page;

/// The page that the call asks for of `all`.
pub(super) fn page_of(all: &[Value], call: &Call) -> Result<Value, Refusal> {
    let limit = call.form.integer("limit")?.unwrap_or(10);
    if !(1..=100).contains(&limit) {
        return Err(Refusal::new("Invalid limit: must be between 1 and 100").param("limit"));
    }
    let limit = usize::try_from(limit).unwrap_or(100);
    let place = |name: &str| -> Result<Option<usize>, Refusal> {
        let Some(id) = call.form.text(name) else { return Ok(None) };
        let found = all.iter().position(|it| object::text(it, "id") == id);
        found.map(Some).ok_or_else(|| Refusal::no_such("object", id, name))
    };
    let (after, before) = (place("starting_after")?, place("ending_before")?);
    let (start, end) = match (after, before) {
        (Some(after), _) => (after + 1, all.len().min(after + 1 + limit)),
        (None, Some(before)) => (before.saturating_sub(limit), before),
        (None, None) => (0, all.len().min(limit)),
    };
    let has_more = if before.is_some() { start > 0 } else { end < all.len() };
    Ok(json!({ "object": "list", "data": all[start..end], "has_more": has_more, "url": call.path }))
}

/// Whether a number is within what `created` asks for, alone or by `gt`, `gte`, `lt` and `lte`.
pub(super) fn within(call: &Call, name: &str, value: i64) -> Result<bool, Refusal> {
    if let Some(exact) = call.form.text(name) {
        return exact.parse::<i64>().map(|it| it == value).map_err(|_| Refusal::invalid_integer(name, exact));
    }
    let bound = |end: &str| call.form.integer(&format!("{name}.{end}"));
    Ok(bound("gt")?.is_none_or(|it| value > it)
        && bound("gte")?.is_none_or(|it| value >= it)
        && bound("lt")?.is_none_or(|it| value < it)
        && bound("lte")?.is_none_or(|it| value <= it))
}

/// Those of `all` whose fields are what the call asks for, where it asks.
pub(super) fn chosen(all: Vec<&Value>, call: &Call, fields: &[&str]) -> Result<Vec<Value>, Refusal> {
    let mut chosen = Vec::new();
    for object in all {
        let fits = fields.iter().all(|name| match call.form.text(name) {
            None => true,
            Some(wanted) => object[*name].as_str().map_or_else(|| object[*name].to_string(), str::to_owned) == wanted,
        });
        if fits && within(call, "created", object::number(object, "created"))? {
            chosen.push(object.clone());
        }
    }
    Ok(chosen)
}
