//! Forgotten passwords, and changed ones.

use super::{
    OnceToken,
    mailed::{MailLimit, Mailed, mailed},
    once::LINK_LIFE_MS,
    parse_email,
    sql::{Change, Forgotten, Reset as ResetBy},
};
use crate::{
    App, Error,
    audit::{Actor, Entry},
    auth::{
        AuthError, Person,
        login::prove_password,
        password::{Personal, accept, hash_aside},
        session::no_store,
        throttle::{DeviceToken, admit_address, may_go, set_cookie},
    },
    limits::Client,
    mail::{Letter, Template, send_soon},
    openapi::{Accepted, Describe, Draft, NoContent, Status},
    payload::Input,
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Forgot {
    email: String,
}

/// `POST /auth/password/forgot`
pub(crate) async fn forgot(app: App, client: Client, Input(ask): Input<Forgot>) -> Result<Accepted<Mailed>, Error> {
    let email = parse_email(&ask.email)?;
    admit_address(&app, &client).await?;
    let token = OnceToken::make(&*app.host);
    let now = app.host.now();
    let forgotten = Forgotten {
        token_hash: token.hash(),
        now,
        expires_at: now.plus_ms(LINK_LIFE_MS),
        limit: MailLimit::of(&email),
        letter: Letter::with_link(&app, Some(&email), Template::PasswordReset, &token.path("reset")),
        entry: Entry::new(now, &Actor::ANONYMOUS, &client.origin, "auth.reset_requested"),
        email,
    };
    app.store.forgot_password(forgotten).await?;
    Ok(mailed(&app))
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Reset {
    /// From the link of a mail.
    #[schema(value_type = String)]
    token: SecretString,
    #[schema(value_type = String)]
    password: SecretString,
    /// Whether the API keys that the person has made end, too.
    #[serde(default)]
    revoke_api_keys: bool,
}

/// A password that was reset. It logs nobody in.
#[derive(Serialize, ToSchema)]
pub(crate) struct WasReset {
    /// For the next log-in: whoever reads the mailbox is not held up by what strangers have tried.
    #[schema(value_type = String)]
    device_token: String,
}

impl IntoResponse for WasReset {
    fn into_response(self) -> Response {
        let device = SecretString::from(self.device_token.clone());
        let mut response = no_store(Json(self).into_response());
        set_cookie(&mut response, &device);
        response
    }
}

impl Describe for WasReset {
    fn describe(draft: &mut Draft) {
        Json::<Self>::describe(draft);
    }
}

/// `POST /auth/password/reset`: second factors stay as they are; every session ends.
pub(crate) async fn reset(app: App, client: Client, Input(ask): Input<Reset>) -> Result<WasReset, Error> {
    let token = OnceToken::parse(ask.token).ok_or(AuthError::InvalidOneTimeToken)?;
    let found = app.store.mailed_token(&app, &client, token.hash()).await?;
    may_go(found.wait_ms)?;
    // A token that is good for nothing costs no hash.
    let Some(email) = found.email.filter(|_| found.purpose.as_deref() == Some("password_reset")) else {
        return Err(AuthError::InvalidOneTimeToken.into());
    };
    let name = found.name.unwrap_or_default();
    accept(&ask.password, &Personal::of(&[&app.config.project_name, &email, &name]))?;
    let new_hash = hash_aside(&app, ask.password).await?;
    let now = app.host.now();
    let entry = Entry::new(now, &Actor::ANONYMOUS, &client.origin, "auth.password_reset");
    let by = ResetBy {
        token_hash: token.hash(),
        new_hash,
        now,
        revoke_keys: ask.revoke_api_keys,
        entry: entry.detail(&json!({ "revoke_api_keys": ask.revoke_api_keys })),
        notice: Letter::new(&app, None, Template::PasswordChanged, &json!({})),
    };
    let user = app.store.reset_password(by).await?.ok_or(AuthError::InvalidOneTimeToken)?;
    send_soon(&app);
    Ok(WasReset { device_token: DeviceToken::issue(&app, user).expose_secret().to_owned() })
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct ChangePassword {
    #[schema(value_type = String)]
    current_password: SecretString,
    #[schema(value_type = String)]
    new_password: SecretString,
}

/// `POST /auth/password/change`: this session stays, all others end.
pub(crate) async fn change(
    app: App,
    client: Client,
    person: Person,
    Input(ask): Input<ChangePassword>,
) -> Result<NoContent, Error> {
    accept(&ask.new_password, &Personal::of(&[&app.config.project_name, &person.email, &person.name]))?;
    let old_hash = prove_password(&app, &client, &person, ask.current_password).await?.hash;
    let new_hash = hash_aside(&app, ask.new_password).await?;
    let now = app.host.now();
    let change = Change {
        user_id: person.user_id,
        old_hash,
        new_hash,
        session_id: person.session_id,
        now,
        entry: Entry::new(now, &person.actor(), &client.origin, "auth.password_changed").target(person.user_id),
        notice: Letter::new(&app, None, Template::PasswordChanged, &json!({})),
    };
    if !app.store.change_password(change).await? {
        return Err(AuthError::InvalidCredentials.into());
    }
    send_soon(&app);
    Ok(Status(()))
}
