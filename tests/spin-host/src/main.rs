//! `spin-host`: runs a Spin application of one HTTP component, for development and tests.

use clap::Parser;
use nest_spin_host::{Options, SpinHost};
use std::{net::SocketAddr, path::PathBuf};

/// Runs a Spin application's HTTP component; variables come from SPIN_VARIABLE_NAME.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The manifest.
    #[arg(long, default_value = "spin.toml")]
    from: PathBuf,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Runs this file instead of the manifest's source.
    #[arg(long)]
    component: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let host = SpinHost::start(Options {
        manifest: arguments.from,
        component: arguments.component,
        variables: variables(),
        listen: arguments.listen,
        log: None,
    })
    .await?;
    println!("{}", host.url());
    tokio::signal::ctrl_c().await?;
    host.stop().await;
    Ok(())
}

fn variables() -> Vec<(String, String)> {
    let named = |(name, value): (String, String)| {
        let name = name.strip_prefix("SPIN_VARIABLE_")?.to_ascii_lowercase();
        Some((name, value))
    };
    std::env::vars().filter_map(named).collect()
}
