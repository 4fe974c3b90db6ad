//! `nest`: everything a person types. `cargo run` is `nest dev`.

mod admin;
mod args;
mod audit;
mod billing;
mod config;
mod database;
mod dev;
mod doctor;
mod encryption;
mod keys;
mod logs;
mod migrate;
mod models;
mod node;
mod nodes;
mod plans;
mod report;
mod serve;
mod settings;
mod state;
mod status;
mod stripe;
mod tick;
mod usage;

use args::{Args, Command};
use clap::{CommandFactory as _, Parser as _};
use report::Report;
use settings::Settings;
use std::{path::Path, process::ExitCode};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let Args { state_dir, command, json } = Args::parse();
    let report = Report { json };
    let settings = Settings::load(&state_dir);
    let command = command.unwrap_or(Command::Dev(args::Dev::default()));
    run(command, &state_dir, &settings, report).unwrap_or_else(|error| report.failure(&error))
}

fn run(command: Command, state_dir: &Path, settings: &Settings, report: Report) -> anyhow::Result<ExitCode> {
    match command {
        // A node sizes its thread pools before any thread starts, so it brings its own runtime.
        Command::Node(node) => return Ok(node::run(&node, settings)),
        Command::Dev(dev) => on_runtime(dev::run(dev, state_dir, report)),
        Command::Serve => on_runtime(serve::run(settings)),
        Command::Tick => on_runtime(tick::run(settings)),
        Command::Status => on_runtime(status::run(state_dir, report)),
        Command::Doctor => on_runtime(doctor::run(settings, state_dir, report)),
        Command::Migrate(verb) => on_runtime(migrate::run(verb, settings, report)),
        Command::Db(verb) => on_runtime(database::run(verb, settings, state_dir, report)),
        Command::Admin(verb) => on_runtime(admin::run(verb, settings, report)),
        Command::Keys(verb) => on_runtime(keys::run(verb, settings, report)),
        Command::Nodes(verb) => on_runtime(nodes::run(verb, settings, report)),
        Command::Models(verb) => on_runtime(models::run(verb, settings, state_dir, report)),
        Command::Plans(verb) => on_runtime(plans::run(verb, settings, report)),
        Command::Stripe(verb) => on_runtime(stripe::run(verb, settings, report)),
        Command::Billing(verb) => on_runtime(billing::run(verb, settings, report)),
        Command::Usage(usage) => on_runtime(usage::run(usage, settings, report)),
        Command::Config(verb) => config::run(&verb, settings, report),
        Command::Openapi => {
            print!("{}", edge_core::document::json());
            Ok(())
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "nest", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => clap_mangen::Man::new(Args::command()).render(&mut std::io::stdout()).map_err(Into::into),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn on_runtime(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(command);
    // What was deferred has been awaited where it matters; a blocked thread must not keep the process.
    runtime.shutdown_background();
    result
}
