//! What a request exceeds: how it is told, in words and in headers.

use super::{
    address::Class,
    headers::{self, Item},
    quota::{Limit, Name, Scope},
};
use crate::Error;
use http::HeaderMap;
use shared::time::Timestamp;

/// A limit that leaves no room for a request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests: {text}", text = self.text())]
pub struct Exceeded {
    what: What,
    value: u64,
    retry_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Of(Limit),
    Address(Class, Window),
}

/// A window of an address' limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) ms: i64,
    pub(super) word: &'static str,
}

/// A refusal as a lease knows it.
pub(super) struct Refused {
    pub(super) limit: Limit,
    pub(super) value: u64,
    pub(super) retry_at: Timestamp,
}

/// A request that needs more tokens than a limit ever gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this request may take {tokens} tokens, its prompt and the most that it asks for, and {whose} has a limit of {most} {per}: ask for fewer",
    whose = whose(self.limit.scope),
    most = counted(self.value, "token"),
    per = per(self.limit.name)
)]
pub struct TooLarge {
    pub(super) limit: Limit,
    pub(super) value: u64,
    pub(super) tokens: u64,
}

impl Exceeded {
    pub(super) fn limit(refused: &Refused, now: Timestamp) -> Self {
        let retry_ms = refused.retry_at.since_ms(now).max(1);
        Self { what: What::Of(refused.limit), value: refused.value, retry_ms }
    }

    pub(super) const fn address(class: Class, value: u64, window: Window, retry_ms: i64) -> Self {
        Self { what: What::Address(class, window), value, retry_ms }
    }

    /// Whole seconds after which there is room again; one when requests run at the same time, of which any may end.
    pub fn retry_after_s(&self) -> u64 {
        match self.what {
            What::Of(Limit { name: Name::Concurrent, .. }) => 1,
            What::Of(_) | What::Address(..) => self.retry_ms.max(1).unsigned_abs().div_ceil(1_000),
        }
    }

    /// For limits of addresses, which no other layer tells of.
    pub(crate) fn headers(&self) -> HeaderMap {
        match self.what {
            What::Of(_) => HeaderMap::new(),
            What::Address(class, window) => headers::fields(&[Item {
                name: format!("address-{}", class.as_str()),
                unit: None,
                quota: self.value,
                window_ms: Some(window.ms),
                remaining: 0,
                reset_ms: Some(self.retry_ms),
            }]),
        }
    }

    fn text(&self) -> String {
        let wait_s = self.retry_after_s();
        let counted = |unit| counted(self.value, unit);
        match self.what {
            What::Address(class, window) => {
                let (calls, word, class) = (counted("call"), window.word, class.as_str());
                format!("an address may make {calls} {word} of the class `{class}`; try again in {wait_s} s")
            }
            What::Of(Limit { scope, name: Name::Concurrent }) => {
                let (whose, requests) = (whose(scope), counted("request"));
                format!("{whose} may have {requests} at the same time; try again when one has ended")
            }
            What::Of(Limit { scope, name }) => {
                let (whose, what, per) = (whose(scope), counted(unit(name)), per(name));
                format!("{whose} has a limit of {what} {per}; try again in {wait_s} s")
            }
        }
    }
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::RateLimited(Box::new(exceeded))
    }
}

const fn whose(scope: Scope) -> &'static str {
    match scope {
        Scope::Org => "this organisation",
        Scope::Key => "this API key",
    }
}

const fn unit(name: Name) -> &'static str {
    match name {
        Name::RequestsPerMinute | Name::RequestsPerDay | Name::Concurrent => "request",
        Name::TokensPerMinute | Name::TokensPerDay => "token",
    }
}

fn counted(count: u64, unit: &str) -> String {
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

const fn per(name: Name) -> &'static str {
    match name {
        Name::RequestsPerMinute | Name::TokensPerMinute => "a minute",
        Name::RequestsPerDay | Name::TokensPerDay => "a day",
        Name::Concurrent => "at the same time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_limit_and_the_wait() {
        let of = |scope, name| What::Of(Limit { scope, name });
        let minute = Window { ms: 60_000, word: "a minute" };
        for (what, retry_ms, wait_s, text) in [
            (
                of(Scope::Key, Name::RequestsPerMinute),
                1_001,
                2,
                "too many requests: this API key has a limit of 5 requests a minute; try again in 2 s",
            ),
            (
                of(Scope::Org, Name::TokensPerDay),
                1,
                1,
                "too many requests: this organisation has a limit of 5 tokens a day; try again in 1 s",
            ),
            (
                of(Scope::Key, Name::Concurrent),
                30_000,
                1,
                "too many requests: this API key may have 5 requests at the same time; try again when one has ended",
            ),
            (
                What::Address(Class::Login, minute),
                60_000,
                60,
                "too many requests: an address may make 5 calls a minute of the class `login`; try again in 60 s",
            ),
        ] {
            let exceeded = Exceeded { what, value: 5, retry_ms };
            assert_eq!((exceeded.retry_after_s(), exceeded.to_string().as_str()), (wait_s, text));
        }
        assert_eq!(counted(1, "call"), "1 call");
    }
}
