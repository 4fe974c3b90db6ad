//! The span of a request and the names of its fields. Never secrets, prompts or answers.

use http::{Request, StatusCode};
use shared::id::RequestId;
use tracing::{Span, debug, field::Empty, info_span};

/// The span that every log line of a request lies in.
pub(crate) fn request_span<B>(request: &Request<B>, id: RequestId) -> Span {
    // The query is left out: a caller may have put a secret there.
    info_span!(
        "request",
        request.id = %id,
        http.method = %request.method(),
        http.path = request.uri().path(),
        key.id = Empty,
        user.id = Empty,
        model = Empty,
        upstream = Empty,
    )
}

/// One line for each answer; calls are recorded in `usage`, so that this is for whoever looks closer.
pub(crate) fn answered(status: StatusCode, latency_ms: i64) {
    debug!(http.status = status.as_u16(), latency_ms, "answered {status}");
}
