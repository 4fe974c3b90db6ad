//! Runs a private Postgres in the folder given first and prints its URL; it ends with this program, however that ends.
//!
//! `cargo run -p embedded --bin private-postgres -- /tmp/pg`, with `--durable` after it for one that keeps its word when the
//! power fails, as figures of what writing costs need it.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use embedded::postgres::{Durability, Options, Postgres};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A folder that looks like an option is a question for help.
    let dir = std::env::args()
        .nth(1)
        .filter(|it| !it.starts_with('-'))
        .ok_or("usage: private-postgres FOLDER [--durable]")?;
    let durable = std::env::args().nth(2).is_some_and(|it| it == "--durable");
    let dir = PathBuf::from(dir);
    std::fs::create_dir_all(&dir)?;
    let mut options = Options::new(dir.join("pgdata"), dir.join("postgres.log"), "private".into());
    options.durability = if durable { Durability::Safe } else { Durability::Throwaway };
    let started = Instant::now();
    let mut postgres = Postgres::start(options).await?;
    for note in postgres.notes() {
        eprintln!("{note}");
    }
    eprintln!("ready after {} ms as process {}", started.elapsed().as_millis(), postgres.pid());
    println!("{}", postgres.url("postgres"));
    tokio::select! {
        ended = postgres.ended() => Err(format!("Postgres ended: {}", ended?).into()),
        _ = tokio::signal::ctrl_c() => Ok(postgres.stop().await?),
    }
}
