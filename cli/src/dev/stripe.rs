//! Stripe for a stack on this machine: the stand-in, unless there is a key of Stripe's test mode.

use super::secrets::Secrets;
use crate::{
    report::Failure,
    state::StateDir,
    stripe::{FIRST_PAUSE, sync_quietly},
};
use edge_core::{Store, config::StripeConfig};
use fake_stripe::{FakeStripe, Options, SignedBy};
use std::collections::HashMap;

/// Starts the stand-in and tells the edge of it; nothing where the environment has a key.
pub(super) async fn start(
    state: &StateDir,
    secrets: &Secrets,
    environment: &mut HashMap<String, String>,
) -> anyhow::Result<Option<FakeStripe>> {
    match std::env::var("STRIPE_SECRET_KEY").ok().filter(|it| !it.is_empty()) {
        Some(key) if key.contains("_live_") => {
            let hint = "`nest dev` does not run with a key that moves money: set STRIPE_SECRET_KEY to one of Stripe's test mode, or to none";
            return Err(Failure::Usage(hint.to_owned()).into());
        }
        Some(_) => return Ok(None),
        None => {}
    }
    let options = Options {
        file: Some(state.join("stripe.json")),
        first_pause: FIRST_PAUSE,
        signed_by: SignedBy::MachineClock,
        webhook_secret: secrets.made("STRIPE_WEBHOOK_SECRETS").to_owned(),
        ..Options::default()
    };
    let stripe = FakeStripe::open(options).await?;
    environment.extend(stripe.settings().map(|(name, value)| (name.to_owned(), value.to_owned())));
    Ok(Some(stripe))
}

/// Has the stand-in tell the edge, and know its plans.
pub(super) async fn connect(
    stripe: &FakeStripe,
    edge: &str,
    store: &Store,
    config: &StripeConfig,
) -> anyhow::Result<()> {
    stripe.tell(&format!("{edge}/webhooks/stripe"));
    sync_quietly(store, config).await
}
