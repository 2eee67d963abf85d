//! The devices that wait on this node. A device is online from the begin of a wait until some time after the end of its last one.
//!
//! A wait only changes this map. The tick reads what PostgreSQL has of new people, and publishes what has changed since the one before.
//! Time is counted in ticks: a process that was suspended does not take its own devices for gone.

use crate::config::presence::PresenceTimings;
use crate::model::ids::{DeviceId, UserId};
use crate::model::people::presence::{DeviceChange, DeviceKey, DevicePresence, PersonFacts};
use crate::model::wire::people::presence::Activity;
use crate::model::wire::user::{Availability, Platform};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The devices of this node.
#[derive(Default)]
pub struct OwnDevices {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tick: u64,
    devices: HashMap<DeviceId, OwnDevice>,
    people: HashMap<UserId, OwnPerson>,
    /// The devices whose last wait ended at a tick, in the order of the ticks.
    ended: VecDeque<(u64, DeviceId)>,
    /// People whose devices may not be as they were published.
    touched: HashSet<UserId>,
    /// People whose rows may have changed since this node has read them.
    unread: HashSet<UserId>,
    /// When an availability ends, in seconds since 1970.
    ends: BTreeSet<(i64, UserId)>,
    /// People who are no longer seen online.
    left: HashSet<UserId>,
}

struct OwnDevice {
    user: UserId,
    activity: Activity,
    /// The client has sent an activity: only then a bot is online.
    has_activity: bool,
    waits: u32,
    ended: u64,
    stamp: u32,
    platform: Option<Platform>,
}

#[derive(Default)]
struct OwnPerson {
    devices: Vec<DeviceId>,
    facts: Option<PersonFacts>,
    read_at: Option<Instant>,
    published: Vec<(u32, DevicePresence)>,
    changed_at: Option<Instant>,
    seen_stored: Option<Instant>,
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

/// The part of a device's id that the nodes exchange.
fn short(device: DeviceId) -> u32 {
    let (_, low) = device.0.as_u64_pair();
    u32::try_from(low & u64::from(u32::MAX)).unwrap_or_default()
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

impl OwnDevices {
    /// A wait of a device has begun.
    pub fn begin(&self, user: UserId, device: DeviceId, activity: Option<Activity>, stamp: u32) {
        let state = &mut *self.lock();
        let one = state.devices.entry(device).or_insert_with(|| {
            state.people.entry(user).or_default().devices.push(device);
            state.unread.insert(user);
            OwnDevice {
                user,
                activity: Activity::Active,
                has_activity: false,
                waits: 0,
                ended: 0,
                stamp,
                platform: None,
            }
        });
        one.activity = activity.unwrap_or_default();
        one.has_activity = activity.is_some();
        one.waits += 1;
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
            state.ended.push_back((state.tick, device));
        }
    }

    /// A device was logged out.
    pub fn forget(&self, device: DeviceId) {
        self.lock().remove(device);
    }

    /// Something has changed that decides what others see of this user.
    pub fn reload(&self, user: UserId) {
        let state = &mut *self.lock();
        if state.people.contains_key(&user) {
            state.unread.insert(user);
        }
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
        let is_old = |person: &OwnPerson| {
            let read_at = person.read_at;
            read_at.is_some_and(|at| at.elapsed() >= timings.reload)
        };
        // A pass over all people with each 64th tick: the notice of a change may have been lost.
        if state.tick.is_multiple_of(64) {
            let old = state.people.iter().filter(|(_, person)| is_old(person));
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
                person.read_at = Some(Instant::now());
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

    /// Takes the changes that are to be published. `elsewhere` is what another node shows of a device, if it does.
    pub fn take_changes(
        &self,
        now: i64,
        timings: &PresenceTimings,
        elsewhere: impl Fn(DeviceKey) -> Option<DevicePresence>,
    ) -> Vec<DeviceChange> {
        let state = &mut *self.lock();
        state.remove_ended(timings);
        while let Some((_, user)) = state.ends.first().copied().filter(|(at, _)| *at <= now) {
            state.ends.pop_first();
            // PostgreSQL compares with its clock as well.
            state.unread.insert(user);
        }
        let mut changes = Vec::new();
        let mut later = HashSet::new();
        for user in std::mem::take(&mut state.touched) {
            let Some(person) = state.people.get_mut(&user) else {
                continue;
            };
            let Some(facts) = person.facts.filter(|_| !person.devices.is_empty()) else {
                if person.devices.is_empty() {
                    end(user, person, &mut changes, &mut state.left);
                    state.people.remove(&user);
                }
                continue;
            };
            let devices = person.devices.iter();
            let devices = devices.filter_map(|device| Some((*device, state.devices.get(device)?)));
            let wanted: Vec<_> = devices
                .filter_map(|(id, device)| Some((short(id), device.presence(facts)?)))
                .collect();
            let moved = person.publish(user, wanted, timings, &elsewhere, &mut changes);
            match moved {
                Moved::Later => drop(later.insert(user)),
                Moved::Hidden => drop(state.left.insert(user)),
                Moved::Done => {}
            }
        }
        state.touched.extend(later);
        changes
    }

    /// All that is published.
    pub fn published(&self) -> Vec<(DeviceKey, DevicePresence)> {
        let state = self.lock();
        let people = state.people.iter();
        let published = people.flat_map(|(user, person)| {
            let device = |(device, presence): &(u32, DevicePresence)| {
                let key = DeviceKey {
                    user: *user,
                    device: *device,
                };
                (key, *presence)
            };
            person.published.iter().map(device)
        });
        published.collect()
    }

    /// The people whose time online has to be stored: those who have left, and those who stay for long.
    pub fn take_seen(&self, timings: &PresenceTimings) -> HashSet<UserId> {
        let state = &mut *self.lock();
        let mut seen = std::mem::take(&mut state.left);
        let now = Instant::now();
        for (user, person) in &mut state.people {
            let is_visible = person.published.iter().any(|(_, one)| is_visible(one));
            let is_due = now - *person.seen_stored.get_or_insert(now) >= timings.last_seen_again;
            if is_visible && is_due {
                person.seen_stored = Some(now);
                seen.insert(*user);
            }
        }
        seen
    }

    /// The storing has failed: it is tried again.
    pub fn keep_seen(&self, users: impl IntoIterator<Item = UserId>) {
        self.lock().left.extend(users);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`OwnPerson::publish`] has done.
enum Moved {
    Done,
    /// The pause after the change before is not over.
    Later,
    /// The user is invisible from now on, or has no device that counts.
    Hidden,
}

fn is_visible(one: &DevicePresence) -> bool {
    one.facts.availability != Availability::Invisible
}

/// All devices of a person have gone.
fn end(
    user: UserId,
    person: &mut OwnPerson,
    changes: &mut Vec<DeviceChange>,
    left: &mut HashSet<UserId>,
) {
    if person.published.iter().any(|(_, one)| is_visible(one)) {
        left.insert(user);
    }
    for (device, _) in person.published.drain(..) {
        changes.push((DeviceKey { user, device }, None));
    }
}

impl OwnPerson {
    fn publish(
        &mut self,
        user: UserId,
        wanted: Vec<(u32, DevicePresence)>,
        timings: &PresenceTimings,
        elsewhere: &impl Fn(DeviceKey) -> Option<DevicePresence>,
        changes: &mut Vec<DeviceChange>,
    ) -> Moved {
        let before: HashMap<u32, DevicePresence> = self.published.iter().copied().collect();
        let is_needed = |device: u32, one: &DevicePresence| {
            let Some(known) = before.get(&device) else {
                return true;
            };
            // Another node has seen the device since, doing something else.
            let is_outdated = |other: DevicePresence| {
                (known.stamp..=one.stamp).contains(&other.stamp) && other.activity != one.activity
            };
            !is_same(known, one) || elsewhere(DeviceKey { user, device }).is_some_and(is_outdated)
        };
        let set: Vec<_> = wanted
            .iter()
            .copied()
            .filter(|(device, one)| is_needed(*device, one))
            .collect();
        let is_wanted = |device: u32| wanted.iter().any(|(one, _)| *one == device);
        let ended: Vec<_> = before
            .keys()
            .copied()
            .filter(|device| !is_wanted(*device))
            .collect();
        if set.is_empty() && ended.is_empty() {
            return Moved::Done;
        }
        let revs = |one: &DevicePresence| (one.facts.rev, one.facts.audience_rev);
        let new_revs = wanted.first().map(|(_, one)| revs(one));
        let has_new_revs = before.values().any(|one| Some(revs(one)) != new_revs);
        let is_urgent = before.is_empty() || wanted.is_empty() || has_new_revs;
        let is_early = self
            .changed_at
            .is_some_and(|at| at.elapsed() < timings.pause);
        if is_early && !is_urgent {
            return Moved::Later;
        }
        self.changed_at = Some(Instant::now());
        let key = |device| DeviceKey { user, device };
        changes.extend(ended.into_iter().map(|device| (key(device), None)));
        changes.extend(
            set.into_iter()
                .map(|(device, one)| (key(device), Some(one))),
        );
        let was_visible = before.values().any(is_visible);
        let stays_visible = wanted.iter().any(|(_, one)| is_visible(one));
        self.published = wanted;
        match was_visible && !stays_visible {
            true => Moved::Hidden,
            false => Moved::Done,
        }
    }
}

impl State {
    fn remove(&mut self, device: DeviceId) {
        let Some(one) = self.devices.remove(&device) else {
            return;
        };
        if let Some(person) = self.people.get_mut(&one.user) {
            person.devices.retain(|id| *id != device);
        }
        self.touched.insert(one.user);
    }

    /// Removes the devices that have not waited for the time of a device.
    fn remove_ended(&mut self, timings: &PresenceTimings) {
        let ticks = timings
            .linger
            .as_nanos()
            .div_ceil(timings.tick.as_nanos().max(1));
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        let tick = self.tick;
        let is_over = |at: u64| at.saturating_add(ticks) < tick;
        while let Some((at, device)) = self.ended.front().copied().filter(|(at, _)| is_over(*at)) {
            self.ended.pop_front();
            let ended = self.devices.get(&device);
            if ended.is_some_and(|one| one.waits == 0 && one.ended == at) {
                self.remove(device);
            }
        }
    }
}
