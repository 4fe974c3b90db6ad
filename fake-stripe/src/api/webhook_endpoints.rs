//! Webhook endpoints: who is told of events.

use super::{
    Call, Route, given,
    list::{chosen, page, page_of},
    metadata,
};
use crate::{API_VERSION, random, refusal::Refusal, world::World};
use serde_json::{Value, json};

pub(super) const ROUTES: &[Route] = &[
    (
        "POST",
        "/v1/webhook_endpoints",
        &["api_version", "connect", "description", "enabled_events", "metadata", "url"],
        create,
    ),
    ("GET", "/v1/webhook_endpoints", page!(), list),
    ("GET", "/v1/webhook_endpoints/*", &[], get),
    ("POST", "/v1/webhook_endpoints/*", &["description", "disabled", "enabled_events", "metadata", "url"], update),
    ("DELETE", "/v1/webhook_endpoints/*", &[], delete),
];

fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let form = call.form;
    let url = web_address(form.need("url")?)?;
    let events = form.texts("enabled_events");
    if events.is_empty() {
        return Err(Refusal::missing("enabled_events"));
    }
    let secret = format!("whsec_{}", random::text(32));
    let id = world.listen(&url, &events, &secret);
    let fields = json!({
        "api_version": form.value("api_version"),
        "description": form.value("description"),
        "metadata": metadata(form, &Value::Null),
    });
    world.set(&id, fields);
    let mut shown_once = world.copy(&id);
    shown_once["secret"] = secret.into();
    Ok(shown_once)
}

fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    page_of(&chosen(world.objects.all("webhook_endpoint"), call, &[])?, call)
}

fn get(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("webhook_endpoint", call.id, "id").cloned()
}

fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let before = world.objects.get("webhook_endpoint", call.id, "id")?.clone();
    let mut fields = given(call, &["description"]);
    fields.insert("metadata".to_owned(), metadata(call.form, &before["metadata"]));
    if let Some(url) = call.form.text("url") {
        fields.insert("url".to_owned(), web_address(url)?.into());
    }
    if let Some(disabled) = call.form.truth("disabled")? {
        fields.insert("status".to_owned(), if disabled { "disabled" } else { "enabled" }.into());
    }
    let events = call.form.texts("enabled_events");
    if !events.is_empty() {
        fields.insert("enabled_events".to_owned(), events.into());
    }
    world.set(call.id, fields.into());
    Ok(world.copy(call.id))
}

fn delete(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("webhook_endpoint", call.id, "id")?;
    world.set(call.id, json!({ "deleted": true, "status": "disabled" }));
    Ok(json!({ "id": call.id, "object": "webhook_endpoint", "deleted": true }))
}

fn web_address(url: &str) -> Result<String, Refusal> {
    let fits = url::Url::parse(url).is_ok_and(|it| matches!(it.scheme(), "http" | "https"));
    // Stripe itself takes only https here; the fake tells endpoints of this machine.
    if fits {
        Ok(url.to_owned())
    } else {
        Err(Refusal::new("Invalid URL: An explicit scheme (such as https) must be provided.")
            .code("url_invalid")
            .param("url"))
    }
}

impl World {
    /// An endpoint that is told of `events` from now on.
    pub(crate) fn listen(&mut self, url: &str, events: &[String], secret: &str) -> String {
        self.add(json!({
            "object": "webhook_endpoint",
            "api_version": API_VERSION,
            "application": null,
            "description": null,
            "enabled_events": events,
            "livemode": false,
            "metadata": {},
            "status": "enabled",
            "url": url,
            "_secret": secret,
        }))
    }
}
