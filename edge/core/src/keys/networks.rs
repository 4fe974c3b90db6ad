//! From where a key may be used.

use super::{KeyError, models::words};
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;

/// Networks of one key at most.
const MOST: usize = 100;

/// Networks, as CIDR spells them; none named means everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Checks what somebody wrote: networks, or addresses, which are networks of one.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, KeyError> {
        if texts.len() > MOST {
            return Err(KeyError::field("ip_allow", format!("{MOST} at most")));
        }
        let mut networks = Vec::new();
        for text in texts.iter().map(AsRef::as_ref) {
            let network = network(text)?;
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        Ok(Self(networks))
    }

    /// Whether a call may come from `address`. One that nobody knows is in no network.
    pub(super) fn allow(&self, address: Option<IpAddr>) -> bool {
        let within = |address: IpAddr| self.0.iter().any(|it| it.contains(&address.to_canonical()));
        self.0.is_empty() || address.is_some_and(within)
    }

    /// Space-separated, as they are stored.
    pub(super) fn stored(&self) -> String {
        self.texts().join(" ")
    }

    /// What [`Networks::stored`] gave; none when it is something else.
    pub(super) fn read(stored: &str) -> Option<Self> {
        words(stored).map(|it| it.parse().ok()).collect::<Option<Vec<IpNet>>>().map(Self)
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

fn network(text: &str) -> Result<IpNet, KeyError> {
    let single = text.parse::<IpAddr>().map(IpNet::from);
    let network: IpNet = single.or_else(|_| text.parse()).map_err(|_| {
        KeyError::field("ip_allow", "each is a network such as 10.0.0.0/8 or 2001:db8::/32, or an address")
    })?;
    // Whoever wrote 10.1.2.3/8 may have meant the one address, and would let in sixteen million.
    if network.addr() != network.network() {
        let (whole, one) = (network.trunc(), IpNet::from(network.addr()));
        return Err(KeyError::field("ip_allow", format!("{network} is no network: write {whole} or {one}")));
    }
    Ok(canonical(network))
}

/// IPv4 addresses that are written as IPv6 ones count as what they are, here and in calls.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    match network {
        IpNet::V6(it) if it.prefix_len() >= MAPPED_BITS => match it.addr().to_ipv4_mapped() {
            Some(address) => Ipv4Net::new(address, it.prefix_len() - MAPPED_BITS).map_or(network, IpNet::V4),
            None => network,
        },
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses() {
        for (networks, address, allowed) in [
            (&[][..], None, true),
            (&[], Some("192.0.2.1"), true),
            (&["10.0.0.0/8"], None, false),
            (&["10.0.0.0/8"], Some("10.255.0.1"), true),
            (&["10.0.0.0/8"], Some("11.0.0.1"), false),
            (&["10.0.0.0/8"], Some("::ffff:10.0.0.1"), true),
            (&["::ffff:10.0.0.0/104"], Some("10.2.3.4"), true),
            (&["::ffff:10.0.0.0/104"], Some("11.2.3.4"), false),
            (&["192.0.2.7"], Some("192.0.2.7"), true),
            (&["192.0.2.7"], Some("192.0.2.8"), false),
            (&["0.0.0.0/0"], Some("192.0.2.8"), true),
            (&["0.0.0.0/0"], Some("2001:db8::1"), false),
            (&["2001:db8::/32"], Some("2001:db8:1::1"), true),
            (&["2001:db8::/32"], Some("2001:db9::1"), false),
            (&["2001:db8::1", "10.0.0.0/8"], Some("10.0.0.1"), true),
            (&["::/0"], Some("2001:db9::1"), true),
        ] {
            let networks = Networks::parse(networks).unwrap();
            assert_eq!(networks.allow(address.map(|it| it.parse().unwrap())), allowed, "{networks:?} {address:?}");
            assert_eq!(Networks::read(&networks.stored()), Some(networks));
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_to_write() {
        for (text, hint) in [
            ("", "10.0.0.0/8"),
            ("10.0.0", "10.0.0.0/8"),
            ("10.0.0.0/33", "10.0.0.0/8"),
            ("10.0.0.0/-1", "10.0.0.0/8"),
            ("10.0.0.0/08x", "10.0.0.0/8"),
            ("2001:db8::/129", "10.0.0.0/8"),
            (" 10.0.0.0/8", "10.0.0.0/8"),
            ("example.com", "10.0.0.0/8"),
            ("fe80::1%eth0", "10.0.0.0/8"),
            ("10.1.2.3/8", "write 10.0.0.0/8 or 10.1.2.3/32"),
            ("2001:db8::1/32", "write 2001:db8::/32 or 2001:db8::1/128"),
        ] {
            let error = Networks::parse(&[text]).unwrap_err();
            assert!(error.to_string().contains(hint) && error.param() == Some("ip_allow"), "{text}: {error}");
        }
        assert!(Networks::parse(&vec!["10.0.0.1"; 101]).is_err());
        assert_eq!(Networks::parse(&["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1/32"]).unwrap().texts(), ["10.0.0.1/32"]);
    }
}
