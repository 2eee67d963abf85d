//! Rate limits.

use crate::model::ids::UserId;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One user, on all devices.
    User(UserId),
    /// One address, of requests without a good token. An IPv6 address stands for its network of 2^64, which is what one
    /// customer of a provider has.
    Address(IpAddr),
    /// One name that somebody tries to log in with, whether there is such a user or not.
    Login(String),
}

impl Subject {
    /// The subject of an address.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }
}

/// What stands for an address where those of one customer are counted together.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(user) => write!(f, "{user}"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Login(name) => f.write_str(name),
        }
    }
}

/// How much is allowed: `burst` at once, and one more each `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The name in the `RateLimit` headers.
    pub name: &'static str,
    /// The time for one.
    pub interval: Duration,
    /// The most at once.
    pub burst: u32,
}

impl Policy {
    /// So many a second on average, `burst` at once.
    pub fn per_second(name: &'static str, rate: u32, burst: u32) -> Self {
        Self {
            name,
            interval: Duration::from_secs(1) / rate.max(1),
            burst,
        }
    }

    /// The time in which a whole burst flows off.
    pub fn window(self) -> Duration {
        self.interval * self.burst
    }
}

/// Where a subject stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaStatus {
    /// Under which policy.
    pub policy: Policy,
    /// How many more are allowed right now.
    pub remaining: u32,
    /// When the whole burst is allowed again.
    pub reset_after: Duration,
    /// Refused: when to repeat.
    pub retry_after: Option<Duration>,
}
