//! The devices of all nodes, in this process. Answers read it, and nothing else.
//!
//! A node learns the devices of another one by its changes, which are numbered, from a version that it has read whole. Nobody writes that
//! a device is offline because its node has died: the others conclude it, when the beats of that node stand still while their own are
//! answered. No clock is compared, except of nodes that were silent for long before this one has begun.

use crate::config::presence::PresenceTimings;
use crate::engine::presence::people::{Known, OWN, Seen, SeenPeople};
use crate::engine::presence::states::{AudienceRev, Shown};
use crate::model::ids::UserId;
use crate::model::people::presence::{Beat, DeviceChange, DeviceKey, DevicePresence, NodeId};
use crate::model::wire::user::Availability;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// How long a node may take to read the others before it is ready without them: Redis may be away.
const READING: Duration = Duration::from_secs(10);

/// The most changes of a node that are kept until it was read whole.
const MAX_BUFFERED: usize = 10_000;

/// The devices of all nodes.
#[derive(Default)]
pub struct Replica {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    people: SeenPeople,
    parts: HashMap<NodeId, Part>,
    parts_made: u32,
    /// Answered beats.
    answered: u32,
    /// All nodes of the first answered beats were read.
    has_read: bool,
    /// And one of the nodes has been there for so long that all who are online have come back to one.
    has_joined: bool,
    unanswered: u32,
    /// The other nodes' devices are unknown.
    is_cut_off: bool,
}

/// The devices of another node.
struct Part {
    number: u32,
    /// The version of the devices, if they are known whole.
    version: Option<u64>,
    buffered: Vec<(u64, Vec<DeviceChange>)>,
    /// Answered beats since the version was lost.
    unread_beats: u32,
    beat: Beat,
    /// Answered beats since `beat` has changed.
    still: u32,
    /// When this node has begun, that one was silent for longer than a node may be.
    was_silent: bool,
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
        !self.was_silent && !self.is_unreadable(timings)
    }

    /// It was not read for too long.
    fn is_unreadable(&self, timings: &PresenceTimings) -> bool {
        self.version.is_none() && self.unread_beats > timings.silent_beats
    }
}

/// The nodes that a beat has found gone.
#[derive(Default)]
pub struct Gone {
    /// The nodes, with the beats at which they stand still.
    pub nodes: Vec<(NodeId, Beat)>,
    /// Their people who were seen online and are so nowhere else, and until when, in seconds since 1970.
    pub users: Vec<(UserId, i64)>,
}

impl Replica {
    /// What others see of a user.
    pub fn shown(&self, user: UserId, timings: &PresenceTimings) -> Shown {
        let state = self.read();
        state.shown(user, timings)
    }

    /// What is known of a person.
    pub fn known(&self, user: UserId) -> Known {
        self.read().people.known(user)
    }

    /// All devices that this node has published.
    pub fn own(&self) -> Vec<(DeviceKey, DevicePresence)> {
        self.read().people.of_part(OWN)
    }

    /// The number of people with a device anywhere.
    pub fn count(&self) -> usize {
        self.read().people.count()
    }

    /// This node has just begun, and does not know yet who is online on the others.
    pub fn is_reading(&self) -> bool {
        let state = self.read();
        !state.has_read && state.people.began.elapsed() < READING
    }

    /// Applies changes of this node.
    pub fn apply_own(&self, changes: &[DeviceChange]) {
        self.write().people.apply(OWN, changes);
    }

    /// PostgreSQL has this number of what decides who sees a person, after the last notice that it has moved.
    pub fn learn(&self, user: UserId, notice: AudienceRev, audience_rev: u32) {
        if matches!(notice, AudienceRev::Moved(_)) {
            self.write().people.learn(user, notice, audience_rev);
        }
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
            state.lose(node);
            return;
        }
        part.version = Some(version);
        let number = part.number;
        state.people.apply(number, &changes);
    }

    /// Changes of a node may have been lost.
    pub fn lose(&self, node: NodeId) {
        self.write().lose(node);
    }

    /// The other nodes, except those that are gone.
    pub fn nodes(&self) -> Vec<NodeId> {
        let state = self.read();
        let alive = state.parts.iter().filter(|(_, part)| !part.is_gone);
        alive.map(|(node, _)| *node).collect()
    }

    /// Whether this node has the lowest id of those that beat.
    pub fn is_first(&self, own: NodeId, timings: &PresenceTimings) -> bool {
        let state = self.read();
        let mut beating = state
            .parts
            .iter()
            .filter(|(_, part)| !part.is_gone && part.still <= timings.silent_beats);
        beating.all(|(node, _)| own < *node)
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
        timings: &PresenceTimings,
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
        let before = state.people.of_part(number).into_iter().map(|(key, _)| key);
        let ended = before.filter(|key| !devices.contains_key(key));
        let set = devices.iter().map(|(key, one)| (*key, Some(*one)));
        let mut changes: Vec<DeviceChange> = set.chain(ended.map(|key| (key, None))).collect();
        changes.extend(later);
        state.people.apply(number, &changes);
        state.join(timings);
        true
    }

    /// Redis has not answered a beat.
    pub fn beat_unanswered(&self, timings: &PresenceTimings) {
        let state = &mut *self.write();
        state.unanswered += 1;
        if state.unanswered > timings.silent_beats && !state.is_cut_off {
            state.is_cut_off = true;
            state.people.all_moved();
        }
    }

    /// Redis has answered a beat with those of all nodes. A node that is missing there stands still. `now` is the time by the database's
    /// clock, in seconds since 1970.
    pub fn beat_answered(
        &self,
        own: NodeId,
        beats: &HashMap<NodeId, Beat>,
        now: i64,
        timings: &PresenceTimings,
    ) -> Gone {
        let state = &mut *self.write();
        state.unanswered = 0;
        state.answered = state.answered.saturating_add(1);
        if state.is_cut_off {
            state.is_cut_off = false;
            state.parts.values_mut().for_each(|part| part.still = 0);
            state.people.all_moved();
        }
        for (node, beat) in beats.iter().filter(|(node, _)| **node != own) {
            match state.parts.entry(*node) {
                Entry::Occupied(mut part) => {
                    let part = part.get_mut();
                    if part.beat.count != beat.count {
                        (part.beat, part.still, part.was_silent) = (*beat, 0, false);
                        if part.is_gone {
                            part.is_gone = false;
                            part.lose();
                        }
                        continue;
                    }
                }
                Entry::Vacant(vacant) => {
                    state.parts_made += 1;
                    let silence = Duration::from_secs((now - beat.at).unsigned_abs());
                    let was_silent = now > beat.at && silence > timings.silence();
                    vacant.insert(Part {
                        number: state.parts_made,
                        version: None,
                        buffered: Vec::new(),
                        unread_beats: 0,
                        beat: *beat,
                        still: if was_silent { timings.still_beats } else { 0 },
                        was_silent,
                        is_gone: false,
                    });
                    continue;
                }
            }
        }
        let found = state.conclude(beats, timings);
        state.join(timings);
        state.people.forget();
        found
    }

    /// Takes the people who may look different since the last call.
    pub fn take_moved(&self) -> HashSet<UserId> {
        std::mem::take(&mut self.write().people.moved)
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
        let seen = self.people.seen(user).iter();
        let devices = seen.filter(is_usable).map(|one| (one.device, one.presence));
        if let Some(shown) = Shown::of(devices) {
            return shown;
        }
        let has_read = self.has_joined || self.has_read && self.people.is_new(user);
        let is_complete = has_read && !self.is_cut_off && unusable.is_empty();
        Shown::without_devices(is_complete, self.people.audience_rev_of_gone(user))
    }

    fn unusable(&self, timings: &PresenceTimings) -> Vec<u32> {
        let parts = self.parts.values();
        let unusable = parts.filter(|part| !part.is_gone && !part.is_usable(timings));
        unusable.map(|part| part.number).collect()
    }

    /// The second beat: with the first one, the others may just have found an empty Redis.
    fn join(&mut self, timings: &PresenceTimings) {
        let alive = || self.parts.values().filter(|part| !part.is_gone);
        let is_read = self.answered >= 2 && alive().all(|part| part.version.is_some());
        let is_old =
            |part: &Part| !part.was_silent && part.beat.count > u64::from(timings.still_beats) + 1;
        let is_settled = self.people.began.elapsed() >= timings.silence() || alive().any(is_old);
        if is_read && !(self.has_read && self.has_joined) {
            self.has_read = true;
            self.has_joined = is_settled;
            self.people.all_moved();
        }
    }

    fn lose(&mut self, node: NodeId) {
        let Some(part) = self.parts.get_mut(&node) else {
            return;
        };
        let was_known = part.version.is_some();
        part.lose();
        if was_known {
            self.people.lose_notices();
        }
    }

    /// Counts the beats in which the other nodes stand still, and removes the devices of those that are gone.
    fn conclude(&mut self, beats: &HashMap<NodeId, Beat>, timings: &PresenceTimings) -> Gone {
        let mut gone = Gone::default();
        let mut parts = Vec::new();
        self.parts.retain(|node, part| {
            let is_listed = beats.contains_key(node);
            if part.is_gone {
                return is_listed;
            }
            if part.version.is_none() {
                part.unread_beats += 1;
            }
            part.still += 1;
            // Those that were online there are read first: it is stored when they were last seen.
            let is_unread = part.version.is_none() && !part.is_unreadable(timings);
            // The beat that has shown a new count does not count.
            if part.still > timings.still_beats && !(part.was_silent && is_unread) {
                part.is_gone = true;
                part.lose();
                gone.nodes.push((*node, part.beat));
                parts.push((part.number, part.beat.at));
            }
            true
        });
        for (part, at) in parts {
            let lost = self.people.of_part(part);
            let ends: Vec<_> = lost.iter().map(|(key, _)| (*key, None)).collect();
            self.people.apply(part, &ends);
            let seen = lost
                .into_iter()
                .filter(|(_, one)| one.facts.availability != Availability::Invisible)
                .map(|(key, _)| key.user)
                .filter(|user| self.people.seen(*user).is_empty());
            gone.users.extend(seen.map(|user| (user, at)));
        }
        gone
    }
}
