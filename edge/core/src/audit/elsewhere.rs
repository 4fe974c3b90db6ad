//! Anchors that are kept elsewhere: log lines, or what was posted to `AUDIT_ANCHOR_URL`.

use super::{Finding, Findings};
use crate::{Store, sql::SqlError};
use serde_json::{Value, json};

/// The message of an anchor's log line.
const MESSAGE: &str = "audit anchor";

/// The end of the chain as a line tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    pub seq: i64,
    /// In hexadecimal, 64 small digits.
    pub mac: String,
}

impl Elsewhere {
    /// Reads a line: JSON as it was posted, or a line of the edge's log in JSON or text. Other lines are none.
    pub fn parse(line: &str) -> Option<Self> {
        let (seq, mac) = match serde_json::from_str::<Value>(line) {
            Ok(value) => from_json(&value)?,
            Err(_) => from_text(line)?,
        };
        let hex = mac.len() == 64 && mac.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        (seq > 0 && hex).then_some(Self { seq, mac })
    }
}

fn from_json(value: &Value) -> Option<(i64, String)> {
    // What was posted has no message; another message's fields are no anchor's.
    let fields = value.get("fields").unwrap_or(value);
    if fields.get("message").is_some_and(|it| it != MESSAGE) {
        return None;
    }
    Some((fields.get("seq")?.as_i64()?, fields.get("mac")?.as_str()?.to_owned()))
}

fn from_text(line: &str) -> Option<(i64, String)> {
    let (_, fields) = line.split_once(MESSAGE)?;
    let field = |name: &str| fields.split_whitespace().find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
    Some((field("seq")?.parse().ok()?, field("mac")?.trim_matches('"').to_owned()))
}

/// Compares anchors that were kept elsewhere with the log. Give them in batches: they go into one statement.
pub async fn compare(store: &Store, kept: &[Elsewhere], findings: &mut Findings) -> Result<(), SqlError> {
    let places: Vec<Value> =
        kept.iter().enumerate().map(|(number, it)| json!({"number": number, "seq": it.seq})).collect();
    let entries = store.named_entries(Value::from(places).to_string()).await?;
    for (it, entry) in kept.iter().zip(entries) {
        debug_assert_eq!(it.seq, entry.seq);
        match entry.mac {
            None => findings.push(Finding::ElsewhereMissing { seq: it.seq }),
            Some(mac) if crate::sql::hex(&mac) != it.mac => {
                findings.push(Finding::ElsewhereDiffers { seq: it.seq });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_read_from_whichever_line_it_was_kept_in() {
        let mac = "0123456789abcdef".repeat(4);
        let seq = |line: String| Elsewhere::parse(&line).map(|it| (it.seq, it.mac == mac));
        for (line, expected) in [
            (format!(r#"{{"service":"https://x","at_ms":1,"seq":5,"mac":"{mac}"}}"#), Some((5, true))),
            (
                format!(r#"{{"level":"INFO","message":"audit anchor","at_ms":1,"seq":5,"mac":"{mac}"}}"#),
                Some((5, true)),
            ),
            (
                format!(r#"{{"level":"INFO","fields":{{"message":"audit anchor","seq":5,"mac":"{mac}"}}}}"#),
                Some((5, true)),
            ),
            (format!(r#"2026-01-01T00:00:00Z  INFO audit anchor at_ms=1 seq=5 mac="{mac}""#), Some((5, true))),
            (format!("audit anchor seq=5 mac={mac}"), Some((5, true))),
            (format!(r#"{{"message":"something else","seq":5,"mac":"{mac}"}}"#), None),
            (format!("seq=5 mac={mac}"), None),
            (format!("audit anchor seq=five mac={mac}"), None),
            (format!("audit anchor seq=-1 mac={mac}"), None),
            (format!("audit anchor seq=5 mac={}", &mac[1..]), None),
            ("audit anchor".to_owned(), None),
            ("{}".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(seq(line.clone()), expected, "{line}");
        }
    }
}
