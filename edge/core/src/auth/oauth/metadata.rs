//! `GET /.well-known/oauth-authorization-server`: what clients need to know of this server (RFC 8414).

use crate::{
    App,
    openapi::{Describe, Draft},
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header::CACHE_CONTROL};
use serde::Serialize;
use shared::permission::Permission;
use utoipa::ToSchema;

/// It changes with a release at most.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// How a client may present its secret.
const SECRETS: &[&str] = &["client_secret_basic", "client_secret_post"];

/// The password grant is for our own programs, and so is not told to others.
#[derive(Serialize, ToSchema)]
pub(crate) struct Metadata {
    issuer: String,
    token_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    jwks_uri: String,
    grant_types_supported: &'static [&'static str],
    /// Required, and empty: there is no authorization endpoint.
    response_types_supported: &'static [&'static str],
    scopes_supported: &'static [Permission],
    token_endpoint_auth_methods_supported: &'static [&'static str],
    revocation_endpoint_auth_methods_supported: &'static [&'static str],
    introspection_endpoint_auth_methods_supported: &'static [&'static str],
}

/// `GET /.well-known/oauth-authorization-server`
pub(crate) async fn show(app: App) -> Metadata {
    let issuer = app.config.public_url.clone();
    let endpoint = |name: &str| format!("{issuer}{}/auth/{name}", app.config.api_prefix);
    Metadata {
        token_endpoint: endpoint("token"),
        revocation_endpoint: endpoint("revoke"),
        introspection_endpoint: endpoint("introspect"),
        jwks_uri: format!("{issuer}/.well-known/jwks.json"),
        grant_types_supported: &["client_credentials", "refresh_token"],
        response_types_supported: &[],
        scopes_supported: Permission::ALL,
        token_endpoint_auth_methods_supported: SECRETS,
        revocation_endpoint_auth_methods_supported: SECRETS,
        introspection_endpoint_auth_methods_supported: SECRETS,
        issuer,
    }
}

impl IntoResponse for Metadata {
    fn into_response(self) -> Response {
        let mut response = Json(self).into_response();
        response.headers_mut().insert(CACHE_CONTROL, CACHED);
        response
    }
}

impl Describe for Metadata {
    fn describe(draft: &mut Draft) {
        Json::<Self>::describe(draft);
    }
}
