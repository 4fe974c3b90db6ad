//! What was used beyond credit is told to Stripe's meter, which puts it on the next invoice. What is to be told is
//! written down first, and told until Stripe has taken it; its identifier keeps it from counting twice.

use super::client::{self, StripeError, form};
use crate::{
    App, Store,
    error::chain,
    sql::{SqlError, row, sql},
};
use shared::time::Timestamp;

/// The meter's event; a unit is a cent's worth of use.
pub const METER_EVENT: &str = "nest_overage_cents";

/// Far fewer than the thousand a second that Stripe takes.
const ROUND: i64 = 50;
const ROUNDS: usize = 20;
/// Until then whoever tells is alone.
const CLAIM_MS: i64 = 60_000;
const AGAIN_MS: i64 = 300_000;
/// What is older than Stripe takes (35 days) is told as of now: late rather than never.
const OLDEST_MS: i64 = 34 * 86_400_000;

row! {
    struct Count {
        count: i64,
    }
}

row! {
    struct Due {
        identifier: String,
        units: i64,
        customer: String,
        at: Timestamp,
    }
}

sql! {
    QUEUE(Timestamp) -> Count = "select queue_meter_events(to_timestamp($1::int8 / 1000.0)) as count";

    CLAIM(Timestamp, Timestamp, i64) -> Due = "
        with due as (
            select org_id, after_units from meter_events
            where sent_at is null and next_try_at <= to_timestamp($1::int8 / 1000.0)
                and (claimed_until is null or claimed_until <= to_timestamp($1::int8 / 1000.0))
            order by next_try_at, org_id, after_units limit $3::int8 for update skip locked
        )
        update meter_events event
        set claimed_until = to_timestamp($2::int8 / 1000.0), attempts = event.attempts + 1
        from due where event.org_id = due.org_id and event.after_units = due.after_units
        returning event.org_id::text || ':' || event.after_units as identifier, event.units, event.customer,
            (extract(epoch from event.at) * 1000)::int8 as at";

    SENT(String, Timestamp) -> Count = "
        with sent as (
            update meter_events set sent_at = to_timestamp($2::int8 / 1000.0), claimed_until = null, error = null
            where org_id::text || ':' || after_units = $1::text and sent_at is null returning 1
        )
        select count(*)::int8 as count from sent";

    AGAIN(String, Timestamp, String) -> Count = "
        with again as (
            update meter_events
            set next_try_at = to_timestamp($2::int8 / 1000.0), claimed_until = null, error = $3::text
            where org_id::text || ':' || after_units = $1::text and sent_at is null returning 1
        )
        select count(*)::int8 as count from again";
}

/// Writes down what is to be told, and tells it.
pub(super) async fn tick(app: &App) {
    if app.config.stripe.secret_key.is_none() {
        return;
    }
    let told = async {
        app.store.first(&QUEUE, (app.host.now(),)).await?;
        for _ in 0..ROUNDS {
            if round(app).await? == 0 {
                break;
            }
        }
        Ok::<_, SqlError>(())
    };
    if let Err(error) = told.await {
        tracing::warn!(error = %chain(&error), "what was used beyond credit could not be told to the meter");
    }
}

async fn round(app: &App) -> Result<usize, SqlError> {
    let now = app.host.now();
    let due = app.store.all(&CLAIM, (now, now.plus_ms(CLAIM_MS), ROUND)).await?;
    for event in &due {
        match tell(app, event, now).await {
            Ok(()) => app.store.meter_sent(&event.identifier, now).await?,
            Err(error) => {
                let identifier = &event.identifier;
                tracing::error!(identifier, error = %error, "Stripe's meter did not take {identifier}");
                app.store.meter_again(identifier, now.plus_ms(AGAIN_MS), error.to_string()).await?;
            }
        }
    }
    Ok(due.len())
}

async fn tell(app: &App, event: &Due, now: Timestamp) -> Result<(), StripeError> {
    let at = if now.since_ms(event.at) > OLDEST_MS { now } else { event.at };
    let fields = form([
        ("event_name", METER_EVENT),
        ("identifier", &event.identifier),
        ("timestamp", &at.as_seconds().to_string()),
        ("payload[stripe_customer_id]", &event.customer),
        ("payload[value]", &event.units.to_string()),
    ]);
    match client::post(app, "billing/meter_events", &fields, &format!("meter:{}", event.identifier)).await {
        // It was taken by a try of which the answer was lost.
        Err(StripeError::Refused { message, .. }) if message.contains("identifier") && message.contains("exists") => {
            Ok(())
        }
        other => other.map(drop),
    }
}

impl Store {
    async fn meter_sent(&self, identifier: &str, now: Timestamp) -> Result<(), SqlError> {
        let row = self.first(&SENT, (identifier.to_owned(), now)).await?;
        debug_assert!(row.is_none_or(|it| it.count <= 1), "an identifier is one event's");
        Ok(())
    }

    async fn meter_again(&self, identifier: &str, at: Timestamp, error: String) -> Result<(), SqlError> {
        let row = self.first(&AGAIN, (identifier.to_owned(), at, error)).await?;
        debug_assert!(row.is_none_or(|it| it.count <= 1), "an identifier is one event's");
        Ok(())
    }
}
