//! The audit log: who did what to whom, when, from where.
//!
//! An entry is added by the statement of the act itself, by the SQL function `audit`, so that there is no act without
//! its entry. Soon after, entries are chained by HMAC, and once a minute the chain's end is told to the log, so that
//! an edited, removed, inserted or reordered entry is found. Owns `audit_log`, `audit_head` and `audit_anchors`;
//! docs/audit.md says what each holds.

mod anchor;
mod chain;
mod chaining;
mod elsewhere;
mod finding;
mod list;
mod sealed;
mod sql;
mod status;
mod verify;
mod walk;

pub(crate) use chaining::Chaining;
pub use chaining::chain_soon;
pub use elsewhere::{Elsewhere, compare};
pub use finding::{Finding, Findings};
pub use list::{Filter, list};
pub(crate) use sealed::SEALED;
pub use sql::Listed;
pub use status::{Status, status};
pub use verify::{Verdict, verify};

use crate::{
    App, Store,
    sql::{Described, Kind, SqlError, SqlType, Value},
};
use serde::Serialize;
use shared::{id::OrgId, time::Timestamp};
use std::net::IpAddr;

/// The statements of the audit log.
pub(crate) fn statements() -> Vec<Described> {
    [sql::statements(), sealed::statements(), status::statements()].concat()
}

/// Chains what is not chained yet, and anchors the chain.
pub(crate) async fn tick(app: &App) {
    chaining::seal_chain(app).await;
    anchor::anchor(app).await;
}

/// Adds an entry for an act that writes nothing else.
pub async fn record(store: &Store, entry: Entry) -> Result<i64, SqlError> {
    store.record_act(entry).await
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `user`, `client`, `key`, `node`, `operator` (at `nest`), `system` or `anonymous`.
    pub kind: &'static str,
    pub id: Option<String>,
}

impl Actor {
    /// Nobody that we know.
    pub const ANONYMOUS: Self = Self { kind: "anonymous", id: None };
    /// Whoever runs `nest` on a machine with the database's password.
    pub const OPERATOR: Self = Self { kind: "operator", id: None };

    pub fn user(id: shared::id::UserId) -> Self {
        Self { kind: "user", id: Some(id.to_string()) }
    }
}

/// Where a request comes from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub ip: Option<IpAddr>,
    pub request_id: Option<String>,
}

/// An entry on its way into the log. Give it to a statement as a parameter, for the SQL function `audit`.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    at_ms: i64,
    actor_kind: &'static str,
    actor_id: Option<String>,
    action: &'static str,
    org_id: Option<String>,
    target: Option<String>,
    ip: Option<IpAddr>,
    request_id: Option<String>,
    detail: String,
}

impl Entry {
    /// `action` is `slice.what_happened`, such as `auth.login`.
    pub fn new(at: Timestamp, actor: &Actor, origin: &Origin, action: &'static str) -> Self {
        Self {
            at_ms: at.0,
            actor_kind: actor.kind,
            actor_id: actor.id.clone(),
            action,
            org_id: None,
            target: None,
            ip: origin.ip,
            request_id: origin.request_id.clone(),
            detail: "{}".to_owned(),
        }
    }

    /// In which organisation.
    pub fn org(self, id: OrgId) -> Self {
        Self { org_id: Some(id.uuid().to_string()), ..self }
    }

    /// The id of what was acted upon.
    #[expect(clippy::needless_pass_by_value, reason = "ids are small, and so are the calls")]
    pub fn target(self, id: impl ToString) -> Self {
        Self { target: Some(id.to_string()), ..self }
    }

    /// What else is worth knowing. Never a secret.
    pub fn detail(self, detail: &serde_json::Value) -> Self {
        Self { detail: detail.to_string(), ..self }
    }
}

impl SqlType for Entry {
    const KIND: Kind = Kind::Text;
    fn into_value(self) -> Value {
        Value::Text(serde_json::to_string(&self).expect("an entry is plain data"))
    }
    fn from_value(_: &Value) -> Option<Self> {
        // Entries are written; what is read is a row.
        None
    }
}
