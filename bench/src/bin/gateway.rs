//! `bench-gateway`: mock, floor and edge side by side, and a table of medians.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use clap::builder::RangedU64ValueParser;
use nest_bench::gateway::{self, Effort, Machine, Program, edge::Edge};

/// Measures in turn, then appends a table to the results.
///
/// Without a database it leaves the edge out, and says so.
#[derive(Parser)]
#[command(name = "bench-gateway")]
struct Args {
    /// A running Postgres for the edge, in a database of its own.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Another database of it, to measure the edge with prices beside the edge without.
    #[arg(long, env = "PRICED_DATABASE_URL", hide_env_values = true, requires = "database_url")]
    priced_database_url: Option<String>,
    /// The model to ask for, and the one that the mock lists.
    #[arg(long, default_value = "gpt-4o-mini")]
    model: String,
    #[arg(long, default_value_t = 3, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    repetitions: usize,
    /// How long each measurement lasts.
    #[arg(long, default_value_t = 4_000)]
    window_ms: u64,
    /// Load before each measurement.
    #[arg(long, default_value_t = 1_000)]
    warm_ms: u64,
    /// Where the table is appended.
    #[arg(long, default_value = "bench/results/gateway.md")]
    results: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tokio::select! {
        done = run(&args) => done,
        // Returning drops the children, which ends them.
        interrupted = tokio::signal::ctrl_c() => { interrupted?; anyhow::bail!("interrupted") }
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let machine = Machine::here();
    let programs = start(args).await?;
    let effort = Effort {
        repetitions: args.repetitions,
        warm: Duration::from_millis(args.warm_ms),
        window: Duration::from_millis(args.window_ms),
    };
    let reports = gateway::measure(&programs, &args.model, effort).await?;
    let section = gateway::render(&reports, &machine);
    println!("{section}");
    append(&args.results, &section).with_context(|| format!("cannot write {}", args.results.display()))
}

async fn start(args: &Args) -> anyhow::Result<Vec<Program>> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("an executable lies in a folder")?;
    let mock = gateway::start_mock(folder, &args.model).await?;
    let floor = gateway::start_floor(folder, &mock).await?;
    let Some(database_url) = &args.database_url else {
        eprintln!("The edge is left out: set DATABASE_URL to measure it.");
        return Ok(vec![mock, floor]);
    };
    let nest = &folder.join("nest");
    let edge = Edge { nest, database_url, model: &args.model }.start(&mock).await?;
    let mut programs = vec![mock, floor, edge];
    if let Some(database_url) = &args.priced_database_url {
        let priced = Edge { nest, database_url, model: &args.model }.start_priced(&programs[0]).await?;
        programs.push(priced);
    }
    Ok(programs)
}

fn append(results: &Path, section: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(results)?;
    writeln!(file, "\n{}", section.trim_end())
}
