//! The load generator: asks for completions, checks every answer, and reports what that took.
//!
//! A closed loop keeps each connection busy with one request after another. With a rate it is an open loop:
//! requests are due on a fixed schedule and their latency counts from when they were due, so a stall shows as
//! latency instead of as fewer requests.

mod call;
mod report;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use call::{Call, Shape, Target};
pub(crate) use report::quantile;
pub use report::{Quantiles, Report};

use crate::processes;
use call::{Connection, Sample};
use report::{Cost, Window};

/// After an error, so that a dead target is not hammered.
const BACK_OFF: Duration = Duration::from_millis(5);
/// How long unfinished requests may take after the window has closed.
const DRAIN: Duration = Duration::from_secs(10);

/// One measurement.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Stands in the report.
    pub name: String,
    pub call: Call,
    pub connections: usize,
    /// Requests per second over all connections; `None` is a closed loop.
    pub rate: Option<f64>,
    /// Load before anything counts.
    pub warm: Duration,
    /// How long the window is open.
    pub window: Duration,
    /// Closes the window early, after about this many requests.
    pub requests_max: Option<u64>,
    /// Processes whose time and memory are reported, with their descendants.
    pub pids: Vec<u32>,
}

/// Carries out `plan`; errors of the target are in the report.
pub async fn run(plan: Plan) -> Report {
    let shared = Arc::new(Shared::new(&plan));
    let workers: Vec<_> = (0..plan.connections).map(|_| tokio::spawn(work(shared.clone()))).collect();

    sleep(plan.warm).await;
    let cost_before = Cost::now(&plan.pids);
    let opened = Instant::now();
    shared.open.store(true, Ordering::Relaxed);
    while opened.elapsed() < plan.window && !shared.has_enough() {
        sleep(Duration::from_millis(20).min(plan.window)).await;
    }
    shared.open.store(false, Ordering::Relaxed);
    let length = opened.elapsed();
    let cost = Cost::now(&plan.pids).since(&cost_before);
    let resident_bytes = processes::resident_bytes(&plan.pids);
    shared.stop.store(true, Ordering::Relaxed);

    let mut samples = Vec::new();
    let mut lost = 0;
    for mut worker in workers {
        match timeout(DRAIN, &mut worker).await {
            Ok(Ok(own)) => samples.extend(own),
            Ok(Err(_)) | Err(_) => {
                worker.abort();
                lost += 1;
            }
        }
    }
    let errors = shared.errors.load(Ordering::Relaxed) + lost;
    let first_error = shared.first_error.get().cloned().or((lost > 0).then(|| format!("{lost} connections hung")));
    Report::new(&plan, Window { samples, length, cost, resident_bytes, errors, first_error })
}

/// What the connections share.
struct Shared {
    call: Call,
    rate: Option<f64>,
    requests_max: u64,
    started: Instant,
    /// The next slot of an open loop's schedule.
    slot: AtomicU64,
    /// Whether requests count.
    open: AtomicBool,
    stop: AtomicBool,
    counted: AtomicU64,
    errors: AtomicU64,
    first_error: OnceLock<String>,
}

impl Shared {
    fn new(plan: &Plan) -> Self {
        Self {
            call: plan.call.clone(),
            rate: plan.rate,
            requests_max: plan.requests_max.unwrap_or(u64::MAX),
            started: Instant::now(),
            slot: AtomicU64::new(0),
            open: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            counted: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            first_error: OnceLock::new(),
        }
    }

    fn has_enough(&self) -> bool {
        self.counted.load(Ordering::Relaxed) >= self.requests_max
    }

    /// When the next request is due: now, or in an open loop at its slot.
    async fn due(&self) -> Instant {
        let Some(rate) = self.rate else { return Instant::now() };
        let slot = self.slot.fetch_add(1, Ordering::Relaxed);
        let due = self.started + Duration::from_secs_f64(slot as f64 / rate);
        sleep_until(due).await;
        due
    }
}

/// Asks over one connection until told to stop, and returns what counted.
async fn work(shared: Arc<Shared>) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut connection = None;
    while !shared.stop.load(Ordering::Relaxed) && !shared.has_enough() {
        let due = shared.due().await;
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        // A request counts if it lies within the window whole.
        let began_inside = shared.open.load(Ordering::Relaxed);
        match ask(&shared.call, &mut connection, due).await {
            Ok(sample) if began_inside && shared.open.load(Ordering::Relaxed) => {
                shared.counted.fetch_add(1, Ordering::Relaxed);
                samples.push(sample);
            }
            Ok(_) => {}
            Err(error) => {
                // Errors while warming up count too: they tell of a target that is not what it should be.
                shared.errors.fetch_add(1, Ordering::Relaxed);
                let _ = shared.first_error.set(format!("{error:#}"));
                connection = None;
                sleep(BACK_OFF).await;
            }
        }
    }
    samples
}

async fn ask(call: &Call, connection: &mut Option<Connection>, due: Instant) -> anyhow::Result<Sample> {
    let open = match connection.take().filter(Connection::is_open) {
        Some(open) => open,
        None => Connection::open(&call.target).await?,
    };
    connection.insert(open).ask(call, due).await
}
