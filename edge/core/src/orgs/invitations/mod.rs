//! Invitations: a mail to an address, and a token in it that makes whoever has the address a member.
//!
//! The token is stored as SHA-256, works once and for two weeks, and ends when whoever sent it loses the role that it was
//! sent by. Only the mail ever holds it.

mod accept;
mod sql;

pub(crate) use accept::{accept, join};
pub(super) use sql::statements;

use super::{
    Member, OrgError,
    role::{GivenRole, HeldRole},
};
use crate::{
    App, Error, auth,
    host::random,
    limits::Client,
    mail::{self, Letter, Template},
    openapi::{Created, NoContent, Status},
    page::{Page, Paging},
    payload::{Input, Query},
};
use axum::{Json, extract::Path};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use shared::{
    id::{InvitationId, UserId},
    time::Timestamp,
};
use sql::{InvitationRow, Invite};
use utoipa::ToSchema;

/// How long an invitation may be accepted.
const LIFE_MS: i64 = 14 * 86_400_000;

const PREFIX: &str = "nest_invitation_";

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewInvitation {
    email: String,
    /// `owner`, `admin`, `billing`, `member`, `viewer`, or the id of one of the organisation's own roles.
    #[schema(value_type = String)]
    role: GivenRole,
}

/// The token is in the mail alone.
#[derive(Serialize, ToSchema)]
pub(crate) struct Invited {
    id: InvitationId,
    email: String,
    role: String,
    created_at: Timestamp,
    expires_at: Timestamp,
}

/// An invitation that can still be accepted.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationView {
    id: InvitationId,
    email: String,
    #[serde(flatten)]
    role: HeldRole,
    /// Null when a client did.
    invited_by: Option<UserId>,
    created_at: Timestamp,
    expires_at: Timestamp,
}

/// `POST /orgs/{org}/invitations`
pub(crate) async fn invite(
    app: App,
    client: Client,
    member: Member,
    Input(ask): Input<NewInvitation>,
) -> Result<Created<Invited>, Error> {
    let email =
        auth::normalised_email(&ask.email).ok_or(OrgError::Field { field: "email", reason: "is no address" })?;
    let org = app.store.org(member.org_id).await?.ok_or(OrgError::Unknown)?;
    let secret: [u8; 32] = random(&*app.host);
    let token = format!("{PREFIX}{}", BASE64URL.encode(secret));
    let now = app.host.now();
    let id = InvitationId::new(now, random(&*app.host));
    let role = ask.role.text();
    let entry =
        member.entry(&app, &client, "orgs.member_invited").target(id).detail(&json!({ "email": email, "role": role }));
    let invite =
        Invite { id, email: email.clone(), role: ask.role, token_hash: hash(&token), expires_at: now.plus_ms(LIFE_MS) };
    let letter = letter(&app, &member, &email, &org.name, ask.role, &token);
    app.store.invite_member(member.standing(now), invite, entry, letter).await?;
    mail::send_soon(&app);
    Ok(Status(Json(Invited { id, email, role, created_at: now, expires_at: now.plus_ms(LIFE_MS) })))
}

fn letter(app: &App, member: &Member, email: &str, org: &str, role: GivenRole, token: &str) -> Letter {
    let role = match role {
        GivenRole::BuiltIn(role) => role.as_str(),
        GivenRole::Own(_) => "member with a role of its own",
    };
    let link = format!("{}/account.html#invitation={token}", app.config.public_url);
    let fill = json!({ "link": link, "org": org, "inviter": member.name, "role": role });
    Letter::new(app, Some(email), Template::Invitation, &fill)
}

/// What is stored of a token.
fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// `GET /orgs/{org}/invitations`
pub(crate) async fn list(
    app: App,
    member: Member,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<InvitationView>>, Error> {
    let rows = app.store.open_invitations(member.org_id, app.host.now(), paging.after()?, paging.rows()).await?;
    let view = |row: InvitationRow| InvitationView {
        id: row.id,
        email: row.email,
        role: HeldRole::of(row.role, row.custom_role, row.custom_name, row.custom_permissions.as_deref()),
        invited_by: row.invited_by,
        created_at: row.created_at,
        expires_at: row.expires_at,
    };
    Ok(Json(Page::of(&paging, rows, |row| row.id, view)))
}

/// `DELETE /orgs/{org}/invitations/{invitation}`
pub(crate) async fn revoke(
    app: App,
    client: Client,
    member: Member,
    Path((_, invitation)): Path<(String, String)>,
) -> Result<NoContent, Error> {
    let invitation: InvitationId = invitation.parse().map_err(|_| OrgError::NoInvitation)?;
    let entry = member.entry(&app, &client, "orgs.invitation_revoked").target(invitation);
    app.store.revoke_invitation(member.standing(app.host.now()), invitation, entry).await?;
    Ok(Status(()))
}
