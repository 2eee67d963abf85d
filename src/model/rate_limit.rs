//! Rate limits.

use crate::model::ids::UserId;
use crate::model::time::Timestamp;
use chrono::TimeDelta;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// The subject whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One user, on all devices.
    User(UserId),
    /// One address, for requests without a valid token. IPv6 addresses are counted by /64 network, which is usually one customer.
    Address(IpAddr),
    /// One username of login attempts, whether such a user exists or not.
    Login(String),
    /// The searches of one user for others.
    Search(UserId),
    /// The searches of one user for messages.
    MessageSearch(UserId),
    /// The people whose presence one user reads.
    Presence(UserId),
    /// The mebibytes that one user uploads.
    Upload(UserId),
    /// The media that one user reads.
    Download(UserId),
}

impl Subject {
    /// The subject of an address.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }
}

/// The address, or the /64 network of an IPv6 address, under which the requests of one customer are counted.
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
            Self::User(user)
            | Self::Search(user)
            | Self::MessageSearch(user)
            | Self::Presence(user)
            | Self::Upload(user)
            | Self::Download(user) => write!(f, "{user}"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Login(name) => f.write_str(name),
        }
    }
}

/// A quota: a burst of `burst` cells, and one more per `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The name in the `RateLimit` headers.
    pub name: &'static str,
    /// The time per cell.
    pub interval: Duration,
    /// The most cells in one burst.
    pub burst: u32,
}

impl Policy {
    /// `rate` cells per second on average, `burst` in one burst.
    pub fn per_second(name: &'static str, rate: u32, burst: u32) -> Self {
        Self {
            name,
            interval: Duration::from_secs(1) / rate.max(1),
            burst,
        }
    }

    /// The refusal of an action that was last done less than the interval ago; none if it is not too soon.
    pub fn too_soon(self, last: Timestamp, now: Timestamp) -> Option<QuotaStatus> {
        let interval = TimeDelta::from_std(self.interval).unwrap_or_default();
        let left = (last.0 + interval - now.0).to_std().unwrap_or_default();
        (!left.is_zero()).then_some(QuotaStatus {
            policy: self,
            remaining: 0,
            reset_after: left,
            retry_after: Some(left),
        })
    }

    /// The time after which the whole burst is available again.
    pub fn window(self) -> Duration {
        self.interval * self.burst
    }
}

/// The remaining quota of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaStatus {
    /// The policy.
    pub policy: Policy,
    /// How many cells are allowed now.
    pub remaining: u32,
    /// The time until the whole burst is allowed again.
    pub reset_after: Duration,
    /// If refused: the time until a retry can succeed.
    pub retry_after: Option<Duration>,
}
