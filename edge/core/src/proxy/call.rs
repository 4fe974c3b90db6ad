//! A call as the proxy needs to know it: which endpoint, which model, streamed or not. The rest passes unread.

use crate::{Error, nodes};
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
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
    pub(super) estimate: Estimate,
    /// The client's own bytes; upstreams check what is in them.
    pub(super) body: Bytes,
}

/// How many tokens a call is likely to take, before anybody has counted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) prompt: u64,
    /// The most that it asks for.
    pub(super) completion: u64,
}

impl Estimate {
    pub(super) const fn total(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

/// Bytes of a prompt that make a token, as a rule of thumb for English.
const TOKEN_BYTES: u64 = 4;

/// Tokens of an answer whose call sets no bound.
const COMPLETION_TOKENS: u64 = 1_024;

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default, deserialize_with = "count")]
    max_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    max_completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    n: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    best_of: Option<u64>,
}

/// A count, or nothing where there is something else: that is the upstream's to refuse.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    // Clients in some languages write all numbers with a point.
    Ok(value.as_u64().or_else(|| value.as_f64().filter(|it| *it >= 0.0).map(|it| it as u64)))
}

impl Head<'_> {
    fn estimate(&self, endpoint: Endpoint, body: &[u8]) -> Estimate {
        let prompt = (body.len() as u64).div_ceil(TOKEN_BYTES);
        let completion = match endpoint {
            Endpoint::Embeddings => 0,
            Endpoint::ChatCompletions | Endpoint::Completions => {
                let each = self.max_completion_tokens.or(self.max_tokens).unwrap_or(COMPLETION_TOKENS);
                each.saturating_mul(self.n.unwrap_or(1).max(self.best_of.unwrap_or(1)).max(1))
            }
        };
        Estimate { prompt, completion }
    }
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
        let estimate = head.estimate(endpoint, &body);
        let model =
            head.model.ok_or(Error::Invalid { message: "`model` is missing".to_owned(), param: Some("model") })?;
        if !nodes::is_model_id(&model) {
            let message = "`model` must have 1 to 256 printable characters without spaces".to_owned();
            return Err(Error::Invalid { message, param: Some("model") });
        }
        let (model, stream) = (model.into_owned(), head.stream.unwrap_or(false) && endpoint != Endpoint::Embeddings);
        Ok(Self { endpoint, model, stream, estimate, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_estimated_by_its_prompt_and_the_most_that_it_asks_for() {
        use Endpoint::{ChatCompletions, Completions, Embeddings};
        for (endpoint, more, completion) in [
            (ChatCompletions, "", 1_024),
            (ChatCompletions, r#","max_tokens":10"#, 10),
            (ChatCompletions, r#","max_tokens":10,"max_completion_tokens":20"#, 20),
            (ChatCompletions, r#","max_tokens":10,"n":3"#, 30),
            (ChatCompletions, r#","max_tokens":10.0,"n":0"#, 10),
            (ChatCompletions, r#","max_tokens":null,"n":2"#, 2_048),
            (ChatCompletions, r#","max_tokens":-1"#, 1_024),
            (ChatCompletions, r#","max_tokens":"many""#, 1_024),
            (ChatCompletions, r#","max_tokens":{"a":[]}"#, 1_024),
            (ChatCompletions, r#","max_tokens":18446744073709551615,"n":9"#, u64::MAX),
            (Completions, r#","max_tokens":10,"n":2,"best_of":5"#, 50),
            (Embeddings, r#","max_tokens":10"#, 0),
        ] {
            let body = format!(r#"{{"model":"m"{more}}}"#);
            let prompt = (body.len() as u64).div_ceil(4);
            let call = Call::parse(endpoint, Bytes::from(body.clone())).unwrap();
            assert_eq!(call.estimate, Estimate { prompt, completion }, "{endpoint:?} {body}");
            assert!(call.estimate.total() >= prompt);
        }
    }

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
            (r#"{"model":"m","max_tokens":1,"max_tokens":9}"#, Err("invalid_json")),
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
