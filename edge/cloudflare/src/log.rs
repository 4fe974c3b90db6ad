//! Log lines as JSON on the console, where the runtime takes them from.

use tracing_subscriber::filter::LevelFilter;
use tracing_web::MakeWebConsoleWriter;
use worker::Env;

/// Sends this isolate's log to the console. `RUST_LOG` may name a level; the runtime stamps the time.
pub(crate) fn start(env: &Env) {
    let level = env.var("RUST_LOG").ok().and_then(|it| it.to_string().parse().ok()).unwrap_or(LevelFilter::INFO);
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false).without_time();
    lines.with_max_level(level).with_writer(MakeWebConsoleWriter::new()).init();
}
