//! Statements over a pool of Postgres connections, in the six kinds of values that every host carries.

use anyhow::Context as _;
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use edge_core::host::{Row, SqlError, Value};
use rustls_platform_verifier::ConfigVerifierExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use std::{error::Error, time::Duration};
use tokio_postgres::{
    error::SqlState,
    types::{IsNull, ToSql, Type, WrongType, private::BytesMut, to_sql_checked},
};
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
    let rows = client.query(&prepared, &params).await.map_err(failure)?;
    rows.iter().map(row).collect()
}

/// What a driver's error means to the core.
fn failure(error: tokio_postgres::Error) -> SqlError {
    let Some(db) = error.as_db_error() else {
        // Without a word from the server there was no server, or the connection broke; unless the driver itself
        // found a value of another type than the parameter's, which is a fault of ours.
        let mistyped = error.source().is_some_and(<dyn Error>::is::<WrongType>);
        return if mistyped { SqlError::Failed(error.into()) } else { SqlError::Unavailable(error.into()) };
    };
    let code = db.code();
    match &code.code()[..2] {
        "23" => SqlError::Conflict { constraint: db.constraint().or(db.column()).unwrap_or(code.code()).to_owned() },
        "22" => SqlError::BadValue(error.into()),
        // Connection failures, no resources, and an operator who shuts the server down or starts it.
        "08" | "53" | "57" => SqlError::Unavailable(error.into()),
        _ if *code == SqlState::T_R_SERIALIZATION_FAILURE => SqlError::Unavailable(error.into()),
        _ => SqlError::Failed(error.into()),
    }
}

fn row(row: &tokio_postgres::Row) -> Result<Row, SqlError> {
    let columns = row.columns().iter().enumerate();
    columns.map(|(index, column)| value(row, index, column.type_())).collect::<Result<_, _>>().map(Row)
}

/// Reads a column of one of the five types that every host can read, and of no other.
fn value(row: &tokio_postgres::Row, index: usize, column: &Type) -> Result<Value, SqlError> {
    let read = match *column {
        Type::BOOL => row.try_get::<_, Option<bool>>(index).map(|it| it.map(Value::Bool)),
        Type::INT8 => row.try_get::<_, Option<i64>>(index).map(|it| it.map(Value::Int)),
        Type::FLOAT8 => row.try_get::<_, Option<f64>>(index).map(|it| it.map(Value::Float)),
        Type::TEXT => row.try_get::<_, Option<String>>(index).map(|it| it.map(Value::Text)),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(index).map(|it| it.map(Value::Bytes)),
        _ => return Err(SqlError::Column { index }),
    };
    read.map(|it| it.unwrap_or(Value::Null)).map_err(|_| SqlError::Column { index })
}

/// Binds a value to a parameter of its own type alone, as the strictest host does.
#[derive(Debug)]
struct Param(Value);

impl ToSql for Param {
    fn to_sql(&self, parameter: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Bool(it) => it.to_sql_checked(parameter, out),
            Value::Int(it) => it.to_sql_checked(parameter, out),
            Value::Float(it) => it.to_sql_checked(parameter, out),
            Value::Text(it) => it.to_sql_checked(parameter, out),
            Value::Bytes(it) => it.to_sql_checked(parameter, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
