//! Unread counts: each answer adds up, is exact as of its head, and equals a recount in the end.

use super::{Found, World, int, list};
use crate::history::{Ask, Outcome};
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) fn check(world: &World<'_>, found: &mut Found) {
    for op in world.history.ops.iter().filter(|op| op.is_ok()) {
        match op.ask {
            Ask::Unread => unread(world, op.user, &op.body, found),
            Ask::Wait { .. } => total(world, op.user, &op.body, found),
            _ => {}
        }
    }
    for (user, outcome) in world.history.outcomes.iter().enumerate() {
        recount(world, user, outcome, found);
    }
}

/// The total in an answer is the total as of the head in that answer.
fn total(world: &World<'_>, user: usize, answer: &Value, found: &mut Found) {
    let (head, total) = (int(&answer["last_seq"]), int(&answer["total_unread"]));
    let expected = usize::try_from(head - world.bases[user])
        .ok()
        .and_then(|at| world.totals[user].get(at));
    // No entry carries the unread count of a conversation with read fan-out; it is at most the number of readable messages.
    let archives = world
        .large_of(user)
        .map(|chat| world.archives[chat].len() as i64);
    let most: i64 = archives.sum();
    let right = expected.is_some_and(|small| (*small..=small + most).contains(&total));
    found.unless(right, "count", || {
        format!("user {user} got {total} unread as of {head}, and the entries say {expected:?}")
    });
}

fn counts(answer: &Value) -> BTreeMap<&str, i64> {
    let all = list(&answer["conversations"]).iter();
    all.map(|one| {
        (
            one["conversation_id"].as_str().unwrap_or_default(),
            int(&one["unread"]),
        )
    })
    .collect()
}

fn unread(world: &World<'_>, user: usize, answer: &Value, found: &mut Found) {
    let counts = counts(answer);
    let (sum, head) = (counts.values().sum::<i64>(), int(&answer["as_of_seq"]));
    found.unless(int(&answer["total"]) == sum, "sum", || {
        format!(
            "user {user}: the total is {}, the sum {sum}",
            answer["total"]
        )
    });
    let entries = world.history.outcomes[user].inbox.iter();
    let mut expected = world.counts[user].clone();
    for entry in entries.take(usize::try_from(head - world.bases[user]).unwrap_or(0)) {
        let id = entry["conversation_id"].as_str().unwrap_or_default();
        expected.insert(id, int(&entry["unread"]));
    }
    expected.retain(|_, count| *count != 0);
    let mut counts = counts;
    for chat in world.large_of(user) {
        let id = world.cast.chats[chat].id.as_str();
        expected.remove(id);
        counts.remove(id);
    }
    found.unless(counts == expected, "count", || {
        format!("user {user} got {counts:?} as of {head}, and the entries say {expected:?}")
    });
}

/// A recount from the archive and the read mark.
fn recount(world: &World<'_>, user: usize, outcome: &Outcome, found: &mut Found) {
    let mut expected = BTreeMap::new();
    for (listed, archive) in outcome.conversations.iter().zip(&outcome.archives) {
        let mark = int(&listed["me"]["read_seq"]);
        let count = archive.iter().filter(|one| int(&one["seq"]) > mark).count() as i64;
        found.unless(int(&listed["me"]["unread"]) == count, "recount", || {
            format!("user {user}: {listed} says something else than the recount, {count}")
        });
        if count > 0 {
            expected.insert(listed["id"].as_str().unwrap_or_default(), count);
        }
    }
    let sum: i64 = expected.values().sum();
    for answer in &outcome.unread {
        let right = counts(answer) == expected && int(&answer["total"]) == sum;
        found.unless(right, "recount", || {
            format!("user {user}: {answer} says something else than the recount, {expected:?}")
        });
        unread(world, user, answer, found);
    }
    for answer in &outcome.notices {
        found.unless(int(&answer["total_unread"]) == sum, "recount", || {
            format!("user {user}: {answer} says something else than the recount, {sum}")
        });
    }
    let both = outcome.unread.len() == 2 && outcome.notices.len() == 2;
    found.unless(both, "recount", || {
        format!("user {user}: not read through both nodes")
    });
}
