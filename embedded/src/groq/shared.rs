//! What the handle and the routes share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Semaphore;

use super::Fault;
use super::playback::Gate;
use super::record::Record;

/// A fault to come.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) fault: Fault,
    /// How many requests still meet it; `None` is all of them.
    pub(super) times: Option<u32>,
    /// Which model's requests meet it; `None` is every model's.
    pub(super) model: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) record: Record,
    plans: Arc<Mutex<Vec<Plan>>>,
    gate: Arc<Mutex<Gate>>,
    number: Arc<AtomicU64>,
}

impl Shared {
    pub(super) fn new() -> Self {
        let gate = Arc::new(Mutex::new(Gate::Open));
        Self { record: Record::new(), plans: Arc::default(), gate, number: Arc::default() }
    }

    pub(super) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn plan(&self, plan: Plan) {
        lock(&self.plans).push(plan);
    }

    pub(super) fn clear_plans(&self) {
        lock(&self.plans).clear();
    }

    /// The oldest plan that a request for `model` meets, counted as met.
    pub(super) fn planned_fault(&self, model: &str) -> Option<Fault> {
        let mut plans = lock(&self.plans);
        let index = plans.iter().position(|plan| plan.model.as_deref().is_none_or(|only| only == model))?;
        let fault = plans[index].fault;
        if let Some(times) = &mut plans[index].times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                plans.remove(index);
            }
        }
        Some(fault)
    }

    pub(super) fn gate(&self) -> Gate {
        lock(&self.gate).clone()
    }

    pub(super) fn step(&self) -> Arc<Semaphore> {
        let steps = Arc::new(Semaphore::new(0));
        *lock(&self.gate) = Gate::Stepped(steps.clone());
        steps
    }

    /// Lets out what is held by `steps`, and no longer holds what comes.
    pub(super) fn unstep(&self, steps: &Semaphore) {
        steps.close();
        *lock(&self.gate) = Gate::Open;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}
