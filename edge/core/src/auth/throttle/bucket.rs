//! What is counted: a hash, since a table of addresses that somebody tried is nobody's business.

use crate::{
    limits::{Client, network},
    sql::{Kind, SqlType, Value, hex},
};
use sha2::{Digest as _, Sha256};
use shared::id::UserId;

/// The name of one count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket(Vec<u8>);

impl Bucket {
    fn of(kind: &str, what: &str) -> Self {
        Self(Sha256::new().chain_update(kind).chain_update([0]).chain_update(what).finalize().to_vec())
    }

    /// Everything that one network tries.
    pub(crate) fn address(client: &Client) -> Self {
        Self::of("address", &network(client.origin.ip).to_string())
    }

    /// An account's strangers. The account need not exist.
    pub(super) fn strangers(email: &str) -> Self {
        Self::of("strangers", email)
    }

    /// Everyone who tries an account.
    pub(super) fn total(email: &str) -> Self {
        Self::of("total", email)
    }

    /// One known device of an account.
    pub(super) fn device(id: &str) -> Self {
        Self::of("device", id)
    }

    /// A person who is logged in and proves their password anew.
    pub(super) fn person(id: UserId) -> Self {
        Self::of("person", &id.to_string())
    }

    /// The whole service.
    pub(super) fn service() -> Self {
        Self::of("service", "")
    }

    /// Mail that strangers cause to an address.
    pub(crate) fn mails(email: &str) -> Self {
        Self::of("mails", email)
    }

    /// As JSON parameters carry it.
    pub(super) fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl SqlType for Bucket {
    const KIND: Kind = Kind::Bytes;
    fn into_value(self) -> Value {
        Value::Bytes(self.0)
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bytes(it) => Some(Self(it.clone())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_is_taken_for_another() {
        let all = [Bucket::strangers("a"), Bucket::total("a"), Bucket::device("a"), Bucket::mails("a")];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| one != other));
        }
        assert_ne!(Bucket::strangers("a"), Bucket::strangers("b"));
    }
}
