//! Accepting: by a person who is logged in, or by someone who has no account yet.

use super::sql::{Accepted, Joining};
use super::{PREFIX, hash};
use crate::{
    App, Error,
    audit::{Actor, Entry},
    auth::{AuthError, NewAccount, Person},
    limits::Client,
    openapi::{Created, Status},
    orgs::{OrgError, standing::verdict},
    payload::Input,
};
use axum::Json;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use shared::id::{OrgId, UserId};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Acceptance {
    /// From the link in the mail.
    #[schema(value_type = String)]
    token: SecretString,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Join {
    /// From the link in the mail; it proves the address.
    #[schema(value_type = String)]
    token: SecretString,
    #[schema(value_type = String)]
    password: SecretString,
    #[serde(default)]
    name: String,
}

/// The organisation that one is a member of now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Joined {
    org_id: OrgId,
    user_id: UserId,
}

/// `POST /invitations/accept`
pub(crate) async fn accept(
    app: App,
    client: Client,
    person: Person,
    Input(ask): Input<Acceptance>,
) -> Result<Json<Joined>, Error> {
    let token = token_hash(&ask.token)?;
    let entry = Entry::new(app.host.now(), &person.actor(), &client.origin, "orgs.invitation_accepted");
    let entry = entry.target(person.user_id);
    let accepted = app.store.accept_invitation(token, person.user_id, app.host.now(), entry).await?;
    Ok(Json(Joined { org_id: joined(&accepted)?, user_id: person.user_id }))
}

/// `POST /invitations/join`: makes the account, and logs nobody in.
pub(crate) async fn join(app: App, client: Client, Input(ask): Input<Join>) -> Result<Created<Joined>, Error> {
    let token = token_hash(&ask.token)?;
    // Hashing a password is what nobody without a token may make us do.
    let email = app.store.invited(token.clone(), app.host.now()).await?.ok_or(OrgError::InvalidInvitation)?;
    let new = NewAccount::with_password(&app, &email, &ask.name, ask.password).await?;
    let (user_id, now) = (new.user_id(), app.host.now());
    let entry = |action| Entry::new(now, &Actor::user(user_id), &client.origin, action).target(user_id);
    let (made, accepted) = (entry("auth.account_created"), entry("orgs.invitation_accepted"));
    let accepted = app.store.join_by_invitation(Joining { token, new, now, made, accepted }).await?;
    if accepted.outcome == "email_taken" {
        return Err(AuthError::EmailTaken.into());
    }
    Ok(Status(Json(Joined { org_id: joined(&accepted)?, user_id })))
}

/// What is stored of a token, if it can be one of ours.
fn token_hash(token: &SecretString) -> Result<Vec<u8>, OrgError> {
    let text = token.expose_secret();
    if text.starts_with(PREFIX) { Ok(hash(text)) } else { Err(OrgError::InvalidInvitation) }
}

fn joined(accepted: &Accepted) -> Result<OrgId, OrgError> {
    verdict(&accepted.outcome)?;
    accepted.org_id.ok_or(OrgError::Changed)
}
