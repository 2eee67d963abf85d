//! Acknowledged changes are visible to everyone from then on: heads and marks never go back in real time.

use super::{Found, World, int};
use crate::history::{Ask, Micros, Op};
use std::collections::HashMap;

pub(super) fn check(world: &World<'_>, found: &mut Found) {
    heads(world, found);
    marks(world, found);
}

/// A lower bound that rises with time.
#[derive(Default)]
struct Floor(Vec<(Micros, i64)>);

impl Floor {
    fn of(mut known: Vec<(Micros, i64)>) -> Self {
        known.sort_unstable();
        let mut highest = i64::MIN;
        for (_, value) in &mut known {
            highest = highest.max(*value);
            *value = highest;
        }
        Self(known)
    }

    /// What was known before this time.
    fn before(&self, at: Micros) -> i64 {
        let known = self.0.partition_point(|(when, _)| *when < at);
        known.checked_sub(1).map_or(i64::MIN, |last| self.0[last].1)
    }
}

/// The head of the caller's inbox in an answer.
fn head(op: &Op) -> Option<i64> {
    let name = match op.ask {
        Ask::Wait { .. } | Ask::Fetch { .. } => "last_seq",
        Ask::Unread => "as_of_seq",
        _ => return None,
    };
    op.is_ok().then(|| int(&op.body[name]))
}

/// For each user: when each entry was known to be in the inbox, by the acknowledgement of its message.
pub(super) fn acknowledged_entries(world: &World<'_>, user: usize) -> Vec<(Micros, i64)> {
    let entries = world.history.outcomes[user].inbox.iter();
    let known = entries.filter_map(|entry| {
        let id = entry["message"]["client_msg_id"].as_str()?;
        Some((world.sends.get(id)?.first_acknowledged?, int(&entry["seq"])))
    });
    known.collect()
}

fn heads(world: &World<'_>, found: &mut Found) {
    for user in 0..world.cast.users.len() {
        let own = || world.history.ops.iter().filter(|op| op.user == user);
        let mut known = acknowledged_entries(world, user);
        known.extend(own().filter_map(|op| Some((op.answered, head(op)?))));
        let floor = Floor::of(known);
        let end = world.bases[user] + world.history.outcomes[user].inbox.len() as i64;
        for op in own() {
            let Some(head) = head(op) else { continue };
            let least = floor.before(op.invoked);
            found.unless(head >= least && head <= end, "stale", || {
                format!("user {user} got head {head} by {:?}, after {least} was known (it ends at {end})", op.ask)
            });
        }
    }
}

/// The read mark of a permanent member only moves forward, and is where it was acknowledged.
fn marks(world: &World<'_>, found: &mut Found) {
    let mut known: HashMap<(usize, usize), Vec<(Micros, i64)>> = HashMap::new();
    for op in world.history.ops.iter().filter(|op| op.is_ok()) {
        if let Ask::Mark { chat, seq } = op.ask {
            let mark = int(&op.body["read_seq"]);
            found.unless(mark >= seq, "mark-back", || {
                format!("user {} marked {seq} of {chat}, and got {mark}", op.user)
            });
            known
                .entry((op.user, chat))
                .or_default()
                .push((op.answered, mark));
        }
    }
    let known: HashMap<_, _> = known
        .into_iter()
        .map(|(key, all)| (key, Floor::of(all)))
        .collect();
    let least = |user, chat, at| {
        known
            .get(&(user, chat))
            .map_or(i64::MIN, |floor| floor.before(at))
    };
    for op in world.history.ops.iter().filter(|op| op.is_ok()) {
        let mark = match op.ask {
            Ask::Mark { .. } => int(&op.body["read_seq"]),
            Ask::Peek { .. } => int(&op.body["me"]["read_seq"]),
            _ => continue,
        };
        let chat = op.ask.chat().unwrap_or_default();
        let least = least(op.user, chat, op.invoked);
        found.unless(mark >= least, "mark-back", || {
            format!("user {} got mark {mark} of {chat}, after {least}", op.user)
        });
    }
    for (user, outcome) in world.history.outcomes.iter().enumerate() {
        for listed in &outcome.conversations {
            let Some(chat) = world.chat(&listed["id"]) else {
                continue;
            };
            let (mark, least) = (
                int(&listed["me"]["read_seq"]),
                least(user, chat, Micros::MAX),
            );
            found.unless(mark >= least, "mark-back", || {
                format!("user {user} ends with mark {mark} of {chat}, after {least}")
            });
        }
    }
}
