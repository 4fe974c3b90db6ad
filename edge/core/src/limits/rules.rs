//! Pure decisions about limits: fixed windows, and which address a request counts for.

use shared::time::Timestamp;
use std::net::{IpAddr, Ipv6Addr};

/// Calls of one address in the window that `index` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) index: i64,
    pub(super) count: u64,
}

/// How long to wait, in whole seconds, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RetryAfter(pub(super) u64);

pub(super) const WINDOW_MS: i64 = 60_000;

/// Windows are the minutes of the epoch, the same for every address.
pub(super) fn index(now: Timestamp) -> i64 {
    now.0.div_euclid(WINDOW_MS)
}

/// Counts a call at `now`, or says how long to wait. A refused call is not counted.
pub(super) fn take(window: Option<Window>, limit: u64, now: Timestamp) -> Result<Window, RetryAfter> {
    let index = index(now);
    let count = window.filter(|it| it.index == index).map_or(0, |it| it.count);
    if count < limit {
        return Ok(Window { index, count: count + 1 });
    }
    let left_ms = (index + 1) * WINDOW_MS - now.0;
    Err(RetryAfter(left_ms.unsigned_abs().div_ceil(1_000).max(1)))
}

/// The address that a request counts for: the peer, or, behind `hops` trusted proxies, the entry of `X-Forwarded-For`
/// that the outermost of them wrote. What a client itself puts into the header is never used.
pub(super) fn client_ip(peer: Option<IpAddr>, forwarded_for: &str, hops: usize) -> Option<IpAddr> {
    if hops == 0 {
        return peer;
    }
    forwarded_for.rsplit(',').nth(hops - 1).and_then(|it| it.trim().parse().ok()).or(peer)
}

/// An IPv6 customer holds a whole /64, so that is what counts; a v4-mapped address counts as the IPv4 one.
pub(super) fn bucket(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_sixth_call_of_a_minute_waits_for_the_next() {
        let mut window = None;
        for second in 0..5 {
            window = Some(take(window, 5, Timestamp(second * 1_000)).unwrap());
        }
        for (at_ms, verdict) in [
            (5_000, Err(RetryAfter(55))),
            (59_001, Err(RetryAfter(1))),
            (59_999, Err(RetryAfter(1))),
            (60_000, Ok(Window { index: 1, count: 1 })),
        ] {
            assert_eq!(take(window, 5, Timestamp(at_ms)), verdict, "{at_ms}");
        }
    }

    #[test]
    fn only_trusted_proxies_name_the_client() {
        let ip = |text: &str| text.parse::<IpAddr>().ok();
        for (header, hops, expected) in [
            ("1.1.1.1", 0, "9.9.9.9"),
            ("1.1.1.1", 1, "1.1.1.1"),
            ("6.6.6.6, 1.1.1.1", 1, "1.1.1.1"),
            ("6.6.6.6, 1.1.1.1 , 2.2.2.2", 2, "1.1.1.1"),
            ("not an address", 1, "9.9.9.9"),
            ("1.1.1.1", 2, "9.9.9.9"),
            ("", 1, "9.9.9.9"),
        ] {
            assert_eq!(client_ip(ip("9.9.9.9"), header, hops), ip(expected), "{header:?} {hops}");
        }
    }

    #[test]
    fn neighbours_in_a_v6_network_share_a_bucket() {
        let at = |text: &str| bucket(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
    }

    proptest! {
        #[test]
        fn no_window_ever_grants_more_than_its_limit(limit in 0_u64..20, mut times in prop::collection::vec(0_i64..300_000, 0..200)) {
            times.sort_unstable();
            let (mut window, mut granted) = (None, std::collections::HashMap::<i64, u64>::new());
            for at in times {
                if let Ok(next) = take(window, limit, Timestamp(at)) {
                    window = Some(next);
                    *granted.entry(index(Timestamp(at))).or_default() += 1;
                }
            }
            prop_assert!(granted.values().all(|count| *count <= limit));
        }
    }
}
