//! `nest admin orgs`.

use super::users::tell;
use crate::{
    database,
    report::{Report, printable, table, time},
    settings::Settings,
};
use clap::{Subcommand, ValueEnum};
use edge_core::{
    Host as _,
    auth::{Operator, Reason},
    orgs::{self, OperatedOrg, OrgFilter, OrgStatus},
};
use shared::id::OrgId;

#[derive(Subcommand)]
pub(crate) enum Orgs {
    /// List organisations, newest first.
    Ls {
        /// Only those with this id, or with this in their name.
        query: Option<String>,
        #[arg(long)]
        status: Option<Status>,
        /// Only organisations after this one: the last one of the page before.
        #[arg(long, value_name = "ORG")]
        after: Option<OrgId>,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=200))]
        limit: i64,
    },
    /// Suspend an organisation: its members, clients and keys get nothing from it.
    Suspend {
        org: OrgId,
        /// Goes into the audit log, which the organisation may read.
        #[arg(long)]
        reason: Reason,
    },
    /// End a suspension.
    Restore { org: OrgId },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Status {
    Active,
    Suspended,
    Deleted,
}

pub(crate) async fn run(verb: Orgs, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    let operator = Operator::at_nest(database.host.now());
    match verb {
        Orgs::Ls { query, status, after, limit } => {
            let filter = OrgFilter { query, status: status.map(Into::into), after, limit };
            report.show(&orgs::search(&database.store, &filter).await?, |orgs| {
                table(&["ID", "NAME", "KIND", "MEMBERS", "STATE", "CREATED"], orgs.iter().map(row))
            })
        }
        Orgs::Suspend { org, reason } => {
            tell(&org, "suspended", orgs::suspend(&database.store, &operator, org, &reason).await?, report)
        }
        Orgs::Restore { org } => tell(&org, "active", orgs::restore(&database.store, &operator, org).await?, report),
    }
}

fn row(org: &OperatedOrg) -> Vec<String> {
    let state = match (org.deleted_at, org.suspended_at) {
        (Some(_), _) => "deleted",
        (None, Some(_)) => "suspended",
        (None, None) => "active",
    };
    vec![
        org.id.to_string(),
        printable(&org.name),
        if org.personal { "personal" } else { "shared" }.to_owned(),
        org.member_count.to_string(),
        state.to_owned(),
        time(org.created_at),
    ]
}

impl From<Status> for OrgStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Suspended => Self::Suspended,
            Status::Deleted => Self::Deleted,
        }
    }
}
