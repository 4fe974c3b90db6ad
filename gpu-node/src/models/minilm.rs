//! Sentence embeddings by BERT: the mean of the tokens' vectors, scaled to length one.

use super::{catalogue::Entry, store::Store};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, DTYPE};
use tokenizers::Tokenizer;

/// What turns texts into tokens, for one embedding model: everything but the weights.
pub struct EmbeddingModel {
    /// Its entry in the catalogue.
    pub entry: &'static Entry,
    /// Text to tokens, special ones included.
    pub tokenizer: Tokenizer,
    /// Most tokens of an input.
    pub context: usize,
    /// Tokens that the model knows.
    pub vocabulary: usize,
    /// Numbers of an embedding.
    pub dimensions: usize,
}

/// The weights.
pub struct MiniLm {
    bert: BertModel,
    device: Device,
}

/// Why a model's files do not make an embedding model.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingModelError {
    /// A file can't be read.
    #[error("the model's files can't be read")]
    File(#[from] std::io::Error),
    /// The configuration is no BERT's.
    #[error("the model's configuration can't be read")]
    Config(#[from] serde_json::Error),
    /// The tokenizer is broken.
    #[error("the model's tokenizer can't be read")]
    Tokenizer(#[source] tokenizers::Error),
    /// The weights are not as the configuration says.
    #[error("the model's weights can't be read")]
    Weights(#[from] candle_core::Error),
}

/// Loads the model `entry` from `store`.
pub fn load(
    store: &Store,
    entry: &'static Entry,
    device: &Device,
) -> std::result::Result<(EmbeddingModel, MiniLm), EmbeddingModelError> {
    let path = |name: &str| store.folder(entry).join(name);
    let config: Config = serde_json::from_slice(&std::fs::read(path("config.json"))?)?;
    let mut tokenizer = Tokenizer::from_file(path("tokenizer.json")).map_err(EmbeddingModelError::Tokenizer)?;
    // The file cuts texts at 128 tokens and pads them; we embed all of an input, one at a time, or refuse it.
    tokenizer.with_truncation(None).map_err(EmbeddingModelError::Tokenizer)?;
    tokenizer.with_padding(None);
    let weights = VarBuilder::from_buffered_safetensors(std::fs::read(path("model.safetensors"))?, DTYPE, device)?;
    let front = EmbeddingModel {
        entry,
        tokenizer,
        context: config.max_position_embeddings,
        vocabulary: config.vocab_size,
        dimensions: config.hidden_size,
    };
    Ok((front, MiniLm { bert: BertModel::load(weights, &config)?, device: device.clone() }))
}

impl MiniLm {
    /// The embedding of one input, which must not be empty or longer than the context.
    pub fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let tokens = Tensor::new(tokens, &self.device)?.unsqueeze(0)?;
        let hidden = self.bert.forward(&tokens, &tokens.zeros_like()?, None)?.squeeze(0)?;
        let mean = hidden.to_dtype(DType::F32)?.mean(0)?;
        let length = mean.sqr()?.sum_all()?.sqrt()?;
        mean.broadcast_div(&length)?.to_vec1()
    }
}
