//! Calls between edges and nodes, signed as either does.

use crate::edge;
use reqwest::RequestBuilder;
use serde::Serialize;
use shared::{
    node::{CallKey, HEADERS, Nonce, sign},
    time::Timestamp,
};
use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::SystemTime,
};

/// A signed call that can be changed before it is sent, or sent twice.
#[derive(Clone)]
pub struct SignedCall {
    pub url: String,
    pub body: Vec<u8>,
    pub headers: [String; 4],
}

impl SignedCall {
    /// A call to `base` and `path` at `time` by this machine's clock.
    pub fn at(time: Timestamp, key: &CallKey, base: &str, path: &str, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).unwrap();
        let headers = sign(key, "POST", path, &body, time, nonce());
        Self { url: format!("{base}{path}"), body, headers }
    }

    /// A call that is made now.
    pub fn new(key: &CallKey, base: &str, path: &str, body: &impl Serialize) -> Self {
        Self::at(now(), key, base, path, body)
    }

    pub fn request(&self) -> RequestBuilder {
        let request = edge::client().post(&self.url).body(self.body.clone());
        HEADERS.into_iter().zip(&self.headers).fold(request, |request, (name, value)| request.header(name, value))
    }

    /// The status of the answer.
    pub async fn send(&self) -> u16 {
        self.request().send().await.unwrap().status().as_u16()
    }
}

/// This machine's clock, but never the same time twice: a receiver takes each time of a signer once.
pub fn now() -> Timestamp {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let later = |last: i64| Some(now.max(last + 1));
    Timestamp(now.max(LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).unwrap() + 1))
}

/// Never the same twice.
fn nonce() -> Nonce {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    nonce[8..].copy_from_slice(&std::process::id().to_le_bytes().repeat(2));
    nonce
}
