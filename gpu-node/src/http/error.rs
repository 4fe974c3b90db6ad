//! Errors as OpenAI's SDKs parse them.

use crate::{chat::MessageError, engine::Refused};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use shared::{node::CallError, openai::error::ErrorBody};

/// Seconds after which a refused caller may try again: about the time of one short answer.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the request body is not valid JSON for this call: {0}")]
    Json(#[source] serde_json::Error),
    #[error("the request body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the request body ended early")]
    Body,
    #[error("{0}")]
    Unsigned(#[from] CallError),
    #[error("this call was made before: its nonce is used")]
    Replayed,
    #[error("too many calls at once to tell new ones from repeated ones")]
    NoncesFull,
    #[error("there is no {path} here")]
    Route { path: String },
    #[error("{path} does not take this method")]
    Method { path: String },
    #[error("the model `{0}` is not served here")]
    Model(String),
    #[error("{message}")]
    Invalid { param: &'static str, message: String },
    #[error("{what} is not supported by this model")]
    Unsupported { param: &'static str, what: &'static str },
    #[error("messages[{at}]: {cause}")]
    Message {
        at: usize,
        #[source]
        cause: MessageError,
    },
    #[error(
        "This model's maximum context length is {context} tokens, but your messages have {prompt} tokens and max_tokens is {answer}"
    )]
    ContextLength { context: usize, prompt: usize, answer: u64 },
    #[error("This model's maximum context length is {context} tokens, but input {at} has {tokens} tokens")]
    InputLength { context: usize, at: usize, tokens: usize },
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("the node is loading its models")]
    Loading,
    #[error("the node is stopping")]
    Draining,
    #[error("the model could not be computed")]
    Failed,
}

impl Error {
    pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { param, message: message.into() }
    }

    /// The body, as an answer or as the last event of a stream.
    pub(super) fn body(&self) -> ErrorBody {
        let (status, code) = self.status();
        let kind = match status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let mut body = ErrorBody::new(kind, code, self.to_string());
        body.error.param = match self {
            Self::Invalid { param, .. } | Self::Unsupported { param, .. } => Some((*param).to_owned()),
            Self::Model(_) => Some("model".to_owned()),
            Self::Message { at, .. } => Some(format!("messages[{at}]")),
            Self::ContextLength { .. } => Some("messages".to_owned()),
            Self::InputLength { .. } => Some("input".to_owned()),
            _ => None,
        };
        body
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Json(_) => (StatusCode::BAD_REQUEST, "invalid_json"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::Body => (StatusCode::BAD_REQUEST, "incomplete_body"),
            Self::Unsigned(_) => (StatusCode::UNAUTHORIZED, "call_not_accepted"),
            Self::Replayed => (StatusCode::UNAUTHORIZED, "call_replayed"),
            Self::NoncesFull => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Route { .. } => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Model(_) => (StatusCode::NOT_FOUND, "model_not_found"),
            Self::Invalid { .. } | Self::Message { .. } => (StatusCode::BAD_REQUEST, "invalid_value"),
            Self::Unsupported { .. } => (StatusCode::BAD_REQUEST, "unsupported_value"),
            Self::ContextLength { .. } | Self::InputLength { .. } => {
                (StatusCode::BAD_REQUEST, "context_length_exceeded")
            }
            Self::Refused(Refused::Overloaded { .. }) => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Refused(Refused::Stopped) => (StatusCode::SERVICE_UNAVAILABLE, "engine_stopped"),
            Self::Loading => (StatusCode::SERVICE_UNAVAILABLE, "loading"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "computation_failed"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status().0;
        let mut response = (status, Json(self.body())).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
