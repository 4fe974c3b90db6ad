//! `POST /v1/completions`.

use super::{
    State,
    error::Error,
    limits::{self, Fields},
    parse,
    reply::{self, Shape, Wish},
};
use crate::{engine::Request, models::chat::ChatModel};
use axum::{body::Bytes, extract, response::Response};
use shared::openai::{
    OneOrMany,
    completions::{CompletionRequest, Prompt},
};

/// Length of an answer whose caller names none, as OpenAI has it.
const DEFAULT_TOKENS: u64 = 16;

/// Continues the text in the body.
pub(super) async fn complete(extract::State(state): extract::State<State>, body: Bytes) -> Result<Response, Error> {
    let loaded = state.open()?;
    let request: CompletionRequest = parse(&body)?;
    let model = loaded.chat(&request.model)?;
    let wish = Wish {
        shape: Shape::Text,
        stream: request.stream == Some(true),
        include_usage: request.stream_options.is_some_and(|it| it.include_usage),
    };
    reply::generate(&loaded.engine, wish, move || prepare(&model, request)).await
}

fn prepare(model: &ChatModel, request: CompletionRequest) -> Result<Request, Error> {
    refuse_unsupported(&request)?;
    let fields = Fields {
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        frequency_penalty: request.frequency_penalty,
        presence_penalty: request.presence_penalty,
        logit_bias: request.logit_bias,
        seed: request.seed,
    };
    let sampling = limits::sampling(&fields, model.entry, rand::random())?;
    let stops = limits::stops(request.stop.map(OneOrMany::into_vec).unwrap_or_default())?;
    let prompt = tokens(model, request.prompt)?;
    let asked = request.max_tokens.unwrap_or(DEFAULT_TOKENS);
    let max_tokens = limits::answer_tokens(model, prompt.len(), Some(asked))?;
    Ok(Request { model: model.entry.id, prompt, max_tokens, stops, sampling })
}

fn tokens(model: &ChatModel, prompt: Option<Prompt>) -> Result<Vec<u32>, Error> {
    let several = || Error::Unsupported { param: "prompt", what: "more than one prompt" };
    let tokens = match prompt {
        Some(Prompt::Text(text)) => encode(model, text)?,
        Some(Prompt::Texts(mut texts)) if texts.len() <= 1 => match texts.pop() {
            Some(text) => encode(model, text)?,
            None => Vec::new(),
        },
        Some(Prompt::Tokens(tokens)) => tokens,
        Some(Prompt::TokenLists(mut lists)) if lists.len() <= 1 => lists.pop().unwrap_or_default(),
        Some(Prompt::Texts(_) | Prompt::TokenLists(_)) => return Err(several()),
        None => Vec::new(),
    };
    if tokens.is_empty() {
        return Err(Error::invalid("prompt", "prompt must not be empty"));
    }
    let known = model.tokenizer.get_vocab_size(true);
    if let Some(token) = tokens.iter().find(|it| **it as usize >= known) {
        return Err(Error::invalid("prompt", format!("token {token} is not one of the model's {known}")));
    }
    Ok(tokens)
}

fn encode(model: &ChatModel, text: String) -> Result<Vec<u32>, Error> {
    Ok(model.tokenizer.encode_fast(text, true).map_err(|_| Error::Failed)?.get_ids().to_vec())
}

fn refuse_unsupported(request: &CompletionRequest) -> Result<(), Error> {
    let unsupported = |param, what| Err(Error::Unsupported { param, what });
    if request.n.is_some_and(|n| n != 1) {
        return unsupported("n", "n other than 1");
    }
    if request.best_of.is_some_and(|it| it > 1) {
        return unsupported("best_of", "best_of");
    }
    if request.logprobs.is_some_and(|it| it > 0) {
        return unsupported("logprobs", "logprobs");
    }
    if request.echo == Some(true) {
        return unsupported("echo", "echo");
    }
    if request.suffix.as_ref().is_some_and(|it| !it.is_empty()) {
        return unsupported("suffix", "a suffix");
    }
    Ok(())
}
