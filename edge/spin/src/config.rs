//! The edge's settings, from Spin's variables.

use edge_core::{Config, config::SETTINGS};
use shared::setting::Problems;
use spin_sdk::variables::{self, Error};
use std::collections::HashMap;

/// Reads every setting. Spin's variables can only be awaited, so all are read before the core looks at one.
pub(crate) async fn load() -> Result<Config, Problems> {
    let mut values = HashMap::new();
    for setting in SETTINGS {
        match variables::get(setting.name.to_ascii_lowercase()).await {
            Ok(value) => {
                values.insert(setting.name, value);
            }
            // The manifest leaves out what means nothing on Spin, such as the port.
            Err(Error::Undefined(_)) => {}
            // The error's text may quote what the provider holds, so it stays out of the log.
            Err(Error::InvalidName(_) | Error::Provider(_) | Error::Other(_)) => {
                return Err(Problems(vec![format!("{} cannot be read", setting.name)]));
            }
        }
    }
    Config::load(&|name| values.get(name).cloned()).and_then(Config::without_smtp)
}
