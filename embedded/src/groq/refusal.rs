//! Errors in Groq's words.

use axum::Json;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    retry_after_s: Option<u64>,
    error: Value,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>, kind: &str, code: Option<&str>) -> Self {
        let mut error = json!({ "message": message.into(), "type": kind });
        if let Some(code) = code {
            error["code"] = code.into();
        }
        Self { status, retry_after_s: None, error }
    }

    pub(super) fn bad_request(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, "invalid_request_error", None)
    }

    pub(super) fn invalid_key() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Invalid API Key", "invalid_request_error", Some("invalid_api_key"))
    }

    pub(super) fn no_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        Self::new(StatusCode::NOT_FOUND, message, "invalid_request_error", Some("model_not_found"))
    }

    pub(super) fn unknown_url(method: &Method, uri: &Uri) -> Self {
        let message = format!(
            "Unknown request URL: {method} {}. Please check the URL for typos, or see the docs at \
             https://console.groq.com/docs/",
            uri.path()
        );
        Self::new(StatusCode::NOT_FOUND, message, "invalid_request_error", Some("unknown_url"))
    }

    /// What Groq would say with this status.
    pub(super) fn fault(status: StatusCode, retry_after_s: Option<u64>, model: &str) -> Self {
        let mut refusal = match status {
            StatusCode::UNAUTHORIZED => Self::invalid_key(),
            StatusCode::NOT_FOUND => Self::no_model(model),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                status,
                format!(
                    "Request too large for model `{model}` in organization `org_fake` service tier `on_demand` on \
                     tokens per minute (TPM): Limit 6000, Requested 9000, please reduce your message size and try again."
                ),
                "tokens",
                Some("rate_limit_exceeded"),
            ),
            StatusCode::TOO_MANY_REQUESTS => Self::new(
                status,
                format!(
                    "Rate limit reached for model `{model}` in organization `org_fake` service tier `on_demand` on \
                     requests per minute (RPM): Limit 30, Used 30, Requested 1. Please try again in {}s.",
                    retry_after_s.unwrap_or_default()
                ),
                "requests",
                Some("rate_limit_exceeded"),
            ),
            StatusCode::SERVICE_UNAVAILABLE => {
                let message =
                    format!("{model} is currently over capacity. Please try again and back off exponentially.");
                Self::new(status, message, "internal_server_error", None)
            }
            _ if status.is_client_error() => {
                Self::new(status, "The request was refused, as asked.", "invalid_request_error", None)
            }
            _ => Self::new(status, "Internal Server Error", "internal_server_error", None),
        };
        refusal.retry_after_s = retry_after_s;
        refusal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.error }))).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
