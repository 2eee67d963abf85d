//! The devices that wait on this node. A device is online from the begin of a wait until some time after the end of its last one.
//!
//! A wait only changes this map. The tick reads what PostgreSQL has of new people, and publishes what differs from what the replica has
//! of this node.
//! Time is counted in ticks: a process that was suspended does not take its own devices for gone.

use crate::config::presence::PresenceTimings;
use crate::engine::presence::people::Known;
use crate::engine::presence::replica::Replica;
use crate::model::ids::{DeviceId, UserId};
use crate::model::people::presence::{DeviceChange, DeviceKey, DevicePresence, PersonFacts};
use crate::model::wire::people::presence::Activity;
use crate::model::wire::user::{Availability, Platform};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The devices of this node.
#[derive(Default)]
pub struct OwnDevices {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tick: u32,
    devices: HashMap<DeviceId, OwnDevice>,
    people: HashMap<UserId, OwnPerson>,
    /// People whose devices may not be as they were published.
    touched: HashSet<UserId>,
    /// People whose rows may have changed since this node has read them.
    unread: HashSet<UserId>,
    /// People whose change of what decides what others see is not published yet.
    announced: HashSet<UserId>,
    /// When an availability ends, in seconds since 1970.
    ends: BTreeSet<(i64, UserId)>,
    /// Until when people were seen online who are no longer, in seconds since 1970.
    left: HashMap<UserId, i64>,
}

struct OwnDevice {
    user: UserId,
    stamp: u32,
    /// The tick at which the last wait has ended.
    ended: u32,
    waits: u16,
    activity: Activity,
    /// The client has sent an activity: only then a bot is online.
    has_activity: bool,
    platform: Option<Platform>,
}

/// Boxes, because there are many people, and nearly all have one device.
struct OwnPerson {
    devices: Box<[DeviceId]>,
    facts: Option<PersonFacts>,
    /// The tick at which the facts were read.
    read_at: u32,
    /// The tick at which it was last stored that the person is online.
    seen_stored: u32,
}

/// What PostgreSQL has of a device and its user.
#[derive(Clone, Copy, Debug)]
pub struct DeviceFacts {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// The kind of program.
    pub platform: Platform,
    /// The facts about the user.
    pub facts: PersonFacts,
    /// When the availability ends, in seconds since 1970.
    pub until: Option<i64>,
}

/// The part of a device's id that the nodes exchange. 0 is no device.
fn short(device: DeviceId) -> u32 {
    let (_, low) = device.0.as_u64_pair();
    u32::try_from(low & u64::from(u32::MAX))
        .unwrap_or_default()
        .max(1)
}

impl OwnDevice {
    fn presence(&self, facts: PersonFacts) -> Option<DevicePresence> {
        let platform = self.platform?;
        (platform != Platform::Bot || self.has_activity).then_some(DevicePresence {
            activity: self.activity,
            platform,
            stamp: self.stamp,
            facts,
        })
    }
}

/// Whether others see no difference.
fn is_same(one: &DevicePresence, other: &DevicePresence) -> bool {
    let visible = |one: &DevicePresence| DevicePresence {
        stamp: 0,
        facts: PersonFacts {
            as_of: 0,
            ..one.facts
        },
        ..*one
    };
    visible(one) == visible(other)
}

fn is_visible((_, one): &(u32, DevicePresence)) -> bool {
    one.facts.availability != Availability::Invisible
}

impl OwnDevices {
    /// A wait of a device has begun.
    pub fn begin(&self, user: UserId, device: DeviceId, activity: Option<Activity>, stamp: u32) {
        let state = &mut *self.lock();
        let one = state.devices.entry(device).or_insert_with(|| {
            let person = state.people.entry(user).or_insert_with(|| OwnPerson {
                devices: Box::default(),
                facts: None,
                read_at: state.tick,
                seen_stored: state.tick,
            });
            let others = person.devices.iter().copied();
            person.devices = others.chain([device]).collect();
            state.unread.insert(user);
            OwnDevice {
                user,
                stamp,
                ended: 0,
                waits: 0,
                activity: Activity::Active,
                has_activity: false,
                platform: None,
            }
        });
        one.activity = activity.unwrap_or_default();
        one.has_activity = activity.is_some();
        one.waits = one.waits.saturating_add(1);
        one.stamp = stamp;
        state.touched.insert(user);
    }

    /// A wait of a device has ended.
    pub fn end(&self, device: DeviceId) {
        let state = &mut *self.lock();
        let Some(one) = state.devices.get_mut(&device) else {
            return;
        };
        one.waits = one.waits.saturating_sub(1);
        if one.waits == 0 {
            one.ended = state.tick;
        }
    }

    /// A device was logged out.
    pub fn forget(&self, device: DeviceId) {
        self.lock().remove(device);
    }

    /// Something may have changed that decides what others see of this user.
    pub fn reload(&self, user: UserId) {
        let state = &mut *self.lock();
        if state.people.contains_key(&user) {
            state.unread.insert(user);
        }
    }

    /// Something has changed that decides what others see of these users: the next tick publishes it.
    pub fn announce(&self, users: impl IntoIterator<Item = UserId>) {
        self.lock().announced.extend(users);
    }

    /// Counts a tick.
    pub fn advance(&self) {
        self.lock().tick += 1;
    }

    /// The people with devices here.
    pub fn users(&self) -> Vec<UserId> {
        self.lock().people.keys().copied().collect()
    }

    /// The devices of the people that have to be read from PostgreSQL.
    pub fn take_unread(&self, timings: &PresenceTimings) -> Vec<(UserId, DeviceId)> {
        let state = &mut *self.lock();
        // A pass over all people with each 64th tick: the notice of a change may have been lost.
        if state.tick.is_multiple_of(64) {
            let old = state.tick.saturating_sub(timings.ticks(timings.reload));
            let people = state.people.iter();
            let old = people.filter(|(_, person)| person.facts.is_some() && person.read_at < old);
            let old: Vec<_> = old.map(|(user, _)| *user).collect();
            state.unread.extend(old);
        }
        let unread = std::mem::take(&mut state.unread);
        let devices = unread.into_iter().filter_map(|user| {
            let person = state.people.get(&user)?;
            Some(person.devices.iter().map(move |device| (user, *device)))
        });
        devices.flatten().collect()
    }

    /// Stores what was read of devices. Those without a row are gone.
    pub fn store(&self, asked: &[(UserId, DeviceId)], found: Vec<DeviceFacts>) {
        let state = &mut *self.lock();
        let known: HashSet<_> = found.iter().map(|one| one.device).collect();
        for (_, device) in asked.iter().filter(|(_, device)| !known.contains(device)) {
            state.remove(*device);
        }
        for one in found {
            if let Some(device) = state.devices.get_mut(&one.device) {
                device.platform = Some(one.platform);
            }
            if let Some(person) = state.people.get_mut(&one.user) {
                person.facts = Some(one.facts);
                person.read_at = state.tick;
                state.touched.insert(one.user);
                if let Some(until) = one.until {
                    state.ends.insert((until, one.user));
                }
            }
        }
    }

    /// The reading has failed: it is tried again.
    pub fn keep_unread(&self, asked: &[(UserId, DeviceId)]) {
        let users = asked.iter().map(|(user, _)| *user);
        self.lock().unread.extend(users);
    }

    /// Takes the changes that are to be published: the replica has what was. `now` is the time, in seconds since 1970.
    pub fn take_changes(
        &self,
        now: i64,
        timings: &PresenceTimings,
        replica: &Replica,
    ) -> Vec<DeviceChange> {
        let state = &mut *self.lock();
        state.remove_ended(timings);
        while let Some((_, user)) = state.ends.first().copied().filter(|(at, _)| *at <= now) {
            state.ends.pop_first();
            // PostgreSQL compares with its clock as well.
            state.unread.insert(user);
        }
        // The notices come first: what follows may already be what they tell of.
        let announced = std::mem::take(&mut state.announced).into_iter();
        let announced = announced.map(|user| (DeviceKey::notice(user), None));
        let mut changes: Vec<DeviceChange> = announced.collect();
        for user in std::mem::take(&mut state.touched) {
            let Some(person) = state.people.get(&user) else {
                continue;
            };
            if person.facts.is_none() && !person.devices.is_empty() {
                continue;
            }
            let devices = person.devices.iter().filter_map(|id| {
                let presence = state.devices.get(id)?;
                Some((
                    short(*id),
                    person.facts.and_then(|facts| presence.presence(facts)),
                ))
            });
            let devices: Vec<_> = devices.collect();
            let known = replica.known(user);
            match publish(user, &devices, &known, timings, &mut changes) {
                Moved::Later => drop(state.touched.insert(user)),
                Moved::Hidden => drop(state.left.insert(user, now)),
                Moved::Done => {}
            }
            if devices.is_empty() {
                state.people.remove(&user);
            }
        }
        changes
    }

    /// The people whose time online has to be stored, with the time: those who have left, and those who stay for long.
    pub fn take_seen(
        &self,
        now: i64,
        timings: &PresenceTimings,
        replica: &Replica,
    ) -> HashMap<UserId, i64> {
        let state = &mut *self.lock();
        let mut seen = std::mem::take(&mut state.left);
        let ticks = timings.ticks(timings.last_seen_again);
        for (user, person) in &mut state.people {
            if state.tick - person.seen_stored >= ticks {
                person.seen_stored = state.tick;
                if replica.known(*user).own.iter().any(is_visible) {
                    seen.insert(*user, now);
                }
            }
        }
        seen
    }

    /// The storing has failed: it is tried again.
    pub fn keep_seen(&self, seen: impl IntoIterator<Item = (UserId, i64)>) {
        let state = &mut *self.lock();
        for (user, at) in seen {
            let kept = state.left.entry(user).or_insert(at);
            *kept = at.max(*kept);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`publish`] has done.
enum Moved {
    Done,
    /// The pause after the change before is not over.
    Later,
    /// The user is invisible from now on, or has no device that counts.
    Hidden,
}

/// Publishes the devices of a person. The devices of this node are those given, some without a presence that counts.
///
/// Others see a change at most once in a pause, except the end of all devices, and a person who becomes invisible. The numbers of the
/// person never wait, because they decide who sees the rest.
fn publish(
    user: UserId,
    devices: &[(u32, Option<DevicePresence>)],
    known: &Known,
    timings: &PresenceTimings,
    changes: &mut Vec<DeviceChange>,
) -> Moved {
    let find = |all: &[(u32, DevicePresence)], device: u32| {
        let mut all = all.iter().filter(|(one, _)| *one == device);
        all.next().map(|(_, one)| *one)
    };
    let wanted = devices.iter();
    let wanted = wanted.filter_map(|(device, one)| Some((*device, (*one)?)));
    let wanted: Vec<_> = wanted.collect();
    let is_needed = |(device, one): &(u32, DevicePresence)| {
        let Some(before) = find(&known.own, *device) else {
            return true;
        };
        // Another node has seen the device since, doing something else.
        let is_outdated = |(_, other): &(u32, DevicePresence)| {
            (before.stamp..=one.stamp).contains(&other.stamp) && other.activity != one.activity
        };
        let mut others = known.others.iter().filter(|(other, _)| other == device);
        !is_same(&before, one) || others.any(is_outdated)
    };
    let set: Vec<_> = wanted.iter().copied().filter(is_needed).collect();
    let ended = known.own.iter().map(|(device, _)| *device);
    let ended: Vec<_> = ended.filter(|one| find(&wanted, *one).is_none()).collect();
    if set.is_empty() && ended.is_empty() {
        return Moved::Done;
    }
    let key = |device| DeviceKey { user, device };
    let was_visible = known.own.iter().any(is_visible);
    let stays_visible = wanted.iter().any(is_visible);
    let is_here = |device: u32| devices.iter().any(|(one, _)| *one == device);
    let has_ended = ended.iter().any(|device| !is_here(*device));
    let hides = was_visible && !stays_visible && (has_ended || !wanted.is_empty());
    let is_urgent = hides || devices.is_empty();
    let is_early = known.changed_ago.is_some_and(|ago| ago < timings.pause);
    if is_early && !is_urgent {
        let revs = |facts: PersonFacts| (facts.rev, facts.audience_rev);
        if let Some((_, one)) = wanted.first() {
            let old = known.own.iter();
            let old = old.filter(|(_, before)| revs(before.facts) != revs(one.facts));
            changes.extend(old.map(|(device, before)| {
                let facts = PersonFacts {
                    availability: before.facts.availability,
                    ..one.facts
                };
                (key(*device), Some(DevicePresence { facts, ..*before }))
            }));
        }
        return Moved::Later;
    }
    let set = set.into_iter();
    changes.extend(set.map(|(device, one)| (key(device), Some(one))));
    changes.extend(ended.into_iter().map(|device| (key(device), None)));
    match was_visible && !stays_visible {
        true => Moved::Hidden,
        false => Moved::Done,
    }
}

impl State {
    fn remove(&mut self, device: DeviceId) {
        let Some(one) = self.devices.remove(&device) else {
            return;
        };
        if let Some(person) = self.people.get_mut(&one.user) {
            let others = person.devices.iter().copied();
            person.devices = others.filter(|id| *id != device).collect();
        }
        self.touched.insert(one.user);
    }

    /// Removes the devices that have not waited for the time of a device.
    fn remove_ended(&mut self, timings: &PresenceTimings) {
        let ticks = timings.ticks(timings.linger);
        let tick = self.tick;
        let is_over = |one: &OwnDevice| one.waits == 0 && one.ended.saturating_add(ticks) < tick;
        let over = self.devices.iter().filter(|(_, one)| is_over(one));
        let over: Vec<_> = over.map(|(device, _)| *device).collect();
        for device in over {
            self.remove(device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OwnDevice, OwnPerson};

    /// There is one for each parked wait.
    #[test]
    fn entries_are_small() {
        assert_eq!(size_of::<OwnDevice>(), 32);
        assert_eq!(size_of::<OwnPerson>(), 40);
    }
}
