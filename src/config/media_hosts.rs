//! The hosts whose pictures the browser client loads without a click.

use crate::config::{ConfigError, Lookup};

/// `TIDELINE_TRUSTED_MEDIA_HOSTS`, checked.
pub(super) fn trusted_media_hosts(lookup: Lookup<'_>) -> Result<Vec<String>, ConfigError> {
    let text = lookup("TIDELINE_TRUSTED_MEDIA_HOSTS").unwrap_or_default();
    let parts = text.split(',').map(str::trim);
    let hosts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    if hosts.iter().all(|host| *host == "*" || is_media_host(host)) {
        return Ok(hosts.into_iter().map(str::to_owned).collect());
    }
    Err(ConfigError::Bad(
        "TIDELINE_TRUSTED_MEDIA_HOSTS",
        text,
        "*, or hosts with commas between them, in lower case, with a port unless it is the scheme's default, or *. and a host for \
         its subdomains, such as media.example, *.cdn.example, 10.0.0.7:9000",
    ))
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
