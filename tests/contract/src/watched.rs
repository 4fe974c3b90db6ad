//! A host whose clock tests move, and whose statements they count.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use edge_core::{
    Host,
    host::{Busy, FetchError, Journal, MailError, OutgoingMail, RelayOptions, Relayed, Row, SqlError, Value},
};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request};
use shared::time::Timestamp;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

/// The header that says how far the clock is ahead, in milliseconds, where the test cannot reach a [`Watch`] itself.
pub const AHEAD_MS: &str = "x-contract-ahead-ms";

/// What a test sees of a host, and changes about it.
#[derive(Default)]
pub struct Watch {
    ahead_ms: AtomicI64,
    statements: Mutex<Vec<&'static str>>,
}

impl Watch {
    /// Moves the clock.
    pub fn advance_ms(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// How far the clock is ahead.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::SeqCst)
    }

    /// Every statement that was begun.
    pub fn statements(&self) -> Vec<&'static str> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Moves the clock as the request says. It never goes back: a request may come late.
    pub(crate) fn follow(&self, headers: &HeaderMap) {
        if let Some(ahead_ms) = headers.get(AHEAD_MS).and_then(|it| it.to_str().ok()?.parse().ok()) {
            self.ahead_ms.fetch_max(ahead_ms, Ordering::SeqCst);
        }
    }
}

/// A host under a [`Watch`].
pub struct Watched {
    host: Arc<dyn Host>,
    watch: Arc<Watch>,
}

impl Watched {
    /// Watches `host`.
    pub fn new(host: Arc<dyn Host>, watch: Arc<Watch>) -> Self {
        Self { host, watch }
    }
}

impl Host for Watched {
    fn query(&self, statement: &'static str, params: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, SqlError>> {
        self.watch.statements.lock().unwrap_or_else(PoisonError::into_inner).push(statement);
        self.host.query(statement, params)
    }

    fn fetch(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FetchError>> {
        self.host.fetch(request)
    }

    fn relay(&self, request: Request<Bytes>, options: RelayOptions) -> BoxFuture<'_, Result<Relayed, FetchError>> {
        self.host.relay(request, options)
    }

    fn smtp(&self, mail: OutgoingMail) -> BoxFuture<'_, Result<(), MailError>> {
        self.host.smtp(mail)
    }

    fn defer(&self, task: BoxFuture<'static, ()>) {
        self.host.defer(task);
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, Result<(), Busy>> {
        self.host.compute(work)
    }

    fn journal(&self) -> Option<&dyn Journal> {
        self.host.journal()
    }

    fn remembers(&self) -> bool {
        self.host.remembers()
    }

    fn now(&self) -> Timestamp {
        self.host.now().plus_ms(self.watch.ahead_ms())
    }

    fn sleep(&self, ms: u64) -> BoxFuture<'static, ()> {
        self.host.sleep(ms)
    }

    fn random(&self, bytes: &mut [u8]) {
        self.host.random(bytes);
    }
}
