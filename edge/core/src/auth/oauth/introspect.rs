//! `POST /auth/introspect`: tells a client what a token is worth now (RFC 7662).
//!
//! The platform's clients see every token. An organisation's clients see those of its own clients alone; of anything
//! else they learn as little as of rubbish.

use super::{
    authenticate::{Confidential, authenticate},
    error::OauthError,
    form::Form,
};
use crate::{
    App,
    auth::{
        client,
        rules::{same_hash, session_times_are_live},
        session::{SessionToken, Transport, no_store},
        token::{self, Claims, Verified},
    },
    openapi::{Describe, Draft},
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::Serialize;
use shared::id::OrgId;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Introspection {
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

/// What a token is worth. Of one that is worth nothing, nothing else is told.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct TokenState {
    active: bool,
    #[serde(flatten)]
    told: Option<Told>,
}

/// As RFC 7662 names it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Told {
    /// `Bearer`; none for a refresh token, which opens nothing by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    iss: String,
    sub: String,
    client_id: String,
    scope: String,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amr: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<String>,
}

/// `POST /auth/introspect`
pub(crate) async fn introspect(
    app: App,
    headers: HeaderMap,
    Form(ask): Form<Introspection>,
) -> Result<TokenState, OauthError> {
    let caller = authenticate(&app, &headers, ask.client_id, ask.client_secret).await?;
    let caller = caller.confidential().ok_or(OauthError::InvalidClient)?;
    let text = ask.token.expose_secret();
    let told = match SessionToken::parse(&app.config.roots, Transport::Bearer, text) {
        Some(token) => refresh_token(&app, &caller, &token).await?,
        None => match token::claims(&app, text) {
            Ok(claims) => access_token(&app, &caller, claims).await?,
            Err(_) => None,
        },
    };
    Ok(TokenState { active: told.is_some(), told })
}

async fn refresh_token(app: &App, caller: &Confidential, token: &SessionToken) -> Result<Option<Told>, OauthError> {
    let Some(row) = app.store.session_facts(token.session_id).await? else { return Ok(None) };
    let live = session_times_are_live(row.ended || row.suspended, row.idle_until, row.expires_at, app.host.now());
    let newest = row.transport == "bearer" && same_hash(&token.hash(), &row.token_hash);
    if !live || !newest || !caller.may_see(row.client_org_id) {
        return Ok(None);
    }
    Ok(Some(Told {
        token_type: None,
        iss: app.config.public_url.clone(),
        sub: row.user_id.to_string(),
        client_id: row.client_id,
        scope: row.scope,
        exp: row.idle_until.min(row.expires_at).as_seconds(),
        aud: None,
        iat: None,
        nbf: None,
        jti: None,
        sid: Some(token.session_id.to_string()),
        auth_time: Some(row.auth_time.as_seconds()),
        amr: row.amr.split(' ').map(str::to_owned).collect(),
        acr: None,
    }))
}

async fn access_token(app: &App, caller: &Confidential, claims: Claims) -> Result<Option<Told>, OauthError> {
    let scope = match claims.speaker() {
        Some(Verified::Session(session)) => {
            let Some(row) = app.store.session_facts(session.session_id).await? else { return Ok(None) };
            let live =
                session_times_are_live(row.ended || row.suspended, row.idle_until, row.expires_at, app.host.now());
            let same = row.user_id == session.user_id && row.version == session.version;
            (live && same && caller.may_see(row.client_org_id)).then_some(row.scope)
        }
        Some(Verified::Client(of)) => {
            let live = client::live_client(app, &of).await?;
            live.filter(|it| caller.may_see(it.org_id)).map(|it| it.permissions.to_string())
        }
        None => None,
    };
    Ok(scope.map(|scope| Told {
        token_type: Some("Bearer"),
        iss: claims.iss,
        sub: claims.sub,
        client_id: claims.client_id,
        scope,
        exp: claims.exp,
        aud: Some(claims.aud),
        iat: Some(claims.iat),
        nbf: Some(claims.nbf),
        jti: Some(claims.jti),
        sid: claims.sid,
        auth_time: claims.auth_time,
        amr: claims.amr,
        acr: claims.acr,
    }))
}

impl Confidential {
    /// Whether a token of a client of `org` is this client's business.
    fn may_see(&self, org: Option<OrgId>) -> bool {
        self.org_id.is_none_or(|own| org == Some(own))
    }
}

impl IntoResponse for TokenState {
    fn into_response(self) -> Response {
        no_store(Json(self).into_response())
    }
}

impl Describe for TokenState {
    fn describe(draft: &mut Draft) {
        Json::<Self>::describe(draft);
    }
}
