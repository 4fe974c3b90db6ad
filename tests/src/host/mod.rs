//! The hosts that can serve a test's edge. One switch chooses for all tests of a process: `NEST_TEST_HOST`.

mod cloudflare;
mod native;
mod spin;

use crate::{TestDb, edge::config};
use nest_contract::Watch;
use std::{collections::BTreeMap, path::Path, sync::Arc};

pub use cloudflare::Workers;

/// Who serves the edge under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The native server, in the test's own process.
    Native,
    /// workerd, with the Worker that was built for these tests.
    Cloudflare,
    /// Our own test host, with the Spin component that was built for these tests.
    Spin,
}

impl Kind {
    /// What `NEST_TEST_HOST` says; the native one unless it does.
    pub fn chosen() -> Self {
        match std::env::var("NEST_TEST_HOST").unwrap_or_default().as_str() {
            "" | "native" => Self::Native,
            "cloudflare" => Self::Cloudflare,
            "spin" => Self::Spin,
            other => panic!("NEST_TEST_HOST must be native, cloudflare or spin, not {other}"),
        }
    }
}

/// An edge's settings, each once.
pub type Settings = BTreeMap<String, String>;

/// A host that runs; it stops with this value.
pub enum Running {
    Native(native::Server),
    Cloudflare(Box<Workers>),
    Spin(spin::Component),
}

impl Running {
    /// Starts the chosen host on `db`, and says where it answers.
    pub async fn start(db: &TestDb, settings: &[(&str, &str)], watch: Arc<Watch>) -> (Self, String) {
        let all = crate::edge::settings(db, settings);
        match Kind::chosen() {
            Kind::Native => {
                let (server, url) = native::Server::start(config(db, settings), watch).await;
                (Self::Native(server), url)
            }
            Kind::Cloudflare => {
                let workers = Workers::start(&all).await;
                let url = workers.url.clone();
                (Self::Cloudflare(Box::new(workers)), url)
            }
            Kind::Spin => {
                let (component, url) = spin::Component::start(&all).await;
                (Self::Spin(component), url)
            }
        }
    }

    /// Where the edge's log goes; natively to the test's own process.
    pub fn log(&self) -> Option<&Path> {
        match self {
            Self::Native(_) => None,
            Self::Cloudflare(workers) => Some(&workers.log),
            Self::Spin(component) => Some(&component.log),
        }
    }

    /// Lets running answers end, and what they left to do behind them.
    pub async fn stop(self) {
        match self {
            Self::Native(server) => server.stop().await,
            Self::Cloudflare(workers) => workers.stop().await,
            Self::Spin(component) => component.stop().await,
        }
    }
}
