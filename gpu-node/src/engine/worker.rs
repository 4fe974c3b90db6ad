//! The thread that owns the device.

use super::{
    Event, Failure, Request,
    queue::{Embedded, Job, Queue, Queued},
    text::{Scanned, StopScanner, TokenBytes, Utf8Stream},
};
use crate::{
    models::{Fronts, Weights, llama::Llama, minilm::MiniLm},
    sampling::Sampler,
    telemetry::Metrics,
};
use candle_core::Result;
use prometheus::IntGauge;
use shared::{openai::chat::FinishReason, usage::Usage};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

/// Tokens of a prompt that are computed before the next look at whether the caller is still there.
const PREFILL_CHUNK: usize = 32;

/// Everything that computes.
pub(super) struct Worker {
    queue: Arc<Queue>,
    llamas: BTreeMap<&'static str, ChatWeights>,
    embedder: Embedder,
    metrics: Metrics,
}

/// A chat model, and how its tokens are read.
struct ChatWeights {
    llama: Llama,
    bytes: Arc<TokenBytes>,
    ends: Arc<BTreeSet<u32>>,
}

/// Embedding models, and the job that they are at.
struct Embedder {
    models: BTreeMap<&'static str, MiniLm>,
    job: Option<EmbedJob>,
    running: IntGauge,
}

struct EmbedJob {
    model: &'static str,
    inputs: std::vec::IntoIter<Vec<u32>>,
    done: Vec<Vec<f32>>,
    answer: oneshot::Sender<Embedded>,
}

/// How a sequence ended on the device.
enum Outcome {
    Done(FinishReason),
    CallerLeft,
}

impl Worker {
    pub(super) fn new(weights: Weights, fronts: &Fronts, queue: Arc<Queue>, metrics: Metrics) -> Self {
        let llamas = weights.chat.into_iter().filter_map(|(id, llama)| {
            let front = fronts.chat.get(id)?;
            Some((id, ChatWeights { llama, bytes: front.bytes.clone(), ends: front.ends.clone() }))
        });
        Self {
            queue,
            llamas: llamas.collect(),
            embedder: Embedder { models: weights.embedding, job: None, running: metrics.running.clone() },
            metrics,
        }
    }

    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        // However this thread ends, by a panic too, nobody shall wait for it.
        let _closed = CloseOnDrop(self.queue.clone());
        while let Some(Queued { job, since }) = self.queue.pop() {
            if job.is_abandoned() {
                self.metrics.cancelled.inc();
                continue;
            }
            match job {
                Job::Generate { request, events } => {
                    self.metrics.running.inc();
                    self.generate(request, &events, since);
                    self.metrics.running.dec();
                }
                Job::Embed { model, inputs, answer } => self.embedder.take(model, inputs, answer),
            }
            // Embeddings that began between two tokens may have outlived their sequence.
            while self.embedder.job.is_some() {
                self.embedder.step();
            }
        }
    }

    fn generate(&mut self, request: Request, events: &mpsc::UnboundedSender<Event>, since: Instant) {
        let (model, prompt_tokens) = (request.model, request.prompt.len() as u64);
        let Some(weights) = self.llamas.get_mut(model) else {
            error!(model, "a sequence asks for a model without weights");
            events.send(Event::Failed).ok();
            return;
        };
        let between = Between { queue: &self.queue, embedder: &mut self.embedder };
        let mut answer = Answer { written: 0, last: since, events, metrics: &self.metrics };
        let outcome = answer.compute(weights, request, between);
        let completion_tokens = answer.written;
        let count = |kind, tokens| self.metrics.tokens.with_label_values(&[model, kind]).inc_by(tokens);
        count("prompt", prompt_tokens);
        count("completion", completion_tokens);
        match outcome {
            Ok(Outcome::Done(finish)) => {
                let took = since.elapsed();
                self.metrics.duration.with_label_values(&[model]).observe(took.as_secs_f64());
                info!(model, prompt_tokens, completion_tokens, took_ms = took.as_millis() as u64, "sequence finished");
                events.send(Event::Done { finish, usage: Usage::new(prompt_tokens, completion_tokens) }).ok();
            }
            Ok(Outcome::CallerLeft) => {
                self.metrics.cancelled.inc();
                info!(model, prompt_tokens, completion_tokens, "sequence cancelled: its caller left");
            }
            Err(cause) => {
                error!(model, %cause, "the device failed");
                events.send(Event::Failed).ok();
            }
        }
    }
}

/// An answer as it grows.
struct Answer<'a> {
    written: u64,
    last: Instant,
    events: &'a mpsc::UnboundedSender<Event>,
    metrics: &'a Metrics,
}

impl Answer<'_> {
    fn compute(&mut self, weights: &mut ChatWeights, request: Request, mut between: Between<'_>) -> Result<Outcome> {
        let ChatWeights { llama, bytes, ends } = weights;
        llama.clear();
        let mut logits = Vec::new();
        let mut chunks = request.prompt.chunks(PREFILL_CHUNK).peekable();
        while let Some(chunk) = chunks.next() {
            if self.events.is_closed() {
                return Ok(Outcome::CallerLeft);
            }
            between.step();
            match chunks.peek() {
                Some(_) => llama.prefill(chunk)?,
                None => logits = llama.step(chunk)?,
            }
        }
        let mut sampler = Sampler::new(request.sampling);
        let (mut characters, mut scanner) = (Utf8Stream::default(), StopScanner::new(request.stops));
        loop {
            let token = sampler.next(&mut logits);
            self.count();
            let finish = if ends.contains(&token) {
                Some(FinishReason::Stop)
            } else {
                let Scanned { text, stopped } = scanner.push(&characters.push(bytes.of(token)));
                self.send(text);
                if stopped {
                    return Ok(Outcome::Done(FinishReason::Stop));
                }
                (self.written >= request.max_tokens as u64).then_some(FinishReason::Length)
            };
            if let Some(finish) = finish {
                let Scanned { text, stopped } = scanner.push(&characters.finish());
                self.send(text);
                if !stopped {
                    self.send(scanner.finish());
                }
                return Ok(Outcome::Done(finish));
            }
            if self.events.is_closed() {
                return Ok(Outcome::CallerLeft);
            }
            between.step();
            logits = llama.step(&[token])?;
        }
    }

    fn count(&mut self) {
        let took = self.last.elapsed().as_secs_f64();
        if self.written == 0 { &self.metrics.first_token } else { &self.metrics.next_token }.observe(took);
        self.last = Instant::now();
        self.written += 1;
    }

    fn send(&self, text: String) {
        // A caller that left is noticed before the next token.
        if !text.is_empty() {
            self.events.send(Event::Text(text)).ok();
        }
    }
}

/// What is done between two steps of a sequence: one embedding, if any waits.
struct Between<'a> {
    queue: &'a Queue,
    embedder: &'a mut Embedder,
}

impl Between<'_> {
    fn step(&mut self) {
        if self.embedder.job.is_none()
            && let Some(Queued { job: Job::Embed { model, inputs, answer }, .. }) = self.queue.pop_embedding()
        {
            self.embedder.take(model, inputs, answer);
        }
        self.embedder.step();
    }
}

impl Embedder {
    fn take(&mut self, model: &'static str, inputs: Vec<Vec<u32>>, answer: oneshot::Sender<Embedded>) {
        self.running.inc();
        self.job = Some(EmbedJob { model, done: Vec::with_capacity(inputs.len()), inputs: inputs.into_iter(), answer });
    }

    /// Embeds one input of the job, if there is one; answers after the last.
    fn step(&mut self) {
        let Some(mut job) = self.job.take() else { return };
        let next = if job.answer.is_closed() { None } else { job.inputs.next() };
        let Some(input) = next else {
            self.running.dec();
            job.answer.send(Ok(job.done)).ok();
            return;
        };
        match self.models.get(job.model).map(|model| model.embed(&input)) {
            Some(Ok(embedding)) => {
                job.done.push(embedding);
                self.job = Some(job);
            }
            failed => {
                error!(model = job.model, cause = ?failed.and_then(Result::err), "an input could not be embedded");
                self.running.dec();
                job.answer.send(Err(Failure)).ok();
            }
        }
    }
}

struct CloseOnDrop(Arc<Queue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
