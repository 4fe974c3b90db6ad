//! Commands as calls carry them, and what they are answered with.

use crate::redis::Said;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// What Upstash has no use for, since calls have no connection of their own.
const UNAVAILABLE: [&str; 21] = [
    "AUTH",
    "HELLO",
    "SELECT",
    "QUIT",
    "CLIENT",
    "CLUSTER",
    "REPLICAOF",
    "SHUTDOWN",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH",
    "UNWATCH",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "MONITOR",
    "BLPOP",
    "BRPOP",
    "BLMOVE",
    "CONFIG",
];

/// How texts are written into an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are; what is no UTF-8 is lost.
    Plain,
    Base64,
}

/// A command of strings, numbers and booleans, or what is wrong with it.
pub(super) fn read(command: &Value) -> Result<Vec<String>, String> {
    let parts = command.as_array().filter(|it| !it.is_empty()).ok_or("ERR empty command")?;
    let text = |part: &Value| match part {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(part.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("ERR a command's parts are strings, numbers and booleans".to_owned())
        }
    };
    checked(parts.iter().map(text).collect::<Result<_, _>>()?)
}

/// Refuses what would change a connection that calls share.
pub(super) fn checked(parts: Vec<String>) -> Result<Vec<String>, String> {
    match UNAVAILABLE.iter().find(|it| it.eq_ignore_ascii_case(&parts[0])) {
        Some(name) => Err(format!("ERR Command is not available: '{name}'")),
        None => Ok(parts),
    }
}

/// One command's answer.
pub(super) fn answer(said: &Said, encoding: Encoding) -> Value {
    match said {
        Said::Error(text) => json!({ "error": text }),
        said => json!({ "result": result(said, encoding) }),
    }
}

fn result(said: &Said, encoding: Encoding) -> Value {
    match said {
        Said::Null => Value::Null,
        Said::Integer(number) => json!(number),
        Said::Status(text) if text == "OK" => json!(text),
        Said::Status(text) => text_of(text.as_bytes(), encoding),
        Said::Text(bytes) => text_of(bytes, encoding),
        Said::List(items) => items.iter().map(|it| result(it, encoding)).collect(),
        Said::Error(text) => json!(text),
    }
}

fn text_of(bytes: &[u8], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Plain => json!(String::from_utf8_lossy(bytes)),
        Encoding::Base64 => json!(BASE64_STANDARD.encode(bytes)),
    }
}
