//! Errors as OAuth's clients read them (RFC 6749, section 5.2).

use crate::{
    Error,
    auth::{AuthError, session::no_store},
    error::chain,
    openapi::{Describe, Draft},
    sql::SqlError,
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Why an OAuth endpoint refuses. The texts are public, and hold no quotes: RFC 6749 leaves those out.
#[derive(Debug)]
pub(crate) enum OauthError {
    InvalidRequest(&'static str),
    InvalidClient,
    InvalidGrant(&'static str),
    UnauthorizedClient(&'static str),
    UnsupportedGrantType,
    UnsupportedTokenType,
    InvalidScope,
    /// What can go wrong on other routes as well; it keeps its status and code.
    Other(Error),
}

/// The body of a refusal.
#[derive(Serialize, ToSchema)]
pub(crate) struct OauthProblem {
    error: String,
    error_description: String,
}

impl OauthError {
    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::Other(error) => error.status(),
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn code(&self) -> &str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant(_) => "invalid_grant",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::InvalidScope => "invalid_scope",
            Self::Other(error) => error.face().2,
        }
    }

    fn description(&self) -> String {
        match self {
            Self::InvalidRequest(what) | Self::InvalidGrant(what) | Self::UnauthorizedClient(what) => {
                (*what).to_owned()
            }
            Self::InvalidClient => "the client is not known, or its credentials are wrong".to_owned(),
            Self::UnsupportedGrantType => "this grant type is not offered".to_owned(),
            Self::UnsupportedTokenType => {
                "a token of a client ends by itself, or with the client: it cannot be revoked alone".to_owned()
            }
            Self::InvalidScope => "the scope is unknown, or more than the client may have".to_owned(),
            Self::Other(error) => error.to_string(),
        }
    }
}

/// What makes a grant worthless has OAuth's one word for it, whatever the reason.
impl From<Error> for OauthError {
    fn from(error: Error) -> Self {
        match error {
            Error::Auth(AuthError::InvalidCredentials | AuthError::ChallengeOver) => {
                Self::InvalidGrant("e-mail, password or code is wrong, or the account cannot be used")
            }
            Error::Auth(AuthError::InvalidToken | AuthError::ExpiredToken | AuthError::SessionEnded) => {
                Self::InvalidGrant("the token is not valid, or its session has ended")
            }
            other => Self::Other(other),
        }
    }
}

impl From<SqlError> for OauthError {
    fn from(error: SqlError) -> Self {
        Error::from(error).into()
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        if let Self::Other(error) = &self
            && error.status().is_server_error()
        {
            tracing::error!(error = %chain(error), "request failed");
        }
        let problem = OauthProblem { error: self.code().to_owned(), error_description: self.description() };
        let mut response = no_store((self.status(), Json(problem)).into_response());
        if let Self::Other(error) = &self
            && let Some(seconds) = error.retry_after_s()
        {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if matches!(self, Self::InvalidClient) {
            let challenge = HeaderValue::from_static(r#"Basic realm="oauth", charset="UTF-8""#);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl<T: Describe> Describe for Result<T, OauthError> {
    fn describe(draft: &mut Draft) {
        T::describe(draft);
    }
}
