//! Looking at the log.

use super::Listed;
use crate::{Store, sql::SqlError};
use shared::id::OrgId;

/// Most entries at once: a page, and one that tells whether there is another.
const MOST: i64 = 201;

/// Which entries. Whoever asks for an organisation must be let see it: that is the route's matter.
#[derive(Clone, Debug)]
pub struct Filter {
    /// None: all of the platform, for operators.
    pub org: Option<OrgId>,
    /// The id of who acted, such as `user_...`.
    pub actor: Option<String>,
    /// `auth.login`, or `auth` for all that begins with `auth.`.
    pub action: Option<String>,
    /// The id of what was acted upon.
    pub target: Option<String>,
    /// Only entries older than this one: the last id of the page before.
    pub before: Option<i64>,
    /// How many, 201 at most.
    pub limit: i64,
}

impl Default for Filter {
    fn default() -> Self {
        Self { org: None, actor: None, action: None, target: None, before: None, limit: 50 }
    }
}

/// A page of entries, newest first. An id is never given twice and the order is that of ids, so a page stays the same
/// whatever is added meanwhile.
pub async fn list(store: &Store, filter: &Filter) -> Result<Vec<Listed>, SqlError> {
    store.list_entries(Filter { limit: filter.limit.clamp(1, MOST), ..filter.clone() }).await
}
