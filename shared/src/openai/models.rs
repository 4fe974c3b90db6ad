//! `GET /v1/models`: what can be asked for.

use serde::{Deserialize, Serialize};

/// All models.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct ModelList {
    /// `list`.
    pub object: String,
    /// The models.
    pub data: Vec<Model>,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct Model {
    /// What callers put into `model`.
    pub id: String,
    /// `model`.
    pub object: String,
    /// Seconds since the epoch at which it was released or loaded.
    pub created: i64,
    /// Who made it.
    pub owned_by: String,
    /// Most tokens of prompt and answer together; not OpenAI's, but common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u32>,
}

impl ModelList {
    /// A list of `data`.
    pub fn new(data: Vec<Model>) -> Self {
        Self { object: "list".to_owned(), data }
    }
}
