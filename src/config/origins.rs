//! The origins that may use the API from a browser: `TIDELINE_CORS_ORIGINS`.

use std::net::Ipv6Addr;

/// Allowed web origins: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Only that of this server, which needs no CORS.
    Same,
    /// All origins.
    Any,
    /// These, as browsers write them.
    Listed(Vec<String>),
}

impl Origins {
    /// Parses origins with commas between them, or `*`. An origin that no browser sends is rejected: it would never match.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let parts = text.split(',').map(str::trim);
        let listed = parts.map(|part| is_origin(part).then(|| part.to_owned()));
        listed.collect::<Option<_>>().map(Self::Listed)
    }
}

/// Whether this is an origin as browsers write it: lower case, without the default port or a trailing slash.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (rest, None),
    };
    let of = |text: &str, others: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || others.contains(c);
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits)
    };
    let in_brackets = host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']'));
    let is_host = match in_brackets {
        Some(v6) => {
            let address = v6.parse::<Ipv6Addr>();
            address.is_ok_and(|address| address.to_string() == v6)
        }
        None => of(host, "-._"),
    };
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => 0,
    };
    let is_port = |port: &str| {
        let number = port.parse::<u16>();
        number.is_ok_and(|number| number.to_string() == port && number != default && number != 0)
    };
    of(scheme, "+-.") && is_host && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::Origins;

    #[test]
    fn only_origins_as_browsers_write_them_are_accepted() {
        let listed = |parts: &[&str]| {
            let parts = parts.iter().map(|part| (*part).to_owned());
            Some(Origins::Listed(parts.collect()))
        };
        let one = |text| assert_eq!(Origins::parse(text), listed(&[text]));
        one("https://app.example");
        one("https://xn--bcher-kva.example:8443");
        one("http://localhost:3000");
        one("https://127.0.0.1:80");
        one("http://[::1]:3000");
        one("capacitor://localhost");
        assert_eq!(
            Origins::parse("https://a.example, http://b.example"),
            listed(&["https://a.example", "http://b.example"])
        );
        assert_eq!(Origins::parse("*"), Some(Origins::Any));
        for bad in [
            "",
            ",",
            "https://a.example,",
            "https://a.example,*",
            "null",
            "app.example",
            "https://",
            "://app.example",
            "https://app.example/",
            "https://app.example/chat",
            "https://App.example",
            "HTTPS://app.example",
            "https://*.app.example",
            "https://app.example:443",
            "http://app.example:80",
            "https://app.example:0443",
            "https://app.example:0",
            "https://app.example:65536",
            "https://app.example:",
            "https://ann@app.example",
            "https://bücher.example",
            "https://app.example https://b.example",
            "https://[::1",
            "https://[0:0::1]",
            "https://app.example?x",
        ] {
            assert_eq!(Origins::parse(bad), None, "{bad:?}");
        }
    }
}
