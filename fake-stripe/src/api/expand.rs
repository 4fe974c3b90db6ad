//! `expand`: an id becomes the object, and what is left out by default is put in.

use crate::{refusal::Refusal, world::World};
use serde_json::Value;

/// Expands every path, such as `latest_invoice.payments` or, in a list, `data.customer`.
pub(super) fn expand(world: &World, mut answer: Value, paths: &[String]) -> Result<Value, Refusal> {
    for path in paths {
        let steps: Vec<&str> = path.split('.').collect();
        if steps.len() > 5 {
            let message = "You cannot expand more than 4 levels of a property";
            return Err(Refusal::new(message).code("property_expansion_max_depth").param("expand"));
        }
        if !walk(world, &mut answer, &steps) {
            let message = format!("This property cannot be expanded ({path}).");
            return Err(Refusal::new(message).param("expand"));
        }
    }
    Ok(answer)
}

/// Whether there was something to expand.
fn walk(world: &World, value: &mut Value, steps: &[&str]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    if let Value::Array(members) = value {
        // Where the members are of several kinds, one that has nothing to expand is enough to refuse.
        return members.iter_mut().all(|member| walk(world, member, steps));
    }
    let Some(fields) = value.as_object_mut() else { return value.is_null() };
    // What is left out by default waits under a hidden name.
    if let Some(hidden) = fields.get(&format!("_{step}")).cloned() {
        fields.insert((*step).to_owned(), hidden);
    }
    let Some(field) = fields.get_mut(*step) else { return false };
    if let Some(object) = field.as_str().and_then(|id| world.objects.any(id)) {
        *field = object.clone();
    }
    // Lists are walked through, and nothing can be expanded where nothing is.
    let is_open = field.is_object() || field.is_array() || field.is_null();
    is_open && (field.is_null() || walk(world, field, rest))
}
