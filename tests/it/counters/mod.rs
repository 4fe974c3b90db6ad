//! Counters: one suite, held by those of a process and by those in a store, which is Upstash's interface over a real
//! Redis.

mod clients;
mod commands;
mod faults;
mod kept;
mod model;
mod races;
mod rules;

use edge_core::{
    Config, Host,
    limits::counters::{Counter, Counters, CountersError, Decision, Grant, Kind},
};
use edge_native::Native;
use nest_contract::{Watch, Watched};
use nest_tests::FakeUpstash;
use shared::time::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

/// A window that no test sees the end of.
const CENTURY_MS: i64 = 100 * 365 * 86_400_000;

const MINUTE_MS: i64 = 60_000;

/// The beginning of a minute and of a day, as tests take it that say the time.
const START_MS: i64 = 20_000 * 86_400_000;

/// One edge's way to the counters.
#[derive(Clone)]
struct Client {
    host: Arc<dyn Host>,
    counters: Arc<Counters>,
    watch: Arc<Watch>,
}

/// Where counters are kept, and whoever counts there.
struct Place {
    name: &'static str,
    /// None where they are kept in the process.
    store: Option<FakeUpstash>,
    memory: Arc<Counters>,
}

impl Place {
    /// Both that there are.
    async fn both() -> [Self; 2] {
        let memory = || Arc::new(Counters::new(None));
        [
            Self { name: "memory", store: None, memory: memory() },
            Self { name: "store", store: Some(FakeUpstash::start().await), memory: memory() },
        ]
    }

    /// Another edge: one of its own in front of the store, else one more request of the one process.
    fn client(&self) -> Client {
        match &self.store {
            Some(store) => Client::of(store),
            None => Client { counters: self.memory.clone(), ..Client::on(&config(&[])) },
        }
    }
}

impl Client {
    /// An edge that counts in `store`, and waits as long as this machine is busy.
    fn of(store: &FakeUpstash) -> Self {
        Self::with(store, &[("UPSTASH_TIMEOUT_MS", "30000")])
    }

    /// The same with other settings.
    fn with(store: &FakeUpstash, more: &[(&str, &str)]) -> Self {
        Self::on(&config(&[&store.settings(), more].concat()))
    }

    fn on(config: &Config) -> Self {
        let watch = Arc::new(Watch::default());
        let host = Arc::new(Watched::new(Arc::new(Native::new(config).unwrap()), watch.clone()));
        Self { host, counters: Arc::new(Counters::new(config.upstash.as_ref())), watch }
    }

    /// Takes by the place's own clock.
    async fn try_take(&self, counters: &[Counter]) -> Result<Decision, CountersError> {
        self.counters.take(&*self.host, counters).await
    }

    /// The same, from a place that is there.
    async fn take(&self, counters: &[Counter]) -> Decision {
        self.try_take(counters).await.unwrap()
    }

    /// Takes at a time that the test says.
    async fn take_at(&self, counters: &[Counter], at_ms: i64) -> Decision {
        self.counters.take_at(&*self.host, counters, Some(Timestamp(at_ms))).await.unwrap()
    }
}

fn config(settings: &[(&str, &str)]) -> Config {
    let base = [("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz")];
    let all: BTreeMap<&str, &str> = base.iter().chain(settings).copied().collect();
    Config::load(&|name| all.get(name).map(|it| (*it).to_owned())).unwrap()
}

/// A counter of its own name, of which one is wanted.
fn counter(name: &str, kind: Kind, limit: u64) -> Counter {
    Counter { key: format!("nest:{{org_1}}:key_1:{name}"), kind, limit, cost: 1, want: 1, settle: None }
}

fn sliding(name: &str, limit: u64) -> Counter {
    counter(name, Kind::Sliding { window_ms: MINUTE_MS }, limit)
}

fn fixed(name: &str, limit: u64) -> Counter {
    counter(name, Kind::Fixed { window_ms: MINUTE_MS }, limit)
}

fn slots(name: &str, limit: u64, holder: &str) -> Counter {
    counter(name, Kind::Slots { holder: holder.to_owned(), ttl_ms: 2_000 }, limit)
}

fn costing(counter: Counter, cost: u64, want: u64) -> Counter {
    Counter { cost, want, ..counter }
}

/// What was given, of each counter.
fn granted(decision: &Decision) -> Option<Vec<u64>> {
    match decision {
        Decision::Granted(grants) => Some(grants.iter().map(|it| it.granted).collect()),
        Decision::Refused { .. } => None,
    }
}

fn grants(decision: &Decision) -> &[Grant] {
    match decision {
        Decision::Granted(grants) => grants,
        Decision::Refused { .. } => panic!("{decision:?}"),
    }
}

/// What is left of each counter.
fn remaining(decision: &Decision) -> Vec<u64> {
    match decision {
        Decision::Granted(grants) => grants.iter().map(|it| it.standing.remaining).collect(),
        Decision::Refused { standings, .. } => standings.iter().map(|it| it.remaining).collect(),
    }
}
