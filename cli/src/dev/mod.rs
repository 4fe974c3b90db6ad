//! `nest dev`: everything on one machine, each part a real one.
//!
//! Starts Postgres, the stand-ins for Groq and Stripe, the edge and a GPU node, in this order, as processes that cannot outlive
//! this one; makes a demo account; prints how to use it all; and stops everything in the opposite order.

mod banner;
mod demo;
mod secrets;
mod stack;
mod stripe;

pub(crate) use banner::chat_model;

use crate::{
    args, logs,
    report::{Failure, Report},
    state::StateDir,
};
use stack::Stack;
use std::path::Path;

pub(crate) async fn run(args: args::Dev, state_dir: &Path, report: Report) -> anyhow::Result<()> {
    if std::env::var("APP_ENV").is_ok_and(|it| it == "production") {
        let hint = "`nest dev` uses stand-ins and a demo key, so it does not run with APP_ENV=production: use `nest serve` and `nest node`";
        return Err(Failure::Usage(hint.to_owned()).into());
    }
    check_ports(&args)?;
    let state = StateDir::open(state_dir)?;
    if args.fresh {
        state.wipe()?;
    }
    // A status file left by a run that was killed would name processes that are gone.
    state.remove_status()?;
    let stop = logs::stop_signal();
    let mut stop = std::pin::pin!(stop);
    let mut stack = Stack::new(&state, report);
    let outcome = tokio::select! {
        outcome = stack.run(&args) => outcome,
        () = &mut stop => {
            stack.say("stopping");
            Ok(())
        }
    };
    state.remove_status()?;
    stack.stop().await;
    outcome
}

fn check_ports(args: &args::Dev) -> anyhow::Result<()> {
    for (port, option) in [(args.port, "--port"), (args.node_port, "--node-port")] {
        embedded::port::check(([127, 0, 0, 1], port).into())
            .map_err(|busy| anyhow::anyhow!("{busy}: stop it, or choose another with {option}"))?;
    }
    Ok(())
}
