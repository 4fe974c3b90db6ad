//! Roles that an organisation makes for itself, beside the built-in ones; and the permissions that all are made of.

mod sql;

pub(super) use sql::statements;

use super::{
    Member, OrgError,
    rules::{self, Role},
};
use crate::{
    App, Error,
    host::random,
    limits::Client,
    openapi::{Created, NoContent, Status},
    payload::Input,
};
use axum::{Json, extract::Path};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{
    id::RoleId,
    permission::{Permission, Permissions},
};
use utoipa::ToSchema;

/// Characters of a role's name at most.
const NAME_CHARS: usize = 100;

/// Every role of an organisation: at most a hundred beside the built-in ones, so there are no pages.
#[derive(Serialize, ToSchema)]
pub(crate) struct Roles {
    data: Vec<RoleView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RoleView {
    /// What a member's or an invitation's `role` says.
    id: String,
    name: String,
    /// Whether every organisation has it.
    built_in: bool,
    permissions: Permissions,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewRole {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    permissions: Permissions,
}

/// What is left out stays as it is.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RoleEdit {
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    permissions: Option<Permissions>,
}

/// Every permission.
#[derive(Serialize, ToSchema)]
pub(crate) struct AllPermissions {
    data: Vec<Explained>,
}

#[derive(Serialize, ToSchema)]
struct Explained {
    id: Permission,
    /// What it permits, in a sentence.
    text: &'static str,
}

/// `GET /permissions`
pub(crate) async fn permissions() -> Json<AllPermissions> {
    let explain = |it: &Permission| Explained { id: *it, text: it.explanation() };
    Json(AllPermissions { data: Permission::ALL.iter().map(explain).collect() })
}

/// `GET /orgs/{org}/roles`
pub(crate) async fn list(app: App, member: Member) -> Result<Json<Roles>, Error> {
    let built_in = Role::ALL.into_iter().map(|role| RoleView {
        id: role.as_str().to_owned(),
        name: role.as_str().to_owned(),
        built_in: true,
        permissions: role.permissions(),
    });
    let own = app.store.own_roles(member.org_id).await?.into_iter().map(|row| RoleView {
        id: row.id.to_string(),
        name: row.name,
        built_in: false,
        permissions: rules::permissions("custom", Some(&row.permissions)),
    });
    Ok(Json(Roles { data: built_in.chain(own).collect() }))
}

/// `POST /orgs/{org}/roles`
pub(crate) async fn add(
    app: App,
    client: Client,
    member: Member,
    Input(ask): Input<NewRole>,
) -> Result<Created<RoleView>, Error> {
    let name = rules::name(&ask.name, NAME_CHARS)?;
    rules::within(ask.permissions, member.permissions)?;
    let now = app.host.now();
    let id = RoleId::new(now, random(&*app.host));
    let detail = json!({ "name": name, "permissions": ask.permissions });
    let entry = member.entry(&app, &client, "orgs.role_made").target(id).detail(&detail);
    app.store.add_role(member.standing(now), id, name.clone(), ask.permissions, entry).await?;
    Ok(Status(Json(RoleView { id: id.to_string(), name, built_in: false, permissions: ask.permissions })))
}

/// `PATCH /orgs/{org}/roles/{role}`
pub(crate) async fn change(
    app: App,
    client: Client,
    member: Member,
    Path((_, role)): Path<(String, String)>,
    Input(ask): Input<RoleEdit>,
) -> Result<NoContent, Error> {
    let role: RoleId = role.parse().map_err(|_| OrgError::NoRole)?;
    let name = ask.name.map(|it| rules::name(&it, NAME_CHARS)).transpose()?;
    if let Some(permissions) = ask.permissions {
        rules::within(permissions, member.permissions)?;
    }
    let detail = json!({ "name": name, "permissions": ask.permissions });
    let entry = member.entry(&app, &client, "orgs.role_changed").target(role).detail(&detail);
    app.store.change_role(member.standing(app.host.now()), role, name, ask.permissions, entry).await?;
    Ok(Status(()))
}

/// `DELETE /orgs/{org}/roles/{role}`
pub(crate) async fn delete(
    app: App,
    client: Client,
    member: Member,
    Path((_, role)): Path<(String, String)>,
) -> Result<NoContent, Error> {
    let role: RoleId = role.parse().map_err(|_| OrgError::NoRole)?;
    let entry = member.entry(&app, &client, "orgs.role_deleted").target(role);
    app.store.delete_role(member.standing(app.host.now()), role, entry).await?;
    Ok(Status(()))
}
