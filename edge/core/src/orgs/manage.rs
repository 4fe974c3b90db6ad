//! Organisations: founding, renaming and deleting them, and the list of one's own.

use super::{Member, OrgError, role::HeldRole, rules, sql::Place};
use crate::{
    App, Error,
    audit::Entry,
    auth::Person,
    host::random,
    limits::Client,
    openapi::{Created, NoContent, Status},
    page::{Page, Paging},
    payload::{Input, Query},
};
use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{id::OrgId, permission::Permissions, time::Timestamp};
use utoipa::ToSchema;

/// Characters of an organisation's name at most.
const NAME_CHARS: usize = 200;

#[derive(Deserialize, ToSchema)]
pub(crate) struct OrgName {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// An organisation, and what whoever asks may do there.
#[derive(Serialize, ToSchema)]
pub(crate) struct Org {
    id: OrgId,
    name: String,
    /// Whether it is someone's personal one, which nobody else joins.
    personal: bool,
    created_at: Timestamp,
    permissions: Permissions,
}

/// An organisation of a person, and their place in it.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnOrg {
    id: OrgId,
    name: String,
    personal: bool,
    suspended: bool,
    created_at: Timestamp,
    #[serde(flatten)]
    role: HeldRole,
}

/// `GET /orgs`
pub(crate) async fn list(app: App, person: Person, Query(paging): Query<Paging>) -> Result<Json<Page<OwnOrg>>, Error> {
    let rows = app.store.orgs_of(person.user_id, paging.after()?, paging.rows()).await?;
    let view = |row: Place| OwnOrg {
        id: row.id,
        name: row.name,
        personal: row.personal,
        suspended: row.suspended,
        created_at: row.created_at,
        role: HeldRole::of(row.role, row.custom_role, row.custom_name, row.custom_permissions.as_deref()),
    };
    Ok(Json(Page::of(&paging, rows, |row| row.id, view)))
}

/// `POST /orgs`
pub(crate) async fn found(
    app: App,
    client: Client,
    person: Person,
    Input(ask): Input<OrgName>,
) -> Result<Created<Org>, Error> {
    let name = rules::name(&ask.name, NAME_CHARS)?;
    let now = app.host.now();
    let id = OrgId::new(now, random(&*app.host));
    let entry = Entry::new(now, &person.actor(), &client.origin, "orgs.founded").org(id).target(id);
    if !app.store.found_org(id, name.clone(), person.user_id, entry).await? {
        return Err(OrgError::TooMany.into());
    }
    Ok(Status(Json(Org { id, name, personal: false, created_at: now, permissions: Permissions::all() })))
}

/// `GET /orgs/{org}`
pub(crate) async fn show(app: App, member: Member) -> Result<Json<Org>, Error> {
    let row = app.store.org(member.org_id).await?.ok_or(OrgError::Unknown)?;
    let (id, permissions) = (member.org_id, member.permissions);
    Ok(Json(Org { id, name: row.name, personal: row.personal, created_at: row.created_at, permissions }))
}

/// `PATCH /orgs/{org}`
pub(crate) async fn rename(
    app: App,
    client: Client,
    member: Member,
    Input(ask): Input<OrgName>,
) -> Result<NoContent, Error> {
    let name = rules::name(&ask.name, NAME_CHARS)?;
    let entry = member.entry(&app, &client, "orgs.renamed").target(member.org_id).detail(&json!({ "name": name }));
    let renamed = app.store.rename_org(member.org_id, name, entry).await?;
    if renamed { Ok(Status(())) } else { Err(OrgError::Unknown.into()) }
}

/// `DELETE /orgs/{org}`: its keys and clients end with it; its rows stay for the books.
pub(crate) async fn delete(app: App, client: Client, member: Member) -> Result<NoContent, Error> {
    let entry = member.entry(&app, &client, "orgs.deleted").target(member.org_id);
    app.store.delete_org(member.standing(app.host.now()), entry).await?;
    Ok(Status(()))
}
