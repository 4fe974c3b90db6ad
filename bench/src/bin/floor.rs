//! `bench-floor`: the least that a gateway can cost while doing a gateway's work.

use std::net::SocketAddr;

use clap::Parser;
use nest_bench::floor::{self, Upstream};
use tokio::net::TcpListener;

/// Checks key, rate and budget in memory, relays, and settles by the usage that passes.
///
/// It accepts the keys sk-test-0 to sk-test-9999.
#[derive(Parser)]
#[command(name = "bench-floor")]
struct Args {
    #[arg(long, default_value = "127.0.0.1:9200")]
    listen: SocketAddr,
    /// Where requests go, path and all.
    #[arg(long, default_value = "http://127.0.0.1:9100")]
    upstream: Upstream,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let listener = TcpListener::bind(args.listen).await?;
    eprintln!("floor on {}", listener.local_addr()?);
    floor::run(listener, args.upstream).await;
    Ok(())
}
