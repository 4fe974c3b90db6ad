//! Upstash's REST interface over a real Redis: it takes what the official clients send, or does what a test says.
//!
//! Source: Upstash's documentation, “REST API”. What it has beyond that of a server of one's own: streams (`/subscribe`,
//! `/monitor`) and the answer in Redis's own protocol are left out.

mod answers;
mod command;
mod scripts;

use crate::{
    Double, Gate,
    redis::{Redis, Said, User},
};
use axum::{Router, routing::post};
use edge_core::limits::counters::TAKE;
use scripts::Scripts;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

/// The token that may do everything.
pub const TOKEN: &str = "AX4711_standard";

/// The token that may not write.
pub const READ_ONLY_TOKEN: &str = "Ao4711_read_only";

/// What it does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Runs its commands, and answers.
    Serve,
    /// The same, and answers so many milliseconds later.
    Late(u64),
    /// Runs its commands, and never answers: the caller cannot know.
    Lose,
    /// Reads it, and does nothing.
    Hang,
    /// Answers with this status, and runs nothing.
    Refuse(u16),
    /// Answers with a page for people, and status 200.
    Garble,
}

/// A database that listens; it stops with this value.
pub struct FakeUpstash {
    /// Without a slash at its end.
    pub url: String,
    /// The Redis behind it, past the interface.
    pub redis: Arc<Redis>,
    state: Arc<State>,
    address: SocketAddr,
    server: Double,
    gate: tokio::sync::Mutex<Option<Gate>>,
}

struct State {
    redis: Arc<Redis>,
    scripts: Scripts,
    does: Mutex<Does>,
    calls: AtomicUsize,
    commands: Mutex<Vec<Vec<String>>>,
    ahead_ms: AtomicI64,
}

impl FakeUpstash {
    pub async fn start() -> Self {
        let redis = Arc::new(Redis::start().await);
        let state = Arc::new(State {
            redis: redis.clone(),
            scripts: Scripts::default(),
            does: Mutex::new(Does::Serve),
            calls: AtomicUsize::new(0),
            commands: Mutex::default(),
            ahead_ms: AtomicI64::new(0),
        });
        let router = Router::new()
            .route("/", post(answers::one))
            .route("/pipeline", post(answers::pipeline))
            .route("/multi-exec", post(answers::multi_exec))
            .route("/{*command}", axum::routing::any(answers::path))
            .with_state(state.clone());
        let server = Double::serve(router).await;
        let gate = Gate::listen().await;
        gate.lead_to(server.address());
        let (url, address) = (gate.url(), gate.address);
        Self { url, redis, state, address, server, gate: Some(gate).into() }
    }

    /// What an edge needs to count in it.
    pub fn settings(&self) -> [(&str, &str); 2] {
        [("UPSTASH_REDIS_REST_URL", &self.url), ("UPSTASH_REDIS_REST_TOKEN", TOKEN)]
    }

    /// From now on.
    pub fn does(&self, does: Does) {
        *self.state.does.lock().unwrap() = does;
    }

    /// Breaks every connection, and refuses new ones, until [`FakeUpstash::open`].
    pub async fn close(&self) {
        if let Some(gate) = self.gate.lock().await.take() {
            gate.close().await;
        }
    }

    /// Listens again, at the same address.
    pub async fn open(&self) {
        let gate = Gate::listen_on(self.address).await;
        gate.lead_to(self.server.address());
        *self.gate.lock().await = Some(gate);
    }

    /// How many calls came, whatever was done with them.
    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// Every command that was run, with its arguments, in order: what Upstash would have billed.
    pub fn commands(&self) -> Vec<Vec<String>> {
        self.state.commands.lock().unwrap().clone()
    }

    /// How many commands were run that are takes from counters.
    pub fn takes(&self) -> usize {
        let is_take = |it: &&Vec<String>| it.len() > 1 && (it[1] == TAKE.sha1 || it[1] == TAKE.text);
        self.state.commands.lock().unwrap().iter().filter(is_take).count()
    }

    /// Moves the clock that takes from counters are decided by, and no other: keys live as long as they do.
    pub fn advance_ms(&self, ms: i64) {
        self.state.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl State {
    /// Runs commands of one call, on one connection.
    async fn run(&self, user: User, commands: Vec<Vec<String>>) -> Vec<Said> {
        let mut prepared = Vec::new();
        for command in &commands {
            prepared.push(self.prepared(command).await);
        }
        self.commands.lock().unwrap().extend(commands);
        self.redis.commands(user, &prepared).await
    }

    /// A command as a Redis takes it that is not Upstash's.
    async fn prepared(&self, command: &[String]) -> Vec<Vec<u8>> {
        let mut command = self.scripts.prepared(command);
        let ahead_ms = self.ahead_ms.load(Ordering::SeqCst);
        let is_take = command.len() > 2 && (command[1] == TAKE.sha1 || command[1] == TAKE.text);
        if ahead_ms != 0 && is_take {
            // Behind the script come the number of keys, the keys, and the time: empty for the store's own.
            let time = 3 + command[2].parse::<usize>().unwrap();
            if command.get(time).is_some_and(String::is_empty) {
                command[time] = (self.redis.now_ms().await + ahead_ms).to_string();
            }
        }
        command.into_iter().map(String::into_bytes).collect()
    }
}
