//! SQL values as JSON that loses nothing.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use edge_core::sql::Value;
use serde::{Deserialize, Serialize};

/// A [`Value`]; JSON's own numbers would bend some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    Null,
    Bool(bool),
    Int(i64),
    /// The bits of an f64.
    Float(u64),
    Text(String),
    /// Base64.
    Bytes(String),
}

impl From<&Value> for Wire {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(it) => Self::Bool(*it),
            Value::Int(it) => Self::Int(*it),
            Value::Float(it) => Self::Float(it.to_bits()),
            Value::Text(it) => Self::Text(it.clone()),
            Value::Bytes(it) => Self::Bytes(BASE64.encode(it)),
        }
    }
}

impl From<Wire> for Value {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::Null => Self::Null,
            Wire::Bool(it) => Self::Bool(it),
            Wire::Int(it) => Self::Int(it),
            Wire::Float(it) => Self::Float(f64::from_bits(it)),
            Wire::Text(it) => Self::Text(it),
            Wire::Bytes(it) => Self::Bytes(BASE64.decode(it).expect("a test sends base64")),
        }
    }
}
