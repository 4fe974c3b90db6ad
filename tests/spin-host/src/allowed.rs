//! Which hosts a component may reach: the rules of Spin's `allowed_outbound_hosts`.

use anyhow::{Context as _, bail, ensure};
use std::{net::IpAddr, ops::Range};
use url::{Host, Url};

/// The hosts of one component.
#[derive(Debug)]
pub(crate) struct AllowedHosts(Vec<Allowed>);

#[derive(Debug)]
struct Allowed {
    /// None is any.
    scheme: Option<String>,
    host: Hosts,
    port: Ports,
}

#[derive(Debug)]
enum Hosts {
    Any,
    /// `*.example.com`, kept as `.example.com`.
    Below(String),
    One(Host),
    Network {
        address: IpAddr,
        prefix: u32,
    },
}

#[derive(Debug)]
enum Ports {
    Any,
    Within(Range<u32>),
}

impl AllowedHosts {
    pub(crate) fn parse(patterns: &[String]) -> anyhow::Result<Self> {
        // A variable that is empty makes an optional address; Spin skips it.
        let given = patterns.iter().filter(|it| !["", "http://", "https://"].contains(&it.as_str()));
        let parse = |it: &String| Allowed::parse(it).with_context(|| format!("allowed_outbound_hosts: {it:?}"));
        Ok(Self(given.map(parse).collect::<anyhow::Result<_>>()?))
    }

    /// Whether `url` may be reached; `scheme` is put before a URL that has none.
    pub(crate) fn allows(&self, url: &str, scheme: &str) -> bool {
        let parsed = Url::parse(url).ok().filter(Url::has_host);
        let Some(url) = parsed.or_else(|| Url::parse(&format!("{scheme}://{url}")).ok()) else { return false };
        // Only some schemes make the parser see an address in what looks like one.
        let Some(host) = url.host_str().and_then(|it| Host::parse(it).ok()) else { return false };
        let port = url.port().or_else(|| known_port(url.scheme()));
        self.0.iter().any(|it| it.allows(url.scheme(), &host, port))
    }
}

impl Allowed {
    fn parse(pattern: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = pattern.trim().split_once("://").context("there is no scheme")?;
        ensure!(scheme == "*" || scheme.chars().all(char::is_alphabetic), "a scheme has letters only");
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, "")) => (host, ""),
            // An IPv6 address alone has colons of its own.
            Some((host, port)) if Hosts::parse(rest).is_err() => (host, port.strip_suffix('/').unwrap_or(port)),
            _ => (rest, ""),
        };
        let scheme = Some(scheme.to_owned()).filter(|it| it != "*");
        Ok(Self { host: Hosts::parse(host)?, port: Ports::parse(port, scheme.as_deref())?, scheme })
    }

    fn allows(&self, scheme: &str, host: &Host, port: Option<u16>) -> bool {
        self.scheme.as_deref().is_none_or(|it| it == scheme) && self.host.allow(host) && self.port.allow(port)
    }
}

impl Hosts {
    fn parse(host: &str) -> anyhow::Result<Self> {
        let host = host.trim();
        if host == "*" {
            return Ok(Self::Any);
        }
        if let Some(network) = network(host) {
            return Ok(network);
        }
        let host = host.strip_suffix('/').unwrap_or(host);
        ensure!(!host.contains('/'), "a host has no path");
        if let Some(domain) = host.strip_prefix("*.") {
            return match Host::parse(domain)? {
                Host::Domain(domain) => Ok(Self::Below(format!(".{domain}"))),
                _ => bail!("only names have subdomains"),
            };
        }
        ensure!(!host.contains('*'), "wildcards stand for whole subdomains");
        Ok(Self::One(Host::parse(host)?))
    }

    fn allow(&self, host: &Host) -> bool {
        let address = match host {
            Host::Domain(_) => None,
            Host::Ipv4(it) => Some(IpAddr::V4(*it)),
            Host::Ipv6(it) => Some(IpAddr::V6(*it)),
        };
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Below(suffix), Host::Domain(domain)) => domain.ends_with(suffix),
            (Self::Below(_), _) => false,
            (Self::One(one), host) => one == host,
            (Self::Network { address: network, prefix }, _) => address.is_some_and(|it| within(it, *network, *prefix)),
        }
    }
}

/// An address, or `address/prefix`.
fn network(text: &str) -> Option<Hosts> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(bits), |it| it.parse().ok())?;
    (prefix <= bits).then_some(Hosts::Network { address, prefix })
}

fn within(address: IpAddr, network: IpAddr, prefix: u32) -> bool {
    let bits = |it: IpAddr| match it {
        IpAddr::V4(it) => u128::from(u32::from(it)) << 96,
        IpAddr::V6(it) => u128::from(it),
    };
    let differ = bits(address) ^ bits(network);
    address.is_ipv4() == network.is_ipv4() && differ.leading_zeros() >= prefix
}

impl Ports {
    fn parse(port: &str, scheme: Option<&str>) -> anyhow::Result<Self> {
        if port == "*" {
            return Ok(Self::Any);
        }
        if port.is_empty() {
            let port = scheme.and_then(known_port).context("the scheme has no port of its own, and none is given")?;
            return Ok(Self::Within(port.into()..u32::from(port) + 1));
        }
        let number = |it: &str| it.parse::<u16>().map(u32::from).with_context(|| format!("{it:?} is not a port"));
        Ok(Self::Within(match port.split_once("..") {
            Some((from, to)) => number(from)?..number(to)?,
            None => number(port)?..number(port)? + 1,
        }))
    }

    fn allow(&self, port: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Within(ports) => port.is_some_and(|it| ports.contains(&it.into())),
        }
    }
}

fn known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_allow_what_they_say() {
        for (pattern, url, allowed) in [
            ("https://api.example.com", "https://api.example.com/v1/models", true),
            ("https://api.example.com:443", "https://api.example.com/", true),
            ("https://api.example.com", "http://api.example.com/", false),
            ("https://api.example.com", "https://api.example.com:8443/", false),
            ("https://*.example.com", "https://a.b.example.com/", true),
            ("https://*.example.com", "https://example.com/", false),
            ("http://127.0.0.1:8788", "http://127.0.0.1:8788/", true),
            ("http://127.0.0.1:8788", "http://127.0.0.2:8788/", false),
            ("http://10.0.0.0/8:9000", "http://10.20.30.40:9000/", true),
            ("http://10.0.0.0/8:9000", "http://11.20.30.40:9000/", false),
            ("http://node:8000..8002", "http://node:8001/", true),
            ("http://node:8000..8002", "http://node:8002/", false),
            ("postgres://db.example.com", "db.example.com:5432", true),
            ("postgres://127.0.0.1:5433", "127.0.0.1:5433", true),
            ("postgres://127.0.0.1", "127.0.0.1:5433", false),
            ("*://*:*", "http://anything:1/", true),
            ("", "http://anything:1/", false),
        ] {
            let hosts = AllowedHosts::parse(&[pattern.to_owned()]).unwrap();
            assert_eq!(hosts.allows(url, "postgres"), allowed, "{pattern} {url}");
        }
    }

    #[test]
    fn patterns_that_spin_refuses_are_refused() {
        for pattern in ["api.example.com", "http://a/path", "ftp://a", "http://*a.example.com", "http://a:b"] {
            assert!(AllowedHosts::parse(&[pattern.to_owned()]).is_err(), "{pattern}");
        }
    }
}
