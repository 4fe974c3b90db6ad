//! `POST /v1/embeddings`.

use super::{Loaded, State, error::Error, off_thread, parse};
use crate::models::minilm::EmbeddingModel;
use axum::{Json, body::Bytes, extract};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use shared::openai::embeddings::{
    Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, EmbeddingUsage, EncodingFormat, Vector,
};
use std::sync::Arc;

/// Most inputs of a call, as OpenAI has it.
const MOST_INPUTS: usize = 2048;

/// Embeds the inputs in the body.
pub(super) async fn embed(
    extract::State(state): extract::State<State>,
    body: Bytes,
) -> Result<Json<EmbeddingResponse>, Error> {
    let loaded = state.open()?;
    let request: EmbeddingRequest = parse(&body)?;
    let model = model(loaded, &request.model)?;
    let (id, dimensions) = (model.entry.id, model.dimensions);
    if request.dimensions.is_some_and(|it| it as usize != dimensions) {
        return Err(Error::invalid(
            "dimensions",
            format!("this model's embeddings have {dimensions} dimensions, no others"),
        ));
    }
    let inputs = off_thread(move || tokens(&model, request.input)).await?;
    let prompt_tokens = inputs.iter().map(|it| it.len() as u64).sum();
    let embeddings = loaded.engine.embed(id, inputs).await?.map_err(|_| Error::Failed)?;
    state.metrics.tokens.with_label_values(&[id, "prompt"]).inc_by(prompt_tokens);
    let format = request.encoding_format.unwrap_or_default();
    let data = (0..).zip(embeddings).map(|(index, numbers)| Embedding {
        object: "embedding".to_owned(),
        index,
        embedding: vector(numbers, format),
    });
    Ok(Json(EmbeddingResponse {
        object: "list".to_owned(),
        data: data.collect(),
        model: id.to_owned(),
        usage: EmbeddingUsage { prompt_tokens, total_tokens: prompt_tokens },
    }))
}

fn model(loaded: &Loaded, id: &str) -> Result<Arc<EmbeddingModel>, Error> {
    let found = loaded.fronts.embedding.iter().find(|(name, _)| name.eq_ignore_ascii_case(id));
    found.map(|(_, model)| model.clone()).ok_or_else(|| Error::Model(id.to_owned()))
}

fn tokens(model: &EmbeddingModel, input: EmbeddingInput) -> Result<Vec<Vec<u32>>, Error> {
    let inputs = match input {
        EmbeddingInput::Text(text) => vec![encode(model, text)?],
        EmbeddingInput::Texts(texts) => {
            few(texts.len())?;
            texts.into_iter().map(|text| encode(model, text)).collect::<Result<_, _>>()?
        }
        EmbeddingInput::Tokens(tokens) => vec![tokens],
        EmbeddingInput::TokenLists(lists) => lists,
    };
    few(inputs.len())?;
    for (at, tokens) in inputs.iter().enumerate() {
        if tokens.is_empty() {
            return Err(Error::invalid("input", format!("input {at} is empty")));
        }
        if tokens.len() > model.context {
            return Err(Error::InputLength { context: model.context, at, tokens: tokens.len() });
        }
        if let Some(token) = tokens.iter().find(|it| **it as usize >= model.vocabulary) {
            return Err(Error::invalid(
                "input",
                format!("token {token} is not one of the model's {}", model.vocabulary),
            ));
        }
    }
    Ok(inputs)
}

fn few(inputs: usize) -> Result<(), Error> {
    match inputs {
        0 => Err(Error::invalid("input", "input must not be empty")),
        1..=MOST_INPUTS => Ok(()),
        _ => Err(Error::invalid("input", format!("input has {inputs} entries; {MOST_INPUTS} are allowed"))),
    }
}

fn encode(model: &EmbeddingModel, text: String) -> Result<Vec<u32>, Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(model.tokenizer.encode_fast(text, true).map_err(|_| Error::Failed)?.get_ids().to_vec())
}

fn vector(numbers: Vec<f32>, format: EncodingFormat) -> Vector {
    match format {
        EncodingFormat::Float => Vector::Floats(numbers),
        EncodingFormat::Base64 => {
            Vector::Base64(BASE64.encode(numbers.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>()))
        }
    }
}
