//! API keys: which program is this?
//!
//! Makes, lists, changes, rotates and revokes keys, and recognises who calls by one. Owns `api_keys`, which SQL functions
//! of migration 11 write. A key never may more than whoever made it: `key_owners` tells what that is at present. How
//! often a key may call is left to `limits`, what it has used to `usage`.

mod cache;
mod error;
mod extract;
mod issue;
mod key;
mod manage;
mod models;
mod networks;
mod operate;
mod policy;
mod rules;
mod sql;
mod text;
mod watch;

pub(crate) use cache::Cache;
pub use error::KeyError;
pub use extract::Caller;
pub(crate) use extract::{member, presented, quota, recognise, refuse_in_query};
pub use issue::{IssuedKey, NewKey};
pub use key::{Environment, Kind};
pub(crate) use manage::routes;
pub use manage::{KeyState, KeyView};
pub use models::Models;
pub use networks::Networks;
pub use operate::{is_live, issue, list, revoke, rotate};
pub use policy::{Period, Spend, limits as checked_limits};
pub use text::{Found, KEY_BYTES, PATTERN, find};
pub(crate) use watch::until_refused;

use crate::sql::Described;

/// This slice's statements.
pub(crate) fn statements() -> Vec<Described> {
    [sql::statements(), manage::statements()].concat()
}
