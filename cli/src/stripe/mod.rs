//! `nest stripe`: what Stripe must know of our plans, what it told us, and a stand-in for it.

mod client;
mod events;
mod fake;
mod sync;

pub(crate) use fake::FIRST_PAUSE;
pub(crate) use sync::quietly as sync_quietly;

use crate::{report::Report, settings::Settings};
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Stripe {
    /// Make Stripe's products, prices, meter, portal and webhook endpoint what our plans say. May be run again.
    Sync(sync::Args),
    /// Look at what Stripe told, and have it applied again.
    #[command(subcommand)]
    Events(events::Events),
    /// Look through Stripe's lists for what webhooks missed, now, and apply it.
    Reconcile,
    /// Run the stand-in for Stripe alone, with pages to pay on; no money moves.
    Fake(fake::Args),
}

pub(crate) async fn run(verb: Stripe, settings: &Settings, report: Report) -> anyhow::Result<()> {
    match verb {
        Stripe::Sync(args) => sync::run(&args, settings, report).await,
        Stripe::Events(verb) => events::run(verb, settings, report).await,
        Stripe::Reconcile => events::reconcile(settings).await,
        Stripe::Fake(args) => fake::run(args, report).await,
    }
}
