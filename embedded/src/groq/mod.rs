//! A stand-in for Groq over real HTTP: models, chat completions whole and streamed, tool calls, usage, and faults on
//! demand. For local runs and tests; it computes nothing, and says the same words for the same request.
//!
//! Faults come from the request itself (`x-fake-fault: reset-after=3`, or a model such as
//! `llama-3.3-70b-versatile@429`), from [`FakeGroq::set_fault`], or from another process:
//! `POST /fake/faults {"fault": "429=7", "times": 1, "model": "llama-3.3-70b-versatile"}`, undone by
//! `DELETE /fake/faults`. `GET /fake/requests` tells what arrived.

mod answer;
mod chat;
mod connection;
mod fault;
mod http;
mod playback;
mod record;
mod refusal;
mod shared;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub use fault::{Fault, NotAFault};
pub use record::{Outcome, Seen};

use shared::{Plan, Shared};

/// The only key that the fake takes.
pub const API_KEY: &str = "gsk_fake_key_for_local_runs";

/// The models that the fake has; the first is the default upstream model.
pub const MODELS: [&str; 4] =
    ["deepseek-r1-distill-llama-70b", "llama-3.3-70b-versatile", "llama-3.1-8b-instant", "openai/gpt-oss-20b"];

/// A running fake; it stops with this value, and its connections with it.
#[derive(Debug)]
pub struct FakeGroq {
    address: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl FakeGroq {
    /// Port 0 takes a free one.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Shared::new();
        let server = tokio::spawn(connection::serve(listener, http::router(shared.clone())));
        Ok(Self { address, shared, server })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for an OpenAI client, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}/openai/v1", self.address)
    }

    /// Everything that arrived under `/openai`, or nowhere, in order.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.record.all()
    }

    /// Waits until `enough` holds for what has arrived.
    pub async fn until(&self, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        self.shared.record.until(enough).await
    }

    pub fn forget_requests(&self) {
        self.shared.record.clear();
    }

    /// How many answers the client did not wait for; `until` can await one.
    pub fn aborted(&self) -> usize {
        self.requests().iter().filter(|seen| seen.outcome == Outcome::Aborted).count()
    }

    /// Every chat request from now on meets this fault, and no other.
    pub fn set_fault(&self, fault: Fault) {
        self.clear_faults();
        self.shared.plan(Plan { fault, times: None, model: None });
    }

    /// The next `times` chat requests that no earlier plan takes meet this fault.
    pub fn fail_next(&self, times: u32, fault: Fault) {
        self.shared.plan(Plan { fault, times: Some(times), model: None });
    }

    pub fn clear_faults(&self) {
        self.shared.clear_plans();
    }

    /// From now on no event of a new answer goes out before it is released.
    pub fn step(&self) -> Steps {
        Steps { held: self.shared.step(), shared: self.shared.clone() }
    }

    /// Closes every connection and frees the port, so that the next client is refused.
    pub async fn stop(mut self) {
        self.server.abort();
        // The only way that it ends is this abort.
        let _ = (&mut self.server).await;
    }
}

impl Drop for FakeGroq {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Holds events back; dropping it lets them all out.
#[derive(Debug)]
pub struct Steps {
    held: Arc<Semaphore>,
    shared: Shared,
}

impl Steps {
    /// Lets `events` more go out, over all answers that started since.
    pub fn release(&self, events: usize) {
        self.held.add_permits(events);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.shared.unstep(&self.held);
    }
}
