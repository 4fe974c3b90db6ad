//! `nest stripe events` and `nest stripe reconcile`.

use crate::{
    database::{self, not_ready},
    logs,
    report::{Failure, Report, printable, table, time},
    settings::Settings,
};
use clap::{Subcommand, ValueEnum};
use edge_core::{
    Config, Edge, Host as _,
    billing::stripe::{self, StoredEvent},
};
use edge_native::Native;
use serde_json::json;
use std::sync::Arc;

#[derive(Subcommand)]
pub(crate) enum Events {
    /// List events, the latest first.
    Ls {
        /// Only those that wait, were applied, or were given up.
        #[arg(long)]
        state: Option<State>,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1000))]
        limit: i64,
    },
    /// Have an event applied anew, by the edge that comes first; what it brought already it does not bring again.
    Replay { event: String },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum State {
    Waiting,
    Applied,
    Dead,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Applied => "applied",
            Self::Dead => "dead",
        }
    }
}

pub(super) async fn run(verb: Events, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    match verb {
        Events::Ls { state, limit } => {
            let events = stripe::events(&database.store, state.map(State::as_str), limit).await?;
            report.show(&events, |events| {
                table(&["RECEIVED", "EVENT", "TYPE", "OBJECT", "STATE", "TRIES", "ERROR"], events.iter().map(row))
            })
        }
        Events::Replay { event } => {
            if !stripe::replay(&database.store, &event, database.host.now()).await? {
                return Err(Failure::Missing(format!("there is no event {event}")).into());
            }
            report.show(&json!({ "event": event }), |_| format!("{event} is applied with the next tick of an edge"))
        }
    }
}

/// As an edge does once an hour; what it finds is in the log.
pub(super) async fn reconcile(settings: &Settings) -> anyhow::Result<()> {
    let config = Config::load(&|name| settings.get(name))?;
    if config.stripe.secret_key.is_none() {
        return Err(Failure::NotReady("this needs STRIPE_SECRET_KEY".to_owned()).into());
    }
    logs::start(config.production);
    migrations::check(&config.database_url).await.map_err(not_ready)?;
    let native = Arc::new(Native::new(&config)?);
    Edge::new(config).reconcile(native).await;
    Ok(())
}

fn row(event: &StoredEvent) -> Vec<String> {
    vec![
        time(event.received_at),
        event.id.clone(),
        printable(&event.kind),
        event.object_id.clone(),
        event.state.clone(),
        event.attempts.to_string(),
        printable(event.error.as_deref().unwrap_or_default()),
    ]
}
