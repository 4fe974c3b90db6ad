//! What a person calls themselves.

use super::parse_name;
use crate::{
    App, Error,
    audit::Entry,
    auth::{Person, me::Me},
    limits::Client,
    payload::Input,
};
use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Profile {
    name: String,
}

/// `PATCH /me`
pub(crate) async fn rename(
    app: App,
    client: Client,
    person: Person,
    Input(ask): Input<Profile>,
) -> Result<Json<Me>, Error> {
    let name = parse_name(&ask.name)?;
    let entry = Entry::new(app.host.now(), &person.actor(), &client.origin, "auth.name_changed").target(person.user_id);
    app.store.rename(person.user_id, name.clone(), entry).await?;
    Ok(Json(Me::of(Person { name, ..person })))
}
