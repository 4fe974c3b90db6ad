//! `POST /v1/completions`: text continued as it stands, without a chat template.

use super::{OneOrMany, StreamOptions, VendorUsage, chat::FinishReason};
use crate::usage::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A call for the continuation of a text. Fields are those of [`super::chat::ChatRequest`] where not described.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub struct CompletionRequest {
    /// The model's id.
    #[schema(required)]
    pub model: String,
    /// The text to continue.
    #[schema(required)]
    pub prompt: Option<Prompt>,
    /// Answer in server-sent events.
    pub stream: Option<bool>,
    /// What else a stream carries.
    pub stream_options: Option<StreamOptions>,
    /// Most tokens of the answer; 16 when absent, as OpenAI has it.
    pub max_tokens: Option<u64>,
    /// 0 (always the likeliest token) to 2.
    pub temperature: Option<f32>,
    /// Sample from the fewest tokens that together have this probability.
    pub top_p: Option<f32>,
    /// Sample from this many of the likeliest tokens.
    pub top_k: Option<u32>,
    /// How many answers.
    pub n: Option<u32>,
    /// How many answers to choose the best from.
    pub best_of: Option<u32>,
    /// Repeat the prompt before the answer.
    pub echo: Option<bool>,
    /// Text that follows the answer.
    pub suffix: Option<String>,
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
    /// How many log probabilities to report.
    pub logprobs: Option<u32>,
}

/// What to continue: text or tokens, one or several.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Prompt {
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Token ids.
    Tokens(Vec<u32>),
    /// Several lists of token ids.
    TokenLists(Vec<Vec<u32>>),
}

/// The answer: all of it, or one event of a stream; the two have one shape.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct Completion {
    /// `cmpl-...`, the same in all chunks of an answer.
    pub id: String,
    /// `text_completion`.
    pub object: String,
    /// Seconds since the epoch.
    pub created: i64,
    /// The model that answers.
    pub model: String,
    /// The answer, or what is new of it.
    pub choices: Vec<CompletionChoice>,
    /// Tokens read and written; in a stream only in a last chunk that the caller asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Tokens for the edge, in the chunk that has the finish reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_nest: Option<VendorUsage>,
}

/// One answer, or what is new of it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct CompletionChoice {
    /// Which of `n`.
    pub index: u32,
    /// The text.
    pub text: String,
    /// Why it ends there.
    pub finish_reason: Option<FinishReason>,
    /// Always null: not offered.
    pub logprobs: Option<Value>,
}
