//! `POST /auth/revoke`: ends what a token stands for (RFC 7009).
//!
//! Every token of a session stands for the session, so any of them ends it: an access token that went on working after
//! its revocation would be a lie. A client's own token is not kept anywhere and ends by itself; so does what is unknown.

use super::{authenticate::authenticate, error::OauthError, form::Form};
use crate::{
    App,
    audit::{Actor, Entry},
    auth::{
        session::{SessionToken, Transport, no_store},
        token::{self, Verified},
    },
    limits::Client,
    openapi::{Describe, Draft},
};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use shared::id::SessionId;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Revocation {
    #[schema(value_type = String)]
    token: SecretString,
    /// Not needed: a token shows what it is.
    #[allow(dead_code, reason = "only describes")]
    token_type_hint: Option<String>,
    /// Unless the client authenticates in the header.
    client_id: Option<String>,
    #[schema(value_type = Option<String>)]
    client_secret: Option<SecretString>,
}

/// An answer without a body, as RFC 7009 has it.
pub(crate) struct Revoked;

/// `POST /auth/revoke`
pub(crate) async fn revoke(
    app: App,
    client: Client,
    headers: HeaderMap,
    Form(ask): Form<Revocation>,
) -> Result<Revoked, OauthError> {
    let caller = authenticate(&app, &headers, ask.client_id, ask.client_secret).await?;
    let Some(session) = session_of(&app, ask.token.expose_secret())? else { return Ok(Revoked) };
    let now = app.host.now();
    // The statement knows whose session it is.
    let actor = Actor { kind: "user", id: None };
    let entry = Entry::new(now, &actor, &client.origin, "auth.token_revoked").target(session);
    match app.store.revoke_session(session, caller.client_id(), now, entry).await? {
        Some(row) if !row.own => Err(OauthError::InvalidGrant("the token was issued to another client")),
        _ => Ok(Revoked),
    }
}

/// The session that a token stands for; none when it is no token of ours, or too old to be one.
fn session_of(app: &App, text: &str) -> Result<Option<SessionId>, OauthError> {
    // A refresh token that was turned already still shows, by its tag, that its holder once had the newest.
    if let Some(token) = SessionToken::parse(&app.config.roots, Transport::Bearer, text) {
        return Ok(Some(token.session_id));
    }
    match token::verify(app, text) {
        Ok(Verified::Session(claims)) => Ok(Some(claims.session_id)),
        Ok(Verified::Client(_)) => Err(OauthError::UnsupportedTokenType),
        Err(_) => Ok(None),
    }
}

impl IntoResponse for Revoked {
    fn into_response(self) -> Response {
        no_store(StatusCode::OK.into_response())
    }
}

impl Describe for Revoked {
    fn describe(draft: &mut Draft) {
        crate::openapi::Status::<200, ()>::describe(draft);
    }
}
