//! `nest stripe sync`: looks at what Stripe has, says what is missing or differs, and makes it so.
//!
//! What is made carries names of ours (a product's id, a price's lookup key, a meter's event name, metadata), by which it
//! is found again; so a second run changes nothing. A price cannot change at Stripe: another one takes over its lookup
//! key, and whoever subscribed at the old one keeps it.

mod apply;
mod look;
mod steps;

use super::client::Client;
use crate::{
    database::{self, Database},
    report::{Failure, Report, printable},
    settings::Settings,
};
use edge_core::{
    Store,
    billing::{self, OperatedPlan},
    config::StripeConfig,
};
use serde_json::json;
use steps::Step;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Remove webhook endpoints of ours that are told in another version of Stripe's API: once the secret of the new one
    /// is in STRIPE_WEBHOOK_SECRETS of every edge.
    #[arg(long)]
    remove_old_endpoints: bool,
}

/// What is to be at Stripe.
struct Wanted {
    plans: Vec<OperatedPlan>,
    /// Where the edge takes webhooks; nothing where Stripe could not reach it.
    webhook_url: Option<String>,
    removes_old_endpoints: bool,
}

pub(super) async fn run(args: &Args, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let (Database { store, public_url, .. }, config) = database::connect(settings).await?;
    let client = client(&config.stripe)?;
    let webhook_url = reachable(&config.stripe, &public_url).then(|| format!("{public_url}/webhooks/stripe"));
    let plans = billing::plans(&store).await?;
    let wanted = Wanted { plans, webhook_url, removes_old_endpoints: args.remove_old_endpoints };
    let found = look::at(&client, &wanted).await?;
    let steps = steps::between(&wanted, &found);
    let secret = if args.dry_run { None } else { apply::all(&client, &store, &wanted, &found, &steps).await? };
    let lines: Vec<String> = steps.iter().map(|it| printable(&it.to_string())).collect();
    let json = json!({ "steps": lines, "applied": !args.dry_run, "webhook_secret": secret });
    report.show(&json, |_| text(&lines, args, &wanted, &steps, secret.as_deref()))
}

/// Makes what is missing for a stack on this machine, and says nothing.
pub(crate) async fn quietly(store: &Store, config: &StripeConfig) -> anyhow::Result<()> {
    let client = client(config)?;
    let wanted = Wanted { plans: billing::plans(store).await?, webhook_url: None, removes_old_endpoints: false };
    let found = look::at(&client, &wanted).await?;
    apply::all(&client, store, &wanted, &found, &steps::between(&wanted, &found)).await?;
    Ok(())
}

fn client(config: &StripeConfig) -> anyhow::Result<Client> {
    let hint = "there is no key for Stripe: set STRIPE_SECRET_KEY, or start `nest dev`, which has a stand-in";
    let key = config.secret_key.clone().ok_or_else(|| Failure::NotReady(hint.to_owned()))?;
    Client::new(config, key)
}

/// Stripe itself tells only what it can reach by https.
fn reachable(config: &StripeConfig, public_url: &str) -> bool {
    public_url.starts_with("https://") || config.base_url.scheme() == "http"
}

fn text(lines: &[String], args: &Args, wanted: &Wanted, steps: &[Step], secret: Option<&str>) -> String {
    let mut text = match (lines.is_empty(), args.dry_run) {
        (true, _) => "Stripe has all that it should have.\n".to_owned(),
        (false, true) => "This would be done:\n\n".to_owned(),
        (false, false) => "This was done:\n\n".to_owned(),
    };
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
    if let Some(secret) = secret {
        text.push_str(&format!(
            "\nThe secret of the webhook endpoint, which is shown this once:\n\n  {secret}\n\nPut it into STRIPE_WEBHOOK_SECRETS of every edge, beside the old one while that is in use.\n"
        ));
    }
    if wanted.webhook_url.is_none() {
        text.push_str("\nNo webhook endpoint: PUBLIC_URL is not https, so Stripe cannot reach it. `stripe listen --forward-to` can tell this machine.\n");
    }
    if steps.iter().any(|it| matches!(it, Step::KeepOldEndpoint { .. })) {
        text.push_str(
            "\nAn old endpoint stays until every edge has the new secret: then run this with --remove-old-endpoints.\n",
        );
    }
    text
}
