//! What an upstream's error means for the client: whose fault it was, and which of its words may be passed on.

use crate::Error;
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use shared::openai::error::{ErrorBody, ErrorDetail};

/// Longest wait that an upstream can impose on a client, in seconds.
const MAX_RETRY_AFTER_S: u64 = 600;

/// Longest message that is passed on, in characters.
const MAX_MESSAGE_CHARS: usize = 2_000;

/// Turns an upstream's failed answer into ours. `body` is the beginning of its body.
///
/// An upstream that refuses *us* (401, 403) is no reason to tell the client that its key is wrong: that is a 502.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let retry_after_s = retry_after_s(headers);
    match status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            Error::Refused { status, detail: Box::new(detail(body)) }
        }
        // Groq answers so when a call exceeds our own account's limits, and names the account.
        StatusCode::PAYLOAD_TOO_LARGE => Error::Refused { status, detail: Box::new(too_large()) },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Error::UpstreamBusy { status, retry_after_s: retry_after_s.unwrap_or(2) }
        }
        _ => Error::UpstreamFailed { status },
    }
}

/// The upstream's own words about the client's request, when it says them in OpenAI's shape.
fn detail(body: &[u8]) -> ErrorDetail {
    let detail = serde_json::from_slice::<ErrorBody>(body).map(|it| it.error).ok();
    let mut detail = detail.unwrap_or_else(|| ErrorDetail {
        message: "the upstream refused the request".to_owned(),
        ..ErrorDetail::default()
    });
    if let Some((end, _)) = detail.message.char_indices().nth(MAX_MESSAGE_CHARS) {
        detail.message.truncate(end);
    }
    detail
}

fn too_large() -> ErrorDetail {
    ErrorDetail {
        message: "the request is too large for the upstream: send less text, or ask for fewer tokens".to_owned(),
        code: Some("request_too_large".to_owned()),
        ..ErrorDetail::default()
    }
}

fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    (seconds >= 0.0).then(|| (seconds.ceil() as u64).clamp(1, MAX_RETRY_AFTER_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_s_error_becomes_ours() {
        let said = br#"{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
        for (status, retry_after, body, ours, code) in [
            (400, None, &said[..], 400, "context_length_exceeded"),
            (404, None, br#"{"error":{"message":"gone"}}"#, 404, "invalid_value"),
            (
                413,
                None,
                br#"{"error":{"message":"too large in organization org_canary","code":"rate_limit_exceeded"}}"#,
                413,
                "request_too_large",
            ),
            (422, None, said, 422, "context_length_exceeded"),
            (401, None, br#"{"error":{"message":"Invalid API Key gsk_canary"}}"#, 502, "upstream_failed"),
            (403, None, b"", 502, "upstream_failed"),
            (429, Some("7"), b"", 429, "upstream_busy"),
            (429, Some("0.2"), b"", 429, "upstream_busy"),
            (503, None, b"", 503, "upstream_busy"),
            (500, None, br#"{"error":{"message":"secret internals"}}"#, 502, "upstream_failed"),
            (302, None, b"", 502, "upstream_failed"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(seconds) = retry_after {
                headers.insert(RETRY_AFTER, seconds.parse().unwrap());
            }
            let error = read(StatusCode::from_u16(status).unwrap(), &headers, body);
            assert_eq!((error.status().as_u16(), error.face().2), (ours, code), "{status}");
            let text = serde_json::to_string(&error.openai(None)).unwrap();
            assert!(!text.contains("canary") && !text.contains("internals"), "{text}");
        }
    }

    #[test]
    fn a_wait_is_whole_seconds_within_reason() {
        for (header, seconds) in [
            ("7", Some(7)),
            ("0.2", Some(1)),
            ("0", Some(1)),
            ("1e9", Some(600)),
            ("-1", None),
            ("soon", None),
            ("NaN", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, header.parse().unwrap());
            assert_eq!(retry_after_s(&headers), seconds, "{header}");
        }
    }
}
