//! The outside accounts by which a person logs in, as the person sees and removes them.

use crate::{
    App, Error,
    audit::Entry,
    auth::{AuthError, Person},
    limits::Client,
    openapi::{NoContent, Status},
};
use axum::{Json, extract::Path};
use serde::Serialize;
use serde_json::json;
use shared::time::Timestamp;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(crate) struct Identities {
    data: Vec<Identity>,
    /// Whether a password logs in, too.
    has_password: bool,
}

#[derive(Serialize, ToSchema)]
struct Identity {
    /// Its id, such as `google`.
    provider: String,
    /// For people.
    name: String,
    /// As the provider told it when the account was linked.
    email: String,
    created_at: Timestamp,
}

/// `GET /auth/identities`
pub(crate) async fn list(app: App, person: Person) -> Result<Json<Identities>, Error> {
    let rows = app.store.identities(person.user_id).await?;
    let has_password = app.store.has_password(person.user_id).await?;
    // One that is configured no more is called by its id.
    let name = |id: &str| super::configured(&app, id).map_or_else(|_| id.to_owned(), |it| it.name.clone());
    let data = rows.into_iter().map(|row| Identity {
        name: name(&row.provider),
        provider: row.provider,
        email: row.email,
        created_at: row.created_at,
    });
    Ok(Json(Identities { data: data.collect(), has_password }))
}

/// `DELETE /auth/identities/{provider}`
pub(crate) async fn unlink(
    app: App,
    client: Client,
    person: Person,
    Path(provider): Path<String>,
) -> Result<NoContent, Error> {
    let entry = Entry::new(app.host.now(), &person.actor(), &client.origin, "auth.identity_unlinked")
        .target(person.user_id)
        .detail(&json!({ "provider": provider }));
    match app.store.unlink_identity(person.user_id, &provider, entry).await?.as_str() {
        "unlinked" => Ok(Status(())),
        "last" => Err(AuthError::LastWayIn.into()),
        _ => Err(AuthError::NoSuchIdentity.into()),
    }
}
