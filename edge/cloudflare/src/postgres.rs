//! Statements over one Postgres connection a request, through Hyperdrive.

use crate::{HYPERDRIVE, host::Defer};
use edge_core::host::{BoxError, Row, SqlError, Value};
use edge_postgres::{Param, failure, rows};
use futures_util::{
    future::{Either, select},
    lock::Mutex,
};
use std::{future::Future, pin::pin, rc::Rc, time::Duration};
use tokio_postgres::{
    Client, Config, NoTls,
    config::SslMode,
    types::{ToSql, Type},
};
use worker::{Delay, Env};

/// Longest waits: for an answer to a statement, and for a connection.
const ANSWER: Duration = Duration::from_secs(10);
const CREATE: Duration = Duration::from_secs(3);

/// The connection of one request: a socket does not outlive the request that opened it.
#[derive(Default)]
pub(crate) struct Postgres(Mutex<Option<Rc<Client>>>);

impl Postgres {
    pub(crate) async fn query(
        &self,
        env: &Env,
        defer: &Defer,
        statement: &'static str,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, SqlError> {
        let client = self.client(env, defer).await?;
        match within(ANSWER, run(&client, statement, params)).await {
            Some(rows) => rows,
            None => {
                // The connection is not used again: its answer may still come, or never.
                *self.0.lock().await = None;
                Err(unavailable("the statement was not answered in time"))
            }
        }
    }

    /// The connection of this request; statements that come together wait for one to open it.
    async fn client(&self, env: &Env, defer: &Defer) -> Result<Rc<Client>, SqlError> {
        let mut client = self.0.lock().await;
        if let Some(client) = client.as_ref().filter(|it| !it.is_closed()) {
            return Ok(client.clone());
        }
        let opened = within(CREATE, connect(env, defer)).await;
        let opened = Rc::new(opened.ok_or_else(|| unavailable("no connection in time"))??);
        *client = Some(opened.clone());
        Ok(opened)
    }
}

async fn connect(env: &Env, defer: &Defer) -> Result<Client, SqlError> {
    let hyperdrive = env.hyperdrive(HYPERDRIVE).map_err(|error| unavailable(error.to_string()))?;
    let socket = hyperdrive.connect().map_err(|error| unavailable(error.to_string()))?;
    let mut config = Config::new();
    // Hyperdrive speaks TLS with the database, and its own socket never leaves the machine.
    config.user(hyperdrive.user()).password(hyperdrive.password()).dbname(hyperdrive.database());
    config.application_name("nest edge").ssl_mode(SslMode::Disable);
    let (client, connection) = config.connect_raw(socket, NoTls).await.map_err(failure)?;
    defer(Box::pin(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a Postgres connection broke");
        }
    }));
    Ok(client)
}

/// Runs a statement in one round trip: its parameters' types are stated, so that nothing needs to be prepared first.
async fn run(client: &Client, statement: &'static str, params: Vec<Value>) -> Result<Vec<Row>, SqlError> {
    let params: Vec<Param> = params.into_iter().map(Param).collect();
    let params: Vec<(&(dyn ToSql + Sync), Type)> =
        params.iter().map(|it| (it as &(dyn ToSql + Sync), it.type_of())).collect();
    rows(&client.query_typed(statement, &params).await.map_err(failure)?)
}

/// What `work` gives, unless `limit` is over first.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), Delay::from(limit)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

fn unavailable(cause: impl Into<BoxError>) -> SqlError {
    SqlError::Unavailable(cause.into())
}
