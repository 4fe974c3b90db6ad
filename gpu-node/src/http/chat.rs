//! `POST /v1/chat/completions`.

use super::{
    State,
    error::Error,
    limits::{self, Fields},
    parse,
    reply::{self, Shape, Wish},
};
use crate::{chat::Message, engine::Request, models::chat::ChatModel};
use axum::{body::Bytes, extract, response::Response};
use serde_json::Value;
use shared::openai::{OneOrMany, chat::ChatRequest};
use std::sync::Arc;

/// Answers the conversation in the body.
pub(super) async fn complete(extract::State(state): extract::State<State>, body: Bytes) -> Result<Response, Error> {
    let loaded = state.open()?;
    let request: ChatRequest = parse(&body)?;
    let model = loaded.chat(&request.model)?;
    let wish = Wish {
        shape: Shape::Chat,
        stream: request.stream == Some(true),
        include_usage: request.stream_options.is_some_and(|it| it.include_usage),
    };
    reply::generate(&loaded.engine, wish, move || prepare(&model, request)).await
}

fn prepare(model: &Arc<ChatModel>, request: ChatRequest) -> Result<Request, Error> {
    refuse_unsupported(&request)?;
    let asked = request.max_answer_tokens();
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
    if request.messages.is_empty() {
        return Err(Error::invalid("messages", "messages must not be empty"));
    }
    let messages = request
        .messages
        .into_iter()
        .enumerate()
        .map(|(at, message)| Message::try_from(message).map_err(|cause| Error::Message { at, cause }));
    let text = model.template.render(&messages.collect::<Result<Vec<_>, _>>()?).map_err(|error| {
        // A template may refuse a conversation, such as one whose roles do not alternate.
        Error::invalid("messages", format!("the model's template does not take these messages: {error}"))
    })?;
    let encoded = model.tokenizer.encode_fast(text, false).map_err(|_| Error::Failed)?;
    let prompt = encoded.get_ids().to_vec();
    let max_tokens = limits::answer_tokens(model, prompt.len(), asked)?;
    Ok(Request { model: model.entry.id, prompt, max_tokens, stops, sampling })
}

fn refuse_unsupported(request: &ChatRequest) -> Result<(), Error> {
    let unsupported = |param, what| Err(Error::Unsupported { param, what });
    if request.n.is_some_and(|n| n != 1) {
        return unsupported("n", "n other than 1");
    }
    if request.logprobs == Some(true) || request.top_logprobs.is_some_and(|it| it > 0) {
        return unsupported("logprobs", "logprobs");
    }
    // With `auto` a model may choose never to call a function, and this one never does; it can't be made to.
    let offered = request.tools.as_ref().is_some_and(|it| !it.is_empty());
    let may_ignore = |choice: &Value| matches!(choice.as_str(), Some("none" | "auto"));
    if offered && request.tool_choice.as_ref().is_some_and(|it| !it.is_null() && !may_ignore(it)) {
        return unsupported("tool_choice", "a tool_choice that demands a call");
    }
    let form = request.response_format.as_ref().and_then(|it| it.get("type")).and_then(Value::as_str);
    if form.is_some_and(|it| it != "text") {
        return unsupported("response_format", "a response_format other than text");
    }
    Ok(())
}
