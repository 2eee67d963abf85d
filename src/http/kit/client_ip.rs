//! The address of a client.

use crate::model::wire::violation::cut;
use actix_web::http::header::HeaderMap;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// The most proxies that are logged as misconfigured.
const MAX_WARNED: usize = 1_000;

/// The address of the client: the peer, unless it is a trusted proxy; then the last address in `X-Forwarded-For` that is not a
/// trusted proxy. Addresses further left come from clients and could be forged.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    find(peer, headers, trusted).unwrap_or_else(|unreadable| {
        warn_once(&unreadable);
        unreadable.proxy
    })
}

/// A value of a trusted proxy that is no address. All clients of the proxy then share its address.
#[derive(Debug, PartialEq)]
struct Unreadable {
    proxy: IpAddr,
    value: String,
}

fn find(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Result<IpAddr, Unreadable> {
    let mut client = peer.to_canonical();
    let hops: Vec<_> = headers
        .get_all("x-forwarded-for")
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(str::trim)
        .filter(|hop| !hop.is_empty())
        .collect();
    for hop in hops.into_iter().rev() {
        if !trusted.iter().any(|network| network.contains(&client)) {
            break;
        }
        client = parse_hop(hop).ok_or_else(|| Unreadable {
            proxy: client,
            value: cut(hop).into_owned(),
        })?;
    }
    Ok(client)
}

/// Parses an address as proxies write it: plain, in brackets, or with a port (Azure, IIS).
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let in_brackets = || {
        hop.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
    };
    let plain = hop.parse::<IpAddr>().ok();
    plain
        .or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
        .or_else(|| in_brackets().map(IpAddr::V6))
        .map(|address| address.to_canonical())
}

/// Logs once for each proxy, since every request has the header.
fn warn_once(unreadable: &Unreadable) {
    static WARNED: Mutex<BTreeSet<IpAddr>> = Mutex::new(BTreeSet::new());
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.len() < MAX_WARNED && warned.insert(unreadable.proxy) {
        log::warn!(
            "proxy {} sent an X-Forwarded-For that is not an address, {:?}: its clients share one rate limit",
            unreadable.proxy,
            unreadable.value,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Unreadable, client, find};
    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
    use ipnet::IpNet;

    const TRUSTED: [&str; 2] = ["10.0.0.0/8", "fd00::/8"];

    fn trusted() -> [IpNet; 2] {
        TRUSTED.map(|network| network.parse().unwrap())
    }

    fn headers(forwarded: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(
                HeaderName::from_static("x-forwarded-for"),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    fn seen(peer: &str, forwarded: &[&'static str]) -> String {
        client(peer.parse().unwrap(), &headers(forwarded), &trusted()).to_string()
    }

    #[test]
    fn forwarded_addresses_of_untrusted_peers_are_ignored() {
        assert_eq!(seen("203.0.113.9", &[]), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen("fd00::1", &["2001:db8::7"]), "2001:db8::7");
        // A value that the client sent is left of the one that the proxy added.
        assert_eq!(
            seen("10.0.0.1", &["192.0.2.1, 198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            seen("10.0.0.1", &["192.0.2.1", "198.51.100.1, 10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(seen("10.0.0.1", &["10.0.0.3"]), "10.0.0.3");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1, nonsense"]), "10.0.0.1");
        assert_eq!(
            seen("10.0.0.1", &["nonsense, 198.51.100.1"]),
            "198.51.100.1"
        );
    }

    #[test]
    fn an_address_may_have_brackets_and_a_port() {
        for (forwarded, expected) in [
            ("198.51.100.1:567", "198.51.100.1"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:567", "2001:db8::7"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("[::ffff:198.51.100.1]:567", "198.51.100.1"),
            (
                "198.51.100.1:567, 10.0.0.2:80, [fd00::2]:80",
                "198.51.100.1",
            ),
            ("198.51.100.1,", "198.51.100.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(seen("10.0.0.1", &[forwarded]), expected, "{forwarded}");
        }
    }

    #[test]
    fn unreadable_addresses_name_the_proxy_that_sent_them() {
        for (forwarded, proxy, value) in [
            ("unknown", "10.0.0.1", "unknown"),
            ("[198.51.100.1]", "10.0.0.1", "[198.51.100.1]"),
            ("198.51.100.1:port", "10.0.0.1", "198.51.100.1:port"),
            (
                "2001:db8::7:80:9:9:9:9:9",
                "10.0.0.1",
                "2001:db8::7:80:9:9:9:9:9",
            ),
            ("198.51.100.1, _hidden, 10.0.0.2", "10.0.0.2", "_hidden"),
        ] {
            let unreadable = Unreadable {
                proxy: proxy.parse().unwrap(),
                value: value.to_owned(),
            };
            let found = find(
                "10.0.0.1".parse().unwrap(),
                &headers(&[forwarded]),
                &trusted(),
            );
            assert_eq!(found, Err(unreadable), "{forwarded}");
            assert_eq!(seen("10.0.0.1", &[forwarded]), proxy, "{forwarded}");
        }
        // Values of untrusted peers are not read.
        assert_eq!(seen("203.0.113.9", &["unknown"]), "203.0.113.9");
    }
}
