//! Errors in Stripe's shape.

use serde_json::{Map, Value, json};

/// Why a call is refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    error: Map<String, Value>,
}

impl Refusal {
    /// A mistake in the call.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::of(400, "invalid_request_error", message)
    }

    pub(crate) fn of(status: u16, kind: &str, message: impl Into<String>) -> Self {
        let mut error = Map::new();
        error.insert("message".to_owned(), message.into().into());
        error.insert("type".to_owned(), kind.into());
        Self { status, error }
    }

    pub(crate) fn missing(name: &str) -> Self {
        Self::new(format!("Missing required param: {name}.")).code("parameter_missing").param(name)
    }

    pub(crate) fn invalid_integer(name: &str, text: &str) -> Self {
        Self::new(format!("Invalid integer: {text}")).code("parameter_invalid_integer").param(name)
    }

    pub(crate) fn unknown(name: &str) -> Self {
        Self::new(format!("Received unknown parameter: {name}")).code("parameter_unknown").param(name)
    }

    /// An id that is no object's: 404 where it is the path's, else 400.
    pub(crate) fn no_such(kind: &str, id: &str, param: &str) -> Self {
        let mut refusal = Self::new(format!("No such {}: '{id}'", kind.replace(['.', '_'], " ")));
        refusal.status = if param == "id" { 404 } else { 400 };
        refusal.code("resource_missing").param(param)
    }

    /// A payment that the bank refuses.
    pub(crate) fn card(code: &str, message: &str) -> Self {
        Self::of(402, "card_error", message).code(code)
    }

    pub(crate) fn code(self, code: &str) -> Self {
        let doc_url = format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-"));
        self.with("code", code.into()).with("doc_url", doc_url.into())
    }

    pub(crate) fn param(self, name: &str) -> Self {
        self.with("param", name.into())
    }

    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.error.insert(name.to_owned(), value);
        self
    }

    /// The error itself, as a payment intent keeps it.
    pub(crate) fn error(&self) -> Value {
        Value::Object(self.error.clone())
    }

    pub(crate) fn body(&self) -> Value {
        json!({ "error": self.error })
    }
}
