//! Which address a request counts for.

use std::net::{IpAddr, Ipv6Addr};

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
}
