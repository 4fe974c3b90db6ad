//! `Host` on Spin.

use crate::{fetch, postgres};
use axum::body::Body;
use bytes::Bytes;
use edge_core::{
    Config, Host,
    host::{Busy, FetchError, RelayOptions, Relayed, Row, SqlError, Value},
};
use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture},
};
use http::{Request, Response};
use secrecy::SecretString;
use shared::time::Timestamp;
use spin_sdk::wasip3::{clocks::monotonic_clock, spawn};
use std::time::{SystemTime, UNIX_EPOCH};

/// What Spin lends the edge for one request, and for the work that the request leaves behind.
pub(crate) struct Spin {
    database_url: SecretString,
    connect_timeout_ms: u64,
}

impl Spin {
    pub(crate) fn new(config: &Config) -> Self {
        Self { database_url: config.database_url.clone(), connect_timeout_ms: config.connect_timeout_ms }
    }
}

impl Host for Spin {
    fn query(&self, statement: &'static str, params: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, SqlError>> {
        postgres::query(&self.database_url, statement, params).boxed()
    }

    fn fetch(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FetchError>> {
        fetch::fetch(request, self.connect_timeout_ms).boxed()
    }

    fn relay(&self, request: Request<Bytes>, options: RelayOptions) -> BoxFuture<'_, Result<Relayed, FetchError>> {
        fetch::relay(request, self.connect_timeout_ms, options).boxed()
    }

    /// The task becomes part of the request's own, which Spin lets end after the response, whoever has left.
    fn defer(&self, task: BoxFuture<'static, ()>) {
        spawn(task);
    }

    /// There is one thread: whatever is computed holds up the others, wherever it is put.
    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, Result<(), Busy>> {
        work();
        future::ready(Ok(())).boxed()
    }

    /// An instance lives for some requests.
    fn remembers(&self) -> bool {
        false
    }

    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn sleep(&self, ms: u64) -> BoxFuture<'static, ()> {
        sleep(ms)
    }

    fn random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("WASI has randomness");
    }
}

/// Ends after `ms` milliseconds.
pub(crate) fn sleep(ms: u64) -> BoxFuture<'static, ()> {
    monotonic_clock::wait_for(ms.saturating_mul(1_000_000)).boxed()
}
