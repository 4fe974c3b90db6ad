//! People, to operators.

use crate::{
    App, Error, audit,
    auth::{
        self, Account, AuthError, OperateError, Operator, PeopleFilter, PersonRow, PersonStatus, Reason, SessionRow,
        Standing, Suspension,
    },
    openapi::{NoContent, Status},
    orgs::{self, OperatedMembership},
    page::{Page, Paging},
    payload::{Input, Query},
};
use axum::{Json, extract::Path};
use serde::{Deserialize, Serialize};
use shared::id::{SessionId, UserId};
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, IntoParams)]
pub(super) struct Search {
    /// An id, or a part of an address or name.
    query: Option<String>,
    #[param(inline)]
    status: Option<PersonStatus>,
    operator: Option<bool>,
}

/// `GET /admin/users`: newest first.
pub(super) async fn list(
    app: App,
    _: Operator,
    Query(search): Query<Search>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<PersonRow>>, Error> {
    let Search { query, status, operator } = search;
    let filter = PeopleFilter { query, status, operator, after: paging.after()?, limit: paging.rows() };
    let rows = auth::people(&app.store, &filter).await?;
    Ok(Json(Page::of(&paging, rows, |row| row.id, |row| row)))
}

/// A person, and the organisations that they are in, deleted ones included.
#[derive(Serialize, ToSchema)]
pub(super) struct User {
    #[serde(flatten)]
    account: Account,
    memberships: Vec<OperatedMembership>,
}

/// `GET /admin/users/{user}`
pub(super) async fn show(app: App, _: Operator, Path(user): Path<String>) -> Result<Json<User>, Error> {
    let user = user_id(&user)?;
    let account = auth::account(&app.store, user, app.host.now()).await?;
    Ok(Json(User { account, memberships: orgs::memberships_of(&app.store, user).await? }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Suspend {
    /// 1 to 500 characters. The audit log keeps it, which the organisation concerned may read.
    #[schema(value_type = String)]
    reason: Reason,
    /// Whether the person's own organisation is suspended with them, and so its keys.
    #[serde(default = "yes")]
    personal_org: bool,
}

fn yes() -> bool {
    true
}

/// `POST /admin/users/{user}/suspend`
pub(super) async fn suspend(
    app: App,
    operator: Operator,
    Path(user): Path<String>,
    Input(ask): Input<Suspend>,
) -> Result<NoContent, Error> {
    let Suspend { reason, personal_org } = ask;
    auth::suspend(&app.store, &operator, user_id(&user)?, &Suspension { reason, personal_org }).await?;
    audit::chain_soon(&app);
    Ok(Status(()))
}

/// `POST /admin/users/{user}/restore`
pub(super) async fn restore(app: App, operator: Operator, Path(user): Path<String>) -> Result<NoContent, Error> {
    auth::restore(&app.store, &operator, user_id(&user)?).await?;
    audit::chain_soon(&app);
    Ok(Status(()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetOperator {
    operator: bool,
}

/// `PUT /admin/users/{user}/operator`
pub(super) async fn set_operator(
    app: App,
    operator: Operator,
    Path(user): Path<String>,
    Input(ask): Input<SetOperator>,
) -> Result<NoContent, Error> {
    let standing = if ask.operator { Standing::Operator } else { Standing::Ordinary };
    auth::set_standing(&app.store, &operator, user_id(&user)?, standing).await?;
    audit::chain_soon(&app);
    Ok(Status(()))
}

/// Live sessions of a person, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct UserSessions {
    data: Vec<SessionRow>,
}

/// `GET /admin/users/{user}/sessions`
pub(super) async fn sessions(app: App, _: Operator, Path(user): Path<String>) -> Result<Json<UserSessions>, Error> {
    let data = auth::live_sessions(&app.store, user_id(&user)?, app.host.now()).await?;
    Ok(Json(UserSessions { data }))
}

/// `DELETE /admin/users/{user}/sessions`
pub(super) async fn end_sessions(app: App, operator: Operator, Path(user): Path<String>) -> Result<NoContent, Error> {
    auth::end_sessions(&app.store, &operator, user_id(&user)?).await?;
    audit::chain_soon(&app);
    Ok(Status(()))
}

/// `DELETE /admin/users/{user}/sessions/{session}`
pub(super) async fn end_session(
    app: App,
    operator: Operator,
    Path((user, session)): Path<(String, String)>,
) -> Result<NoContent, Error> {
    let session: SessionId = session.parse().map_err(|_| AuthError::NoSuchSession)?;
    auth::end_session(&app.store, &operator, user_id(&user)?, session).await?;
    audit::chain_soon(&app);
    Ok(Status(()))
}

/// What is no id at all names nobody.
fn user_id(text: &str) -> Result<UserId, OperateError> {
    text.parse().map_err(|_| OperateError::NoSuchPerson)
}
