//! `nest plans`: what organisations may subscribe to.

use crate::{
    database,
    report::{Failure, Report, printable, table},
    settings::Settings,
};
use anyhow::Context as _;
use clap::Subcommand;
use edge_core::{
    Host as _,
    auth::Operator,
    billing::{self, OperatedPlan, Plan},
};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Plans {
    /// Make and change plans, as a JSON file lists them; `nest stripe sync` makes their prices at Stripe.
    Import {
        /// Each with `id`, `name`, `price_cents`, `monthly_credit_usd`, ...: docs/stripe.md says what they mean.
        file: PathBuf,
    },
    /// Show all plans.
    Show,
}

pub(crate) async fn run(verb: Plans, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    if let Plans::Import { file } = verb {
        let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let plans: Vec<Plan> = serde_json::from_str(&text)
            .map_err(|error| Failure::Usage(format!("{} is no list of plans: {error}", file.display())))?;
        let operator = Operator::at_nest(database.host.now());
        billing::import_plans(&database.store, &operator, &plans).await?;
    }
    report.show(&billing::plans(&database.store).await?, |plans| {
        let header = ["PLAN", "NAME", "USD A MONTH", "CREDIT", "BEYOND IT", "TRIAL", "SOLD", "AT STRIPE"];
        table(&header, plans.iter().map(row))
    })
}

fn row(OperatedPlan { plan, stripe_price_id, .. }: &OperatedPlan) -> Vec<String> {
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    vec![
        plan.id.clone(),
        printable(&plan.name),
        format!("{}.{:02}", plan.price_cents / 100, plan.price_cents % 100),
        plan.monthly_credit_usd.to_string(),
        plan.overage_limit_usd.to_string(),
        format!("{} days", plan.trial_days),
        yes(plan.active),
        stripe_price_id.clone().unwrap_or_else(|| "not yet".to_owned()),
    ]
}
