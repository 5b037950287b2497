//! `allowed_outbound_hosts`: which addresses a component may connect to. A pattern is
//! `scheme://host:port`, each part a literal or `*`; the host also `*.domain` or a network in CIDR
//! form, the port also a range `from..to` (without its end), all as Spin reads them.

use std::net::IpAddr;

use url::{Host, Url};

/// One entry of `allowed_outbound_hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowedHost {
    /// `None` is any.
    scheme: Option<String>,
    host: HostPattern,
    port: PortPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// With its leading dot.
    Subdomain(String),
    Literal(Host),
    Network(IpAddr, u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PortPattern {
    Any,
    /// From, and up to but without.
    Range(u32, u32),
}

/// Why an entry is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowed outbound host {pattern:?}: {reason}")]
pub struct AllowedHostError {
    pattern: String,
    reason: &'static str,
}

impl AllowedHost {
    pub(crate) fn parse(pattern: &str) -> Result<Self, AllowedHostError> {
        parse(pattern.trim())
            .map_err(|reason| AllowedHostError { pattern: pattern.to_owned(), reason })
    }

    fn allows(&self, address: &Url) -> bool {
        let scheme_is_allowed =
            self.scheme.as_deref().is_none_or(|scheme| scheme == address.scheme());
        let Some(host) = address.host_str().and_then(|host| Host::parse(host).ok()) else {
            return false;
        };
        let port = address.port().or_else(|| default_port(address.scheme()));
        scheme_is_allowed && self.host.allows(&host) && self.port.allows(port)
    }
}

/// Whether any entry admits the address; one without a scheme is taken to be for Redis, as in Spin.
pub(crate) fn allows(allowed: &[AllowedHost], address: &str) -> bool {
    let parsed = match Url::parse(address) {
        Ok(url) if url.has_host() => Some(url),
        _ => Url::parse(&format!("redis://{address}")).ok(),
    };
    parsed.is_some_and(|url| allowed.iter().any(|host| host.allows(&url)))
}

impl HostPattern {
    fn allows(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Subdomain(suffix), Host::Domain(domain)) => domain.ends_with(suffix),
            (Self::Literal(literal), host) => literal == host,
            (Self::Network(network, bits), Host::Ipv4(ip)) => {
                in_network(*network, *bits, (*ip).into())
            }
            (Self::Network(network, bits), Host::Ipv6(ip)) => {
                in_network(*network, *bits, (*ip).into())
            }
            (Self::Subdomain(_) | Self::Network(..), _) => false,
        }
    }
}

impl PortPattern {
    fn allows(&self, port: Option<u16>) -> bool {
        match (self, port.map(u32::from)) {
            (Self::Any, _) => true,
            (Self::Range(from, to), Some(port)) => (*from..*to).contains(&port),
            (Self::Range(..), None) => false,
        }
    }
}

fn parse(pattern: &str) -> Result<AllowedHost, &'static str> {
    let (scheme, rest) = pattern.split_once("://").ok_or("has no scheme")?;
    let scheme = match scheme {
        "*" => None,
        _ if scheme.starts_with('{') => return Err("scheme lists are not supported"),
        _ if scheme.is_empty() || !scheme.chars().all(char::is_alphabetic) => {
            return Err("a scheme has only letters");
        }
        _ => Some(scheme.to_owned()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // The colons of a bare IPv6 address in brackets do not separate a port.
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (rest, ""),
    };
    Ok(AllowedHost {
        port: parse_port(port, scheme.as_deref())?,
        host: parse_host(host.trim())?,
        scheme,
    })
}

fn parse_host(host: &str) -> Result<HostPattern, &'static str> {
    if host == "*" {
        return Ok(HostPattern::Any);
    }
    if let Some((network, bits)) = host.split_once('/') {
        let network: IpAddr = network.parse().map_err(|_| "must not have a path")?;
        let bits = bits.parse().map_err(|_| "is not a network")?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        return if bits <= longest {
            Ok(HostPattern::Network(network, bits))
        } else {
            Err("is not a network")
        };
    }
    if matches!(host, "self" | "self.alt") {
        return Err("requests to the app itself are not supported by this host");
    }
    if let Some(domain) = host.strip_prefix("*.") {
        return match Host::parse(domain) {
            Ok(Host::Domain(domain)) if !domain.contains('*') => {
                Ok(HostPattern::Subdomain(format!(".{domain}")))
            }
            _ => Err("a wildcard stands before a domain"),
        };
    }
    if host.contains('*') {
        return Err("a wildcard stands only for a whole host or its subdomains");
    }
    Host::parse(host).map(HostPattern::Literal).map_err(|_| "is not a host")
}

fn parse_port(port: &str, scheme: Option<&str>) -> Result<PortPattern, &'static str> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| "the port is not a number");
    match port {
        "*" => Ok(PortPattern::Any),
        "" => scheme
            .and_then(default_port)
            .map(|port| PortPattern::Range(port.into(), u32::from(port) + 1))
            .ok_or("has no port, and its scheme has no default"),
        _ => match port.split_once("..") {
            Some((from, to)) => Ok(PortPattern::Range(number(from)?.into(), number(to)?.into())),
            None => number(port).map(|port| PortPattern::Range(port.into(), u32::from(port) + 1)),
        },
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    Some(match scheme {
        "redis" => 6379,
        "http" => 80,
        "https" => 443,
        "postgres" => 5432,
        "mysql" => 3306,
        "mqtt" => 1883,
        _ => return None,
    })
}

fn in_network(network: IpAddr, bits: u32, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(network) & mask == u32::from(ip) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(network) & mask == u128::from(ip) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, address: &str, expected: bool) {
        let allowed = AllowedHost::parse(pattern).expect("a pattern");
        assert_eq!(allows(&[allowed], address), expected, "{pattern} for {address}");
    }

    #[test]
    fn each_pattern_admits_what_it_says_and_nothing_else() {
        let rows = [
            ("redis://*:*", "redis://10.0.0.1:6380", true),
            ("redis://*:*", "redis://user:secret@store.example:1", true),
            ("redis://*:*", "rediss://10.0.0.1:6380", false),
            ("redis://*:*", "http://10.0.0.1:6380", false),
            ("*://*:*", "rediss://10.0.0.1:6380", true),
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379", true),
            ("redis://127.0.0.1:6379", "redis://127.0.0.1", true),
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379/0", true),
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6380", false),
            ("redis://127.0.0.1:6379", "redis://127.0.0.2:6379", false),
            ("redis://127.0.0.1:6379", "127.0.0.1:6379", true),
            ("redis://127.0.0.1", "redis://127.0.0.1:6379", true),
            ("redis://localhost:*", "redis://localhost:1", true),
            ("redis://localhost:*", "redis://127.0.0.1:1", false),
            ("redis://*.example.org:*", "redis://a.example.org:1", true),
            ("redis://*.example.org:*", "redis://example.org:1", false),
            ("redis://*.example.org:*", "redis://anexample.org:1", false),
            ("redis://10.0.0.0/8:*", "redis://10.9.8.7:1", true),
            ("redis://10.0.0.0/8:*", "redis://11.9.8.7:1", false),
            ("redis://0.0.0.0/0:*", "redis://11.9.8.7:1", true),
            ("redis://[::1]:6379", "redis://[::1]:6379", true),
            ("redis://[::1]", "redis://[::1]:6379", true),
            ("redis://localhost:7000..7003", "redis://localhost:7002", true),
            ("redis://localhost:7000..7003", "redis://localhost:7003", false),
            ("redis://*:*", "", false),
        ];
        for (pattern, address, expected) in rows {
            check(pattern, address, expected);
        }
    }

    #[test]
    fn nothing_is_allowed_without_an_entry() {
        assert!(!allows(&[], "redis://127.0.0.1:6379"));
    }

    #[test]
    fn a_pattern_that_cannot_be_meant_is_refused_by_name() {
        let rows = [
            ("*", "has no scheme"),
            ("127.0.0.1:6379", "has no scheme"),
            ("rediss://*", "has no port, and its scheme has no default"),
            ("redis://a.*.b:1", "a wildcard stands only for a whole host or its subdomains"),
            ("redis://host:port", "the port is not a number"),
            ("redis://host/path:1", "must not have a path"),
            ("redis://10.0.0.0/33:1", "is not a network"),
            ("re-dis://host:1", "a scheme has only letters"),
            ("{redis,http}://host:1", "scheme lists are not supported"),
            ("http://self:80", "requests to the app itself are not supported by this host"),
        ];
        for (pattern, reason) in rows {
            let error = AllowedHost::parse(pattern).expect_err(pattern);
            assert_eq!(error.reason, reason, "{pattern}");
            assert!(error.to_string().contains(pattern));
        }
    }
}
