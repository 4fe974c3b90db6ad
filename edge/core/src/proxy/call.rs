//! A call as the proxy needs to know it: which endpoint, which model, streamed or not. The rest passes unread.

use crate::{Error, nodes};
use bytes::Bytes;
use serde::Deserialize;
use shared::node::Task;
use std::borrow::Cow;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    ChatCompletions,
    Completions,
    Embeddings,
}

impl Endpoint {
    /// Path below an upstream's base URL.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
        }
    }

    /// Name in `usage` and in logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat.completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
        }
    }

    pub(super) fn task(self) -> Task {
        match self {
            Self::ChatCompletions | Self::Completions => Task::Chat,
            Self::Embeddings => Task::Embedding,
        }
    }
}

/// A call to relay.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    pub(super) model: String,
    pub(super) stream: bool,
    /// The client's own bytes; upstreams check what is in them.
    pub(super) body: Bytes,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: Option<bool>,
}

impl Call {
    /// Reads what routing needs, and checks that the whole body is one JSON object.
    pub(super) fn parse(endpoint: Endpoint, body: Bytes) -> Result<Self, Error> {
        // serde would read a list as the fields in order.
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Error::Json { detail: "expected an object".to_owned() });
        }
        let head: Head<'_> =
            serde_json::from_slice(&body).map_err(|error| Error::Json { detail: error.to_string() })?;
        let model =
            head.model.ok_or(Error::Invalid { message: "`model` is missing".to_owned(), param: Some("model") })?;
        if !nodes::is_model_id(&model) {
            let message = "`model` must have 1 to 256 printable characters without spaces".to_owned();
            return Err(Error::Invalid { message, param: Some("model") });
        }
        let (model, stream) = (model.into_owned(), head.stream.unwrap_or(false) && endpoint != Endpoint::Embeddings);
        Ok(Self { endpoint, model, stream, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_reads_model_and_stream_and_refuses_what_is_not_one_json_object() {
        for (body, verdict) in [
            (r#"{"model":"m"}"#, Ok(("m", false))),
            (r#"{"model":"m","stream":true,"x":{"model":"y"}}"#, Ok(("m", true))),
            (r#"{"model":"m","stream":null}"#, Ok(("m", false))),
            (r#"{"model":"a\u0062"}"#, Ok(("ab", false))),
            (r#"{"model":"a\u0000"}"#, Err("invalid_value")),
            (r#"{"model":"a b"}"#, Err("invalid_value")),
            (r#"{"model":""}"#, Err("invalid_value")),
            (r#"{"stream":true}"#, Err("invalid_value")),
            (r#"{"model":1}"#, Err("invalid_json")),
            (r#"{"model":"m","model":"n"}"#, Err("invalid_json")),
            (r#"{"model":"m"} {"#, Err("invalid_json")),
            (r#"{"model":"m""#, Err("invalid_json")),
            ("[]", Err("invalid_json")),
            (r#"["m",true]"#, Err("invalid_json")),
            ("", Err("invalid_json")),
        ] {
            let call = Call::parse(Endpoint::ChatCompletions, Bytes::from_static(body.as_bytes()));
            let seen = call.as_ref().map(|it| (it.model.as_str(), it.stream)).map_err(|it| it.face().2);
            assert_eq!(seen, verdict, "{body}");
        }
    }
}
