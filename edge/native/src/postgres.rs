//! Statements over a pool of Postgres connections, in the six kinds of values that every host carries.

use anyhow::Context as _;
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use edge_core::host::{Row, SqlError, Value};
use edge_postgres::{Param, failure, rows};
use rustls_platform_verifier::ConfigVerifierExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest waits: for an answer to a statement, for a free connection, for a new one, and for the check of an idle one.
const ANSWER: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_secs(2);
const CREATE: Duration = Duration::from_secs(3);
const RECYCLE: Duration = Duration::from_secs(1);

/// A pool that connects when first asked.
pub(crate) struct Postgres(Pool);

impl Postgres {
    pub(crate) fn new(url: &SecretString, connections: usize) -> anyhow::Result<Self> {
        let mut config: tokio_postgres::Config = url.expose_secret().parse().context("DATABASE_URL cannot be read")?;
        config.application_name("nest edge");
        config.connect_timeout(CREATE);
        config.keepalives_idle(ANSWER);
        config.tcp_user_timeout(ANSWER);
        // TLS where the server offers it; `sslmode` in the URL can insist.
        let tls = MakeRustlsConnect::new(rustls::ClientConfig::with_platform_verifier()?);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(config, tls, recycling))
            .max_size(connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CREATE))
            .recycle_timeout(Some(RECYCLE))
            .build()?;
        Ok(Self(pool))
    }

    pub(crate) async fn query(&self, statement: &'static str, params: Vec<Value>) -> Result<Vec<Row>, SqlError> {
        let client = self.0.get().await.map_err(|error| match error {
            PoolError::Backend(cause) => failure(cause),
            other => SqlError::Unavailable(other.into()),
        })?;
        // A server that went silent would keep its connection, and whoever waits on it, for ever.
        match tokio::time::timeout(ANSWER, run(&client, statement, params)).await {
            Ok(rows) => rows,
            Err(elapsed) => {
                // The connection is not given back: its answer may still come, or never.
                drop(deadpool_postgres::Object::take(client));
                Err(SqlError::Unavailable(elapsed.into()))
            }
        }
    }
}

async fn run(
    client: &deadpool_postgres::Client,
    statement: &'static str,
    params: Vec<Value>,
) -> Result<Vec<Row>, SqlError> {
    let prepared = client.prepare_cached(statement).await.map_err(failure)?;
    let params: Vec<Param> = params.into_iter().map(Param).collect();
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|it| it as &(dyn ToSql + Sync)).collect();
    rows(&client.query(&prepared, &params).await.map_err(failure)?)
}
