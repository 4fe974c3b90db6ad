//! Limits: may it go now?
//!
//! Addresses are limited by class of routes, before anything else is looked at. Calls of models are held to the limits
//! of their key and of its organisation: requests and tokens a minute and a day, and requests at the same time. These
//! are counted by all edges together, in a store of counters, from which each edge leases. Owns no table: limits stand
//! where keys and organisations do. docs/limits.md says what happens while the store is away.

mod address;
pub mod counters;
mod exceeded;
mod extract;
mod headers;
mod lease;
mod quota;
mod rules;

pub use address::{AddressLimits, Class, DEFAULT as DEFAULT_ADDRESS_LIMITS};
pub(crate) use address::{Addresses, take as take_address};
pub use counters::Standing;
pub use exceeded::{Exceeded, TooLarge};
pub(crate) use extract::{Client, DEVICE_COOKIE};
pub(crate) use lease::{Demand, Leases, Permit, Slot};
pub use quota::{Limit, MOST, Name as LimitName, Quota, Quotas, Scope, Unit};

use crate::{App, Error, error::chain, host::PeerIp};
use counters::{Counter, Decision, Kind};
use http::{Extensions, HeaderMap};
use quota::Name;
use shared::id::{KeyId, OrgId};
use std::net::{IpAddr, Ipv6Addr};

/// What the settings say of limits.
pub struct LimitsConfig {
    pub addresses: AddressLimits,
    /// Those of organisations for which no operator has set others.
    pub org: Quota,
    /// Percent of a key's and an organisation's limits that each process gives by itself while the store is away.
    pub share_percent: u64,
}

/// The headers that tell a caller its limits, on their way to the answer.
#[derive(Clone, Debug)]
pub(crate) struct Headers(pub(crate) HeaderMap);

/// What a call wants to take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    org_id: OrgId,
    key_id: KeyId,
    quotas: Quotas,
    /// The most that the call may use.
    tokens: u64,
    /// Who this process or isolate is, to stores.
    holder: u128,
    /// Whether to take for requests that are likely to come.
    takes_ahead: bool,
    /// How long a store may take to answer: what was asked for before will not come any more.
    answered_in_ms: i64,
}

impl Ask {
    pub(crate) fn new(app: &App, org_id: OrgId, key_id: KeyId, quotas: Quotas, tokens: u64) -> Self {
        let answered_in_ms = app.config.upstash.as_ref().map_or(0, |it| it.timeout_ms);
        Self {
            org_id,
            key_id,
            quotas,
            tokens,
            holder: app.leases.holder(app),
            takes_ahead: app.host.remembers(),
            answered_in_ms: i64::try_from(answered_in_ms).unwrap_or(i64::MAX),
        }
    }

    /// A limit's name in the store.
    fn counter(&self, limit: Limit) -> String {
        let name = limit.name.as_str();
        match limit.scope {
            Scope::Org => format!("nest:{{{}}}:org:{name}", self.org_id),
            Scope::Key => format!("nest:{{{}}}:{}:{name}", self.org_id, self.key_id),
        }
    }

    /// Who holds slots. Of an organisation's, each of its keys holds some here.
    fn holder(&self) -> String {
        format!("{:032x}:{}", self.holder, self.key_id)
    }

    /// The first limit that could never give so many tokens.
    fn too_large(&self) -> Option<TooLarge> {
        let tokens = self.tokens;
        let mut limits = self.quotas.set().filter(|(limit, _)| limit.name.unit() == Unit::Tokens);
        let (limit, value) = limits.find(|(_, value)| *value < tokens)?;
        Some(TooLarge { limit, value, tokens })
    }
}

/// Lets a call through, or says which limit it exceeds.
pub(crate) async fn take(app: &App, ask: Ask) -> Result<Permit, Error> {
    match ask.too_large() {
        Some(too_large) => Err(Error::TokensExceedLimit(Box::new(too_large))),
        None => lease::take(app, ask).await,
    }
}

/// The headers of an answer to a caller with these limits, as they stand here and now.
pub(crate) fn headers(app: &App, org_id: OrgId, key_id: KeyId, quotas: Quotas) -> Headers {
    let ask = Ask { org_id, key_id, quotas, tokens: 0, holder: 0, takes_ahead: false, answered_in_ms: 0 };
    Headers(headers::of_call(&app.leases.standings(&ask, app.host.now())))
}

/// How the limits of a key, or without one those of an organisation alone, stand with the store.
pub(crate) async fn standings(
    app: &App,
    org_id: OrgId,
    key_id: Option<KeyId>,
    quotas: Quotas,
) -> Result<Vec<(Limit, u64, Standing)>, Error> {
    let key = key_id.unwrap_or(KeyId::from_uuid(uuid::Uuid::nil()));
    let ask = Ask::new(app, org_id, key, quotas, 0);
    let limits: Vec<(Limit, u64)> = quotas.set().filter(|(it, _)| key_id.is_some() || it.scope == Scope::Org).collect();
    let counters: Vec<Counter> = limits.iter().map(|(limit, value)| look(&ask, *limit, *value)).collect();
    let decision = app.counters.take(&*app.host, &counters).await.map_err(|error| {
        tracing::warn!(error = %chain(&error), "nobody can say how limits stand");
        Error::LimitsAway
    });
    let standings = match decision? {
        Decision::Granted(grants) => grants.into_iter().map(|it| it.standing).collect(),
        Decision::Refused { standings, .. } => standings,
    };
    Ok(limits.into_iter().zip(standings).map(|((limit, value), standing)| (limit, value, standing)).collect())
}

/// A counter from which nothing is taken.
fn look(ask: &Ask, limit: Limit, value: u64) -> Counter {
    let kind = match limit.name {
        Name::RequestsPerMinute | Name::TokensPerMinute => Kind::Sliding { window_ms: 60_000 },
        Name::RequestsPerDay | Name::TokensPerDay => Kind::Fixed { window_ms: 86_400_000 },
        // A holder of its own, which never holds anything.
        Name::Concurrent => Kind::Slots { holder: "look".to_owned(), ttl_ms: 1 },
    };
    Counter { key: ask.counter(limit), kind, limit: value, cost: 0, want: 0, settle: None }
}

/// The address behind a request, as far as anybody who may be trusted says it.
pub(crate) fn client_ip(app: &App, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = extensions.get::<PeerIp>().map(|it| it.0);
    let forwarded: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|it| it.to_str().ok()).collect();
    rules::client_ip(peer, &forwarded.join(","), app.config.trusted_proxy_hops)
}

/// What counts as one address: an IPv6 customer's whole network.
pub(crate) fn network(ip: Option<IpAddr>) -> IpAddr {
    rules::bucket(ip.unwrap_or(UNKNOWN))
}

const UNKNOWN: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// A share of a limit, rounded up.
const fn at_share(limit: u64, percent: u64) -> u64 {
    (limit as u128 * percent as u128).div_ceil(100) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_so_that_something_is_left() {
        for (limit, percent, share) in [(60, 50, 30), (1, 50, 1), (3, 50, 2), (0, 50, 0), (u64::MAX, 100, u64::MAX)] {
            assert_eq!(at_share(limit, percent), share, "{limit}");
        }
    }
}
