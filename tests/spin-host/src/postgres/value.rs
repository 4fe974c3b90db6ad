//! Values on their way to and from Postgres, with the types that Spin binds and reads, and no others.
//!
//! Spin carries some types more than this host does: dates, decimals, ranges, arrays. The edge uses none of them. A
//! parameter of such a type is refused here; a column comes with its type's name and its bytes unread, which the edge
//! refuses as it would refuse the value.

use crate::bindings::spin::postgres::postgres::{Column, DbDataType, DbValue, Error, ParameterValue, QueryError};
use tokio_postgres::{
    Row,
    types::{FromSql, IsNull, ToSql, Type, private::BytesMut},
};

type BoxError = Box<dyn std::error::Error + Sync + Send>;

/// A parameter; the driver checks its type against the statement's, strictly.
pub(super) fn bind(value: &ParameterValue) -> Result<Box<dyn ToSql + Send + Sync>, Error> {
    Ok(match value {
        ParameterValue::Boolean(it) => Box::new(*it),
        ParameterValue::Int8(it) => Box::new(*it),
        ParameterValue::Int16(it) => Box::new(*it),
        ParameterValue::Int32(it) => Box::new(*it),
        ParameterValue::Int64(it) => Box::new(*it),
        ParameterValue::Floating32(it) => Box::new(*it),
        ParameterValue::Floating64(it) => Box::new(*it),
        ParameterValue::Str(it) => Box::new(it.clone()),
        ParameterValue::Binary(it) => Box::new(it.clone()),
        ParameterValue::DbNull => Box::new(Null),
        _ => return Err(Error::BadParameter("this host does not bind such a value".to_owned())),
    })
}

/// Names and types of a row's columns.
pub(super) fn columns(row: &Row) -> Vec<Column> {
    let column = |it: &tokio_postgres::Column| Column { name: it.name().to_owned(), data_type: data_type(it.type_()) };
    row.columns().iter().map(column).collect()
}

fn data_type(column: &Type) -> DbDataType {
    match *column {
        Type::BOOL => DbDataType::Boolean,
        Type::BYTEA => DbDataType::Binary,
        Type::FLOAT4 => DbDataType::Floating32,
        Type::FLOAT8 => DbDataType::Floating64,
        Type::INT2 => DbDataType::Int16,
        Type::INT4 => DbDataType::Int32,
        Type::INT8 => DbDataType::Int64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DbDataType::Str,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DbDataType::Datetime,
        Type::DATE => DbDataType::Date,
        Type::TIME => DbDataType::Time,
        Type::UUID => DbDataType::Uuid,
        Type::JSONB => DbDataType::Jsonb,
        Type::NUMERIC => DbDataType::Decimal,
        Type::INTERVAL => DbDataType::Interval,
        _ => DbDataType::Other(column.name().to_owned()),
    }
}

/// A row's values, or what Spin says of the first that cannot be read.
pub(super) fn read(row: &Row) -> Result<Vec<DbValue>, String> {
    (0..row.len()).map(|index| read_one(row, index)).collect()
}

fn read_one(row: &Row, index: usize) -> Result<DbValue, String> {
    match *row.columns()[index].type_() {
        Type::BOOL => one(row, index, DbValue::Boolean),
        Type::BYTEA => one(row, index, DbValue::Binary),
        Type::FLOAT4 => one(row, index, DbValue::Floating32),
        Type::FLOAT8 => one(row, index, DbValue::Floating64),
        Type::INT2 => one(row, index, DbValue::Int16),
        Type::INT4 => one(row, index, DbValue::Int32),
        Type::INT8 => one(row, index, DbValue::Int64),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => one(row, index, DbValue::Str),
        // Spin reads these as a date and time without a zone, which the driver refuses.
        Type::TIMESTAMPTZ => one(row, index, |it: WithoutZone| DbValue::Timestamp(it.0)),
        _ => one(row, index, |it: Unread| DbValue::Unsupported(it.0)),
    }
}

fn one<'a, T: FromSql<'a>>(row: &'a Row, index: usize, value: impl FnOnce(T) -> DbValue) -> Result<DbValue, String> {
    let read = row.try_get::<_, Option<T>>(index).map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("error deserializing column {index}\n\nCaused by:\n    {cause}"),
        None => format!("error deserializing column {index}"),
    })?;
    Ok(read.map_or(DbValue::DbNull, value))
}

/// Whether an error came of reading a row, not of asking for it.
pub(super) fn is_about_a_row(error: &Error) -> bool {
    matches!(error, Error::QueryFailed(QueryError::Text(text)) if text.starts_with("error deserializing column"))
}

/// A null for a parameter of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, BoxError> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, BoxError> {
        Ok(IsNull::Yes)
    }
}

/// Any value, as its bytes.
struct Unread(Vec<u8>);

impl FromSql<'_> for Unread {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, BoxError> {
        Ok(Self(raw.to_owned()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A `timestamp`, and no `timestamptz`.
struct WithoutZone(i64);

impl FromSql<'_> for WithoutZone {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, BoxError> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(column: &Type) -> bool {
        *column == Type::TIMESTAMP
    }
}
