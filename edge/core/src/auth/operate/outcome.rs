//! What comes of an operator's act, as the SQL functions of the migration `operators` tell it.

use crate::{Error, auth::AuthError, sql::SqlError};
use http::StatusCode;

/// Whether an act has changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Made,
    /// All was so already, and nothing went into the log.
    NotNeeded,
}

/// Why an operator's act was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    #[error("no such user")]
    NoSuchPerson,
    #[error("nobody suspends themselves: ask another operator")]
    OwnAccount,
    #[error("this is the last operator: make another one first")]
    LastOperator,
    #[error("the account is suspended: restore it first")]
    Suspended,
}

impl OperateError {
    pub(crate) fn face(self) -> (StatusCode, &'static str) {
        match self {
            Self::NoSuchPerson => (StatusCode::NOT_FOUND, "user_not_found"),
            Self::OwnAccount => (StatusCode::CONFLICT, "own_account"),
            Self::LastOperator => (StatusCode::CONFLICT, "last_operator"),
            Self::Suspended => (StatusCode::CONFLICT, "user_suspended"),
        }
    }
}

/// What the word of a SQL function means.
pub(crate) fn changed(word: &str) -> Result<Change, Error> {
    Err(match word {
        "done" => return Ok(Change::Made),
        "unchanged" => return Ok(Change::NotNeeded),
        "unknown" => OperateError::NoSuchPerson.into(),
        "own_account" => OperateError::OwnAccount.into(),
        "last_operator" => OperateError::LastOperator.into(),
        "suspended" => OperateError::Suspended.into(),
        // The right was taken away between the guard and the statement.
        "not_operator" => AuthError::NotOperator.into(),
        // The functions say nothing else.
        _ => Error::Internal(SqlError::Column { index: 0 }),
    })
}
