//! Events: what happened, for whoever missed being told.

use super::{
    Call, Route,
    list::{chosen, page, page_of},
};
use crate::{calendar::DAY_S, object::number, refusal::Refusal, world::World};
use serde_json::Value;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/v1/events", page!("created", "delivery_success", "type", "types"), list),
    ("GET", "/v1/events/*", &[], get),
];

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let (types, success, since) =
        (call.form.texts("types"), call.form.truth("delivery_success")?, world.now() - 30 * DAY_S);
    let mut all = chosen(world.objects.all("event"), call, &["type"])?;
    all.retain(|it| {
        let typed = types.is_empty() || types.iter().any(|wanted| it["type"] == wanted.as_str());
        // Stripe lists the last thirty days.
        typed && number(it, "created") >= since && success.is_none_or(|wanted| (it["pending_webhooks"] == 0) == wanted)
    });
    page_of(&all, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("event", call.id, "id").cloned()
}
