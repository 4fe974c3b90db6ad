//! Automatic top-ups: begun when a lease finds little credit, and by the clock. Each is a row before Stripe is asked, so
//! that an organisation has one at a time, and a try whose answer was lost is asked about again under the same key.

use super::sql::Due;
use crate::{
    App,
    billing::{
        BillingError,
        stripe::{self, letters},
    },
    error::chain,
    host::random,
};
use shared::id::{OrgId, TopUpId};

/// Organisations whose top-ups one tick begins.
const MOST: usize = 200;
/// Longer than all tries of a payment take.
const CLAIM_MS: i64 = 120_000;

/// Looks behind the answer whether credit is to be bought for an organisation that has little.
pub(in crate::billing) fn soon(app: &App, org: OrgId) {
    if app.config.stripe.secret_key.is_none() {
        return;
    }
    let task = app.clone();
    app.host.defer(Box::pin(async move {
        begin(&task, Some(org)).await;
    }));
}

pub(super) async fn tick(app: &App) {
    if app.config.stripe.secret_key.is_none() {
        return;
    }
    let now = app.host.now();
    match app.store.claim_auto_top_ups(now, now.plus_ms(CLAIM_MS)).await {
        Ok(due) => {
            for top_up in &due {
                pay(app, top_up).await;
            }
        }
        Err(error) => tracing::warn!(error = %chain(&error), "automatic top-ups cannot be read"),
    }
    for _ in 0..MOST {
        if !begin(app, None).await {
            break;
        }
    }
}

/// Begins one that is due, if one is, and pays for it. Says whether there was one.
async fn begin(app: &App, org: Option<OrgId>) -> bool {
    let now = app.host.now();
    let id = TopUpId::new(now, random(&*app.host));
    match app.store.begin_auto_top_up(id, org, now, now.plus_ms(CLAIM_MS)).await {
        Ok(Some(due)) => {
            pay(app, &due).await;
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "automatic top-ups cannot be begun");
            false
        }
    }
}

/// Has Stripe take the money. What it does not answer now is asked again by the clock.
async fn pay(app: &App, due: &Due) {
    let id = due.id;
    match stripe::charge_card(app, id.uuid(), due.cents, (&due.customer, &due.payment_method)).await {
        Ok(()) => tracing::info!(top_up.id = %id, "automatic top-up {id} was asked for"),
        Err(BillingError::StripeRefused) => {
            tracing::warn!(top_up.id = %id, "Stripe does not take automatic top-up {id}: there will be no more");
            let text = serde_json::to_string(&letters(app, stripe::CARD_REFUSED)).expect("letters are plain data");
            if let Err(error) = app.store.fail_auto_top_up(id, app.host.now(), text).await {
                tracing::warn!(top_up.id = %id, error = %chain(&error), "the end of automatic top-up {id} is not written");
            }
        }
        Err(error) => tracing::warn!(top_up.id = %id, error = %error, "automatic top-up {id} is asked for again"),
    }
}
