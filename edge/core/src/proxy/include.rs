//! `"usage": {"include": true}`: the cost within the answer itself, as OpenRouter has it.
//!
//! Only answers that were asked for so are changed; all others pass byte for byte (ADR 5).

use super::{bill::Bill, settlement::Heard};
use crate::{
    Error,
    usage::{Charge, TokensSource},
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use serde::{
    Deserialize, Serialize,
    de::{Deserializer, MapAccess, Visitor},
    ser::{SerializeMap as _, Serializer},
};
use serde_json::{Value, json, value::RawValue};
use shared::{
    money::Nanos,
    openai::sse::{self, EventCounter, read_tail},
    usage::Usage,
};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// An event that is longer passes as it is: it is no count.
const EVENT_BYTES: usize = 64 * 1024;

/// The client's body without its `usage`; with `counted` the upstream is asked for its own count of a stream.
pub(super) fn without_usage(body: &[u8], counted: bool) -> Result<Bytes, Error> {
    let mut fields: Fields = serde_json::from_slice(body).map_err(|error| Error::Json { detail: error.to_string() })?;
    fields.0.retain(|(name, _)| name != "usage" && !(counted && name == "stream_options"));
    if counted {
        let options = serde_json::value::to_raw_value(&json!({ "include_usage": true }));
        fields.0.push(("stream_options".to_owned(), options.expect("two words are JSON")));
    }
    Ok(serde_json::to_vec(&fields).expect("what was read can be written").into())
}

/// The fields of an object, each as it was written and in its order.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A whole answer with the cost in its `usage`; one that is no object stays as it is.
pub(super) fn in_answer(body: &Bytes, usage: Usage, cost: Nanos) -> Bytes {
    let Ok(mut fields) = serde_json::from_slice::<Fields>(body) else { return body.clone() };
    let said = fields.0.iter().find(|(name, _)| name == "usage");
    let said = said.and_then(|(_, value)| serde_json::from_str(value.get()).ok()).filter(Value::is_object);
    let usage = serde_json::value::to_raw_value(&with_cost(said, usage, cost)).expect("counts are JSON");
    fields.0.retain(|(name, _)| name != "usage");
    fields.0.push(("usage".to_owned(), usage));
    serde_json::to_vec(&fields).expect("what was read can be written").into()
}

/// The upstream's own `usage`, or else what is billed, with the cost: as a number, which is what OpenRouter's clients
/// read, and exact, as a text.
fn with_cost(said: Option<Value>, billed: Usage, cost: Nanos) -> Value {
    let mut usage = said.unwrap_or_else(|| serde_json::to_value(billed).expect("counts are JSON"));
    usage["cost"] = serde_json::from_str(&cost.to_string()).expect("an amount is a number");
    usage["cost_usd"] = cost.to_string().into();
    usage
}

/// A stream whose last chunk before `[DONE]` has the cost: that with the upstream's count, or one of our own.
pub(super) fn in_stream(body: Body, bill: Arc<Bill>) -> Body {
    let changing =
        Changing { body, bill, unread: BytesMut::new(), passed: EventCounter::default(), silent: 0, told: false };
    Body::new(changing)
}

struct Changing {
    body: Body,
    bill: Arc<Bill>,
    /// The beginning of an event.
    unread: BytesMut,
    passed: EventCounter,
    silent: u64,
    /// Whether the cost has been told.
    told: bool,
}

impl HttpBody for Changing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => {
                    let rest = self.unread.split().freeze();
                    return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))));
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            let changed = self.take(&data);
            if !changed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(changed))));
            }
        }
    }
}

impl Changing {
    /// What of `data`, and of what came before, can go out.
    fn take(&mut self, data: &[u8]) -> Bytes {
        self.unread.extend_from_slice(data);
        let mut out = BytesMut::new();
        while let Some(length) = event_bytes(&self.unread) {
            let event = self.unread.split_to(length).freeze();
            self.pass(&event, &mut out);
        }
        if self.unread.len() > EVENT_BYTES {
            out.extend_from_slice(&self.unread.split());
        }
        out.freeze()
    }

    fn pass(&mut self, event: &Bytes, out: &mut BytesMut) {
        let said = read_tail(event);
        self.passed.push(event);
        self.silent += said.silent;
        if let (Some(usage), Some(chunk)) = (said.usage, chunk(event)) {
            let priced = self.bill.price(Heard::Reported(usage));
            self.tell(chunk, priced, out);
        } else if said.finished && is_done(event) && !self.told {
            let tokens = self.passed.events().saturating_sub(1).saturating_sub(self.silent);
            let priced = self.bill.price(Heard::Output { tokens });
            self.tell(json!({ "object": "chat.completion.chunk", "choices": [] }), priced, out);
            out.extend_from_slice(event);
        } else {
            out.extend_from_slice(event);
        }
    }

    fn tell(&mut self, mut chunk: Value, (usage, _, charge): (Usage, TokensSource, Charge), out: &mut BytesMut) {
        let said = chunk.get_mut("usage").map(Value::take).filter(Value::is_object);
        chunk["usage"] = with_cost(said, usage, charge.cost);
        out.extend_from_slice(sse::data(&chunk.to_string()).as_bytes());
        self.told = true;
    }
}

/// How long the first event in `bytes` is, its empty line included.
fn event_bytes(bytes: &[u8]) -> Option<usize> {
    let lf = memchr::memmem::find(bytes, b"\n\n").map(|at| at + 2);
    let crlf = memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4);
    lf.into_iter().chain(crlf).min()
}

fn data(event: &[u8]) -> Option<&[u8]> {
    let mut lines = event.split(|it| *it == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
    lines.next().map(<[u8]>::trim_ascii)
}

fn chunk(event: &[u8]) -> Option<Value> {
    serde_json::from_slice(data(event)?).ok().filter(Value::is_object)
}

fn is_done(event: &[u8]) -> bool {
    data(event) == Some(b"[DONE]")
}
