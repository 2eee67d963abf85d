//! Where a request comes from.

use crate::model::wire::violation::cut;
use actix_web::http::header::HeaderMap;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// The most proxies that are told of.
const MOST_TOLD: usize = 1_000;

/// The address of the client: that of the connection, unless it is a trusted proxy's; then the last one in
/// `X-Forwarded-For` that is not. What is further to the left was written by somebody whom nobody trusts.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    find(peer, headers, trusted).unwrap_or_else(|unreadable| {
        tell(&unreadable);
        unreadable.proxy
    })
}

/// What a trusted proxy has written and nobody can read: all of its clients share its address.
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
        client = read(hop).ok_or_else(|| Unreadable {
            proxy: client,
            value: cut(hop).into_owned(),
        })?;
    }
    Ok(client)
}

/// An address as proxies write it: alone, in brackets, and with a port (those of Azure and IIS).
fn read(hop: &str) -> Option<IpAddr> {
    let in_brackets = || {
        hop.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
    };
    let alone = hop.parse::<IpAddr>().ok();
    alone
        .or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
        .or_else(|| in_brackets().map(IpAddr::V6))
        .map(|address| address.to_canonical())
}

/// Once for each proxy, since every request has such a header.
fn tell(unreadable: &Unreadable) {
    static TOLD: Mutex<BTreeSet<IpAddr>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() < MOST_TOLD && told.insert(unreadable.proxy) {
        log::warn!(
            "the proxy {} sends an X-Forwarded-For that is no address, {:?}: its clients share one rate limit",
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
    fn only_trusted_proxies_say_where_a_request_comes_from() {
        assert_eq!(seen("203.0.113.9", &[]), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen("fd00::1", &["2001:db8::7"]), "2001:db8::7");
        // What a client has written itself stands to the left of what the proxy saw.
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
    fn what_cannot_be_read_names_the_proxy_that_wrote_it() {
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
        // Who is not trusted may write what they like.
        assert_eq!(seen("203.0.113.9", &["unknown"]), "203.0.113.9");
    }
}
