//! The engine: takes work from any task, computes it on the one thread that owns the device.
//!
//! Callers see [`Engine::generate`] and [`Engine::embed`], a stream of [`Event`]s, and nothing of how sequences share
//! the device: today one after the other, with embeddings between two tokens. Dropping a [`Generation`] cancels it, and
//! the device stops within a token, or within a chunk of the prompt.

mod queue;
mod text;
mod threads;
mod worker;

pub use text::TokenBytes;
pub use threads::{available_cores, size_pools};

use crate::{
    models::{Fronts, Weights},
    sampling::Sampling,
    telemetry::Metrics,
};
use queue::{Job, Queue};
use shared::{openai::chat::FinishReason, usage::Usage};
use std::{
    sync::Arc,
    task::{Context, Poll},
    thread,
};
use tokio::sync::{mpsc, oneshot};

/// The way to the device's thread; it ends when the last clone is gone.
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

struct Handle {
    queue: Arc<Queue>,
    metrics: Metrics,
}

/// A sequence to compute.
#[derive(Clone, Debug)]
pub struct Request {
    /// A chat model that is loaded.
    pub model: &'static str,
    /// The prompt; not empty, and within the context together with `max_tokens`.
    pub prompt: Vec<u32>,
    /// Most tokens of the answer; at least one.
    pub max_tokens: usize,
    /// Texts that end the answer.
    pub stops: Vec<String>,
    /// How to choose tokens.
    pub sampling: Sampling,
}

/// What happens to a sequence.
#[derive(Debug)]
pub enum Event {
    /// More text; never empty.
    Text(String),
    /// The answer is complete: the last event.
    Done {
        /// Why it ends.
        finish: FinishReason,
        /// Tokens read and written.
        usage: Usage,
    },
    /// The device failed: the last event.
    Failed,
}

/// A sequence under way. Dropping it stops the computation.
#[derive(Debug)]
pub struct Generation {
    events: mpsc::UnboundedReceiver<Event>,
}

/// Why work is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full.
    #[error("the node has {queued} calls waiting and takes no more")]
    Overloaded {
        /// How many wait.
        queued: usize,
    },
    /// The device's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
}

/// The device failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model could not be computed")]
pub struct Failure;

impl Engine {
    /// Starts the thread that owns `weights`; at most `waiting` jobs wait for it.
    pub fn start(weights: Weights, fronts: &Fronts, waiting: usize, metrics: Metrics) -> Self {
        let queue = Arc::new(Queue::new(waiting, metrics.queued.clone()));
        let worker = worker::Worker::new(weights, fronts, queue.clone(), metrics.clone());
        thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || worker.run())
            .expect("the system gives a new process one more thread");
        Self { handle: Arc::new(Handle { queue, metrics }) }
    }

    /// Queues a sequence.
    pub fn generate(&self, request: Request) -> Result<Generation, Refused> {
        let (sender, events) = mpsc::unbounded_channel();
        self.submit(Job::Generate { request, events: sender })?;
        Ok(Generation { events })
    }

    /// Computes the embeddings of `inputs`, none of them empty or longer than the model's context.
    pub async fn embed(
        &self,
        model: &'static str,
        inputs: Vec<Vec<u32>>,
    ) -> Result<Result<Vec<Vec<f32>>, Failure>, Refused> {
        let (answer, answered) = oneshot::channel();
        self.submit(Job::Embed { model, inputs, answer })?;
        Ok(answered.await.unwrap_or(Err(Failure)))
    }

    /// Jobs that wait.
    pub fn queued(&self) -> usize {
        self.handle.queue.len()
    }

    /// Whether the device's thread lives.
    pub fn is_alive(&self) -> bool {
        !self.handle.queue.is_closed()
    }

    fn submit(&self, job: Job) -> Result<(), Refused> {
        let pushed = self.handle.queue.push(job);
        if matches!(pushed, Err(Refused::Overloaded { .. })) {
            self.handle.metrics.overloaded.inc();
        }
        pushed
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Generation {
    /// The next event; none after the last, and a failure if the thread died.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_recv(context)
    }

    /// As [`Self::poll`].
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}
