//! Limits of addresses: the first thing that a request meets.

mod rules;

pub(crate) use rules::Rule;
pub use rules::{AddressLimits, Class, DEFAULT};

use super::{
    Exceeded,
    counters::{Counter, Decision, Kind},
};
use crate::{App, Error, sql::hex};
use http::request::Parts;
use rules::Window;
use sha2::{Digest as _, Sha256};
use shared::time::Timestamp;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Addresses that are told apart at a time; the ones beyond share a bucket.
const CAPACITY: usize = 100_000;

/// A full table is swept at most so often: sweeping looks at every address.
const SWEEP_MS: i64 = 1_000;

/// A refusal of the shared store is believed for so long at most.
const REFUSED_MS: i64 = 1_000;

/// Refusals that are remembered.
const REFUSALS: usize = 10_000;

/// Bytes of an address' hash.
const HASH_BYTES: usize = 12;

/// What this process or isolate knows of addresses.
#[derive(Default)]
pub(crate) struct Addresses {
    windows: Mutex<Windows>,
    refusals: Mutex<HashMap<(Class, IpAddr), Refusal>>,
}

/// What the shared store said, and until when that is believed.
#[derive(Clone, Copy)]
struct Refusal {
    until: Timestamp,
    retry_at: Timestamp,
}

/// Counts of the present windows.
#[derive(Default)]
struct Windows {
    counts: HashMap<(Class, IpAddr), Window>,
    swept_at: Option<Timestamp>,
}

/// Counts a call of a route of `class` for the address behind a request, or refuses it.
pub(crate) async fn take(app: &App, class: Class, parts: &Parts) -> Result<(), Error> {
    let rule = app.config.limits.addresses.get(class);
    let ip = super::network(super::client_ip(app, &parts.extensions, &parts.headers));
    let now = app.host.now();
    let refused = |retry_ms: i64| Exceeded::address(class, rule.limit, rule.span, retry_ms.max(1)).into();
    if !class.is_shared() {
        return app.addresses.take(class, ip, rule, now).map_err(refused);
    }
    if let Some(retry_ms) = app.addresses.refusal(class, ip, now) {
        return Err(refused(retry_ms));
    }
    match shared(app, class, ip, rule).await? {
        Decision::Granted(_) => Ok(()),
        Decision::Refused { retry_ms, .. } => {
            let retry_ms = retry_ms.clamp(1, rule.span.ms);
            app.addresses.refuse(class, ip, app.host.now(), retry_ms);
            Err(refused(retry_ms))
        }
    }
}

/// What all edges decide together, or this one by itself while they cannot: then of the share that its class has, and
/// where that is nothing, nobody may try.
async fn shared(app: &App, class: Class, ip: IpAddr, rule: Rule) -> Result<Decision, Error> {
    let counter = Counter {
        key: format!("nest:{{ip}}:{}:{}", class.as_str(), hash(ip)),
        kind: Kind::Fixed { window_ms: rule.span.ms },
        limit: rule.limit,
        cost: 1,
        want: 1,
        settle: None,
    };
    match app.counters.take(&*app.host, std::slice::from_ref(&counter)).await {
        Ok(decision) => Ok(decision),
        Err(_) if rule.alone() == 0 => Err(Error::LimitsAway),
        Err(_) => Ok(app.local_counters.take(&[Counter { limit: rule.alone(), ..counter }], app.host.now())),
    }
}

/// What a store gets to see of an address.
fn hash(ip: IpAddr) -> String {
    hex(&Sha256::digest(format!("nest address v1 {ip}"))[..HASH_BYTES])
}

impl Addresses {
    fn take(&self, class: Class, ip: IpAddr, rule: Rule, now: Timestamp) -> Result<(), i64> {
        let mut windows = lock(&self.windows);
        let mut place = (class, ip);
        if windows.counts.len() >= CAPACITY && !windows.counts.contains_key(&place) {
            windows.sweep(now);
            if windows.counts.len() >= CAPACITY {
                place.1 = super::UNKNOWN;
            }
        }
        let window = rules::take(windows.counts.get(&place).copied(), rule.limit, rule.span.ms, now)?;
        windows.counts.insert(place, window);
        Ok(())
    }

    /// How long an address has still to wait, as the shared store said.
    fn refusal(&self, class: Class, ip: IpAddr, now: Timestamp) -> Option<i64> {
        let refusal = *lock(&self.refusals).get(&(class, ip))?;
        let believed = (1..=REFUSED_MS).contains(&refusal.until.since_ms(now));
        believed.then(|| refusal.retry_at.since_ms(now))
    }

    fn refuse(&self, class: Class, ip: IpAddr, now: Timestamp, retry_ms: i64) {
        let mut refusals = lock(&self.refusals);
        if refusals.len() >= REFUSALS {
            refusals.clear();
        }
        let until = now.plus_ms(retry_ms.min(REFUSED_MS));
        refusals.insert((class, ip), Refusal { until, retry_at: now.plus_ms(retry_ms) });
    }
}

impl Windows {
    fn sweep(&mut self, now: Timestamp) {
        if self.swept_at.is_none_or(|at| !(0..SWEEP_MS).contains(&now.since_ms(at))) {
            self.swept_at = Some(now);
            self.counts.retain(|_, window| now < window.ends_at);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// Checklist 67.
    #[test]
    fn memory_is_bounded_under_ten_million_addresses() {
        let (addresses, rule) = (Addresses::default(), AddressLimits::parse("health=5/m").unwrap().get(Class::Health));
        let take =
            |number: u32, at_ms| addresses.take(Class::Health, Ipv4Addr::from(number).into(), rule, Timestamp(at_ms));
        for number in 0..10_000_000 {
            let _ = take(number, 0);
        }
        assert!(lock(&addresses.windows).counts.len() <= CAPACITY + 1);
        // Those beyond the capacity share a bucket, which is full by now; a known one goes on.
        assert!(take(u32::MAX, 0).is_err());
        assert!(take(1, 0).is_ok());
        // The next minute starts anew.
        assert!(take(u32::MAX, 60_000).is_ok());
    }

    #[test]
    fn a_refusal_is_believed_for_a_second() {
        let (addresses, ip) = (Addresses::default(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        addresses.refuse(Class::Login, ip, Timestamp(0), 60_000);
        for (class, at_ms, refused) in [
            (Class::Login, 0, Some(60_000)),
            (Class::Login, 999, Some(59_001)),
            (Class::Login, 1_000, None),
            (Class::Login, -60_000, None), // the clock was set back
            (Class::Signup, 0, None),
        ] {
            assert_eq!(addresses.refusal(class, ip, Timestamp(at_ms)), refused, "{class:?} {at_ms}");
        }
    }
}
