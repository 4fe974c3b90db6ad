//! Refreshing: one statement turns the session's token, so that of any number of tries one wins.

use super::{FIRST_PARTY, Facts, SessionToken, Tokens, Transport, tokens};
use crate::{
    App, Error,
    audit::{Actor, Entry},
    auth::{AuthError, sql::Turn},
    limits::Client,
    payload::Input,
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use utoipa::ToSchema;

/// Within so long after a turn the token before it is a retry, and not a theft.
const GRACE_MS: i64 = 10_000;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Refresh {
    #[schema(value_type = String)]
    refresh_token: secrecy::SecretString,
}

/// `POST /auth/refresh`
pub(crate) async fn refresh(app: App, client: Client, Input(ask): Input<Refresh>) -> Result<Tokens, Error> {
    refresh_tokens(&app, &client, ask.refresh_token.expose_secret(), FIRST_PARTY).await
}

/// New tokens for a refresh token of `client_id`.
pub(crate) async fn refresh_tokens(app: &App, client: &Client, text: &str, client_id: &str) -> Result<Tokens, Error> {
    let old = SessionToken::parse(&app.config.roots, Transport::Bearer, text).ok_or(AuthError::InvalidToken)?;
    let next = old.generation.checked_add(1).ok_or(AuthError::InvalidToken)?;
    let new = SessionToken::make(&*app.host, &app.config.roots, Transport::Bearer, old.session_id, next);
    let now = app.host.now();
    let turn = Turn {
        session_id: old.session_id,
        old_hash: old.hash(),
        new_hash: new.hash(),
        generation: old.generation.into(),
        now,
        grace_from: now.plus_ms(-GRACE_MS),
        idle_until: now.plus_ms(app.config.accounts.session_idle_ms),
        client_id: client_id.to_owned(),
        reuse: Entry::new(now, &Actor::ANONYMOUS, &client.origin, "auth.refresh_reused").target(old.session_id),
    };
    let turned = app.store.turn_session(turn).await?.ok_or(AuthError::SessionEnded)?;
    if turned.reused {
        tracing::warn!(session.id = %old.session_id, "a used refresh token came again: session {} is ended", old.session_id);
        return Err(AuthError::SessionEnded.into());
    }
    if !turned.rotated {
        return Err(AuthError::RefreshInProgress.into());
    }
    let facts = Facts {
        session_id: old.session_id,
        user_id: turned.user_id,
        version: turned.version,
        client_id: client_id.to_owned(),
        scope: turned.scope,
        amr: turned.amr.split(' ').map(str::to_owned).collect(),
        auth_time: turned.auth_time,
    };
    Ok(tokens(app, facts, &new))
}
