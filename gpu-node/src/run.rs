//! The node as a program: settings, logs, signals.

use crate::{
    config::Config,
    engine::size_pools,
    models::{LoadError, chain},
    serve::{ServeError, serve},
};
use std::{io::Read as _, process::ExitCode};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tracing::{error, warn};
use tracing_subscriber::EnvFilter;

/// Exit code for settings that can't be used.
const USAGE: u8 = 2;

/// Exit code for models that are not there yet.
const NOT_READY: u8 = 3;

/// Runs a node until a signal ends it; to be called from `main`, before any thread starts.
///
/// `exit_with_parent` also ends it when standard input does: a supervisor that holds the other end of a pipe takes its
/// nodes with it however it dies.
pub fn run(lookup: impl Fn(&str) -> Option<String>, exit_with_parent: bool) -> ExitCode {
    let config = match Config::load(lookup) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(USAGE);
        }
    };
    let sized = size_pools(config.threads);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A program that brings its own subscriber keeps it.
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init().ok();
    if let Err(error) = sized {
        warn!("{error}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "no runtime can be made");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(config, stopped(exit_with_parent))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{}", chain(&error));
            match error {
                ServeError::Models(LoadError::Absent { .. }) => ExitCode::from(NOT_READY),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Ready on SIGTERM or SIGINT, and, if `exit_with_parent`, at the end of standard input.
async fn stopped(exit_with_parent: bool) {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            error!(%error, "signals can't be received");
            return;
        }
    };
    let (orphan, orphaned) = oneshot::channel();
    if exit_with_parent {
        // A thread of its own: a read of standard input can't be cancelled, and would keep the runtime from ending.
        std::thread::spawn(move || {
            let mut buffer = [0; 256];
            while std::io::stdin().read(&mut buffer).is_ok_and(|count| count > 0) {}
            orphan.send(()).ok();
        });
    } else {
        std::mem::forget(orphan);
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = orphaned => {}
    }
}
