//! The hosts whose pictures the browser client loads without a click.

/// The hosts of `TIDELINE_TRUSTED_MEDIA_HOSTS`; `None` if one is not valid.
pub(super) fn parse(text: &str) -> Option<Vec<String>> {
    let parts = text.split(',').map(str::trim);
    let hosts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    let is_valid = hosts.iter().all(|host| *host == "*" || is_media_host(host));
    is_valid.then(|| hosts.into_iter().map(str::to_owned).collect())
}

/// Whether this is a host as browsers write it in a URL.
fn is_media_host(text: &str) -> bool {
    let rest = text.strip_prefix("*.").unwrap_or(text);
    let (host, port) = rest.split_once(':').unwrap_or((rest, "1"));
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.chars().all(fits)
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}
