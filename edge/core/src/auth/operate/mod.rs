//! What operators do to people: look, suspend, restore, end sessions, and give or take the operator's right.
//!
//! The routes are slice `admin`'s and the commands are those of `nest admin`; both call what is here, since the tables
//! are this slice's. Nothing here acts as somebody else: there is no session, token or key for an operator in another
//! person's name. The SQL functions `suspend_person` and `restore_person` write `orgs` beside `users` and `sessions`.

mod acting;
mod outcome;
mod people;
mod reason;
mod sql;

pub use acting::Operator;
pub use outcome::{Change, OperateError};
pub use people::{PeopleFilter, PersonStatus, account, people, person_by_email};
pub use reason::{Reason, ReasonError};
pub(super) use sql::statements;
pub use sql::{Account, PersonRow};

use super::{AuthError, sql::SessionRow};
use crate::{Error, Store};
use outcome::changed;
use serde_json::json;
use shared::{
    id::{SessionId, UserId},
    time::Timestamp,
};

/// How a person is suspended.
#[derive(Clone, Debug)]
pub struct Suspension {
    pub reason: Reason,
    /// Whether the person's own organisation is suspended with them, and so its API keys and clients. Other
    /// organisations go on without the person.
    pub personal_org: bool,
}

/// Suspends a person: sessions end, and no other begins.
pub async fn suspend(store: &Store, operator: &Operator, person: UserId, how: &Suspension) -> Result<Change, Error> {
    let Suspension { reason, personal_org } = how;
    let detail = json!({ "reason": reason.as_str(), "personal_org": personal_org });
    let entry = operator.entry("admin.user_suspended").target(person).detail(&detail);
    let with = json!({ "reason": reason.as_str(), "with_user": person });
    let org_entry = operator.entry("admin.org_suspended").detail(&with);
    changed(&store.suspend_person(person, operator, *personal_org, entry, org_entry).await?)
}

/// Ends a suspension, and that of the organisation that was suspended with the person.
pub async fn restore(store: &Store, operator: &Operator, person: UserId) -> Result<Change, Error> {
    let entry = operator.entry("admin.user_restored").target(person);
    let org_entry = operator.entry("admin.org_restored").detail(&json!({ "with_user": person }));
    changed(&store.restore_person(person, operator, entry, org_entry).await?)
}

/// What a person is to the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Operator,
    Ordinary,
}

/// Makes a person an operator, or no longer one. Their sessions end: the next log-in has the new right.
pub async fn set_standing(
    store: &Store,
    operator: &Operator,
    person: UserId,
    standing: Standing,
) -> Result<Change, Error> {
    let action = match standing {
        Standing::Operator => "admin.operator_granted",
        Standing::Ordinary => "admin.operator_revoked",
    };
    let entry = operator.entry(action).target(person);
    changed(&store.set_operator(person, operator, standing == Standing::Operator, entry).await?)
}

/// A person's live sessions, newest first.
pub async fn live_sessions(store: &Store, person: UserId, now: Timestamp) -> Result<Vec<SessionRow>, Error> {
    let sessions = store.live_sessions(person, now).await?;
    // Nobody has no sessions either.
    if sessions.is_empty() {
        account(store, person, now).await?;
    }
    Ok(sessions)
}

/// Ends one session of a person.
pub async fn end_session(store: &Store, operator: &Operator, person: UserId, session: SessionId) -> Result<(), Error> {
    let detail = json!({ "user": person });
    let entry = operator.entry("admin.session_ended").target(session).detail(&detail);
    let ended = store.end_session(session, person, operator.now(), "operator", entry).await?;
    if ended { Ok(()) } else { Err(AuthError::NoSuchSession.into()) }
}

/// Ends every session of a person, and says how many there were.
pub async fn end_sessions(store: &Store, operator: &Operator, person: UserId) -> Result<i64, Error> {
    let entry = operator.entry("admin.sessions_ended").target(person);
    let ended = store.end_sessions_by_operator(person, operator.now(), entry).await?;
    Ok(ended.ok_or(OperateError::NoSuchPerson)?)
}
