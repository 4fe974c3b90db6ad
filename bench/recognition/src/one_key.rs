//! A platform whose database has one key.

use axum::body::Body;
use bytes::Bytes;
use edge_core::{
    Host,
    host::{Busy, FetchError, RelayOptions, Relayed, Row, SqlError, Value},
};
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use shared::time::Timestamp;
use std::{
    future::ready,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

#[derive(Default)]
pub(crate) struct OneKey {
    /// What `create_key` was given.
    key: Mutex<serde_json::Value>,
    random: AtomicU8,
    reads: AtomicUsize,
}

impl OneKey {
    /// How often the key was read.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    fn create(&self, params: &[Value]) -> Row {
        if let Some(Value::Text(given)) = params.get(1) {
            let given = serde_json::from_str(given).expect("a key is made from JSON");
            *self.key.lock().unwrap_or_else(PoisonError::into_inner) = given;
        }
        Row(vec![Value::Text("done".to_owned())])
    }

    /// The key, as the statement of admission has it.
    fn read(&self) -> Row {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |name: &str| Value::Text(key[name].as_str().unwrap_or_default().to_owned());
        let hex = key["secret_hash"].as_str().unwrap_or_default();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("a hash is hex");
        let hash = (0..hex.len()).step_by(2).map(byte).collect();
        let none = Value::Null;
        Row(vec![
            text("id"),
            text("id"),
            text("name"),
            Value::Bytes(hash),
            none.clone(),
            none.clone(),
            none.clone(),
            Value::Bool(false),
            Value::Bool(false),
            Value::Int(1),
            Value::Bool(false),
            text("environment"),
            text("scopes"),
            text("models"),
            text("ip_allow"),
            Value::Text("{}".to_owned()),
            none.clone(),
            none.clone(),
            Value::Text("org".to_owned()),
            none.clone(),
            none.clone(),
            none,
        ])
    }
}

impl Host for OneKey {
    fn query(&self, statement: &'static str, params: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, SqlError>> {
        let row = if statement.contains("create_key") { self.create(&params) } else { self.read() };
        ready(Ok(vec![row])).boxed()
    }

    fn fetch(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FetchError>> {
        ready(Err(FetchError::Connect("nobody is there".into()))).boxed()
    }

    fn relay(&self, _: Request<Bytes>, _: RelayOptions) -> BoxFuture<'_, Result<Relayed, FetchError>> {
        ready(Err(FetchError::Connect("nobody is there".into()))).boxed()
    }

    fn defer(&self, task: BoxFuture<'static, ()>) {
        drop(task);
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, Result<(), Busy>> {
        work();
        ready(Ok(())).boxed()
    }

    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or_default())
    }

    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }

    fn random(&self, bytes: &mut [u8]) {
        // Any bytes make a key; nobody has to guess this one.
        bytes.fill_with(|| self.random.fetch_add(37, Ordering::Relaxed));
    }
}
