//! The people that a node has seen: their devices on all nodes, and of those without devices what decides who sees them.

use crate::clock;
use crate::engine::presence::states::AudienceRev;
use crate::model::ids::UserId;
use crate::model::people::presence::{DeviceChange, DeviceKey, DevicePresence, PersonFacts};
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long the number of what decides who sees a person is remembered after the person has gone.
const GONE_LIFE: Duration = Duration::from_secs(600);

/// The part of this node.
pub const OWN: u32 = 0;

/// A time, in tenths of a second since the process has begun.
type Tenths = NonZeroU32;

/// The people.
pub struct SeenPeople {
    /// When the process has begun.
    pub began: Instant,
    /// An id of that time: those of users who have registered since are above it.
    first_id: Uuid,
    /// People who may look different since the last look.
    pub moved: HashSet<UserId>,
    people: HashMap<UserId, Person>,
    gone: HashMap<UserId, Left>,
    /// The notices so far.
    notices: u32,
}

/// A person with devices.
struct Person {
    seen: Box<[Seen]>,
    /// When the devices have changed, apart from the numbers of the person.
    changed: Option<Tenths>,
    /// What decides who sees the person has changed since the numbers were read.
    has_moved: bool,
}

/// A person whose devices have gone.
struct Left {
    audience_rev: AudienceRev,
    at: Tenths,
    changed: Option<Tenths>,
}

/// A device of a person.
#[derive(Clone, Copy)]
pub struct Seen {
    /// The node that has published it.
    pub part: u32,
    /// The part of its id that the nodes exchange.
    pub device: u32,
    /// Its presence.
    pub presence: DevicePresence,
}

/// What a node has to know of a person to publish the person's devices.
#[derive(Default)]
pub struct Known {
    /// The devices that this node has published.
    pub own: Vec<(u32, DevicePresence)>,
    /// What other nodes show of devices.
    pub others: Vec<(u32, DevicePresence)>,
    /// How long ago any node has changed the devices, apart from the numbers of the person.
    pub changed_ago: Option<Duration>,
}

/// Whether one differs from the other at most in the numbers of the person.
fn is_same_apart_from_revs(one: &DevicePresence, other: &DevicePresence) -> bool {
    let facts = PersonFacts {
        availability: one.facts.availability,
        ..other.facts
    };
    DevicePresence { facts, ..*one } == *other && one.facts.availability == other.facts.availability
}

impl Default for SeenPeople {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            first_id: clock::new_id(),
            moved: HashSet::new(),
            people: HashMap::new(),
            gone: HashMap::new(),
            notices: 0,
        }
    }
}

impl SeenPeople {
    fn now(&self) -> Tenths {
        let tenths = self.began.elapsed().as_millis() / 100;
        let tenths = u32::try_from(tenths).unwrap_or(u32::MAX);
        NonZeroU32::MIN.saturating_add(tenths)
    }

    fn since(&self, at: Tenths) -> Duration {
        Duration::from_millis(100) * (self.now().get() - at.get())
    }

    /// The devices of a person.
    pub fn seen(&self, user: UserId) -> &[Seen] {
        self.people.get(&user).map_or(&[], |person| &person.seen)
    }

    /// The number of people with devices.
    pub fn count(&self) -> usize {
        self.people.len()
    }

    /// What is known of a person.
    pub fn known(&self, user: UserId) -> Known {
        let changed = match self.people.get(&user) {
            Some(person) => person.changed,
            None => self.gone.get(&user).and_then(|left| left.changed),
        };
        let of = |is_own: bool| {
            let seen = self.seen(user).iter();
            let seen = seen.filter(|one| (one.part == OWN) == is_own);
            seen.map(|one| (one.device, one.presence)).collect()
        };
        Known {
            own: of(true),
            others: of(false),
            changed_ago: changed.map(|at| self.since(at)),
        }
    }

    /// Whether a user has registered since the process has begun: no node that has died before had a device of theirs.
    pub fn is_new(&self, user: UserId) -> bool {
        user.0 > self.first_id
    }

    /// The number of what decides who sees a person without devices.
    pub fn audience_rev_of_gone(&self, user: UserId) -> AudienceRev {
        let left = self.gone.get(&user);
        left.map(|left| left.audience_rev).unwrap_or_default()
    }

    /// PostgreSQL has this number, after the last notice that it has moved.
    pub fn learn(&mut self, user: UserId, notice: AudienceRev, audience_rev: u32) {
        if let Some(left) = self.gone.get_mut(&user)
            && left.audience_rev == notice
        {
            left.audience_rev = AudienceRev::Left(audience_rev);
        }
    }

    /// Notices may have been lost.
    pub fn lose_notices(&mut self) {
        self.notices += 1;
        for left in self.gone.values_mut() {
            left.audience_rev = AudienceRev::Moved(self.notices);
        }
    }

    /// Forgets those who have gone long ago.
    pub fn forget(&mut self) {
        let now = self.now();
        let life = u32::try_from(GONE_LIFE.as_secs() * 10).unwrap_or(u32::MAX);
        let is_new = |left: &Left| now.get() - left.at.get() < life;
        self.gone.retain(|_, left| is_new(left));
    }

    /// The devices of a node.
    pub fn of_part(&self, part: u32) -> Vec<(DeviceKey, DevicePresence)> {
        let people = self.people.iter();
        let seen = people.flat_map(|(user, person)| person.seen.iter().map(|one| (*user, one)));
        let of_part = seen.filter(|(_, one)| one.part == part).map(|(user, one)| {
            let device = one.device;
            (DeviceKey { user, device }, one.presence)
        });
        of_part.collect()
    }

    /// All people may look different.
    pub fn all_moved(&mut self) {
        self.moved.extend(self.people.keys().copied());
    }

    /// Applies changes of a node.
    pub fn apply(&mut self, part: u32, changes: &[DeviceChange]) {
        let now = self.now();
        for (key, presence) in changes {
            let (user, device) = (key.user, key.device);
            self.moved.insert(user);
            if key.is_notice() {
                self.notice(user);
                continue;
            }
            if !self.people.contains_key(&user) {
                if presence.is_none() {
                    continue;
                }
                let left = self.gone.remove(&user);
                let person = Person {
                    seen: Box::default(),
                    changed: left.and_then(|left| left.changed),
                    has_moved: false,
                };
                self.people.insert(user, person);
            }
            let Some(person) = self.people.get_mut(&user) else {
                continue;
            };
            let is_it = |one: &Seen| (one.part, one.device) == (part, device);
            let before = person.seen.iter().find(|one| is_it(one));
            let before = before.map(|one| one.presence);
            let is_same = match (&before, presence) {
                (Some(before), Some(after)) => is_same_apart_from_revs(before, after),
                (before, after) => before.is_none() && after.is_none(),
            };
            if !is_same {
                person.changed = Some(now);
            }
            let facts = person.seen.iter().map(|one| one.presence.facts);
            let (as_of, audience_rev) = facts.fold((0, 0), |(as_of, rev), one| {
                (one.as_of.max(as_of), one.audience_rev.max(rev))
            });
            person.has_moved &= presence.is_none_or(|one| one.facts.as_of <= as_of);
            let others = person.seen.iter().filter(|one| !is_it(one)).copied();
            let set = presence.map(|presence| Seen {
                part,
                device,
                presence,
            });
            person.seen = others.chain(set).collect();
            if person.seen.is_empty() {
                let left = Left {
                    audience_rev: AudienceRev::Left(audience_rev),
                    at: now,
                    changed: person.changed,
                };
                let has_moved = person.has_moved;
                self.people.remove(&user);
                self.gone.insert(user, left);
                if has_moved {
                    self.notice(user);
                }
            }
        }
    }

    /// What decides who sees a person has changed. Of a person with devices, the node of one will publish it.
    fn notice(&mut self, user: UserId) {
        if let Some(person) = self.people.get_mut(&user) {
            person.has_moved = true;
            return;
        }
        self.notices += 1;
        let changed = self.gone.get(&user).and_then(|left| left.changed);
        let left = Left {
            audience_rev: AudienceRev::Moved(self.notices),
            at: self.now(),
            changed,
        };
        self.gone.insert(user, left);
    }
}

#[cfg(test)]
mod tests {
    use super::{Person, Seen};

    /// There is one for each device that is online on any node.
    #[test]
    fn entries_are_small() {
        assert_eq!(size_of::<Person>(), 24);
        assert_eq!(size_of::<Seen>(), 32);
    }
}
