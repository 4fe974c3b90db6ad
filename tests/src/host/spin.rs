//! The Spin component, under our own test host.

use super::Settings;
use crate::{installed::by_xtask, lasting};
use nest_spin_host::{Options, SpinHost};
use std::path::{Path, PathBuf};

/// Settings that mean nothing on Spin: it has a listener and a pool of its own.
const FOREIGN: [&str; 5] = ["HOST", "PORT", "DATABASE_CONNECTIONS", "SMTP_URL", "USAGE_JOURNAL"];

/// A host with one component; it stops with this value.
pub struct Component {
    host: SpinHost,
    /// What the component logs.
    pub log: PathBuf,
}

impl Component {
    pub(super) async fn start(settings: &Settings) -> (Self, String) {
        let log = lasting::folder("spin").join("log");
        let mut variables: Vec<(String, String)> = settings
            .iter()
            .filter(|(name, _)| !FOREIGN.contains(&name.as_str()))
            .map(|(name, value)| (name.to_lowercase(), value.clone()))
            .collect();
        // Everything that a test starts is on this machine, on ports that nobody knows before.
        for (name, hosts) in [
            ("database_host", "postgres://127.0.0.1:*"),
            ("upstream_host", "http://127.0.0.1:*"),
            ("node_hosts", "http://127.0.0.1:*"),
            ("mail_host", "http://127.0.0.1:*"),
            ("openid_hosts", "http://127.0.0.1:*"),
            ("anchor_host", "http://127.0.0.1:*"),
            ("upstash_host", "http://127.0.0.1:*"),
            ("stripe_host", "http://127.0.0.1:*"),
        ] {
            variables.push((name.to_owned(), hosts.to_owned()));
        }
        let options = Options {
            manifest: Path::new(env!("CARGO_MANIFEST_DIR")).join("../spin.toml"),
            component: Some(by_xtask("NEST_TEST_SPIN_COMPONENT").into()),
            variables,
            listen: ([127, 0, 0, 1], 0).into(),
            log: Some(log.clone()),
        };
        let host = SpinHost::start(options).await.unwrap();
        let url = host.url().trim_end_matches('/').to_owned();
        (Self { host, log }, url)
    }

    pub(super) async fn stop(self) {
        self.host.stop().await;
    }
}
