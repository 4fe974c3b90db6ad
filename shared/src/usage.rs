//! What is counted: tokens in, tokens out, and which of them were cached or spent on reasoning.

use serde::{Deserialize, Serialize};

/// Token counts of one call, in OpenAI's wire shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens that the model produced, reasoning included.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Their sum, as the server reported it.
    #[serde(default)]
    pub total_tokens: u64,
    /// Which prompt tokens came from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptDetails>,
    /// Which completion tokens were spent on reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_tokens_details: Option<CompletionDetails>,
}

/// Breakdown of the prompt's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PromptDetails {
    /// Tokens served from a prefix cache.
    #[serde(default)]
    pub cached_tokens: u64,
}

/// Breakdown of the completion's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CompletionDetails {
    /// Tokens that the model spent on thinking.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Counts of a call without cached or reasoning tokens.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            ..Self::default()
        }
    }

    /// Prompt tokens that came from a cache.
    pub fn cached_tokens(&self) -> u64 {
        self.prompt_tokens_details.map_or(0, |it| it.cached_tokens)
    }

    /// Completion tokens that were spent on reasoning.
    pub fn reasoning_tokens(&self) -> u64 {
        self.completion_tokens_details.map_or(0, |it| it.reasoning_tokens)
    }
}
