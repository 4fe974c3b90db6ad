//! `bench-mock`: an OpenAI-compatible upstream that always says the same.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use nest_bench::mock::{self, Settings};
use tokio::net::TcpListener;

/// Answers chat completions with a fixed text, or with a stream of 52 events.
#[derive(Parser)]
#[command(name = "bench-mock")]
struct Args {
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Wait before the first byte of each completion.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Wait between two events of a stream.
    #[arg(long, default_value_t = 0)]
    gap_ms: u64,
    /// The one model listed, and named in every answer.
    #[arg(long, default_value = "gpt-4o-mini")]
    model: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let listener = TcpListener::bind(args.listen).await?;
    eprintln!("mock on {}", listener.local_addr()?);
    let settings = Settings {
        model: args.model,
        delay: Duration::from_millis(args.delay_ms),
        gap: Duration::from_millis(args.gap_ms),
    };
    mock::run(listener, settings).await;
    Ok(())
}
