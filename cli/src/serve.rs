//! `nest serve`: the edge alone.

use crate::{database::not_ready, logs, settings::Settings};
use edge_core::Config;

pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let config = Config::load(&|name| settings.get(name))?;
    logs::start(config.production);
    let served = edge_native::serve(config, logs::stop_signal()).await;
    served.map_err(|error| error.downcast().map_or_else(|other| other, not_ready))
}
