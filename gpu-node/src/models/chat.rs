//! What turns conversations into tokens and tokens into text, for one chat model: everything but the weights.

use super::{catalogue::Entry, gguf::Gguf};
use crate::{chat::Template, engine::TokenBytes};
use candle_core::quantized::{gguf_file::Content, tokenizer::TokenizerFromGguf as _};
use std::{collections::BTreeSet, sync::Arc};
use tokenizers::{
    Tokenizer,
    pre_tokenizers::{byte_level::ByteLevel, digits::Digits, sequence::Sequence},
};

/// A chat model's front: cheap to share, and used off the device's thread.
pub struct ChatModel {
    /// Its entry in the catalogue.
    pub entry: &'static Entry,
    /// Text to tokens.
    pub tokenizer: Tokenizer,
    /// Tokens to bytes.
    pub bytes: Arc<TokenBytes>,
    /// Conversations to text.
    pub template: Template,
    /// Tokens that end an answer.
    pub ends: Arc<BTreeSet<u32>>,
    /// Most tokens of prompt and answer together.
    pub context: usize,
}

/// Why a file does not make a chat model.
#[derive(Debug, thiserror::Error)]
pub enum ChatModelError {
    /// The file can't be read.
    #[error("the model's file can't be read")]
    File(#[from] candle_core::Error),
    /// Its tokenizer is of a kind we don't know.
    #[error("the model's tokenizer splits text in the way {0:?}, which is not known here")]
    Split(String),
    /// It has no template.
    #[error("the model's file has no chat template")]
    NoTemplate,
    /// Its template is wrong.
    #[error("the model's chat template can't be read")]
    Template(#[from] minijinja::Error),
}

impl ChatModel {
    /// Reads everything but the weights from `file`.
    pub fn read(entry: &'static Entry, file: &Gguf) -> Result<Self, ChatModelError> {
        let tokenizer = tokenizer(file)?;
        let token =
            |key| -> Result<Option<u32>, candle_core::Error> { Ok(file.optional_number(key)?.map(|it| it as u32)) };
        let (bos, eos) = (token("tokenizer.ggml.bos_token_id")?, token("tokenizer.ggml.eos_token_id")?);
        let text = |token: Option<u32>| token.and_then(|it| tokenizer.id_to_token(it)).unwrap_or_default();
        let template = file.text("tokenizer.chat_template")?.ok_or(ChatModelError::NoTemplate)?;
        // A chat model may end a turn or the whole text; converters record only one of the two as `eos`.
        let named = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>"];
        let mut ends: BTreeSet<u32> = named.iter().filter_map(|it| tokenizer.token_to_id(it)).collect();
        ends.extend(eos);
        ends.extend(token("tokenizer.ggml.eot_token_id")?);
        Ok(Self {
            entry,
            bytes: Arc::new(TokenBytes::new(&tokenizer)),
            template: Template::new(template, text(bos), text(eos))?,
            ends: Arc::new(ends),
            context: file.number("llama.context_length")?,
            tokenizer,
        })
    }
}

/// candle's reader knows the vocabulary, but gives every split it does not know GPT-2's, with a space put before the
/// text: right for none of these.
fn tokenizer(file: &Gguf) -> Result<Tokenizer, ChatModelError> {
    let mut tokenizer = Tokenizer::from_gguf(content(file))?;
    let byte_level = ByteLevel::new(false, true, true);
    match file.text("tokenizer.ggml.pre")?.as_deref() {
        Some("smollm") => {
            let split = Sequence::new(vec![Digits::new(true).into(), byte_level.into()]);
            tokenizer.with_pre_tokenizer(Some(split));
        }
        Some("gpt-2" | "gpt2") | None => {
            tokenizer.with_pre_tokenizer(Some(byte_level));
        }
        Some("qwen2" | "llama3" | "smaug-bpe" | "lfm2") => {}
        Some(other) => return Err(ChatModelError::Split(other.to_owned())),
    }
    Ok(tokenizer)
}

fn content(file: &Gguf) -> &Content {
    file.content()
}
