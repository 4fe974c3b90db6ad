//! How much a key or an organisation may do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Limits of a key or of an organisation; what is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Requests in any minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Requests in a day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<u64>,
    /// Tokens, of prompts and of answers, in any minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Tokens in a day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Requests at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u64>,
}

/// One of a quota's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    RequestsPerMinute,
    RequestsPerDay,
    TokensPerMinute,
    TokensPerDay,
    Concurrent,
}

/// Whose limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Org,
    Key,
}

/// A limit, whose and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit {
    pub scope: Scope,
    pub name: Name,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Requests,
    Tokens,
    /// Requests at the same time.
    Slots,
}

/// Both quotas that a call is held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    pub org: Quota,
    pub key: Quota,
}

/// The largest limit: what every part of the way to a store can carry exactly, a double among them.
pub const MOST: u64 = 1_000_000_000_000;

impl Name {
    pub const ALL: [Self; 5] =
        [Self::RequestsPerMinute, Self::RequestsPerDay, Self::TokensPerMinute, Self::TokensPerDay, Self::Concurrent];

    /// As settings, stores and the API spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::RequestsPerDay => "requests_per_day",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::TokensPerDay => "tokens_per_day",
            Self::Concurrent => "concurrent",
        }
    }

    /// What it counts.
    pub const fn unit(self) -> Unit {
        match self {
            Self::RequestsPerMinute | Self::RequestsPerDay => Unit::Requests,
            Self::TokensPerMinute | Self::TokensPerDay => Unit::Tokens,
            Self::Concurrent => Unit::Slots,
        }
    }

    /// The length of its window; none for what is held at the same time.
    pub const fn window_ms(self) -> Option<i64> {
        match self {
            Self::RequestsPerMinute | Self::TokensPerMinute => Some(60_000),
            Self::RequestsPerDay | Self::TokensPerDay => Some(86_400_000),
            Self::Concurrent => None,
        }
    }
}

impl Scope {
    pub const ALL: [Self; 2] = [Self::Org, Self::Key];
}

impl Limit {
    /// How many there are.
    pub(super) const COUNT: usize = 10;

    /// Every limit that a call may be held to: the organisation's first.
    pub fn all() -> impl Iterator<Item = Self> {
        Scope::ALL.into_iter().flat_map(|scope| Name::ALL.into_iter().map(move |name| Self { scope, name }))
    }

    /// Its place in a table of all.
    pub(super) const fn index(self) -> usize {
        self.scope as usize * Name::ALL.len() + self.name as usize
    }
}

impl Quota {
    /// One of its limits.
    pub const fn get(&self, name: Name) -> Option<u64> {
        match name {
            Name::RequestsPerMinute => self.requests_per_minute,
            Name::RequestsPerDay => self.requests_per_day,
            Name::TokensPerMinute => self.tokens_per_minute,
            Name::TokensPerDay => self.tokens_per_day,
            Name::Concurrent => self.concurrent,
        }
    }

    fn set(&mut self, name: Name, limit: u64) {
        let place = match name {
            Name::RequestsPerMinute => &mut self.requests_per_minute,
            Name::RequestsPerDay => &mut self.requests_per_day,
            Name::TokensPerMinute => &mut self.tokens_per_minute,
            Name::TokensPerDay => &mut self.tokens_per_day,
            Name::Concurrent => &mut self.concurrent,
        };
        *place = Some(limit);
    }

    /// Reads `name=limit` pairs with spaces between them, as `ORG_LIMITS` has them; each name once at most.
    pub fn parse(text: &str) -> Option<Self> {
        let mut quota = Self::default();
        for pair in text.split_whitespace() {
            let (name, limit) = pair.split_once('=')?;
            let name = Name::ALL.into_iter().find(|it| it.as_str() == name)?;
            let limit = limit.parse().ok().filter(|it| *it <= MOST)?;
            if quota.get(name).is_some() {
                return None;
            }
            quota.set(name, limit);
        }
        Some(quota)
    }

    /// The first limit that is larger than any store can count to.
    pub fn too_large(&self) -> Option<Name> {
        Name::ALL.into_iter().find(|name| self.get(*name).is_some_and(|it| it > MOST))
    }
}

impl Quotas {
    /// What a limit is; none when nothing is limited.
    pub const fn get(&self, limit: Limit) -> Option<u64> {
        match limit.scope {
            Scope::Org => self.org.get(limit.name),
            Scope::Key => self.key.get(limit.name),
        }
    }

    /// The limits that there are.
    pub fn set(&self) -> impl Iterator<Item = (Limit, u64)> + '_ {
        Limit::all().filter_map(|limit| self.get(limit).map(|it| (limit, it)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_names_each_limit_once_and_leaves_out_what_is_not_limited() {
        let some = Quota { requests_per_minute: Some(60), concurrent: Some(0), ..Quota::default() };
        for (text, quota) in [
            ("", Some(Quota::default())),
            (" requests_per_minute=60  concurrent=0 ", Some(some)),
            ("requests_per_minute=60 requests_per_minute=60", None),
            ("requests=60", None),
            ("requests_per_minute", None),
            ("requests_per_minute=-1", None),
            ("requests_per_minute=1000000000001", None),
        ] {
            assert_eq!(Quota::parse(text), quota, "{text:?}");
        }
    }

    #[test]
    fn every_limit_has_a_place_of_its_own() {
        let places: Vec<usize> = Limit::all().map(Limit::index).collect();
        assert_eq!(places, (0..Limit::COUNT).collect::<Vec<_>>());
    }
}
