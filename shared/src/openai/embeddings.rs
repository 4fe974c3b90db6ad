//! `POST /v1/embeddings`: texts as points whose distance is one of meaning.

use serde::{Deserialize, Serialize};

/// A call for the embeddings of some texts.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
pub struct EmbeddingRequest {
    /// The model's id.
    #[serde(default)]
    #[schema(required)]
    pub model: String,
    /// What to embed.
    pub input: EmbeddingInput,
    /// How the numbers are written; [`EncodingFormat::Float`] when absent.
    #[serde(default)]
    pub encoding_format: Option<EncodingFormat>,
    /// How many numbers an embedding shall have, where a model offers a choice.
    #[serde(default)]
    pub dimensions: Option<u32>,
}

/// What to embed: text or tokens, one or several.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum EmbeddingInput {
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Token ids.
    Tokens(Vec<u32>),
    /// Several lists of token ids.
    TokenLists(Vec<Vec<u32>>),
}

/// How the numbers of an embedding are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncodingFormat {
    /// A JSON array.
    #[default]
    Float,
    /// Little-endian f32s in base64: a third of the size, and what OpenAI's clients ask for.
    Base64,
}

/// The answer to an [`EmbeddingRequest`].
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct EmbeddingResponse {
    /// `list`.
    pub object: String,
    /// One for each input, in their order.
    pub data: Vec<Embedding>,
    /// The model that answered.
    pub model: String,
    /// Tokens read.
    pub usage: EmbeddingUsage,
}

/// One input's embedding.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct Embedding {
    /// `embedding`.
    pub object: String,
    /// Which input.
    pub index: u32,
    /// Its numbers.
    pub embedding: Vector,
}

/// An embedding's numbers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Vector {
    /// As numbers.
    Floats(Vec<f32>),
    /// As base64 of little-endian f32s.
    Base64(String),
}

/// Tokens of the inputs; there are none of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct EmbeddingUsage {
    /// Tokens of all inputs, special ones included.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_comes_in_four_shapes() {
        for (json, expected) in [
            (r#""a""#, EmbeddingInput::Text("a".to_owned())),
            (r#"["a","b"]"#, EmbeddingInput::Texts(vec!["a".to_owned(), "b".to_owned()])),
            ("[1,2]", EmbeddingInput::Tokens(vec![1, 2])),
            ("[[1],[2,3]]", EmbeddingInput::TokenLists(vec![vec![1], vec![2, 3]])),
        ] {
            assert_eq!(serde_json::from_str::<EmbeddingInput>(json).unwrap(), expected, "{json}");
        }
    }
}
