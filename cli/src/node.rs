//! `nest node`: a GPU node alone.

use crate::settings::Settings;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct NodeArgs {
    /// End when standard input does, so that a supervisor takes the node with it however it dies.
    #[arg(long)]
    exit_with_parent: bool,
}

/// Runs until a signal; the node sizes its thread pools first, so no other thread may have started.
pub(crate) fn run(args: &NodeArgs, settings: &Settings) -> ExitCode {
    gpu_node::run(|name| settings.get(name), args.exit_with_parent)
}
