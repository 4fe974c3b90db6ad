//! Rust types that travel as one of the six kinds.

use super::{Kind, Value};
use shared::{
    id::{
        ClientId, InvitationId, InviteId, KeyId, MailId, NodeId, OrgId, PasskeyId, RequestId, RoleId, SessionId,
        TopUpId, UserId,
    },
    time::Timestamp,
};
use uuid::Uuid;

/// A Rust type with its SQL kind.
pub trait SqlType: Sized {
    /// The kind that carries it.
    const KIND: Kind;
    /// The value to bind.
    fn into_value(self) -> Value;
    /// The value read back, if it is of this type.
    fn from_value(value: &Value) -> Option<Self>;
}

/// Bytes as a JSON parameter carries them: Postgres reads them back by `decode(..., 'hex')`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! plain {
    ($($type:ty = $kind:ident;)*) => {$(
        impl SqlType for $type {
            const KIND: Kind = Kind::$kind;
            fn into_value(self) -> Value {
                Value::$kind(self)
            }
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::$kind(it) => Some(it.clone()),
                    _ => None,
                }
            }
        }
    )*};
}

plain! {
    bool = Bool;
    i64 = Int;
    f64 = Float;
    String = Text;
    Vec<u8> = Bytes;
}

/// Ids travel as the text of their UUID; the statement casts (`$1::text::uuid`, `id::text`).
macro_rules! ids {
    ($($id:ty),*) => {$(
        impl SqlType for $id {
            const KIND: Kind = Kind::Text;
            fn into_value(self) -> Value {
                Value::Text(self.uuid().to_string())
            }
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Text(it) => Uuid::try_parse(it).ok().map(Self::from_uuid),
                    _ => None,
                }
            }
        }
    )*};
}

ids!(
    ClientId,
    InvitationId,
    InviteId,
    KeyId,
    MailId,
    NodeId,
    OrgId,
    PasskeyId,
    RequestId,
    TopUpId,
    RoleId,
    SessionId,
    UserId
);

/// Times travel as milliseconds since the epoch; the statement casts to and from `timestamptz`.
impl SqlType for Timestamp {
    const KIND: Kind = Kind::Int;
    fn into_value(self) -> Value {
        Value::Int(self.0)
    }
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value).map(Self)
    }
}

impl<T: SqlType> SqlType for Option<T> {
    const KIND: Kind = T::KIND;
    fn into_value(self) -> Value {
        self.map_or(Value::Null, T::into_value)
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}
