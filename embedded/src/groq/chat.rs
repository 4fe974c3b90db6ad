//! `POST /chat/completions` on the wire: what is read of a request, and an answer as one body or as events.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Said, pieces};

#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    pub(super) model: String,
    pub(super) messages: Vec<Message>,
    #[serde(default)]
    pub(super) stream: bool,
    #[serde(default)]
    stream_options: Value,
    #[serde(default)]
    pub(super) n: Option<u64>,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    max_completion_tokens: Option<usize>,
    #[serde(default)]
    stop: Value,
    #[serde(default)]
    pub(super) tools: Vec<Tool>,
    #[serde(default)]
    pub(super) tool_choice: Value,
    #[serde(default)]
    pub(super) response_format: Value,
    #[serde(default)]
    reasoning_format: Option<ReasoningFormat>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) role: String,
    #[serde(default)]
    content: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tool {
    pub(super) function: Function,
}

#[derive(Debug, Deserialize)]
pub(super) struct Function {
    pub(super) name: String,
    #[serde(default)]
    pub(super) parameters: Value,
}

/// Where a reasoning model's thoughts go; Groq's default puts them between `<think>` tags in the content.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ReasoningFormat {
    #[default]
    Raw,
    Parsed,
    Hidden,
}

impl ChatRequest {
    /// The text of the last message by `role`.
    pub(super) fn last_text(&self, role: &str) -> String {
        self.messages.iter().rfind(|message| message.role == role).map(Message::text).unwrap_or_default()
    }

    pub(super) fn max_tokens(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    pub(super) fn stop_sequences(&self) -> Vec<String> {
        match &self.stop {
            Value::String(stop) => vec![stop.clone()],
            Value::Array(stops) => stops.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    fn includes_usage(&self) -> bool {
        self.stream_options["include_usage"] == true
    }
}

impl Message {
    /// The content, or its text parts.
    pub(super) fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
            _ => String::new(),
        }
    }
}

/// Whether the answer tells what it used; a fault can leave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    Told,
    Missing,
}

/// One answer's constant parts; `number` makes its ids.
pub(super) struct Reply<'a> {
    pub(super) request: &'a ChatRequest,
    pub(super) answer: &'a Answer,
    pub(super) number: u64,
    pub(super) usage: Usage,
}

impl Reply<'_> {
    /// The body of an answer that is not streamed.
    pub(super) fn whole(&self) -> Value {
        let (reasoning, thinking) = self.reasoning();
        let mut message = match &self.answer.said {
            Said::Text(text) => json!({ "role": "assistant", "content": format!("{thinking}{text}") }),
            Said::Call { function, arguments } => json!({ "role": "assistant", "tool_calls": [{
                "id": self.call_id(), "type": "function",
                "function": { "name": function, "arguments": arguments },
            }] }),
        };
        if let Some(reasoning) = reasoning {
            message["reasoning"] = reasoning.into();
        }
        let finish_reason = self.answer.finish_reason;
        let mut body = json!({
            "id": self.id(), "object": "chat.completion", "created": now_s(), "model": self.request.model,
            "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason }],
            "usage_breakdown": null, "system_fingerprint": FINGERPRINT, "service_tier": "on_demand",
            "x_groq": { "id": request_id(self.number) },
        });
        if self.usage == Usage::Told {
            body["usage"] = self.usage();
        }
        body
    }

    /// The events of a streamed answer, `[DONE]` last.
    pub(super) fn events(&self) -> Vec<Bytes> {
        let created = now_s();
        let chunk = |choices: Value| {
            json!({ "id": self.id(), "object": "chat.completion.chunk", "created": created,
                    "model": self.request.model, "system_fingerprint": FINGERPRINT, "choices": choices })
        };
        let delta = |delta: Value, finish_reason: Option<&str>| {
            chunk(json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason }]))
        };
        let mut first = delta(json!({ "role": "assistant", "content": "" }), None);
        first["x_groq"] = json!({ "id": request_id(self.number) });
        let mut chunks = vec![first];

        let (reasoning, thinking) = self.reasoning();
        let deltas = |field: &str, text: &str| {
            pieces(text).into_iter().map(|piece| delta(json!({ field: piece }), None)).collect::<Vec<_>>()
        };
        chunks.extend(deltas("reasoning", reasoning.as_deref().unwrap_or_default()));
        match &self.answer.said {
            Said::Text(text) => chunks.extend(deltas("content", &format!("{thinking}{text}"))),
            Said::Call { function, arguments } => {
                let call = |call: Value| delta(json!({ "tool_calls": [call] }), None);
                chunks.push(call(json!({ "index": 0, "id": self.call_id(), "type": "function",
                                         "function": { "name": function, "arguments": "" } })));
                let parts = pieces(arguments).into_iter();
                chunks.extend(parts.map(|part| call(json!({ "index": 0, "function": { "arguments": part } }))));
            }
        }

        let mut last = delta(json!({}), Some(self.answer.finish_reason));
        last["x_groq"] = json!({ "id": request_id(self.number) });
        if self.usage == Usage::Told {
            last["x_groq"]["usage"] = self.usage();
        }
        chunks.push(last);
        if self.request.includes_usage() && self.usage == Usage::Told {
            let mut used = chunk(json!([]));
            used["usage"] = self.usage();
            chunks.push(used);
        }
        let data = chunks.iter().map(|chunk| Bytes::from(format!("data: {chunk}\n\n")));
        data.chain([Bytes::from_static(b"data: [DONE]\n\n")]).collect()
    }

    /// The thoughts for a field of their own, and those before the content.
    fn reasoning(&self) -> (Option<String>, String) {
        match (&self.answer.reasoning, self.request.reasoning_format.unwrap_or_default()) {
            (Some(thoughts), ReasoningFormat::Parsed) => (Some(thoughts.clone()), String::new()),
            (Some(thoughts), ReasoningFormat::Raw) => (None, format!("<think>\n{thoughts}\n</think>\n\n")),
            _ => (None, String::new()),
        }
    }

    /// Groq's times are in seconds; these grow with the tokens and are the same every time.
    fn usage(&self) -> Value {
        let (prompt, completion) = (self.answer.prompt_tokens, self.answer.completion_tokens);
        let (prompt_time, completion_time) = (prompt as f64 * 0.000_1, completion as f64 * 0.003);
        json!({
            "queue_time": 0.02, "prompt_tokens": prompt, "prompt_time": prompt_time,
            "completion_tokens": completion, "completion_time": completion_time,
            "total_tokens": prompt + completion, "total_time": prompt_time + completion_time,
        })
    }

    fn id(&self) -> String {
        format!("chatcmpl-00000000-0000-4000-8000-{:012x}", self.number)
    }

    fn call_id(&self) -> String {
        format!("call_{:08x}", self.number)
    }
}

/// Groq's own id of a request, as in `x-request-id` and `x_groq.id`.
pub(super) fn request_id(number: u64) -> String {
    format!("req_fake{number:022}")
}

const FINGERPRINT: &str = "fp_fake000000";

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
