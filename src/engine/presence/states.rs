//! What others see of a user with several devices: the best of them, and over it what the user has chosen.

use crate::model::ids::UserId;
use crate::model::people::presence::DevicePresence;
use crate::model::wire::people::presence::{
    Activity, PersonPresence, PresenceChange, PresenceState,
};
use crate::model::wire::user::{Availability, Platform};

/// The number of what decides who sees a person, as far as a node has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AudienceRev {
    /// The node does not have it.
    #[default]
    Unknown,
    /// It has moved, and PostgreSQL has it. Each time this number is another one.
    Moved(u32),
    /// That with which the person has left. It has not moved since.
    Left(u32),
    /// That of a person with devices.
    Live(u32),
}

/// What others see of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The state.
    pub state: PresenceState,
    /// The kinds of programs, as bits in the order of [`Platform::ALL`].
    platforms: u8,
    /// The number of the profile; 0 without devices.
    rev: u32,
    /// The number of what decides who sees it.
    pub audience_rev: AudienceRev,
}

impl Shown {
    /// What others see of a user with these devices; none if there is no device. Two nodes may have seen the same device: the later one
    /// counts.
    pub fn of(devices: impl Iterator<Item = (u32, DevicePresence)> + Clone) -> Option<Self> {
        let rank = |one: &DevicePresence| (one.stamp, one.activity);
        let is_later = |device: u32, one: &DevicePresence| {
            let mut others = devices.clone();
            others.any(|(other, two)| other == device && rank(&two) > rank(one))
        };
        let latest = devices.clone();
        let latest = latest.filter(|(device, one)| !is_later(*device, one));
        let facts = devices.clone().map(|(_, one)| {
            let order = (one.facts.as_of, one.facts.audience_rev, one.facts.rev);
            (order, one.facts.availability as u8)
        });
        let ((_, audience_rev, rev), availability) = facts.max()?;
        let activity = latest.clone().map(|(_, one)| one.activity).max()?;
        let availability = Availability::ALL
            .into_iter()
            .find(|one| *one as u8 == availability)?;
        let state = match (availability, activity) {
            (Availability::Invisible, _) => PresenceState::Offline,
            (Availability::Busy | Availability::DoNotDisturb, _) => PresenceState::Busy,
            (Availability::Away, _) | (Availability::Auto, Activity::Idle) => PresenceState::Away,
            (Availability::Auto, Activity::Active) => PresenceState::Online,
        };
        let platforms = latest.fold(0, |all, (_, one)| all | 1 << one.platform as u8);
        let is_online = state != PresenceState::Offline;
        Some(Self {
            state,
            platforms: if is_online { platforms } else { 0 },
            rev: if is_online { rev } else { 0 },
            audience_rev: AudienceRev::Live(audience_rev),
        })
    }

    /// What others see of a user without devices: not online, if the devices of all nodes are known.
    pub fn without_devices(is_complete: bool, audience_rev: AudienceRev) -> Self {
        let state = match is_complete {
            true => PresenceState::Offline,
            false => PresenceState::Unknown,
        };
        Self {
            state,
            audience_rev,
            ..Self::default()
        }
    }

    /// The same, for somebody who may not see the user.
    #[must_use]
    pub fn hidden(self) -> Self {
        Self {
            audience_rev: self.audience_rev,
            ..Self::default()
        }
    }

    /// What a cursor remembers of it: three bits for the state, and a hash of the rest.
    pub fn digest(self) -> u16 {
        let rest = u64::from(self.rev) << 8 | u64::from(self.platforms);
        let hash = (rest.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51;
        let hash = u16::try_from(hash & 0x1fff).unwrap_or_default();
        (self.state as u16) << 13 | hash
    }

    fn platforms(self) -> Vec<Platform> {
        let all = Platform::ALL.into_iter();
        all.filter(|one| self.platforms & 1 << *one as u8 != 0)
            .collect()
    }

    fn rev(self) -> Option<i64> {
        (self.rev > 0).then_some(i64::from(self.rev))
    }

    /// As a change.
    pub fn change(self, user: UserId) -> PresenceChange {
        PresenceChange {
            user_id: user,
            state: self.state,
            platforms: self.platforms(),
            rev: self.rev(),
        }
    }

    /// As an answer.
    pub fn presence(self, user: UserId) -> PersonPresence {
        PersonPresence {
            user_id: user,
            state: self.state,
            platforms: self.platforms(),
            last_seen_at: None,
            rev: self.rev(),
        }
    }
}
