//! Passkeys as their owner sees them.

use crate::{
    App, Error,
    audit::Entry,
    auth::{
        AuthError, Person,
        login::prove_password,
        mfa::{
            overview::{Factors, Passkey},
            rules,
            totp::change,
        },
    },
    limits::Client,
    mail,
    openapi::{NoContent, Status},
    payload::Input,
};
use axum::{Json, extract::Path};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use shared::id::PasskeyId;
use utoipa::ToSchema;

/// Passkeys, oldest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Passkeys {
    data: Vec<Passkey>,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Rename {
    name: String,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = RemovePasskey)]
pub(crate) struct Remove {
    #[schema(value_type = String)]
    password: SecretString,
}

/// `GET /auth/mfa/passkeys`
pub(crate) async fn list(app: App, person: Person) -> Result<Json<Passkeys>, Error> {
    Ok(Json(Passkeys { data: Factors::of(&app, person.user_id).await?.into_passkeys() }))
}

/// `PATCH /auth/mfa/passkeys/{passkey}`
pub(crate) async fn rename(
    app: App,
    client: Client,
    person: Person,
    Path(passkey): Path<String>,
    Input(ask): Input<Rename>,
) -> Result<NoContent, Error> {
    let id: PasskeyId = passkey.parse().map_err(|_| AuthError::NoSuchPasskey)?;
    let name = rules::passkey_name(&ask.name)?;
    let entry = Entry::new(app.host.now(), &person.actor(), &client.origin, "auth.passkey_renamed").target(id);
    let renamed = app.store.rename_passkey(id, person.user_id, name, entry).await?;
    if renamed { Ok(Status(())) } else { Err(AuthError::NoSuchPasskey.into()) }
}

/// `DELETE /auth/mfa/passkeys/{passkey}`: by the password, in a session that a second factor has opened lately.
pub(crate) async fn remove(
    app: App,
    client: Client,
    person: Person,
    Path(passkey): Path<String>,
    Input(ask): Input<Remove>,
) -> Result<NoContent, Error> {
    rules::may_change(true, &person.amr)?;
    let id: PasskeyId = passkey.parse().map_err(|_| AuthError::NoSuchPasskey)?;
    prove_password(&app, &client, &person, ask.password).await?;
    let mut change = change(&app, &client, &person, "auth.passkey_removed", "a passkey was removed");
    change.entry = change.entry.target(id);
    if !app.store.remove_passkey(change, id).await? {
        return Err(AuthError::NoSuchPasskey.into());
    }
    mail::send_soon(&app);
    Ok(Status(()))
}
