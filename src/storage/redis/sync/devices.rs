//! The devices of a node as bytes: the fields and values of its hash, and the messages on its channel.

use crate::model::ids::UserId;
use crate::model::people::presence::{DeviceChange, DeviceKey, DevicePresence, PersonFacts};
use crate::model::wire::people::presence::Activity;
use crate::model::wire::user::{Availability, Platform};
use uuid::Uuid;

/// Bytes of the field of a device.
pub(super) const FIELD: usize = 20;

/// Bytes of its value.
const VALUE: usize = 17;

/// In place of the first byte of the value: the device has ended.
const ENDED: u8 = 0xff;

pub(super) fn field(key: DeviceKey) -> [u8; FIELD] {
    let mut field = [0; FIELD];
    let (user, device) = field.split_at_mut(16);
    user.copy_from_slice(key.user.0.as_bytes());
    device.copy_from_slice(&key.device.to_le_bytes());
    field
}

pub(super) fn value(one: DevicePresence) -> [u8; VALUE] {
    let facts = one.facts;
    let flags = (one.activity as u8) | (one.platform as u8) << 1 | (facts.availability as u8) << 4;
    let numbers = [one.stamp, facts.rev, facts.audience_rev, facts.as_of];
    let mut value = [flags; VALUE];
    let (_, rest) = value.split_at_mut(1);
    for (place, number) in rest.chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    value
}

pub(super) fn parse_field(bytes: &[u8]) -> Option<DeviceKey> {
    let (user, device) = bytes.split_first_chunk()?;
    Some(DeviceKey {
        user: UserId(Uuid::from_bytes(*user)),
        device: u32::from_le_bytes(device.try_into().ok()?),
    })
}

pub(super) fn parse_value(bytes: &[u8]) -> Option<DevicePresence> {
    let (flags, rest) = bytes.split_first()?;
    let mut numbers = rest.chunks_exact(4).filter_map(|four| {
        let four = four.try_into().ok()?;
        Some(u32::from_le_bytes(four))
    });
    let activity = match flags & 1 {
        0 => Activity::Idle,
        _ => Activity::Active,
    };
    let mut platforms = Platform::ALL.into_iter();
    let mut availabilities = Availability::ALL.into_iter();
    Some(DevicePresence {
        activity,
        platform: platforms.find(|one| *one as u8 == flags >> 1 & 7)?,
        stamp: numbers.next()?,
        facts: PersonFacts {
            rev: numbers.next()?,
            audience_rev: numbers.next()?,
            as_of: numbers.next()?,
            availability: availabilities.find(|one| *one as u8 == flags >> 4)?,
        },
    })
}

pub(super) fn payload(changes: &[DeviceChange]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(changes.len() * (FIELD + VALUE));
    for (key, presence) in changes {
        bytes.extend(field(*key));
        match presence {
            Some(presence) => bytes.extend(value(*presence)),
            None => bytes.push(ENDED),
        }
    }
    bytes
}

/// Parses a message of a node: the version, a colon and the changes.
pub(super) fn parse_message(bytes: &[u8]) -> Option<(u64, Vec<DeviceChange>)> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let (version, rest) = bytes.split_at_checked(colon)?;
    let version = std::str::from_utf8(version).ok()?.parse().ok()?;
    let (_, mut rest) = rest.split_first()?;
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let (field, after) = rest.split_at_checked(FIELD)?;
        let length = match after.first()? {
            &ENDED => 1,
            _ => VALUE,
        };
        let (value, after) = after.split_at_checked(length)?;
        let presence = match length {
            1 => None,
            _ => Some(parse_value(value)?),
        };
        changes.push((parse_field(field)?, presence));
        rest = after;
    }
    Some((version, changes))
}

#[cfg(test)]
mod tests {
    use super::{parse_message, payload};
    use crate::model::ids::UserId;
    use crate::model::people::presence::{DeviceKey, DevicePresence, PersonFacts};
    use crate::model::wire::people::presence::Activity;
    use crate::model::wire::user::{Availability, Platform};
    use uuid::Uuid;

    #[test]
    fn message_has_all_changes() {
        let key = |n: u32| DeviceKey {
            user: UserId(Uuid::from_u128(n.into())),
            device: n,
        };
        let mut changes = vec![(key(1), None)];
        for availability in Availability::ALL {
            for platform in Platform::ALL {
                for activity in [Activity::Idle, Activity::Active] {
                    let facts = PersonFacts {
                        rev: 7,
                        audience_rev: u32::MAX,
                        availability,
                        as_of: 1_764_000_000,
                    };
                    let one = DevicePresence {
                        activity,
                        platform,
                        stamp: 58,
                        facts,
                    };
                    changes.push((key(58), Some(one)));
                }
            }
        }
        changes.push((key(3), None));
        let message = [b"12:".to_vec(), payload(&changes)].concat();
        assert_eq!(parse_message(&message), Some((12, changes)));
        assert_eq!(parse_message(b"3:"), Some((3, Vec::new())));
        for bad in [&b""[..], b"3", b"x:", b"3:x", &message[..message.len() - 2]] {
            assert_eq!(parse_message(bad), None);
        }
    }
}
