//! What can go wrong for a caller, and how it is told: one place for statuses, codes and public texts.
//!
//! Under `/v1` a body has OpenAI's shape, elsewhere it is a problem document (RFC 9457). Causes go to the log alone.

use crate::{
    auth::{AuthError, OperateError},
    billing::BillingError,
    host::FetchError,
    keys::KeyError,
    limits::{Exceeded, TooLarge},
    orgs::OrgError,
    sql::SqlError,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use shared::{
    id::RequestId,
    node::CallError,
    openai::error::{ErrorBody, ErrorDetail},
};
use std::sync::Arc;
use utoipa::ToSchema;

/// A failed call. The text of each variant is public; sources are not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("{0}")]
    Auth(#[from] AuthError),
    #[error("{0}")]
    Operate(#[from] OperateError),
    #[error("{0}")]
    Org(#[from] OrgError),
    #[error("{0}")]
    Billing(#[from] BillingError),
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("this call was seen before")]
    Replayed,
    #[error("this node is not registered")]
    UnknownNode,
    #[error("the join token is unknown, used or expired")]
    JoinRefused,
    #[error("no such route: {method} {path}")]
    NoRoute { method: String, path: String },
    #[error("this route does not take this method")]
    Method,
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the body could not be read to its end")]
    BodyCut,
    #[error("the body is not the JSON that this route takes: {detail}")]
    Json { detail: String },
    #[error("{message}")]
    Invalid { message: String, param: Option<&'static str> },
    #[error("the model `{model}` does not exist or is not served here")]
    NoModel { model: String },
    #[error("the model `{model}` cannot do this: it is for {task}")]
    WrongTask { model: String, task: &'static str },
    #[error("the node that serves `{model}` is away; try again soon")]
    NodeAway { model: String },
    #[error("{0}")]
    RateLimited(Box<Exceeded>),
    #[error("{0}")]
    TokensExceedLimit(Box<TooLarge>),
    /// Nobody may try, rather than everybody without end.
    #[error("the service cannot count against its limits now; try again soon")]
    LimitsAway,
    #[error("the upstream has too much to do; try again soon")]
    UpstreamBusy { status: StatusCode, retry_after_s: u64 },
    /// The upstream refused the call for a fault of the caller's; its words are passed on.
    #[error("{}", detail.message)]
    Refused { status: StatusCode, detail: Box<ErrorDetail> },
    #[error("there is no such call, or it is not recorded yet")]
    NoGeneration,
    #[error("the upstream failed")]
    UpstreamFailed { status: StatusCode },
    #[error("the upstream could not be reached")]
    Upstream(#[from] FetchError),
    #[error("the upstream did not answer in time")]
    UpstreamTimeout,
    #[error("the upstream broke off its answer")]
    UpstreamCut,
    #[error("the service cannot reach its database; try again soon")]
    Unavailable(#[source] SqlError),
    #[error("something went wrong on our side")]
    Internal(#[source] SqlError),
}

/// The body of a failed call outside `/v1`: a problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `about:blank`: `code` says what it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// A sentence for a person.
    detail: String,
    /// A stable word that a program may branch on.
    code: String,
    /// The part of the request that is wrong, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<String>,
    /// The id under which the call was logged.
    request_id: RequestId,
}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Unavailable(_) => Self::Unavailable(error),
            SqlError::BadValue(_) => {
                Self::Invalid { message: "a value holds a character that cannot be stored".to_owned(), param: None }
            }
            SqlError::Conflict { .. } | SqlError::Column { .. } | SqlError::Failed(_) => Self::Internal(error),
        }
    }
}

/// Status, OpenAI's class, and the stable code that programs branch on.
type Face<'a> = (StatusCode, &'static str, &'a str);

/// OpenAI's class of an error that the slices know by status and code alone.
fn with_class((status, code): (StatusCode, &'static str)) -> Face<'static> {
    let class = match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::PAYMENT_REQUIRED => "insufficient_quota",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        _ if status.is_server_error() => SERVER,
        _ => INVALID,
    };
    (status, class, code)
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

impl Error {
    /// How the error looks from outside.
    pub fn face(&self) -> Face<'_> {
        match self {
            Self::Key(error) => with_class(error.face()),
            Self::Auth(error) => with_class(error.face()),
            Self::Operate(error) => with_class(error.face()),
            Self::Org(error) => with_class(error.face()),
            Self::Billing(error) => with_class(error.face()),
            Self::Call(_) | Self::Replayed => (StatusCode::UNAUTHORIZED, "authentication_error", "call_not_accepted"),
            Self::UnknownNode => (StatusCode::NOT_FOUND, INVALID, "node_unknown"),
            Self::JoinRefused => (StatusCode::FORBIDDEN, INVALID, "join_refused"),
            Self::NoRoute { .. } => (StatusCode::NOT_FOUND, INVALID, "route_not_found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, INVALID, "method_not_allowed"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, INVALID, "body_too_large"),
            Self::BodyCut => (StatusCode::BAD_REQUEST, INVALID, "body_cut"),
            Self::Json { .. } => (StatusCode::BAD_REQUEST, INVALID, "invalid_json"),
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, INVALID, "invalid_value"),
            Self::NoGeneration => (StatusCode::NOT_FOUND, INVALID, "generation_not_found"),
            Self::NoModel { .. } => (StatusCode::NOT_FOUND, INVALID, "model_not_found"),
            Self::WrongTask { .. } => (StatusCode::BAD_REQUEST, INVALID, "model_not_suitable"),
            Self::NodeAway { .. } => (StatusCode::SERVICE_UNAVAILABLE, SERVER, "node_away"),
            Self::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded"),
            Self::TokensExceedLimit(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "tokens_exceed_limit"),
            Self::LimitsAway => (StatusCode::SERVICE_UNAVAILABLE, SERVER, "limits_unavailable"),
            Self::UpstreamBusy { status, .. } => (*status, SERVER, "upstream_busy"),
            Self::Refused { status, detail } => (*status, INVALID, detail.code.as_deref().unwrap_or("invalid_value")),
            Self::UpstreamFailed { .. } => (StatusCode::BAD_GATEWAY, SERVER, "upstream_failed"),
            Self::Upstream(_) => (StatusCode::SERVICE_UNAVAILABLE, SERVER, "upstream_unreachable"),
            Self::UpstreamTimeout => (StatusCode::GATEWAY_TIMEOUT, SERVER, "upstream_timeout"),
            Self::UpstreamCut => (StatusCode::BAD_GATEWAY, SERVER, "upstream_cut"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, SERVER, "database_unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, SERVER, "internal"),
        }
    }

    /// The status that the client is answered with.
    pub fn status(&self) -> StatusCode {
        self.face().0
    }

    /// Whole seconds after which a retry may help.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::RateLimited(exceeded) => Some(exceeded.retry_after_s()),
            Self::UpstreamBusy { retry_after_s, .. } => Some(*retry_after_s),
            Self::Auth(error) => error.retry_after_s(),
            Self::Billing(BillingError::StripeAway) => Some(5),
            Self::NodeAway { .. } | Self::Upstream(_) | Self::Unavailable(_) | Self::LimitsAway => Some(2),
            _ => None,
        }
    }

    /// The part of the request that is wrong.
    fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => *param,
            Self::Refused { detail, .. } => detail.param.as_deref(),
            Self::NoModel { .. } | Self::WrongTask { .. } => Some("model"),
            Self::Key(error) => error.param(),
            Self::Billing(error) => error.param(),
            Self::Org(OrgError::Field { field, .. }) | Self::Auth(AuthError::Field { field, .. }) => Some(field),
            _ => None,
        }
    }

    /// The error in OpenAI's shape.
    pub fn openai(&self, id: Option<RequestId>) -> ErrorBody {
        let (_, kind, code) = self.face();
        let mut body = ErrorBody::new(kind, code, self.to_string());
        body.error.param = self.param().map(str::to_owned);
        body.error.request_id = id.map(|it| it.to_string());
        body
    }

    /// The error as RFC 9457 has it.
    fn problem(&self, id: RequestId) -> Problem {
        let (status, _, code) = self.face();
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            detail: self.to_string(),
            code: code.to_owned(),
            param: self.param().map(str::to_owned),
            request_id: id,
        }
    }

    /// The answer for a request to `path`.
    pub(crate) fn render(&self, path: &str, id: RequestId) -> Response {
        let (status, ..) = self.face();
        if status.is_server_error() {
            tracing::error!(error = %chain(self), "request failed");
        }
        let openai = path == "/v1" || path.starts_with("/v1/");
        let (content_type, body) = if openai {
            ("application/json", serde_json::to_vec(&self.openai(Some(id))))
        } else {
            ("application/problem+json", serde_json::to_vec(&self.problem(id)))
        };
        let mut response = Response::new(Body::from(body.expect("an error body is plain data")));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if let Self::RateLimited(exceeded) = self {
            response.headers_mut().extend(exceeded.headers());
        }
        if matches!(self, Self::TokensExceedLimit(_)) {
            // OpenAI's clients ask again after any 429 that does not tell them otherwise.
            response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Carries the error to the layer that knows the path and the request id, which writes the body.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |it| it.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
