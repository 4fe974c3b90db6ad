//! What a command answers, as Upstash's REST interface carries it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

/// A command's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Null,
    Integer(i64),
    /// Any bytes.
    Text(Vec<u8>),
    List(Vec<Reply>),
}

impl Reply {
    /// Reads a result that was asked for with `Upstash-Encoding: base64`: every text is encoded but a bare `OK`, which
    /// is no base64.
    pub(super) fn read(result: &Value) -> Option<Self> {
        match result {
            Value::Null => Some(Self::Null),
            Value::Number(number) => number.as_i64().map(Self::Integer),
            Value::String(text) if text == "OK" => Some(Self::Text(b"OK".to_vec())),
            Value::String(text) => BASE64_STANDARD.decode(text).ok().map(Self::Text),
            Value::Array(items) => items.iter().map(Self::read).collect::<Option<_>>().map(Self::List),
            Value::Bool(_) | Value::Object(_) => None,
        }
    }

    /// The number, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Null | Self::Text(_) | Self::List(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_come_in_base64_but_for_a_bare_ok() {
        let text = |bytes: &[u8]| Some(Reply::Text(bytes.to_vec()));
        for (result, expected) in [
            (json!(null), Some(Reply::Null)),
            (json!(-7), Some(Reply::Integer(-7))),
            (json!("OK"), text(b"OK")),
            (json!("T0s="), text(b"OK")),
            (json!("/wA="), text(&[0xff, 0])),
            (json!(""), text(b"")),
            (
                json!([1, [null, "YQ=="]]),
                Some(Reply::List(vec![Reply::Integer(1), Reply::List(vec![Reply::Null, Reply::Text(b"a".to_vec())])])),
            ),
            (json!("not base64"), None),
            (json!(["fine", "a"]), None),
            (json!(1.5), None),
            (json!(true), None),
            (json!({"result": 1}), None),
        ] {
            assert_eq!(Reply::read(&result), expected, "{result}");
        }
    }
}
