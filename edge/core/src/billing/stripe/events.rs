//! Events: kept as they came, then applied by whoever comes first: behind the answer, by the clock, or both.

use super::{
    StoredEvent,
    apply::{ApplyError, Kind, Told, apply},
    objects::{self, Event},
    rules::{self, Next, after_failure},
    sql::Due,
};
use crate::{App, Error, Store, error::chain, sql::SqlError};
use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::time::Timestamp;

/// Events that are claimed and applied together.
const ROUND: i64 = 8;
/// Rounds of one tick; what is left waits a minute.
const ROUNDS: usize = 200;
/// How much of an error is kept with an event.
const ERROR_CHARS: usize = 500;
/// How long events are kept that were applied: Stripe tells the same for three days, and lists them for a month.
const KEEP_MS: i64 = 60 * 86_400_000;
/// What Stripe's meters tell when they could not take what they had been sent.
const METER_ERRORS: &str = "v1.billing.meter.error_report_triggered";

/// Keeps what Stripe has signed. What cannot be read as an event is kept too, for a person to read.
pub(super) async fn store(app: &App, raw: &Bytes) -> Result<(), SqlError> {
    let now = app.host.now();
    let read = serde_json::from_slice::<Value>(raw).ok().and_then(|it| Event::read(&it));
    let event = read.unwrap_or_else(|| unreadable(app, raw, now));
    app.store.store_event(event, raw.to_vec(), now).await.map(drop)
}

/// An event without anything that is known of it but its bytes.
fn unreadable(app: &App, raw: &[u8], now: Timestamp) -> Event {
    let digest: String = Sha256::digest(raw).iter().map(|it| format!("{it:02x}")).collect();
    Event {
        id: format!("unreadable_{digest}"),
        kind: "unreadable".to_owned(),
        created_ms: now.0,
        livemode: app.config.stripe.livemode,
        account: None,
        object_kind: String::new(),
        object_id: String::new(),
    }
}

/// Applies what is due, behind the answer.
pub(super) fn apply_soon(app: &App) {
    let task = app.clone();
    app.host.defer(Box::pin(async move {
        round(&task).await;
    }));
}

/// Applies until nothing is due.
pub(super) async fn all(app: &App) {
    for _ in 0..ROUNDS {
        if round(app).await == 0 {
            break;
        }
    }
    if let Err(error) = app.store.sweep_events(app.host.now().plus_ms(-KEEP_MS)).await {
        tracing::warn!(error = %chain(&error), "old events of Stripe's could not be forgotten");
    }
}

/// Claims what is due, a few events at most, and tries each once. Says how many they were.
async fn round(app: &App) -> usize {
    if app.config.stripe.secret_key.is_none() {
        // Another edge has the key, and applies what this one keeps.
        return 0;
    }
    let now = app.host.now();
    match app.store.claim_events(now, now.plus_ms(rules::CLAIM_MS), ROUND).await {
        Ok(due) => join_all(due.iter().map(|it| attempt(app, it))).await.len(),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "events of Stripe's that are due cannot be read");
            0
        }
    }
}

/// Tries one event, and writes down what became of it.
async fn attempt(app: &App, due: &Due) {
    let Err(error) = take(app, due).await else {
        tracing::info!(event.id = due.id, event.kind = due.kind, "applied {} {}", due.kind, due.id);
        return;
    };
    let now = app.host.now();
    let text: String = error.to_string().chars().take(ERROR_CHARS).collect();
    let (id, attempts) = (due.id.as_str(), due.attempts);
    let marked = match after_failure(attempts, error.is_passing(), now) {
        Next::Again(at) => {
            tracing::warn!(event.id = id, event.kind = due.kind, attempts, error = text, "{id} is tried again");
            app.store.event_again(id, attempts, at, text).await
        }
        Next::Dead => {
            tracing::error!(
                event.id = id,
                event.kind = due.kind,
                attempts,
                error = text,
                "{id} is given up: see to it, then `nest stripe events replay {id}`"
            );
            app.store.event_dead(id, attempts, now, text).await
        }
    };
    if let Err(error) = marked {
        tracing::warn!(event.id = id, error = %chain(&error), "what became of {id} is not written: its claim ends soon");
    }
}

async fn take(app: &App, due: &Due) -> Result<(), ApplyError> {
    let (event, now) = (due.id.as_str(), app.host.now());
    let stripe = &app.config.stripe;
    if due.kind == "unreadable" {
        return Err(ApplyError::Unfit("it cannot be read"));
    }
    if due.kind == METER_ERRORS {
        meter_errors(app, due).await?;
        return Ok(app.store.event_applied(event, now, None).await?);
    }
    if !rules::is_ours(due.livemode, due.account.as_deref(), stripe.livemode, stripe.account.as_deref()) {
        tracing::error!(event.id = event, "{event} is of another mode or account, and counts for nothing");
        return Ok(app.store.event_applied(event, now, Some("of another mode or account")).await?);
    }
    match Kind::read(&due.object_kind) {
        Some(kind) => apply(app, kind, Told { id: &due.object_id, event: Some(event), kind: &due.kind }).await,
        None => Ok(app.store.event_applied(event, now, None).await?),
    }
}

/// Stripe found after the fact that a meter could not take some of our events: a person has to look at why.
async fn meter_errors(app: &App, due: &Due) -> Result<(), SqlError> {
    let value: Value = serde_json::from_slice(&due.raw).unwrap_or_default();
    let summary = objects::text(&value, "/data/developer_message_summary").unwrap_or_default();
    tracing::error!(event.id = due.id, summary, "Stripe's meter could not take what it was told: see its error report");
    for kind in objects::list(&value, "/data/reason/error_types") {
        for sample in objects::list(kind, "/sample_errors") {
            let error = objects::text(sample, "/error_message").unwrap_or_else(|| "refused by the meter".to_owned());
            if let Some(identifier) = objects::text(sample, "/request/identifier") {
                app.store.meter_error(identifier, error.replace('\0', "")).await?;
            }
        }
    }
    Ok(())
}

/// The latest events, newest first: all, or those that are `waiting`, `applied` or `dead`.
pub async fn list(store: &Store, state: Option<&str>, limit: i64) -> Result<Vec<StoredEvent>, SqlError> {
    store.events(state.map(str::to_owned), limit).await
}

/// Has an event applied anew, by the edge that comes first. What it brought already, it does not bring again.
pub async fn replay(store: &Store, id: &str, now: Timestamp) -> Result<bool, Error> {
    Ok(store.replay_event(id, now).await?)
}
