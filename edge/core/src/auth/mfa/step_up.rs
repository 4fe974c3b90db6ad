//! Proving again who one is. A new session comes in the place of the old one, so that whoever has got hold of the old
//! one's tokens has no part in what the proof allows.

use super::{
    challenge::{self, Pending},
    verify::{End, finish, with_code},
};
use crate::{
    App, Error,
    auth::{
        AuthError, Person,
        login::{Outcome, prove_password},
        session::Terms,
    },
    limits::Client,
    payload::Input,
};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Reauthenticate {
    #[schema(value_type = String)]
    password: SecretString,
    /// Of an authenticator app, or a recovery code. Whoever has a second factor and sends none gets a challenge.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    code: Option<SecretString>,
}

/// `POST /auth/reauthenticate`
pub(crate) async fn reauthenticate(
    app: App,
    client: Client,
    person: Person,
    Input(ask): Input<Reauthenticate>,
) -> Result<Outcome, Error> {
    let first = prove_password(&app, &client, &person, ask.password).await?.first;
    let by = app.store.opened_by(person.session_id).await?.ok_or(AuthError::SessionEnded)?;
    let terms = Terms { cookie: by.transport == "cookie", client_id: by.client_id, scope: by.scope };
    let pending = Pending::new(&first, terms, Some(person.session_id));
    match (first.has_second, ask.code) {
        (true, Some(code)) => Ok(Outcome::Session(with_code(&app, &client, &first, code, pending).await?)),
        (true, None) => Ok(Outcome::SecondFactor(challenge::begin(&app, &first, &pending).await?)),
        (false, _) => {
            let end = End { user_id: first.user_id, version: first.version, challenge: None, factor: None };
            Ok(Outcome::Session(finish(&app, &client, end, pending).await?))
        }
    }
}
