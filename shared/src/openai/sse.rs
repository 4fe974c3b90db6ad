//! Server-sent events, as far as OpenAI's streams use them: `data:` lines, comments, and `[DONE]`.

use crate::usage::Usage;
use serde::Deserialize;
use serde_json::Value;

/// The event that closes a whole stream.
pub const DONE: &str = "data: [DONE]\n\n";

/// One event that carries `json`, which must be a single line.
pub fn data(json: &str) -> String {
    debug_assert!(!json.contains('\n'), "an SSE data line cannot hold a line break");
    format!("data: {json}\n\n")
}

/// Counts events in a stream that arrives in chunks of any size; an event ends at an empty line.
///
/// Lines may end in LF or CRLF; comments and keep-alive blank lines are no events.
#[derive(Clone, Debug, Default)]
pub struct EventCounter {
    events: u64,
    line_bytes: usize,
    line_is_data: bool,
    event_has_data: bool,
}

impl EventCounter {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        for &byte in chunk {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => {}
                _ => {
                    // A field name is told from a comment (":...") by its first byte; `data` is the only field that
                    // makes an event, and OpenAI-compatible servers send no other name starting with `d`.
                    if self.line_bytes == 0 {
                        self.line_is_data = byte == b'd';
                    }
                    self.line_bytes += 1;
                }
            }
        }
    }

    /// Events that have ended so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn end_line(&mut self) {
        if self.line_bytes > 0 {
            self.event_has_data |= self.line_is_data;
        } else if self.event_has_data {
            self.events += 1;
            self.event_has_data = false;
        }
        self.line_bytes = 0;
        self.line_is_data = false;
    }
}

/// What the last kilobytes of a stream say about its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The usage that the server reported, wherever it put it.
    pub usage: Option<Usage>,
    /// Whether the stream ended by its own will: `[DONE]` or a finish reason was seen.
    pub finished: bool,
    /// Whether the server itself ended the stream with an error event.
    pub error: bool,
    /// Events that carry no output: `[DONE]`, errors, bare usage, and a finish reason without a last word.
    pub silent: u64,
}

/// Reads the end of a stream; `bytes` may begin in the middle of an event.
///
/// Usage stands in OpenAI's closing chunk (`usage`), in Groq's last chunk (`x_groq.usage`) or in that of our nodes
/// (`x_nest.usage`); the last one found counts.
pub fn read_tail(bytes: &[u8]) -> Tail {
    let mut tail = Tail::default();
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        let data = data.strip_prefix(b" ").unwrap_or(data);
        if data == b"[DONE]" {
            tail.finished = true;
            tail.silent += 1;
        } else if let Ok(chunk) = serde_json::from_slice::<Chunk>(data) {
            tail.finished |= chunk.choices.iter().any(|choice| choice.finish_reason.is_some());
            tail.error |= chunk.error.is_some();
            tail.silent += u64::from(chunk.is_silent(data));
            tail.usage = chunk.usage().or(tail.usage);
        }
    }
    tail
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<ChunkChoice>,
    // What cannot be read as counts is none, and says nothing about the rest.
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    x_groq: Option<VendorUsage>,
    #[serde(default)]
    x_nest: Option<VendorUsage>,
    #[serde(default)]
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    #[serde(default)]
    finish_reason: Option<serde::de::IgnoredAny>,
}

/// What a choice may say in one chunk, under the names that servers have for it.
const SAID: [&str; 6] =
    ["/delta/content", "/delta/reasoning", "/delta/reasoning_content", "/delta/tool_calls", "/delta/refusal", "/text"];

impl Chunk {
    fn usage(self) -> Option<Usage> {
        let read = |it: Option<Value>| it.and_then(|it| serde_json::from_value(it).ok());
        let vendor = |it: Option<VendorUsage>| it.and_then(|it| read(it.usage));
        read(self.usage).or_else(|| vendor(self.x_groq)).or_else(|| vendor(self.x_nest))
    }

    /// The first chunk of a stream is silent, too, but finishes nothing; who counts leaves it out by its place.
    fn is_silent(&self, data: &[u8]) -> bool {
        let finishes = self.choices.iter().all(|it| it.finish_reason.is_some());
        self.error.is_some() || self.choices.is_empty() || (finishes && says_nothing(data))
    }
}

/// Whether no choice of a chunk says a word. Only the few chunks that finish one are read so closely.
fn says_nothing(data: &[u8]) -> bool {
    let chunk: Value = serde_json::from_slice(data).unwrap_or_default();
    let choices = chunk["choices"].as_array().into_iter().flatten();
    let mut said = choices.flat_map(|choice| SAID.iter().filter_map(|it| choice.pointer(it)));
    said.all(|it| matches!(it, Value::Null) || it.as_str() == Some("") || *it == Value::Array(Vec::new()))
}

#[derive(Deserialize)]
struct VendorUsage {
    #[serde(default)]
    usage: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_tail_yields_usage_wherever_the_server_puts_it() {
        for (stream, prompt, finished) in [
            (
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n",
                Some(3),
                true,
            ),
            (
                "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"x_groq\":{\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1}}}\n\n",
                Some(5),
                true,
            ),
            (
                "data: {\"choices\":[{\"finish_reason\":null}],\"x_nest\":{\"usage\":{\"prompt_tokens\":6,\"completion_tokens\":1}}}\r\n\r\n",
                Some(6),
                false,
            ),
            ("_tokens\":9}}\n\ndata: {\"choices\":[{\"delta\":{}}],\"usage\":null}\n\n", None, false),
            ("data: not json\n\n", None, false),
            ("", None, false),
        ] {
            let tail = read_tail(stream.as_bytes());
            assert_eq!((tail.usage.map(|it| it.prompt_tokens), tail.finished), (prompt, finished), "{stream:?}");
        }
    }

    #[test]
    fn an_error_event_is_seen() {
        assert!(read_tail(b"data: {\"error\":{\"message\":\"x\"}}\n\n").error);
    }

    #[test]
    fn what_says_nothing_is_told_apart_from_output() {
        for (stream, silent) in [
            ("data: [DONE]\n\n", 1),
            ("data: {\"error\":{}}\n\n", 1),
            ("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n", 1),
            ("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", 1),
            ("data: {\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}]}\n\n", 1),
            ("data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n", 0),
            ("data: {\"choices\":[{\"text\":\"x\",\"finish_reason\":\"length\"}]}\n\n", 0),
            ("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{}]},\"finish_reason\":\"tool_calls\"}]}\n\n", 0),
            ("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}]}\n\n", 0),
            ("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", 0),
            ("data: not json\n\n", 0),
        ] {
            assert_eq!(read_tail(stream.as_bytes()).silent, silent, "{stream:?}");
        }
    }

    #[test]
    fn comments_and_blank_lines_are_no_events() {
        let mut counter = EventCounter::default();
        counter.push(b": ping\n\n\n\ndata: 1\n\nevent: x\ndata: 2\ndata: 3\r\n\r\ndata: unended\n");
        assert_eq!(counter.events(), 2);
    }

    proptest! {
        #[test]
        fn events_are_counted_however_the_stream_is_cut(events in 0_usize..40, cuts in prop::collection::vec(1_usize..30, 1..80)) {
            let stream = data("{\"x\":1}").repeat(events);
            let (mut rest, mut counter, mut cuts) = (stream.as_bytes(), EventCounter::default(), cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                counter.push(head);
                rest = tail;
            }
            prop_assert_eq!(counter.events(), events as u64);
        }
    }
}
