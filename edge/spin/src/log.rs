//! Logs as JSON lines on stderr, which Spin collects.

use std::sync::Once;
use tracing_subscriber::filter::LevelFilter;

/// Starts the log of this instance, at the level that `RUST_LOG` names in the component's environment.
pub(crate) fn init() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let level = std::env::var("RUST_LOG").ok().and_then(|it| it.parse().ok()).unwrap_or(LevelFilter::INFO);
        tracing_subscriber::fmt().json().flatten_event(true).with_max_level(level).with_writer(std::io::stderr).init();
    });
}
