//! Statements through Spin's Postgres, in the six kinds of values that every host carries.

use crate::host::sleep;
use edge_core::host::{Row, SqlError, Value};
use futures_util::future::{self, Either};
use secrecy::{ExposeSecret as _, SecretString};
use spin_sdk::pg::{Connection, DbDataType, DbError, DbValue, Error, ParameterValue, PgError, QueryError};
use std::pin::pin;

/// Longest wait for a connection and the answer to a statement; Spin itself waits without end.
const ANSWER_MS: u64 = 10_000;

/// Runs one statement on a connection from Spin's pool.
///
/// The connection goes back as soon as the rows are here. A stream lives for minutes, and holding one of the pool's 64
/// connections for as long would leave none for the others.
pub(crate) async fn query(
    url: &SecretString,
    statement: &'static str,
    params: Vec<Value>,
) -> Result<Vec<Row>, SqlError> {
    match future::select(pin!(run(url, statement, params)), sleep(ANSWER_MS)).await {
        Either::Left((rows, _)) => rows,
        Either::Right(((), _)) => Err(SqlError::Unavailable("no answer in time".into())),
    }
}

async fn run(url: &SecretString, statement: &'static str, params: Vec<Value>) -> Result<Vec<Row>, SqlError> {
    let connection = Connection::open(url.expose_secret()).await.map_err(failure)?;
    let params: Vec<ParameterValue> = params.into_iter().map(param).collect();
    let answer = connection.query(statement, params).await.map_err(failure)?;
    // Read before the values: a null says nothing of its column's type.
    let columns = answer.columns().iter().map(|it| carried(&it.data_type)).collect::<Vec<bool>>();
    let (_, mut stream, end) = answer.into_inner();
    let mut rows = Vec::new();
    while let Some(values) = stream.next().await {
        rows.push(row(values, &columns)?);
    }
    end.await.map_err(|error| failure(error.into()))?;
    Ok(rows)
}

fn param(value: Value) -> ParameterValue {
    match value {
        Value::Null => ParameterValue::DbNull,
        Value::Bool(it) => ParameterValue::Boolean(it),
        Value::Int(it) => ParameterValue::Int64(it),
        Value::Float(it) => ParameterValue::Floating64(it),
        Value::Text(it) => ParameterValue::Str(it),
        Value::Bytes(it) => ParameterValue::Binary(it),
    }
}

/// Whether a column is of one of the five types that every host can read.
fn carried(column: &DbDataType) -> bool {
    matches!(
        column,
        DbDataType::Boolean | DbDataType::Int64 | DbDataType::Floating64 | DbDataType::Str | DbDataType::Binary
    )
}

fn row(values: Vec<DbValue>, carried: &[bool]) -> Result<Row, SqlError> {
    let values = values.into_iter().enumerate();
    values.map(|(index, it)| value(it, index, carried.get(index) == Some(&true))).collect::<Result<_, _>>().map(Row)
}

fn value(value: DbValue, index: usize, carried: bool) -> Result<Value, SqlError> {
    match value {
        DbValue::DbNull if carried => Ok(Value::Null),
        DbValue::Boolean(it) => Ok(Value::Bool(it)),
        DbValue::Int64(it) => Ok(Value::Int(it)),
        DbValue::Floating64(it) => Ok(Value::Float(it)),
        DbValue::Str(it) => Ok(Value::Text(it)),
        DbValue::Binary(it) => Ok(Value::Bytes(it)),
        _ => Err(SqlError::Column { index }),
    }
}

/// What Spin's error means to the core.
fn failure(error: Error) -> SqlError {
    match error {
        Error::PgError(PgError::QueryFailed(QueryError::DbError(db))) => refused(&db),
        Error::PgError(PgError::QueryFailed(QueryError::Text(text))) => broken(text),
        Error::PgError(PgError::ConnectionFailed(text)) => SqlError::Unavailable(text.into()),
        other => SqlError::Failed(other.to_string().into()),
    }
}

fn refused(db: &DbError) -> SqlError {
    let extra = |name: &str| db.extras.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let cause = format!("{}: {} ({})", db.severity, db.message, db.code).into();
    SqlError::refused(&db.code, extra("constraint").or_else(|| extra("column")), cause)
}

/// Without a word from the server the connection broke, unless Spin itself could not carry a value. Spin tells the
/// two apart by their texts alone.
fn broken(text: String) -> SqlError {
    let column = text
        .strip_prefix("error deserializing column ")
        .and_then(|rest| rest.split(|it: char| !it.is_ascii_digit()).next());
    if let Some(index) = column.and_then(|it| it.parse().ok()) {
        return SqlError::Column { index };
    }
    let ours = text.contains("kind: ToSql") || text.contains("kind: Parameters") || text.contains("exceeds limit");
    if ours { SqlError::Failed(text.into()) } else { SqlError::Unavailable(text.into()) }
}
