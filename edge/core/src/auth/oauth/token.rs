//! `POST /auth/token`: tokens for a grant (RFC 6749).

use super::{
    authenticate::{Caller, authenticate},
    error::OauthError,
    form::Form,
    rules,
};
use crate::{
    App,
    audit::{Actor, Entry},
    auth::{
        login::{self, Outcome},
        mfa,
        session::{ALL, FIRST_PARTY, Session, Terms, Tokens, refresh_tokens},
        token::{self, Said},
    },
    limits::Client,
};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use shared::permission::Permissions;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct TokenRequest {
    /// `client_credentials`, `refresh_token`, or for our own programs `password`.
    grant_type: String,
    /// Permissions, space-separated. A refreshed session keeps its own.
    scope: Option<String>,
    /// With `refresh_token`.
    #[schema(value_type = Option<String>)]
    refresh_token: Option<SecretString>,
    /// With `password`: the e-mail address.
    username: Option<String>,
    /// With `password`.
    #[schema(value_type = Option<String>)]
    password: Option<SecretString>,
    /// With `password`: the code of a second factor, where one is set up.
    #[schema(value_type = Option<String>)]
    otp: Option<SecretString>,
    /// Unless the client authenticates in the header.
    client_id: Option<String>,
    #[schema(value_type = Option<String>)]
    client_secret: Option<SecretString>,
}

/// `POST /auth/token`
pub(crate) async fn token(
    app: App,
    client: Client,
    headers: HeaderMap,
    Form(mut ask): Form<TokenRequest>,
) -> Result<Tokens, OauthError> {
    let grant = ask.grant_type.as_str();
    let offered = ["client_credentials", "refresh_token"].contains(&grant);
    let by_password = grant == "password" && app.config.accounts.password_grant;
    if !(offered || by_password) {
        return Err(OauthError::UnsupportedGrantType);
    }
    let caller = authenticate(&app, &headers, ask.client_id.take(), ask.client_secret.take()).await?;
    match (ask.grant_type.as_str(), caller) {
        ("refresh_token", caller) => {
            let refresh_token = ask.refresh_token.ok_or(OauthError::InvalidRequest("refresh_token is missing"))?;
            Ok(refresh_tokens(&app, &client, refresh_token.expose_secret(), &caller.client_id()).await?)
        }
        ("client_credentials", Caller::Confidential(caller)) => {
            let scope = rules::granted(ask.scope.as_deref(), caller.scope).ok_or(OauthError::InvalidScope)?;
            let id = caller.id.to_string();
            let actor = Actor { kind: "client", id: Some(id.clone()) };
            let entry = Entry::new(app.host.now(), &actor, &client.origin, "auth.client_token");
            let entry = caller.org_id.into_iter().fold(entry, Entry::org);
            if !app.store.client_token(caller.id, entry).await? {
                return Err(OauthError::InvalidClient);
            }
            Ok(client_tokens(&app, &id, scope))
        }
        ("password", Caller::FirstParty) => password(&app, &client, ask).await,
        _ => Err(OauthError::UnauthorizedClient("this client may not use this grant type")),
    }
}

fn client_tokens(app: &App, id: &str, scope: Permissions) -> Tokens {
    let scope = scope.to_string();
    let said = Said { client_id: id.to_owned(), scope: scope.clone(), ..Said::default() };
    Tokens {
        access_token: token::sign(app, id, said),
        token_type: "Bearer",
        expires_in: token::LIFE_S,
        refresh_token: None,
        device_token: None,
        scope,
    }
}

/// For our own programs alone, by the same check as `/auth/login`: same limits, same time, same answers.
async fn password(app: &App, client: &Client, ask: TokenRequest) -> Result<Tokens, OauthError> {
    let scope = match ask.scope.as_deref() {
        None | Some(ALL) => ALL.to_owned(),
        scope => rules::granted(scope, Permissions::all()).ok_or(OauthError::InvalidScope)?.to_string(),
    };
    let terms = Terms { cookie: false, client_id: FIRST_PARTY.to_owned(), scope };
    let (Some(username), Some(password)) = (ask.username, ask.password) else {
        return Err(OauthError::InvalidRequest("username or password is missing"));
    };
    let first = login::check_password(app, client, &username, password).await?;
    let outcome = match ask.otp {
        Some(code) if first.has_second => Outcome::Session(mfa::verify_inline(app, client, first, code, terms).await?),
        None if first.has_second => return Err(SECOND_FACTOR),
        // A code that nobody asks for proves nothing, and takes nothing away.
        _ => login::proceed(app, client, first, terms).await?,
    };
    match outcome {
        Outcome::Session(Session::Tokens(tokens)) => Ok(tokens),
        _ => Err(SECOND_FACTOR),
    }
}

const SECOND_FACTOR: OauthError =
    OauthError::InvalidGrant("this account has a second factor: send its code as otp, or log in at /auth/login");
