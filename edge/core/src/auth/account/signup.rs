//! Sign-up, and the proof of an address.

use super::{
    NewAccount, OnceToken,
    mailed::{MailLimit, Mailed, mailed},
    once::LINK_LIFE_MS,
    parse_email, parse_name,
    sql::{NewSignup, Proof},
};
use crate::{
    App, Error,
    audit::{Actor, Entry},
    auth::{
        AuthError,
        password::{Personal, accept, hash_aside},
        throttle::{admit_address, may_go},
    },
    limits::Client,
    mail::{Letter, Template},
    openapi::Accepted,
    payload::Input,
    sql::SqlError,
};
use axum::Json;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Signup {
    email: String,
    /// 15 characters or more, and none of the first that anyone would try.
    #[schema(value_type = String)]
    password: SecretString,
    #[serde(default)]
    name: String,
}

/// `POST /auth/signup`
pub(crate) async fn signup(app: App, client: Client, Input(ask): Input<Signup>) -> Result<Accepted<Mailed>, Error> {
    if !app.config.accounts.signup_open {
        return Err(AuthError::SignupClosed.into());
    }
    let (email, name) = (parse_email(&ask.email)?, parse_name(&ask.name)?);
    accept(&ask.password, &Personal::of(&[&app.config.project_name, &email, &name]))?;
    admit_address(&app, &client).await?;
    // The same work, whether or not the address has an account: one hash, two letters, one statement.
    let password_hash = hash_aside(&app, ask.password).await?;
    let token = OnceToken::make(&*app.host);
    let now = app.host.now();
    let new = NewSignup {
        token_hash: token.hash(),
        password_hash,
        name,
        now,
        expires_at: now.plus_ms(LINK_LIFE_MS),
        limit: MailLimit::of(&email),
        verify: Letter::with_link(&app, Some(&email), Template::Verify, &token.path("verify")),
        exists: Letter::with_link(&app, Some(&email), Template::AccountExists, "/account.html#login"),
        entry: Entry::new(now, &Actor::ANONYMOUS, &client.origin, "auth.signup"),
        email,
    };
    app.store.sign_up(new).await?;
    Ok(mailed(&app))
}

#[derive(Deserialize, ToSchema)]
#[schema(as = VerifyAddress)]
pub(crate) struct Verify {
    /// From the link of a mail.
    #[schema(value_type = String)]
    token: SecretString,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Verified {
    /// The address that is proven now.
    email: String,
}

/// `POST /auth/verify`: makes the account of a sign-up, or changes an account's address. Logs nobody in.
pub(crate) async fn verify(app: App, client: Client, Input(ask): Input<Verify>) -> Result<Json<Verified>, Error> {
    let token = OnceToken::parse(ask.token).ok_or(AuthError::InvalidOneTimeToken)?;
    let found = app.store.mailed_token(&app, &client, token.hash()).await?;
    may_go(found.wait_ms)?;
    // The mail to an account's old address names the new one. Whether the token is good is decided by what uses it up.
    let new_email = found.email.ok_or(AuthError::InvalidOneTimeToken)?;
    let now = app.host.now();
    let proof = Proof {
        token_hash: token.hash(),
        account: NewAccount::of_signup(&app),
        now,
        created: Entry::new(now, &Actor::ANONYMOUS, &client.origin, "auth.account_created"),
        changed: Entry::new(now, &Actor::ANONYMOUS, &client.origin, "auth.email_changed"),
        notice: Letter::new(&app, None, Template::EmailChanged, &json!({ "email": new_email })),
    };
    let proven = match app.store.prove_address(proof).await {
        Err(SqlError::Conflict { constraint }) if constraint == "users_email_key" => Err(AuthError::EmailTaken.into()),
        other => other.map_err(Error::from),
    };
    let email = proven?.ok_or(AuthError::InvalidOneTimeToken)?;
    crate::mail::send_soon(&app);
    Ok(Json(Verified { email }))
}
