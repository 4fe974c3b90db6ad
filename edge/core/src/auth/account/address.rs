//! Another address: proven by a mail to it before it counts.

use super::{
    OnceToken,
    mailed::{MailLimit, Mailed, mailed},
    once::LINK_LIFE_MS,
    parse_email,
    sql::AddressChange,
};
use crate::{
    App, Error,
    audit::Entry,
    auth::Person,
    limits::Client,
    mail::{Letter, Template},
    openapi::Accepted,
    payload::Input,
};
use serde::Deserialize;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct ChangeEmail {
    /// The new address.
    email: String,
}

/// `POST /me/email`: the old address counts, and is told nothing, until the new one is proven.
pub(crate) async fn change(
    app: App,
    client: Client,
    person: Person,
    Input(ask): Input<ChangeEmail>,
) -> Result<Accepted<Mailed>, Error> {
    let email = parse_email(&ask.email)?;
    let token = OnceToken::make(&*app.host);
    let now = app.host.now();
    let change = AddressChange {
        user_id: person.user_id,
        token_hash: token.hash(),
        now,
        expires_at: now.plus_ms(LINK_LIFE_MS),
        limit: MailLimit::of(&email),
        prove: Letter::with_link(&app, Some(&email), Template::EmailChange, &token.path("email")),
        exists: Letter::with_link(&app, Some(&email), Template::AccountExists, "/account.html#login"),
        entry: Entry::new(now, &person.actor(), &client.origin, "auth.email_change_requested").target(person.user_id),
        email,
    };
    app.store.ask_for_address(change).await?;
    Ok(mailed(&app))
}
