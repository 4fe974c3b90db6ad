//! tokio-postgres's types as the core's six kinds: what the hosts that speak Postgres's own protocol share.
//!
//! How a connection is made, kept and given up is each host's own.
#![warn(missing_docs)]

use bytes::BytesMut;
use edge_core::host::{Row, SqlError, Value};
use std::error::Error;
use tokio_postgres::types::{IsNull, ToSql, Type, WrongType, to_sql_checked};

/// Binds a value to a parameter of its own type alone, as the strictest host does.
#[derive(Debug)]
pub struct Param(pub Value);

impl Param {
    /// The type to state for the value. A null has none: the statement's cast decides.
    pub fn type_of(&self) -> Type {
        match self.0 {
            Value::Null => Type::UNKNOWN,
            Value::Bool(_) => Type::BOOL,
            Value::Int(_) => Type::INT8,
            Value::Float(_) => Type::FLOAT8,
            Value::Text(_) => Type::TEXT,
            Value::Bytes(_) => Type::BYTEA,
        }
    }
}

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

/// Reads every row of an answer.
pub fn rows(rows: &[tokio_postgres::Row]) -> Result<Vec<Row>, SqlError> {
    rows.iter().map(row).collect()
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

/// What the driver's error means to the core.
pub fn failure(error: tokio_postgres::Error) -> SqlError {
    let Some(db) = error.as_db_error() else {
        // Without a word from the server there was no server, or the connection broke; unless the driver itself
        // found a value of another type than the parameter's, which is a fault of ours.
        let mistyped = error.source().is_some_and(<dyn Error>::is::<WrongType>);
        return if mistyped { SqlError::Failed(error.into()) } else { SqlError::Unavailable(error.into()) };
    };
    let (code, constraint) = (db.code().code().to_owned(), db.constraint().or(db.column()).map(str::to_owned));
    SqlError::refused(&code, constraint.as_deref(), error.into())
}
