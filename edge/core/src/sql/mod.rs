//! SQL as every host can carry it: six kinds of values, and statements that state the kinds they take and give.
//!
//! Other Postgres types are cast in the SQL (`$1::text::uuid`, `(extract(epoch from t) * 1000)::int8`).
//! One test prepares every statement in [`statements`] against the migrated schema and compares the kinds.

mod convert;
mod statement;

pub use convert::SqlType;
pub(crate) use convert::hex;
pub use statement::{Described, FromRow, Params, Statement};
pub(crate) use statement::{row, sql};

use crate::host::BoxError;

/// Every statement of the core.
pub fn statements() -> Vec<Described> {
    [
        crate::audit::statements(),
        crate::mail::statements(),
        crate::clock::statements(),
        crate::auth::statements(),
        crate::orgs::statements(),
        crate::keys::statements(),
        crate::nodes::statements(),
        crate::usage::statements(),
        crate::billing::statements(),
        crate::admin::statements(),
    ]
    .concat()
}

/// A value on its way to or from Postgres.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A kind of value, and the one Postgres type that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int,
    Float,
    Text,
    Bytes,
}

impl Kind {
    /// Name of the Postgres type.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int8",
            Self::Float => "float8",
            Self::Text => "text",
            Self::Bytes => "bytea",
        }
    }
}

/// A row as a host hands it over.
#[derive(Clone, Debug)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The value in column `index`, counted from 0.
    pub fn get<T: SqlType>(&self, index: usize) -> Result<T, SqlError> {
        self.0.get(index).and_then(T::from_value).ok_or(SqlError::Column { index })
    }
}

impl SqlError {
    /// What Postgres' refusal means, by its SQLSTATE; `constraint` names what a row breaks, if Postgres said so.
    pub fn refused(code: &str, constraint: Option<&str>, cause: BoxError) -> Self {
        match code.get(..2).unwrap_or_default() {
            "23" => Self::Conflict { constraint: constraint.unwrap_or(code).to_owned() },
            "22" => Self::BadValue(cause),
            // Connection failures, no resources, and an operator who shuts the server down or starts it.
            "08" | "53" | "57" => Self::Unavailable(cause),
            // A serialization failure.
            _ if code == "40001" => Self::Unavailable(cause),
            _ => Self::Failed(cause),
        }
    }
}

/// Why a statement gave no rows.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The row breaks a constraint of the schema.
    #[error("violates constraint `{constraint}`")]
    Conflict { constraint: String },
    /// Postgres refuses the value itself, such as a NUL in a text.
    #[error("a value cannot be stored")]
    BadValue(#[source] BoxError),
    /// A column is missing, or of a kind that the row type does not expect.
    #[error("column {index} is missing or has another type")]
    Column { index: usize },
    /// Postgres cannot be reached, has no room, or cut the connection: the statement may or may not have run.
    #[error("the database is unavailable")]
    Unavailable(#[source] BoxError),
    /// Anything else: a fault of ours.
    #[error("the statement failed")]
    Failed(#[source] BoxError),
}
