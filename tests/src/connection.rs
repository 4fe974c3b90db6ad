//! A host that is one connection to Postgres, so that what a test does there and what the core reads are one
//! transaction.

use axum::body::Body;
use bytes::Bytes;
use edge_core::{
    Host,
    host::{Busy, FetchError, RelayOptions, Relayed, Row, SqlError, Value},
};
use edge_postgres::{Param, failure, rows};
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use shared::time::Timestamp;
use std::collections::HashMap;
use tokio::sync::Mutex;
use tokio_postgres::{Client, Statement, types::ToSql};

/// Runs statements on its connection, and nothing else.
pub struct Connection {
    pub client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

impl Connection {
    pub fn new(client: Client) -> Self {
        Self { client, prepared: Mutex::default() }
    }

    async fn run(&self, statement: &'static str, params: Vec<Value>) -> Result<Vec<Row>, SqlError> {
        let mut known = self.prepared.lock().await;
        if !known.contains_key(statement) {
            known.insert(statement, self.client.prepare(statement).await.map_err(failure)?);
        }
        let params: Vec<Param> = params.into_iter().map(Param).collect();
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|it| it as &(dyn ToSql + Sync)).collect();
        rows(&self.client.query(&known[statement], &params).await.map_err(failure)?)
    }
}

impl Host for Connection {
    fn query(&self, statement: &'static str, params: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, SqlError>> {
        self.run(statement, params).boxed()
    }

    fn fetch(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FetchError>> {
        panic!("a connection asks nobody but Postgres")
    }

    fn relay(&self, _: Request<Bytes>, _: RelayOptions) -> BoxFuture<'_, Result<Relayed, FetchError>> {
        panic!("a connection asks nobody but Postgres")
    }

    fn defer(&self, _: BoxFuture<'static, ()>) {
        panic!("a connection leaves nothing behind")
    }

    fn compute(&self, _: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, Result<(), Busy>> {
        panic!("a connection computes nothing")
    }

    fn now(&self) -> Timestamp {
        panic!("a connection has no clock")
    }

    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        panic!("a connection has no clock")
    }

    fn random(&self, _: &mut [u8]) {
        panic!("a connection has no randomness")
    }
}
