//! The OpenAI-compatible API, as far as both sides of our own wire must agree on it.

pub mod chat;
pub mod completions;
pub mod embeddings;
pub mod error;
pub mod models;
pub mod sse;

use crate::usage::Usage;
use serde::{Deserialize, Serialize};

/// A value that may be given alone or in a list, such as `stop`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// Alone.
    One(T),
    /// In a list.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values as a list.
    pub fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }
}

/// `stream_options`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct StreamOptions {
    /// Close the stream with a chunk that carries the usage.
    #[serde(default)]
    pub include_usage: bool,
}

/// `x_nest`: the usage of a stream whose caller did not ask for it, beside the finish reason.
///
/// Groq does the same with `x_groq`; the edge meters by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct VendorUsage {
    /// Tokens read and written.
    pub usage: Usage,
}
