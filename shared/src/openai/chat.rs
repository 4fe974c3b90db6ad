//! `POST /v1/chat/completions`: the request as far as we act on it, and the two shapes of the answer.

use super::{OneOrMany, StreamOptions, VendorUsage};
use crate::usage::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A call for the next message of a conversation.
///
/// Fields we do not know are ignored here; who relays a call passes on the bytes it got, not this.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub struct ChatRequest {
    /// The model's id.
    #[schema(required)]
    pub model: String,
    /// The conversation so far.
    #[schema(required)]
    pub messages: Vec<ChatMessage>,
    /// Answer in server-sent events.
    pub stream: Option<bool>,
    /// What else a stream carries.
    pub stream_options: Option<StreamOptions>,
    /// Most tokens of the answer; the older name.
    pub max_tokens: Option<u64>,
    /// Most tokens of the answer; wins over `max_tokens`.
    pub max_completion_tokens: Option<u64>,
    /// 0 (always the likeliest token) to 2.
    pub temperature: Option<f32>,
    /// Sample from the fewest tokens that together have this probability.
    pub top_p: Option<f32>,
    /// Sample from this many of the likeliest tokens; not OpenAI's, but common.
    pub top_k: Option<u32>,
    /// How many answers.
    pub n: Option<u32>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Option<OneOrMany<String>>,
    /// The same seed gives the same answer.
    pub seed: Option<i64>,
    /// -2 to 2; lowers tokens by how often they stand in the answer.
    pub frequency_penalty: Option<f32>,
    /// -2 to 2; lowers tokens that stand in the answer at all.
    pub presence_penalty: Option<f32>,
    /// Token id to -100..100, added to the token's logit.
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// Report log probabilities.
    pub logprobs: Option<bool>,
    /// How many alternatives to report for each token.
    pub top_logprobs: Option<u32>,
    /// Functions that the model may call.
    pub tools: Option<Vec<Value>>,
    /// Which of them it must call.
    pub tool_choice: Option<Value>,
    /// Form that the answer must have.
    pub response_format: Option<Value>,
}

/// One turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What was said; absent beside tool calls.
    #[serde(default)]
    pub content: Option<Content>,
    /// Who said it, where several share a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A message's content: a text, or parts of several kinds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Content {
    /// All of it.
    Text(String),
    /// Piece by piece.
    Parts(Vec<ContentPart>),
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct ContentPart {
    /// `text`, `image_url`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// The text of a `text` part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was done, or met a stop text.
    Stop,
    /// It met `max_tokens` or the end of its context.
    Length,
}

/// The answer in one piece.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct ChatCompletion {
    /// `chatcmpl-...`.
    pub id: String,
    /// `chat.completion`.
    pub object: String,
    /// Seconds since the epoch.
    pub created: i64,
    /// The model that answered.
    pub model: String,
    /// The answers, one for each of `n`.
    pub choices: Vec<ChatChoice>,
    /// Tokens read and written.
    pub usage: Usage,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct ChatChoice {
    /// Which of `n`.
    pub index: u32,
    /// What the model says.
    pub message: ChatMessage,
    /// Why it ends there.
    pub finish_reason: Option<FinishReason>,
    /// Always null: not offered.
    pub logprobs: Option<Value>,
}

/// One event of a streamed answer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct ChatChunk {
    /// The same in all chunks of an answer.
    pub id: String,
    /// `chat.completion.chunk`.
    pub object: String,
    /// Seconds since the epoch.
    pub created: i64,
    /// The model that answers.
    pub model: String,
    /// What is new; empty in the chunk that only carries `usage`.
    pub choices: Vec<ChatChunkChoice>,
    /// Tokens, in a last chunk that the caller asked for with `stream_options`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Tokens for the edge, in the chunk that has the finish reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_nest: Option<VendorUsage>,
}

/// What is new in one answer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct ChatChunkChoice {
    /// Which of `n`.
    pub index: u32,
    /// What to append.
    pub delta: Delta,
    /// Set in the answer's last chunk.
    pub finish_reason: Option<FinishReason>,
}

/// What to append to a message.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct Delta {
    /// Set in the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// More text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl ChatRequest {
    /// The most tokens that the answer may have, under whichever name the caller gave them.
    pub fn max_answer_tokens(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_with_fields_we_do_not_know() {
        let request: ChatRequest = serde_json::from_str(
            r#"{"model":"m","messages":[{"role":"user","content":"hi"},
                {"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}}]},
                {"role":"assistant","content":null,"tool_calls":[]}],
                "max_tokens":5,"stop":"x","metadata":{"a":"b"},"service_tier":null}"#,
        )
        .unwrap();
        assert_eq!(request.messages.len(), 3);
        assert_eq!(request.max_answer_tokens(), Some(5));
        assert_eq!(request.stop, Some(OneOrMany::One("x".to_owned())));
    }

    #[test]
    fn the_newer_limit_wins() {
        let request = ChatRequest { max_tokens: Some(5), max_completion_tokens: Some(7), ..ChatRequest::default() };
        assert_eq!(request.max_answer_tokens(), Some(7));
    }
}
