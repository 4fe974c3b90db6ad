//! Request bodies as OAuth writes them.

use super::{error::OauthError, rules};
use crate::{
    openapi::{Describe, Draft},
    payload::Payload,
};
use axum::{body::Body, extract::FromRequest};
use http::{Request, header::CONTENT_TYPE};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// The longest form; a refresh token has about a hundred characters, an access token below a thousand.
const LONGEST_BYTES: usize = 65_536;

/// A form of type `T`, each of whose fields is a text or left out.
pub(crate) struct Form<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = OauthError;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, OauthError> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
            return Err(OauthError::InvalidRequest("the body must be application/x-www-form-urlencoded"));
        }
        // A URL ends up in logs.
        if request.uri().query().is_some() {
            return Err(OauthError::InvalidRequest("parameters belong in the body, not in the URL"));
        }
        let Payload(body) = Payload::up_to(LONGEST_BYTES, request, state).await.map_err(OauthError::Other)?;
        let body = std::str::from_utf8(&body).map_err(|_| OauthError::InvalidRequest("the form is not UTF-8"))?;
        let fields = rules::parameters(body)?.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let form = serde_json::from_value(Value::Object(fields));
        form.map(Self).map_err(|_| OauthError::InvalidRequest("a parameter is missing"))
    }
}

impl<T: ToSchema> Describe for Form<T> {
    fn describe(draft: &mut Draft) {
        draft.takes::<T>(MEDIA_TYPE);
    }
}
