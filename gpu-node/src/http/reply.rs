//! An answer on the wire: in one piece or as a stream, as chat or as text.

use super::{error::Error, now, off_thread};
use crate::engine::{Engine, Event, Generation, Request};
use axum::{
    Json,
    response::{
        IntoResponse as _, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use shared::{
    openai::{
        VendorUsage,
        chat::{ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatMessage, Content, Delta, FinishReason},
        completions::{Completion, CompletionChoice},
    },
    usage::Usage,
};
use std::{convert::Infallible, time::Duration};

/// Silence after which a stream says that it is alive: less than any proxy's patience.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Which call is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Chat,
    Text,
}

/// What all chunks of an answer have in common.
struct Reply {
    shape: Shape,
    model: &'static str,
    /// Random, so that no two answers are mistaken for one.
    id: u64,
    /// Seconds since the epoch.
    created: i64,
    /// The caller asked for a chunk with the usage.
    include_usage: bool,
}

/// How a caller wants to be answered.
pub(super) struct Wish {
    pub(super) shape: Shape,
    pub(super) stream: bool,
    /// Whether a chunk with the usage shall close the stream.
    pub(super) include_usage: bool,
}

/// Prepares a call where it holds up no other, has it computed, and answers as `wish` says.
pub(super) async fn generate(
    engine: &Engine,
    wish: Wish,
    prepare: impl FnOnce() -> Result<Request, Error> + Send + 'static,
) -> Result<Response, Error> {
    let request = off_thread(prepare).await?;
    let model = request.model;
    let generation = engine.generate(request)?;
    let Wish { shape, stream, include_usage } = wish;
    let reply = Reply { shape, model, id: rand::random(), created: now().as_seconds(), include_usage };
    if stream { Ok(reply.stream(generation)) } else { reply.whole(generation).await }
}

impl Reply {
    /// The whole answer, once it is complete.
    async fn whole(self, mut generation: Generation) -> Result<Response, Error> {
        let mut text = String::new();
        loop {
            match generation.next().await {
                Some(Event::Text(more)) => text.push_str(&more),
                Some(Event::Done { finish, usage }) => return Ok(self.complete(text, finish, usage)),
                Some(Event::Failed) | None => return Err(Error::Failed),
            }
        }
    }

    /// The answer as it grows. The generation ends when the client leaves, because the stream is dropped then.
    fn stream(self, generation: Generation) -> Response {
        let state = (self, Some(generation), true);
        let events = stream::unfold(state, |(reply, generation, is_first)| async move {
            let mut generation = generation?;
            let event = generation.next().await;
            let mut chunks = Vec::new();
            if is_first && reply.shape == Shape::Chat {
                chunks.push(reply.first());
            }
            let mut left = None;
            match event {
                Some(Event::Text(text)) => {
                    chunks.push(reply.more(text));
                    left = Some(generation);
                }
                Some(Event::Done { finish, usage }) => {
                    chunks.push(reply.last(finish, usage));
                    if reply.include_usage {
                        chunks.push(reply.usage(usage));
                    }
                    chunks.push(sse::Event::default().data("[DONE]"));
                }
                // Without `[DONE]`: the answer is not complete.
                Some(Event::Failed) | None => chunks.push(event_of(&Error::Failed.body())),
            }
            Some((stream::iter(chunks), (reply, left, false)))
        });
        Sse::new(events.flatten().map(Ok::<_, Infallible>))
            .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
            .into_response()
    }

    fn complete(&self, text: String, finish: FinishReason, usage: Usage) -> Response {
        match self.shape {
            Shape::Chat => Json(ChatCompletion {
                id: self.id(),
                object: "chat.completion".to_owned(),
                created: self.created,
                model: self.model.to_owned(),
                choices: vec![ChatChoice {
                    index: 0,
                    message: ChatMessage { role: ASSISTANT.to_owned(), content: Some(Content::Text(text)), name: None },
                    finish_reason: Some(finish),
                    logprobs: None,
                }],
                usage,
            })
            .into_response(),
            Shape::Text => Json(Completion { usage: Some(usage), ..self.text(text, Some(finish)) }).into_response(),
        }
    }

    fn first(&self) -> sse::Event {
        event_of(&self.chat(Delta { role: Some(ASSISTANT.to_owned()), content: Some(String::new()) }, None))
    }

    fn more(&self, text: String) -> sse::Event {
        match self.shape {
            Shape::Chat => event_of(&self.chat(Delta { role: None, content: Some(text) }, None)),
            Shape::Text => event_of(&self.text(text, None)),
        }
    }

    fn last(&self, finish: FinishReason, usage: Usage) -> sse::Event {
        let x_nest = Some(VendorUsage { usage });
        match self.shape {
            Shape::Chat => event_of(&ChatChunk { x_nest, ..self.chat(Delta::default(), Some(finish)) }),
            Shape::Text => event_of(&Completion { x_nest, ..self.text(String::new(), Some(finish)) }),
        }
    }

    fn usage(&self, usage: Usage) -> sse::Event {
        let usage = Some(usage);
        match self.shape {
            Shape::Chat => event_of(&ChatChunk { usage, choices: Vec::new(), ..self.chat(Delta::default(), None) }),
            Shape::Text => event_of(&Completion { usage, choices: Vec::new(), ..self.text(String::new(), None) }),
        }
    }

    fn chat(&self, delta: Delta, finish_reason: Option<FinishReason>) -> ChatChunk {
        ChatChunk {
            id: self.id(),
            object: "chat.completion.chunk".to_owned(),
            created: self.created,
            model: self.model.to_owned(),
            choices: vec![ChatChunkChoice { index: 0, delta, finish_reason }],
            usage: None,
            x_nest: None,
        }
    }

    fn text(&self, text: String, finish_reason: Option<FinishReason>) -> Completion {
        Completion {
            id: self.id(),
            object: "text_completion".to_owned(),
            created: self.created,
            model: self.model.to_owned(),
            choices: vec![CompletionChoice { index: 0, text, finish_reason, logprobs: None }],
            usage: None,
            x_nest: None,
        }
    }

    fn id(&self) -> String {
        let prefix = match self.shape {
            Shape::Chat => "chatcmpl",
            Shape::Text => "cmpl",
        };
        format!("{prefix}-{:016x}", self.id)
    }
}

const ASSISTANT: &str = "assistant";

fn event_of(chunk: &impl Serialize) -> sse::Event {
    sse::Event::default().data(serde_json::to_string(chunk).expect("chunks are plain data"))
}
