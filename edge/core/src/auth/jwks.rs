//! The keys that verify our access tokens, for whoever receives one (RFC 7517).

use super::token::{self, Jwk};
use crate::{App, openapi::Describe};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header::CACHE_CONTROL};
use serde::Serialize;
use utoipa::ToSchema;

/// A key is published thirty days before it signs, so an hour in a cache hides none that is in use.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=3600");

#[derive(Serialize, ToSchema)]
pub(crate) struct Jwks {
    keys: Vec<Jwk>,
}

impl Jwks {
    pub(crate) fn of(keys: Vec<Jwk>) -> Self {
        Self { keys }
    }
}

impl IntoResponse for Jwks {
    fn into_response(self) -> Response {
        let mut response = Json(self).into_response();
        response.headers_mut().insert(CACHE_CONTROL, CACHED);
        response
    }
}

impl Describe for Jwks {
    fn describe(draft: &mut crate::openapi::Draft) {
        Json::<Self>::describe(draft);
    }
}

/// `GET /.well-known/jwks.json`
pub(crate) async fn show(app: App) -> Jwks {
    Jwks::of(token::jwks(&app))
}
