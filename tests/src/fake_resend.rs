//! A mail API of Resend's shape that takes mails, or does what a test says instead.

use crate::Double;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

/// The one key that it takes.
pub const API_KEY: &str = "re_test_4711";

/// What it does with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    Take,
    /// Answers with this status, and has not taken it.
    Refuse(u16),
    /// Takes it, and then answers with this status: the sender cannot know.
    TakeAndRefuse(u16),
    /// Reads it, and never answers.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    pub idempotency_key: String,
    pub body: Value,
}

impl Try {
    pub fn to(&self) -> &str {
        self.body["to"][0].as_str().unwrap()
    }

    pub fn message_id(&self) -> &str {
        self.body["headers"]["Message-ID"].as_str().unwrap()
    }
}

/// A running fake; it stops with this value.
pub struct FakeResend {
    server: Double,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<Seen>,
    changed: Notify,
}

struct Seen {
    does: Does,
    tries: Vec<Try>,
    /// By idempotency key, as the real one remembers them.
    taken: BTreeMap<String, Value>,
}

impl FakeResend {
    pub async fn start() -> Self {
        let state = Mutex::new(Seen { does: Does::Take, tries: Vec::new(), taken: BTreeMap::new() });
        let shared = Arc::new(Shared { state, changed: Notify::new() });
        let router = Router::new().route("/emails", post(take)).with_state(shared.clone());
        Self { server: Double::serve(router).await, shared }
    }

    /// What an edge needs to send by it.
    pub fn settings(&self) -> [(&str, &str); 2] {
        [("RESEND_API_KEY", API_KEY), ("RESEND_BASE_URL", &self.server.url)]
    }

    /// From now on.
    pub fn does(&self, does: Does) {
        self.shared.state.lock().unwrap().does = does;
    }

    /// Every request, in order.
    pub fn tries(&self) -> Vec<Try> {
        self.shared.state.lock().unwrap().tries.clone()
    }

    /// The mails that people got, by idempotency key.
    pub fn taken(&self) -> BTreeMap<String, Value> {
        self.shared.state.lock().unwrap().taken.clone()
    }

    /// As soon as `count` requests came.
    pub async fn tried(&self, count: usize) -> Vec<Try> {
        loop {
            let changed = self.shared.changed.notified();
            let tries = self.tries();
            if tries.len() >= count {
                return tries;
            }
            changed.await;
        }
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).map_or("", |it| it.to_str().unwrap()).to_owned();
    if header("authorization") != format!("Bearer {API_KEY}") {
        return answer(401, json!({ "name": "invalid_api_key", "message": "API key is invalid" }));
    }
    let key = header("idempotency-key");
    let body: Value = serde_json::from_slice(&body).unwrap();
    let does = {
        let mut seen = shared.state.lock().unwrap();
        seen.tries.push(Try { idempotency_key: key.clone(), body: body.clone() });
        seen.does
    };
    shared.changed.notify_waiters();
    let remember = || {
        let mut seen = shared.state.lock().unwrap();
        *seen.taken.entry(key.clone()).or_insert_with(|| body.clone()) == body
    };
    match does {
        Does::Take if remember() => answer(200, json!({ "id": key })),
        Does::Take => answer(409, json!({ "name": "invalid_idempotent_request", "message": "another body" })),
        Does::Refuse(status) => answer(status, json!({ "name": "refused", "message": "as the test says" })),
        Does::TakeAndRefuse(status) => {
            remember();
            answer(status, json!({ "name": "internal_server_error", "message": "as the test says" }))
        }
        Does::Hang => pending().await,
    }
}

fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}
