//! `bench-accounts`: log-ins and refreshes a second, and what a flood of log-ins does to everyone else.

use anyhow::Context as _;
use clap::{Parser, builder::RangedU64ValueParser};
use nest_bench::accounts::{self, Plan};
use std::{path::PathBuf, time::Duration};

/// Measures `nest serve` in a database of its own, and prints one line of JSON.
///
/// For figures that stand, Postgres must be a durable one: `private-postgres FOLDER --durable` starts one.
#[derive(Parser)]
#[command(name = "bench-accounts")]
struct Args {
    /// A running Postgres.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The `nest` to measure; else the one beside this program.
    #[arg(long)]
    nest: Option<PathBuf>,
    /// People who log in, or refresh, at once.
    #[arg(short, long, default_value_t = 16, value_parser = RangedU64ValueParser::<usize>::new().range(1..=500))]
    people: usize,
    /// Seconds that each measurement lasts.
    #[arg(short, long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    duration: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let beside = std::env::current_exe()?.parent().context("an executable lies in a folder")?.join("nest");
    let plan = Plan {
        nest: args.nest.unwrap_or(beside),
        database_url: args.database_url,
        people: args.people,
        window: Duration::from_secs(args.duration),
    };
    let report = tokio::select! {
        report = accounts::measure(&plan) => report?,
        // Returning drops the edge, which ends it.
        interrupted = tokio::signal::ctrl_c() => { interrupted?; anyhow::bail!("interrupted") }
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
