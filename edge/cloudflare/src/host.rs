//! `Host` on Workers: what the runtime lends to one request.

use crate::{fetch, postgres::Postgres, relay};
use axum::body::Body;
use bytes::Bytes;
use edge_core::{
    Host,
    host::{Busy, FetchError, RelayOptions, Relayed, Row, SqlError, Value},
};
use futures_util::{
    FutureExt as _, TryFutureExt as _,
    future::{self, BoxFuture, LocalBoxFuture},
};
use http::{Request, Response};
use shared::time::Timestamp;
use std::time::Duration;
use worker::{
    Delay, Env,
    js_sys::{Array, Date},
    send::{SendFuture, SendWrapper},
    web_sys::{self, AbortSignal},
};

/// Runs a task behind the response: the runtime keeps the request alive for it.
pub(crate) type Defer = dyn Fn(LocalBoxFuture<'static, ()>);

/// What the runtime lends to one request.
pub(crate) struct Worker {
    env: Env,
    /// Says when the client leaves; an event of the clock has none.
    client: SendWrapper<Option<web_sys::Request>>,
    defer: SendWrapper<Box<Defer>>,
    postgres: SendWrapper<Postgres>,
}

impl Worker {
    pub(crate) fn new(
        env: Env,
        client: Option<web_sys::Request>,
        defer: impl Fn(LocalBoxFuture<'static, ()>) + 'static,
    ) -> Self {
        let (client, defer) = (SendWrapper::new(client), SendWrapper::new(Box::new(defer) as Box<Defer>));
        Self { env, client, defer, postgres: SendWrapper::default() }
    }

    fn client_signal(&self) -> AbortSignal {
        self.client.as_ref().map_or_else(|| AbortSignal::any(&Array::new()), web_sys::Request::signal)
    }
}

impl Host for Worker {
    fn query(&self, statement: &'static str, params: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, SqlError>> {
        SendFuture::new(self.postgres.query(&self.env, &**self.defer, statement, params)).boxed()
    }

    fn fetch(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FetchError>> {
        SendFuture::new(fetch::fetch(request).map_ok(fetch::Answer::into_response)).boxed()
    }

    fn relay(&self, request: Request<Bytes>, options: RelayOptions) -> BoxFuture<'_, Result<Relayed, FetchError>> {
        SendFuture::new(relay::relay(request, options, self.client_signal())).boxed()
    }

    fn defer(&self, task: BoxFuture<'static, ()>) {
        (self.defer)(task);
    }

    /// There is one thread: whatever is computed holds up the others, wherever it is put.
    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, Result<(), Busy>> {
        work();
        future::ready(Ok(())).boxed()
    }

    fn now(&self) -> Timestamp {
        Timestamp(Date::now() as i64)
    }

    fn sleep(&self, ms: u64) -> BoxFuture<'static, ()> {
        SendFuture::new(Delay::from(Duration::from_millis(ms))).boxed()
    }

    fn random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the runtime has randomness");
    }
}
