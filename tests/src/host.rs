//! The native host with a clock that tests move and statements that they count.

use axum::body::Body;
use bytes::Bytes;
use edge_core::{
    Config, Host,
    host::{FetchError, RelayOptions, Relayed, Row, SqlError, Value},
};
use edge_native::Native;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use shared::time::Timestamp;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};
use tokio::sync::watch;

/// [`Native`], watched.
pub struct TestHost {
    pub native: Arc<Native>,
    ahead_ms: AtomicI64,
    statements: Mutex<Vec<&'static str>>,
    /// Changes after every statement.
    queried: watch::Sender<()>,
}

impl TestHost {
    pub fn new(config: &Config) -> Self {
        Self {
            native: Arc::new(Native::new(config).unwrap()),
            ahead_ms: AtomicI64::new(0),
            statements: Mutex::default(),
            queried: watch::Sender::new(()),
        }
    }

    /// Moves the clock.
    pub fn advance_ms(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// How many statements ran so far whose text holds `part`, such as `from api_keys`.
    pub fn statements(&self, part: &str) -> usize {
        self.statements.lock().unwrap().iter().filter(|it| it.contains(part)).count()
    }

    /// Sees every statement that ends from now on.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.queried.subscribe()
    }
}

impl Host for TestHost {
    fn query(&self, statement: &'static str, params: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, SqlError>> {
        self.statements.lock().unwrap().push(statement);
        async move {
            let result = self.native.query(statement, params).await;
            self.queried.send_replace(());
            result
        }
        .boxed()
    }

    fn fetch(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FetchError>> {
        self.native.fetch(request)
    }

    fn relay(&self, request: Request<Bytes>, options: RelayOptions) -> BoxFuture<'_, Result<Relayed, FetchError>> {
        self.native.relay(request, options)
    }

    fn defer(&self, task: BoxFuture<'static, ()>) {
        self.native.defer(task);
    }

    fn now(&self) -> Timestamp {
        self.native.now().plus_ms(self.ahead_ms.load(Ordering::SeqCst))
    }

    fn sleep(&self, ms: u64) -> BoxFuture<'static, ()> {
        self.native.sleep(ms)
    }

    fn random(&self, bytes: &mut [u8]) {
        self.native.random(bytes);
    }
}
