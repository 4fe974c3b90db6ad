//! A call as the proxy needs to know it: which endpoint, which model, streamed or not. The rest passes unread.

use super::{include, settlement::MOST_TOKENS};
use crate::{Error, billing::Worst, nodes};
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
    /// The most that it may take, as far as that can be told before.
    pub(super) worst: Worst,
    /// Whether the client wants the cost in the answer.
    pub(super) includes_cost: bool,
    /// The client's own bytes, but for what is meant for us; upstreams check what is in them.
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

/// Bytes of a prompt that make a token, at the fewest: money is held for so many. Few texts have more tokens, and what
/// exceeds a hold is charged all the same.
const LEAST_TOKEN_BYTES: u64 = 2;

/// Tokens of an answer whose call sets no bound, for which money is held.
const HELD_TOKENS: u64 = 4_096;

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
    #[serde(default)]
    usage: Option<serde_json::Value>,
}

/// A count, or nothing where there is something else: that is the upstream's to refuse.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    // Clients in some languages write all numbers with a point.
    Ok(value.as_u64().or_else(|| value.as_f64().filter(|it| *it >= 0.0).map(|it| it as u64)))
}

impl Head<'_> {
    fn estimate(&self, endpoint: Endpoint, body: &[u8]) -> Estimate {
        Estimate { prompt: tokens_of(body.len()), completion: self.completion(endpoint, COMPLETION_TOKENS) }
    }

    fn worst(&self, endpoint: Endpoint, body: &[u8]) -> Worst {
        let prompt_tokens = (body.len() as u64).div_ceil(LEAST_TOKEN_BYTES);
        let most = MOST_TOKENS.saturating_mul(self.answers());
        Worst { prompt_tokens, completion_tokens: self.completion(endpoint, HELD_TOKENS).min(most) }
    }

    /// Tokens of all answers together; `usual` is for one that the call does not bound.
    fn completion(&self, endpoint: Endpoint, usual: u64) -> u64 {
        match endpoint {
            Endpoint::Embeddings => 0,
            Endpoint::ChatCompletions | Endpoint::Completions => {
                let each = self.max_completion_tokens.or(self.max_tokens).unwrap_or(usual);
                each.saturating_mul(self.answers())
            }
        }
    }

    fn answers(&self) -> u64 {
        self.n.unwrap_or(1).max(self.best_of.unwrap_or(1)).max(1)
    }

    /// `"usage": {"include": true}`, as OpenRouter has it.
    fn includes_cost(&self) -> bool {
        self.usage.as_ref().is_some_and(|it| it["include"] == true)
    }
}

/// About how many tokens so many bytes of text are.
pub(super) const fn tokens_of(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(TOKEN_BYTES)
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
        let (estimate, worst) = (head.estimate(endpoint, &body), head.worst(endpoint, &body));
        let includes_cost = head.includes_cost();
        let asks_for_cost = head.usage.is_some();
        let model =
            head.model.ok_or(Error::Invalid { message: "`model` is missing".to_owned(), param: Some("model") })?;
        if !nodes::is_model_id(&model) {
            let message = "`model` must have 1 to 256 printable characters without spaces".to_owned();
            return Err(Error::Invalid { message, param: Some("model") });
        }
        let (model, stream) = (model.into_owned(), head.stream.unwrap_or(false) && endpoint != Endpoint::Embeddings);
        // Upstreams refuse fields that they do not know.
        let body = if asks_for_cost { include::without_usage(&body, stream && includes_cost)? } else { body };
        Ok(Self { endpoint, model, stream, estimate, worst, includes_cost, body })
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

    /// Checklist 82's part: the worst case is told before anything is sent.
    #[test]
    fn money_is_held_for_the_most_that_a_call_may_take() {
        use Endpoint::{ChatCompletions, Embeddings};
        for (endpoint, more, completion_tokens) in [
            (ChatCompletions, "", 4_096),
            (ChatCompletions, r#","n":3"#, 3 * 4_096),
            (ChatCompletions, r#","max_tokens":10,"n":3"#, 30),
            (ChatCompletions, r#","max_tokens":18446744073709551615"#, MOST_TOKENS),
            (Embeddings, "", 0),
        ] {
            let body = format!(r#"{{"model":"m"{more}}}"#);
            let prompt_tokens = (body.len() as u64).div_ceil(2);
            let call = Call::parse(endpoint, Bytes::from(body.clone())).unwrap();
            assert_eq!(call.worst, Worst { prompt_tokens, completion_tokens }, "{endpoint:?} {body}");
        }
    }

    #[test]
    fn what_is_meant_for_us_goes_no_further() {
        for (body, includes, sent) in [
            (r#"{"model":"m"}"#, false, r#"{"model":"m"}"#),
            (r#"{"model":"m","usage":{"include":true},"x":1.50}"#, true, r#"{"model":"m","x":1.50}"#),
            (r#"{"usage":{"include":false},"model":"m"}"#, false, r#"{"model":"m"}"#),
            (r#"{"usage":{"include":"yes"},"model":"m"}"#, false, r#"{"model":"m"}"#),
            (
                r#"{"model":"m","stream":true,"usage":{"include":true}}"#,
                true,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options":{"a":1},"usage":{"include":true}}"#,
                true,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            ),
        ] {
            let call = Call::parse(Endpoint::ChatCompletions, Bytes::from_static(body.as_bytes())).unwrap();
            assert_eq!((call.includes_cost, &call.body[..]), (includes, sent.as_bytes()), "{body}");
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
