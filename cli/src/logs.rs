//! Log lines of the long-running commands: JSON in production, text elsewhere; `RUST_LOG` chooses what.

use tracing_subscriber::EnvFilter;

/// Starts logging to standard output.
pub(crate) fn start(production: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // A second start in one process would be a second command, which there is not; the first one stays.
    let _ = if production {
        lines.json().flatten_event(true).try_init().ok()
    } else {
        lines.with_ansi(false).compact().try_init().ok()
    };
}

/// Resolves at Ctrl-C or at a polite kill.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "signals cannot be awaited");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}
