//! The members of an organisation: who they are, their roles, and leaving.

mod sql;

pub(super) use sql::statements;

use super::{
    Member, OrgError,
    role::{GivenRole, HeldRole},
};
use crate::{
    App, Error,
    limits::Client,
    openapi::{NoContent, Status},
    page::{Page, Paging},
    payload::{Input, Query},
};
use axum::{Json, extract::Path};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{id::UserId, time::Timestamp};
use sql::MemberRow;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(crate) struct MemberView {
    user_id: UserId,
    email: String,
    name: String,
    joined_at: Timestamp,
    #[serde(flatten)]
    role: HeldRole,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct RoleChange {
    /// `owner`, `admin`, `billing`, `member`, `viewer`, or the id of one of the organisation's own roles.
    #[schema(value_type = String)]
    role: GivenRole,
}

/// `GET /orgs/{org}/members`
pub(crate) async fn list(
    app: App,
    member: Member,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<MemberView>>, Error> {
    let rows = app.store.members(member.org_id, paging.after()?, paging.rows()).await?;
    let view = |row: MemberRow| MemberView {
        user_id: row.user_id,
        email: row.email,
        name: row.name,
        joined_at: row.joined_at,
        role: HeldRole::of(row.role, row.custom_role, row.custom_name, row.custom_permissions.as_deref()),
    };
    Ok(Json(Page::of(&paging, rows, |row| row.user_id, view)))
}

/// `PATCH /orgs/{org}/members/{user}`
pub(crate) async fn change(
    app: App,
    client: Client,
    member: Member,
    Path((_, user)): Path<(String, String)>,
    Input(ask): Input<RoleChange>,
) -> Result<NoContent, Error> {
    let user: UserId = user.parse().map_err(|_| OrgError::NoMember)?;
    let detail = json!({ "role": ask.role.text() });
    let entry = member.entry(&app, &client, "orgs.member_role_changed").target(user).detail(&detail);
    app.store.change_member(member.standing(app.host.now()), user, ask.role, entry).await?;
    Ok(Status(()))
}

/// `DELETE /orgs/{org}/members/{user}`: whoever names themselves leaves.
pub(crate) async fn remove(
    app: App,
    client: Client,
    member: Member,
    Path((_, user)): Path<(String, String)>,
) -> Result<NoContent, Error> {
    let user: UserId = user.parse().map_err(|_| OrgError::NoMember)?;
    let action = if member.user_id == Some(user) { "orgs.member_left" } else { "orgs.member_removed" };
    let entry = member.entry(&app, &client, action).target(user);
    app.store.remove_member(member.standing(app.host.now()), user, entry).await?;
    Ok(Status(()))
}
