//! Organisations: whom do people act for?
//!
//! Lists them, so far. Owns `orgs` and `memberships` (the SQL function `found_org` writes both).

mod sql;

pub use sql::OrgSummary;
pub(crate) use sql::statements;

use crate::{Store, sql::SqlError};

/// Every organisation, oldest first.
pub async fn list(store: &Store) -> Result<Vec<OrgSummary>, SqlError> {
    store.org_summaries().await
}
