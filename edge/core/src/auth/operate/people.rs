//! Looking for people, and at one.

use super::{Account, OperateError, PersonRow};
use crate::{Error, Store, auth::email, sql::SqlError};
use serde::Deserialize;
use shared::{id::UserId, time::Timestamp};
use utoipa::ToSchema;

/// Whether a person may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonStatus {
    Active,
    Suspended,
}

/// Which people.
#[derive(Clone, Debug)]
pub struct PeopleFilter {
    /// An id, or a part of an address or name, in any case.
    pub query: Option<String>,
    pub status: Option<PersonStatus>,
    pub operator: Option<bool>,
    /// Only people who come after this one in the list: the last one of the page before.
    pub after: Option<UserId>,
    /// How many at most.
    pub limit: i64,
}

impl Default for PeopleFilter {
    fn default() -> Self {
        Self { query: None, status: None, operator: None, after: None, limit: 50 }
    }
}

/// A page of people, newest first. The order never changes and nobody is removed, so a page that follows another neither
/// repeats nor leaves out anyone, whoever signs up meanwhile.
pub async fn people(store: &Store, filter: &PeopleFilter) -> Result<Vec<PersonRow>, SqlError> {
    let PeopleFilter { query, status, operator, after, limit } = filter;
    let query = query.as_deref().map(str::trim).filter(|it| !it.is_empty());
    let id = query.and_then(|it| it.parse().ok());
    let words = query.filter(|_| id.is_none()).map(str::to_lowercase);
    let suspended = status.map(|it| it == PersonStatus::Suspended);
    store.find_people(words, id, suspended, *operator, *after, *limit).await
}

/// Everything that an operator sees of one person.
pub async fn account(store: &Store, person: UserId, now: Timestamp) -> Result<Account, Error> {
    Ok(store.account(person, now).await?.ok_or(OperateError::NoSuchPerson)?)
}

/// Whose address this is.
pub async fn person_by_email(store: &Store, address: &str) -> Result<Option<UserId>, SqlError> {
    match email::normalised(address) {
        Some(address) => store.person_by_email(address).await,
        None => Ok(None),
    }
}
