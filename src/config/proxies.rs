//! The networks of trusted proxies.

use crate::config::{ConfigError, Lookup};
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;

pub(super) fn trusted_proxies(lookup: Lookup<'_>) -> Result<Vec<IpNet>, ConfigError> {
    let text = lookup("TIDELINE_TRUSTED_PROXIES").unwrap_or_default();
    let network = |part: &str| {
        let part = part.trim();
        let address = || part.parse::<IpAddr>().map(IpNet::from);
        let network = part.parse::<IpNet>().or_else(|_not_a_network| address());
        network.map(canonical)
    };
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    parts
        .map(network)
        .collect::<Result<_, _>>()
        .map_err(|_neither| {
            ConfigError::Bad(
                "TIDELINE_TRUSTED_PROXIES",
                text.clone(),
                "networks and addresses with commas between them, such as 10.0.0.0/8, fd00::1",
            )
        })
}

/// Converts an IPv4-mapped network (`::ffff:10.0.0.0/104`) to IPv4: addresses are compared in that form.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let v4 = v6
        .prefix_len()
        .checked_sub(96)
        .zip(v6.network().to_ipv4_mapped());
    v4.and_then(|(length, address)| Ipv4Net::new(address, length).ok())
        .map_or(network, IpNet::V4)
}
