//! What operators do to organisations: look, suspend, restore. Whoever is a member or not does not matter here.

mod sql;

pub(super) use sql::statements;
pub use sql::{OperatedMember, OperatedMembership, OperatedOrg};

use super::OrgError;
use crate::{
    Error, Store,
    auth::{Change, Operator, Reason},
    sql::SqlError,
};
use serde::Deserialize;
use serde_json::json;
use shared::id::{OrgId, UserId};
use sql::Outcome;
use utoipa::ToSchema;

/// What an organisation may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrgStatus {
    Active,
    Suspended,
    Deleted,
}

impl OrgStatus {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }
}

/// Which organisations.
#[derive(Clone, Debug)]
pub struct OrgFilter {
    /// An id, or a part of a name, in any case.
    pub query: Option<String>,
    pub status: Option<OrgStatus>,
    /// Only organisations that come after this one in the list: the last one of the page before.
    pub after: Option<OrgId>,
    /// How many at most.
    pub limit: i64,
}

impl Default for OrgFilter {
    fn default() -> Self {
        Self { query: None, status: None, after: None, limit: 50 }
    }
}

/// A page of organisations, newest first, those that were deleted among them. As with people, a page that follows
/// another neither repeats nor leaves out any.
pub async fn search(store: &Store, filter: &OrgFilter) -> Result<Vec<OperatedOrg>, SqlError> {
    let OrgFilter { query, status, after, limit } = filter;
    let query = query.as_deref().map(str::trim).filter(|it| !it.is_empty());
    let id = query.and_then(|it| it.parse().ok());
    let words = query.filter(|_| id.is_none()).map(str::to_lowercase);
    let status = status.map(|it| it.as_str().to_owned());
    store.find_orgs(words, id, status, *after, *limit).await
}

/// One organisation, and its members.
pub async fn operated(store: &Store, org: OrgId) -> Result<(OperatedOrg, Vec<OperatedMember>), Error> {
    let found = store.operated_org(org).await?.ok_or(OrgError::Unknown)?;
    Ok((found, store.operated_members(org).await?))
}

/// The organisations of a person, those that were deleted among them.
pub async fn memberships_of(store: &Store, person: UserId) -> Result<Vec<OperatedMembership>, SqlError> {
    store.operated_memberships(person).await
}

/// Suspends an organisation: its members, clients and keys get nothing from it until it is restored.
pub async fn suspend(store: &Store, operator: &Operator, org: OrgId, reason: &Reason) -> Result<Change, Error> {
    let detail = json!({ "reason": reason.as_str() });
    let entry = operator.entry("admin.org_suspended").org(org).target(org).detail(&detail);
    outcome(store.suspend_org(org, operator.now(), entry).await?)
}

/// Ends a suspension.
pub async fn restore(store: &Store, operator: &Operator, org: OrgId) -> Result<Change, Error> {
    let entry = operator.entry("admin.org_restored").org(org).target(org);
    outcome(store.restore_org(org, entry).await?)
}

fn outcome(row: Option<Outcome>) -> Result<Change, Error> {
    match row {
        Some(Outcome { acted: true, .. }) => Ok(Change::Made),
        Some(Outcome { known: true, acted: false }) => Ok(Change::NotNeeded),
        Some(Outcome { known: false, .. }) | None => Err(OrgError::Unknown.into()),
    }
}
