//! The devices of all nodes, in this process. Answers read it, and nothing else.
//!
//! A node learns the devices of another one by its changes, which are numbered, from a version that it has read whole. Nobody writes that
//! a device is offline because its node has died: the others conclude it, when the beats of that node stand still while their own are
//! answered. No clock is compared.

use crate::config::presence::PresenceTimings;
use crate::engine::presence::states::Shown;
use crate::model::ids::UserId;
use crate::model::people::presence::{DeviceChange, DeviceKey, DevicePresence, NodeId};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// How long the number of what decides who sees a person is remembered after the person has gone.
const GONE_LIFE: Duration = Duration::from_secs(600);

/// The most changes of a node that are kept until it was read whole.
const MAX_BUFFERED: usize = 10_000;

/// The part of this node.
const OWN: u32 = 0;

/// The devices of all nodes.
#[derive(Default)]
pub struct Replica {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    people: HashMap<UserId, Vec<Seen>>,
    gone: HashMap<UserId, (u32, Instant)>,
    parts: HashMap<NodeId, Part>,
    parts_made: u32,
    /// All nodes of the first answered beat were read.
    has_joined: bool,
    has_beaten: bool,
    unanswered: u32,
    /// The other nodes' devices are unknown.
    is_cut_off: bool,
    /// People who may look different since the last look.
    moved: HashSet<UserId>,
}

#[derive(Clone, Copy)]
struct Seen {
    part: u32,
    device: u32,
    presence: DevicePresence,
}

/// The devices of another node.
struct Part {
    number: u32,
    /// The version of the devices, if they are known whole.
    version: Option<u64>,
    buffered: Vec<(u64, Vec<DeviceChange>)>,
    /// Answered beats since the version was lost.
    unread_beats: u32,
    beats: u64,
    /// Answered beats since `beats` has changed.
    still: u32,
    is_gone: bool,
}

impl Part {
    fn lose(&mut self) {
        if self.version.take().is_some() {
            self.unread_beats = 0;
        }
        self.buffered.clear();
    }

    /// Whether its devices are good enough to show.
    fn is_usable(&self, timings: &PresenceTimings) -> bool {
        self.version.is_some() || self.unread_beats <= timings.silent_beats
    }
}

/// The nodes that a beat has found gone.
#[derive(Default)]
pub struct Gone {
    /// The nodes, with the beats at which they stand still.
    pub nodes: Vec<(NodeId, u64)>,
    /// Their people who are online nowhere else.
    pub users: Vec<UserId>,
}

impl Replica {
    /// What others see of a user.
    pub fn shown(&self, user: UserId, timings: &PresenceTimings) -> Shown {
        let state = self.read();
        state.shown(user, timings)
    }

    /// What another node shows of a device.
    pub fn elsewhere(&self, key: DeviceKey) -> Option<DevicePresence> {
        let state = self.read();
        let seen = state.people.get(&key.user)?.iter();
        let others = seen.filter(|one| one.part != OWN && one.device == key.device);
        others
            .map(|one| one.presence)
            .max_by_key(|presence| presence.stamp)
    }

    /// The number of people with a device anywhere.
    pub fn count(&self) -> usize {
        self.read().people.len()
    }

    /// Applies changes of this node.
    pub fn apply_own(&self, changes: &[DeviceChange]) {
        self.write().apply(OWN, changes);
    }

    /// A node has published changes.
    pub fn receive(&self, node: NodeId, version: u64, changes: Vec<DeviceChange>) {
        let state = &mut *self.write();
        let Some(part) = state.parts.get_mut(&node) else {
            return;
        };
        let Some(known) = part.version else {
            if part.buffered.len() < MAX_BUFFERED {
                part.buffered.push((version, changes));
            }
            return;
        };
        if changes.is_empty() && version == known {
            return;
        }
        if version != known + 1 {
            part.lose();
            return;
        }
        part.version = Some(version);
        let number = part.number;
        state.apply(number, &changes);
    }

    /// Changes of a node may have been lost.
    pub fn lose(&self, node: NodeId) {
        if let Some(part) = self.write().parts.get_mut(&node) {
            part.lose();
        }
    }

    /// The other nodes, except those that are gone.
    pub fn nodes(&self) -> Vec<NodeId> {
        let state = self.read();
        let alive = state.parts.iter().filter(|(_, part)| !part.is_gone);
        alive.map(|(node, _)| *node).collect()
    }

    /// The nodes that have to be read whole.
    pub fn unread(&self) -> Vec<NodeId> {
        let state = self.read();
        let unread = state.parts.iter();
        let unread = unread.filter(|(_, part)| part.version.is_none() && !part.is_gone);
        unread.map(|(node, _)| *node).collect()
    }

    /// A node was read whole, after its channel was subscribed: its devices between two versions. Returns whether all changes since the
    /// first are known, too.
    pub fn finish_read(
        &self,
        node: NodeId,
        (from, through): (u64, u64),
        devices: &HashMap<DeviceKey, DevicePresence>,
    ) -> bool {
        let state = &mut *self.write();
        let Some(part) = state.parts.get_mut(&node) else {
            return false;
        };
        let mut reached = from;
        let mut later = Vec::new();
        for (version, changes) in std::mem::take(&mut part.buffered) {
            if version == reached + 1 {
                reached = version;
                later.extend(changes);
            } else if version > reached {
                return false;
            }
        }
        if reached < through {
            return false;
        }
        part.version = Some(reached);
        part.unread_beats = 0;
        let number = part.number;
        let mut changes: Vec<DeviceChange> = state
            .people
            .iter()
            .flat_map(|(user, seen)| seen.iter().map(|one| (*user, *one)))
            .filter(|(_, one)| one.part == number)
            .map(|(user, one)| DeviceKey {
                user,
                device: one.device,
            })
            .filter(|key| !devices.contains_key(key))
            .map(|key| (key, None))
            .collect();
        changes.extend(devices.iter().map(|(key, one)| (*key, Some(*one))));
        changes.extend(later);
        state.apply(number, &changes);
        state.join();
        true
    }

    /// Redis has not answered a beat.
    pub fn beat_unanswered(&self, timings: &PresenceTimings) {
        let state = &mut *self.write();
        state.unanswered += 1;
        if state.unanswered > timings.silent_beats && !state.is_cut_off {
            state.is_cut_off = true;
            state.all_moved();
        }
    }

    /// Redis has answered a beat with those of all nodes. A node that is missing there stands still.
    pub fn beat_answered(
        &self,
        own: NodeId,
        beats: &HashMap<NodeId, u64>,
        timings: &PresenceTimings,
    ) -> Gone {
        let state = &mut *self.write();
        state.unanswered = 0;
        state.has_beaten = true;
        if state.is_cut_off {
            state.is_cut_off = false;
            state.parts.values_mut().for_each(|part| part.still = 0);
            state.all_moved();
        }
        for (node, beats) in beats.iter().filter(|(node, _)| **node != own) {
            match state.parts.entry(*node) {
                Entry::Occupied(mut part) => {
                    let part = part.get_mut();
                    if part.beats != *beats {
                        (part.beats, part.still) = (*beats, 0);
                        if part.is_gone {
                            part.is_gone = false;
                            part.lose();
                        }
                        continue;
                    }
                }
                Entry::Vacant(vacant) => {
                    state.parts_made += 1;
                    vacant.insert(Part {
                        number: state.parts_made,
                        version: None,
                        buffered: Vec::new(),
                        unread_beats: 0,
                        beats: *beats,
                        still: 0,
                        is_gone: false,
                    });
                    continue;
                }
            }
        }
        let found = state.conclude(beats, timings);
        state.join();
        let now = Instant::now();
        state.gone.retain(|_, (_, at)| now - *at < GONE_LIFE);
        found
    }

    /// Takes the people who may look different since the last call.
    pub fn take_moved(&self) -> HashSet<UserId> {
        std::mem::take(&mut self.write().moved)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn shown(&self, user: UserId, timings: &PresenceTimings) -> Shown {
        let unusable = self.unusable(timings);
        let is_usable =
            |one: &&Seen| one.part == OWN || !self.is_cut_off && !unusable.contains(&one.part);
        let seen = self.people.get(&user).into_iter().flatten();
        let devices = seen.filter(is_usable).map(|one| (one.device, one.presence));
        if let Some(shown) = Shown::of(devices) {
            return shown;
        }
        let is_complete = self.has_joined && !self.is_cut_off && unusable.is_empty();
        let audience_rev = self.gone.get(&user).map(|(rev, _)| *rev);
        Shown::without_devices(is_complete, audience_rev)
    }

    fn unusable(&self, timings: &PresenceTimings) -> Vec<u32> {
        let parts = self.parts.values();
        let unusable = parts.filter(|part| !part.is_gone && !part.is_usable(timings));
        unusable.map(|part| part.number).collect()
    }

    fn join(&mut self) {
        let mut alive = self.parts.values().filter(|part| !part.is_gone);
        if !self.has_joined && self.has_beaten && alive.all(|part| part.version.is_some()) {
            self.has_joined = true;
            self.all_moved();
        }
    }

    fn all_moved(&mut self) {
        self.moved.extend(self.people.keys().copied());
    }

    fn apply(&mut self, part: u32, changes: &[DeviceChange]) {
        for (key, presence) in changes {
            let seen = self.people.entry(key.user).or_default();
            let audience_rev = seen.iter().map(|one| one.presence.facts.audience_rev).max();
            seen.retain(|one| (one.part, one.device) != (part, key.device));
            if let Some(presence) = presence {
                seen.push(Seen {
                    part,
                    device: key.device,
                    presence: *presence,
                });
            }
            if seen.is_empty() {
                self.people.remove(&key.user);
                if let Some(rev) = audience_rev {
                    self.gone.insert(key.user, (rev, Instant::now()));
                }
            }
            self.moved.insert(key.user);
        }
    }

    /// Counts the beats in which the other nodes stand still, and removes the devices of those that are gone.
    fn conclude(&mut self, beats: &HashMap<NodeId, u64>, timings: &PresenceTimings) -> Gone {
        let mut gone = Gone::default();
        let mut numbers = Vec::new();
        self.parts.retain(|node, part| {
            let is_listed = beats.contains_key(node);
            if part.is_gone {
                return is_listed;
            }
            if part.version.is_none() {
                part.unread_beats += 1;
            }
            part.still += 1;
            // The beat that has shown a new count does not count.
            if part.still > timings.still_beats {
                part.is_gone = true;
                part.lose();
                gone.nodes.push((*node, part.beats));
                numbers.push(part.number);
            }
            true
        });
        if !numbers.is_empty() {
            let of_gone = |one: &Seen| numbers.contains(&one.part);
            let lost: Vec<DeviceChange> = self
                .people
                .iter()
                .flat_map(|(user, seen)| seen.iter().map(|one| (*user, *one)))
                .filter(|(_, one)| of_gone(one))
                .map(|(user, one)| {
                    let device = one.device;
                    (DeviceKey { user, device }, None)
                })
                .collect();
            for number in &numbers {
                self.apply(*number, &lost);
            }
            let left: HashSet<_> = lost.iter().map(|(key, _)| key.user).collect();
            let is_left = |user: &UserId| !self.people.contains_key(user);
            gone.users = left.into_iter().filter(is_left).collect();
        }
        gone
    }
}
