//! Limits: may it go now?
//!
//! Fixed windows by address, counted in this process or isolate. Owns no table. Limits of keys and organisations, and
//! counters that all edges share, come with their own release.

pub mod counters;
mod extract;
mod quota;
mod rules;

pub(crate) use extract::{Client, DEVICE_COOKIE};
pub use quota::Quota;

use crate::{App, Error, host::PeerIp};
use http::Extensions;
use http::HeaderMap;
use rules::Window;
use shared::time::Timestamp;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

/// Addresses that are told apart in a minute; the ones beyond share a bucket.
const CAPACITY: usize = 100_000;

/// Counts of the present minute, by address.
#[derive(Default)]
pub(crate) struct Windows(Mutex<HashMap<IpAddr, Window>>);

/// Counts a call of the address behind a request, or refuses it.
pub(crate) fn take(app: &App, extensions: &Extensions, headers: &HeaderMap, limit: u64) -> Result<(), Error> {
    app.windows.take(client_ip(app, extensions, headers).unwrap_or(UNKNOWN), limit, app.host.now())
}

/// The address that a request counts for.
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

impl Windows {
    fn take(&self, ip: IpAddr, limit: u64, now: Timestamp) -> Result<(), Error> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bucket = rules::bucket(ip);
        if windows.len() >= CAPACITY && !windows.contains_key(&bucket) {
            windows.retain(|_, window| window.index == rules::index(now));
            if windows.len() >= CAPACITY {
                bucket = UNKNOWN;
            }
        }
        let retry = |wait: rules::RetryAfter| Error::RateLimited { limit, retry_after_s: wait.0 };
        let window = rules::take(windows.get(&bucket).copied(), limit, now).map_err(retry)?;
        windows.insert(bucket, window);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_however_many_addresses_call() {
        let windows = Windows::default();
        for address in 0..CAPACITY as u32 + 50 {
            let _ = windows.take(IpAddr::V4(address.into()), 5, Timestamp(0));
        }
        assert!(windows.0.lock().unwrap().len() <= CAPACITY + 1);
        // Those beyond the capacity share a bucket, which is full by now; a known one goes on.
        assert!(windows.take(IpAddr::V4(u32::MAX.into()), 5, Timestamp(0)).is_err());
        assert!(windows.take(IpAddr::V4(1.into()), 5, Timestamp(0)).is_ok());
        // The next minute starts anew.
        assert!(windows.take(IpAddr::V4(u32::MAX.into()), 5, Timestamp(60_000)).is_ok());
    }
}
