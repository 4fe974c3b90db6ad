//! `nest admin operators`.

use super::users::{find, show_people, tell};
use crate::{database, report::Report, settings::Settings};
use clap::Subcommand;
use edge_core::{
    Host as _,
    auth::{self, Operator, PeopleFilter, Standing},
};

#[derive(Subcommand)]
pub(crate) enum Operators {
    /// List the people who run the platform.
    Ls,
    /// Make a person an operator; their sessions end, and the next log-in has the right.
    Grant {
        /// Id or e-mail address.
        user: String,
    },
    /// Take the right again; the last operator keeps it.
    Revoke {
        /// Id or e-mail address.
        user: String,
    },
}

pub(crate) async fn run(verb: Operators, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    let operator = Operator::at_nest(database.host.now());
    let (user, standing, state) = match verb {
        Operators::Ls => {
            // More of them than a page holds would be a finding by itself.
            let filter = PeopleFilter { operator: Some(true), limit: 200, ..PeopleFilter::default() };
            return show_people(&auth::people(&database.store, &filter).await?, report);
        }
        Operators::Grant { user } => (user, Standing::Operator, "operator"),
        Operators::Revoke { user } => (user, Standing::Ordinary, "no operator"),
    };
    let id = find(&database, &user).await?;
    tell(&id, state, auth::set_standing(&database.store, &operator, id, standing).await?, report)
}
