//! Error bodies in OpenAI's shape, as its SDKs parse them.

use serde::{Deserialize, Serialize};

/// `{"error": {...}}`: the body of every failed call under `/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// The inside of an [`ErrorBody`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// A sentence for a person.
    pub message: String,
    /// OpenAI's class of the error, such as `invalid_request_error`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The field of the request that is at fault, if one is.
    #[serde(default)]
    pub param: Option<String>,
    /// A stable word that a program may branch on.
    #[serde(default)]
    pub code: Option<String>,
    /// The id under which the call was logged and recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl ErrorBody {
    /// An error of class `kind` with a stable `code`.
    pub fn new(kind: &str, code: &str, message: impl Into<String>) -> Self {
        Self {
            error: ErrorDetail {
                message: message.into(),
                kind: kind.to_owned(),
                code: Some(code.to_owned()),
                ..ErrorDetail::default()
            },
        }
    }

    /// The error as the last event of a stream whose status line has long gone out.
    pub fn to_event(&self) -> String {
        super::sse::data(&serde_json::to_string(self).expect("an error body is plain data"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_fields_that_the_sdks_read() {
        let body = ErrorBody::new("invalid_request_error", "model_not_found", "no model \"x\"");
        assert_eq!(
            serde_json::to_value(&body).unwrap(),
            serde_json::json!({"error": {"message": "no model \"x\"", "type": "invalid_request_error",
                "param": null, "code": "model_not_found"}})
        );
    }

    #[test]
    fn an_error_event_is_one_line_of_data() {
        let event = ErrorBody::new("server_error", "upstream_cut", "line one\nline two").to_event();
        assert!(event.starts_with("data: {\"error\":") && event.ends_with("}\n\n"));
        assert_eq!(event.matches('\n').count(), 2);
    }
}
