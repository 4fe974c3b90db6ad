//! `nest billing`: the books, credit and prices.

mod prices;

pub(crate) use prices::parse;

use crate::{
    database,
    report::{Report, printable},
    settings::Settings,
};
use clap::Subcommand;
use edge_core::{
    Host as _,
    auth::Operator,
    billing::{
        self, Grant,
        audit::{Audited, audit},
    },
    host::random,
};
use prices::Prices;
use shared::{
    id::{OrgId, RequestId},
    money::Nanos,
};

#[derive(Subcommand)]
pub(crate) enum Billing {
    /// Recompute every balance, sum and chain from the ledger, and say what is not as it should be.
    Audit,
    /// Grant an organisation credit.
    Grant {
        org: OrgId,
        /// Dollars, such as 5 or 0.25.
        usd: Nanos,
        /// Why; the organisation's ledger shows it.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Publish and show prices.
    #[command(subcommand)]
    Prices(Prices),
}

pub(crate) async fn run(verb: Billing, settings: &Settings, report: Report) -> anyhow::Result<()> {
    match verb {
        Billing::Audit => check(settings, report).await,
        Billing::Grant { org, usd, note } => grant(org, Grant { usd, note }, settings, report).await,
        Billing::Prices(verb) => prices::run(verb, settings, report).await,
    }
}

async fn check(settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    let audited = audit(&database.store).await?;
    report.show(&audited, text)?;
    let count = audited.findings.len();
    anyhow::ensure!(count == 0, "the books do not balance: {count} finding(s)");
    Ok(())
}

fn text(audited: &Audited) -> String {
    let mut lines = vec![format!("{} wallets, {} entries", audited.wallets, audited.entries)];
    lines.extend(audited.findings.iter().map(|it| printable(&it.to_string())));
    if audited.findings.is_empty() {
        lines.push("the books balance".to_owned());
    }
    lines.join("\n")
}

async fn grant(org: OrgId, grant: Grant, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    let now = database.host.now();
    let effect = RequestId::new(now, random(&*database.host)).uuid();
    let business_key = billing::grant(&database.store, &Operator::at_nest(now), org, &grant, effect).await?;
    let told = serde_json::json!({ "org_id": org, "usd": grant.usd, "business_key": business_key });
    report.show(&told, |_| format!("{org} has ${} more", grant.usd))
}
