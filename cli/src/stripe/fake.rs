//! `nest stripe fake`.

use crate::{logs, report::Report};
use anyhow::Context as _;
use fake_stripe::{FakeStripe, Options, SignedBy};
use serde_json::json;
use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

/// As Stripe's own, the first pause is not noticed by a person.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port on this machine.
    #[arg(long, default_value_t = 12_111)]
    port: u16,
    /// Keep everything in this file between runs.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Tell this address of every event, such as http://127.0.0.1:8787/webhooks/stripe.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
}

pub(super) async fn run(args: Args, report: Report) -> anyhow::Result<()> {
    let address = (Ipv4Addr::LOCALHOST, args.port).into();
    let options = Options {
        address,
        file: args.file,
        first_pause: FIRST_PAUSE,
        signed_by: SignedBy::MachineClock,
        ..Options::default()
    };
    let stripe = FakeStripe::open(options).await.with_context(|| format!("cannot listen on port {}", args.port))?;
    let endpoint = args.webhook.map(|url| stripe.tell(&url));
    let settings = stripe.settings();
    let names =
        settings.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect::<serde_json::Map<_, _>>();
    report.show(&json!({ "url": stripe.url, "settings": names, "endpoint": endpoint }), |_| {
        let lines = settings.iter().map(|(name, value)| format!("  {name}={value}\n")).collect::<String>();
        format!("A stand-in for Stripe, with its pages, at {}\n\nFor the edge:\n{lines}\nCtrl-C stops it.", stripe.url)
    })?;
    logs::stop_signal().await;
    Ok(())
}
