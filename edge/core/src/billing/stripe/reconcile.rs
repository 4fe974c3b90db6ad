//! The reconciler: what webhooks missed is found in Stripe's lists, once an hour, and applied as if it had been told.

use super::{
    apply::{Kind, Told, apply},
    client::{self, StripeError, form},
    events, objects,
};
use crate::{App, error::chain};
use serde_json::Value;
use shared::time::Timestamp;

const EVERY_MS: i64 = 3_600_000;
/// Lists may lack for a moment what was made at their end.
const OVERLAP_MS: i64 = 900_000;
/// How far back the first look goes: as far as Stripe lists events.
const FIRST_MS: i64 = 30 * 86_400_000;

/// A time at which it is everybody's turn: the end of the year 9999.
const FAR: Timestamp = Timestamp(253_402_300_799_000);

/// Lists of objects that may have come without their events; for older ones events are all there is.
const LISTS: [(&str, Kind); 3] =
    [("checkout/sessions", Kind::Session), ("subscriptions", Kind::Subscription), ("invoices", Kind::Invoice)];

/// Looks once an hour, whichever edge comes first.
pub(super) async fn tick(app: &App) {
    let now = app.host.now();
    if app.config.stripe.secret_key.is_none() {
        return;
    }
    turns(app, now).await;
}

/// Looks now, however long ago that was done last, and applies what is found.
pub(crate) async fn at_once(app: &App) {
    turns(app, FAR).await;
}

async fn turns(app: &App, now: Timestamp) {
    let next = app.host.now().plus_ms(EVERY_MS);
    for (name, kind) in std::iter::once(("events", None)).chain(LISTS.map(|(name, kind)| (name, Some(kind)))) {
        match app.store.list_turn(name, now, next).await {
            Ok(Some(since)) => look(app, name, kind, since).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(name, error = %chain(&error), "the reconciler cannot begin"),
        }
    }
    events::all(app).await;
}

async fn look(app: &App, name: &'static str, kind: Option<Kind>, since: Timestamp) {
    let now = app.host.now();
    let since = Timestamp(since.plus_ms(-OVERLAP_MS).0.max(now.0 - FIRST_MS));
    let found = match list(app, name, since).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(name, error = %error, "Stripe's list of {name} cannot be read: it is read again in an hour");
            return;
        }
    };
    let mut whole = true;
    // Oldest first, so that what is told of something comes after it.
    for value in found.iter().rev() {
        let kept = match (kind, objects::id(value, "")) {
            (None, _) => events::store(app, &value.to_string().into()).await.map_err(|error| chain(&error)),
            (Some(kind), Some(id)) => match apply(app, kind, Told::unasked(&id)).await {
                Err(error) if error.is_passing() => Err(error.to_string()),
                // What does not fit today does not fit in an hour; its event tells a person.
                Ok(()) | Err(_) => Ok(()),
            },
            (Some(_), None) => Ok(()),
        };
        if let Err(error) = kept {
            whole = false;
            tracing::warn!(name, error, "what a list of Stripe's holds could not be applied");
        }
    }
    if whole && let Err(error) = app.store.list_seen(name, now).await {
        tracing::warn!(name, error = %chain(&error), "how far the reconciler has come is not written");
    }
}

async fn list(app: &App, name: &str, since: Timestamp) -> Result<Vec<Value>, StripeError> {
    let mut query = form([("created[gte]", since.as_seconds().to_string().as_str())]);
    if name == "subscriptions" {
        query.extend(form([("status", "all")]));
    }
    client::list(app, name, &query).await
}
