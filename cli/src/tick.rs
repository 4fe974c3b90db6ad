//! `nest tick`: what is due by the clock, once, for edges that have no clock of their own.

use crate::{database::not_ready, logs, settings::Settings};
use edge_core::{Config, Edge};
use edge_native::Native;
use std::sync::Arc;

pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let config = Config::load(&|name| settings.get(name))?;
    logs::start(config.production);
    migrations::check(&config.database_url).await.map_err(not_ready)?;
    let native = Arc::new(Native::new(&config)?);
    Edge::new(config).tick(native).await;
    Ok(())
}
