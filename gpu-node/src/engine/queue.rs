//! Work that waits for the device: bounded, first come first served, without those who have left.

use super::{Event, Failure, Refused, Request};
use prometheus::IntGauge;
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::{mpsc, oneshot};

/// The embeddings of a job's inputs.
pub(super) type Embedded = Result<Vec<Vec<f32>>, Failure>;

/// Work for the device.
pub(super) enum Job {
    /// A sequence.
    Generate { request: Request, events: mpsc::UnboundedSender<Event> },
    /// Embeddings of some inputs.
    Embed { model: &'static str, inputs: Vec<Vec<u32>>, answer: oneshot::Sender<Embedded> },
}

/// A job and since when it waits.
pub(super) struct Queued {
    pub(super) job: Job,
    pub(super) since: Instant,
}

pub(super) struct Queue {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
    depth: IntGauge,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Queued>,
    closed: bool,
}

impl Job {
    /// Whether nobody waits for the result any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Generate { events, .. } => events.is_closed(),
            Self::Embed { answer, .. } => answer.is_closed(),
        }
    }
}

impl Queue {
    pub(super) fn new(most: usize, depth: IntGauge) -> Self {
        Self { most, state: Mutex::default(), changed: Condvar::new(), depth }
    }

    pub(super) fn push(&self, job: Job) -> Result<(), Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Stopped);
        }
        // Those who left while waiting must not keep others out.
        if state.jobs.len() >= self.most {
            state.jobs.retain(|it| !it.job.is_abandoned());
        }
        if state.jobs.len() >= self.most {
            return Err(Refused::Overloaded { queued: state.jobs.len() });
        }
        state.jobs.push_back(Queued { job, since: Instant::now() });
        self.depth.set(state.jobs.len() as i64);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next job; none when the queue is closed.
    pub(super) fn pop(&self) -> Option<Queued> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                self.depth.set(state.jobs.len() as i64);
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The first embedding job, if one waits: it may go before sequences, being short.
    pub(super) fn pop_embedding(&self) -> Option<Queued> {
        let mut state = self.state();
        let at = state.jobs.iter().position(|it| matches!(it.job, Job::Embed { .. }))?;
        let job = state.jobs.remove(at);
        self.depth.set(state.jobs.len() as i64);
        job
    }

    pub(super) fn len(&self) -> usize {
        self.state().jobs.len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Drops what waits and takes no more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.jobs.clear();
        self.depth.set(0);
        self.changed.notify_all();
    }

    // Nothing in here can leave the state half changed, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> (Job, oneshot::Receiver<Embedded>) {
        let (answer, answered) = oneshot::channel();
        (Job::Embed { model: "m", inputs: Vec::new(), answer }, answered)
    }

    fn queue(most: usize) -> Queue {
        Queue::new(most, IntGauge::new("depth", "depth").unwrap())
    }

    #[test]
    fn a_full_queue_refuses_until_someone_leaves() {
        let queue = queue(2);
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let (job, answered) = job();
                queue.push(job).unwrap();
                answered
            })
            .collect();
        assert_eq!(queue.push(job().0), Err(Refused::Overloaded { queued: 2 }));
        drop(waiting);
        let (job, _answered) = job();
        assert_eq!(queue.push(job), Ok(()));
        assert_eq!((queue.len(), queue.depth.get()), (1, 1));
    }

    #[test]
    fn a_closed_queue_gives_and_takes_nothing() {
        let queue = queue(2);
        let (job, mut answered) = job();
        queue.push(job).unwrap();
        queue.close();
        assert!(queue.pop().is_none());
        assert!(answered.try_recv().is_err_and(|it| it == oneshot::error::TryRecvError::Closed));
        assert_eq!(queue.push(self::job().0), Err(Refused::Stopped));
    }
}
