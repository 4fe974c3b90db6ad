//! A node that does what a test says: it joins as a real one does, and answers as no real one would on demand.

use crate::{Double, SignedCall, TestEdge};
use axum::Router;
use shared::{
    id::NodeId,
    node::{CallKey, Capacity, Heartbeat, Registered, Registration, ServedModel, Task},
};
use std::sync::atomic::{AtomicU8, Ordering};

pub const REGISTER: &str = "/api/v1/nodes/register";
pub const HEARTBEAT: &str = "/api/v1/nodes/heartbeat";

/// The model that a scripted node offers unless told otherwise.
pub const MODEL: &str = "scripted-chat";

/// A node that has joined.
pub struct ScriptedNode {
    pub id: NodeId,
    pub key: CallKey,
    /// Serves the node's calls; none for one that only says where it is.
    pub server: Option<Double>,
}

impl ScriptedNode {
    /// Joins `edge` with a node that answers by `router`.
    pub async fn join(edge: &TestEdge, router: Router) -> Self {
        let server = Double::serve(router).await;
        let node = Self::join_at(edge, &server.url).await;
        Self { server: Some(server), ..node }
    }

    /// Joins `edge` with a node that says it is at `url`.
    pub async fn join_at(edge: &TestEdge, url: &str) -> Self {
        let key = key();
        let token = edge.invite(600_000).await;
        let answer = register(edge, &key, &registration(&key, url, Some(&token))).request().send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let registered: Registered = answer.json().await.unwrap();
        Self { id: registered.node_id, key, server: None }
    }

    /// Tells the edge whether the node takes calls.
    pub async fn beat(&self, edge: &TestEdge, ready: bool) -> u16 {
        SignedCall::new(&self.key, &edge.url, HEARTBEAT, &heartbeat(self.id, ready)).send().await
    }
}

/// A key that no other node has.
pub fn key() -> CallKey {
    static NUMBER: AtomicU8 = AtomicU8::new(1);
    CallKey::from_seed([NUMBER.fetch_add(1, Ordering::Relaxed); 32])
}

/// What the node with `key` says of itself when it serves [`MODEL`] at `url`.
pub fn registration(key: &CallKey, url: &str, join_token: Option<&str>) -> Registration {
    Registration {
        public_key: key.public(),
        base_url: url.to_owned(),
        name: "scripted".to_owned(),
        models: vec![ServedModel { id: MODEL.to_owned(), task: Task::Chat, context_tokens: 8192 }],
        capacity: Capacity { running: 1, queued: 8 },
        join_token: join_token.map(str::to_owned),
    }
}

/// The call that carries `registration`.
pub fn register(edge: &TestEdge, key: &CallKey, registration: &Registration) -> SignedCall {
    SignedCall::new(key, &edge.url, REGISTER, registration)
}

pub fn heartbeat(node_id: NodeId, ready: bool) -> Heartbeat {
    Heartbeat { node_id, ready, running: 0, queued: 0 }
}
