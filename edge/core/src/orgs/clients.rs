//! OAuth clients of an organisation: programs that act in it in their own name. The table is `auth`'s.

use super::{Member, OrgError, rules};
use crate::{
    App, Error,
    auth::{self, ClientListing},
    limits::Client,
    openapi::{Created, NoContent, Status},
    page::{Page, Paging},
    payload::{Input, Query},
};
use axum::{Json, extract::Path};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use shared::{
    id::{ClientId, UserId},
    permission::Permissions,
    time::Timestamp,
};
use utoipa::ToSchema;

/// Characters of a client's name at most.
const NAME_CHARS: usize = 200;

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewClient {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What its tokens may permit: at most what its maker may.
    permissions: Permissions,
}

/// A client at the only moment at which its secret can be seen.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeClient {
    client_id: ClientId,
    #[serde(serialize_with = "shown")]
    #[schema(value_type = String)]
    client_secret: SecretString,
    name: String,
    permissions: Permissions,
}

fn shown<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ClientView {
    client_id: ClientId,
    name: String,
    permissions: Permissions,
    /// Null when another client made it.
    created_by: Option<UserId>,
    created_at: Timestamp,
}

/// `GET /orgs/{org}/clients`
pub(crate) async fn list(
    app: App,
    member: Member,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ClientView>>, Error> {
    let rows = app.store.org_clients(member.org_id, paging.after()?, paging.rows()).await?;
    let view = |row: ClientListing| ClientView {
        client_id: row.id,
        name: row.name,
        permissions: row.scope.parse().unwrap_or_default(),
        created_by: row.created_by,
        created_at: row.created_at,
    };
    Ok(Json(Page::of(&paging, rows, |row| row.id, view)))
}

/// `POST /orgs/{org}/clients`
pub(crate) async fn add(
    app: App,
    client: Client,
    member: Member,
    Input(ask): Input<NewClient>,
) -> Result<Created<MadeClient>, Error> {
    let name = rules::name(&ask.name, NAME_CHARS)?;
    rules::within(ask.permissions, member.permissions)?;
    let new = auth::NewClient {
        org_id: Some(member.org_id),
        created_by: member.user_id,
        name: name.clone(),
        scope: ask.permissions,
    };
    let made = auth::register_client(&*app.host, &app.store, new, &member.actor, &client.origin).await?;
    let made = made.ok_or(OrgError::TooMany)?;
    let (client_id, client_secret) = (made.id, made.secret);
    Ok(Status(Json(MadeClient { client_id, client_secret, name, permissions: ask.permissions })))
}

/// `DELETE /orgs/{org}/clients/{client}`: its tokens end at once.
pub(crate) async fn revoke(
    app: App,
    client: Client,
    member: Member,
    Path((_, id)): Path<(String, String)>,
) -> Result<NoContent, Error> {
    let id: ClientId = id.parse().map_err(|_| OrgError::NoClient)?;
    let (org, now) = (Some(member.org_id), app.host.now());
    let revoked = auth::revoke_client(&app.store, id, org, now, &member.actor, &client.origin).await?;
    if revoked { Ok(Status(())) } else { Err(OrgError::NoClient.into()) }
}
