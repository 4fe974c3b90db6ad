//! Identifiers: a typed prefix before a UUID v7, so that ids sort by time and cannot be mistaken for one another.

use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};
use uuid::{Builder, Uuid};

/// The text is not an id of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id that starts with `{prefix}_`")]
pub struct IdError {
    prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id: `now` makes it sort by time, `random` makes it unique.
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                Self(Builder::from_unix_timestamp_millis(now.0.max(0).unsigned_abs(), &random).into_uuid())
            }

            /// The id whose UUID is `uuid`, as a database or a wire format carries it.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID without its prefix.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                crate::schema::text(concat!("^", $prefix, "_[0-9a-f]{32}$"))
            }
        }

        impl utoipa::ToSchema for $name {}

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let uuid = text.strip_prefix(concat!($prefix, "_")).and_then(|hex| Uuid::try_parse(hex).ok());
                uuid.map(Self).ok_or(IdError { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

ids! {
    /// An organisation: it owns keys and pays.
    OrgId = "org";
    /// A person.
    UserId = "user";
    /// An API key; the id is public, the secret is not part of it.
    KeyId = "key";
    /// A GPU node.
    NodeId = "node";
    /// A single-use permission to join as a GPU node.
    InviteId = "invite";
    /// A log-in and everything that acts by it, until it ends.
    SessionId = "sess";
    /// A program that was registered to get tokens in its own name (OAuth 2.0).
    ClientId = "client";
    /// An invitation into an organisation.
    InvitationId = "invitation";
    /// A role that an organisation made for itself.
    RoleId = "role";
    /// A passkey, as its owner's list names it.
    PasskeyId = "passkey";
    /// A mail, which keeps its id however often it is tried.
    MailId = "mail";
    /// One call, from its arrival at the edge to its row in `usage`.
    RequestId = "req";
    /// Credit that was asked for.
    TopUpId = "topup";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_text() {
        let id = KeyId::new(Timestamp(1_700_000_000_000), [7; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().starts_with("key_"));
        assert_eq!(serde_json::from_str::<KeyId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let org = OrgId::new(Timestamp(1), [0; 10]).to_string();
        for text in [org.as_str(), "key_", "key_123", "", "00000000000000000000000000000000"] {
            assert!(text.parse::<KeyId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let (early, late) = (RequestId::new(Timestamp(1_000), [255; 10]), RequestId::new(Timestamp(1_001), [0; 10]));
        assert!(early < late && early.to_string() < late.to_string());
    }
}
