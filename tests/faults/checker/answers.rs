//! Every request is answered in time, with a documented status and a true result, and waits are woken.

use super::{Found, World, int, live};
use crate::history::{Ask, History, Micros, Op, SECOND, Window};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use tideline::http::openapi;

/// Five seconds after the commit, plus one for a busy machine.
const WAKE: Micros = 6 * SECOND;

/// A node that was away serves again within this time …
const BACK: Micros = 5 * SECOND;

/// … and requests that were in progress when it came back may fail for this long.
const GRACE: Micros = 2 * SECOND;

pub(super) fn check(world: &World<'_>, found: &mut Found) {
    let documented = documented();
    for op in &world.history.ops {
        honest(world, op, &documented, found);
    }
    for user in 0..world.cast.users.len() {
        woken(world, user, found);
    }
    let back = back_after(world.history);
    found.unless(back <= BACK, "not-back", || {
        format!("requests failed {back} µs after the healing")
    });
}

/// The statuses of each operation of the document.
fn documented() -> HashMap<String, BTreeSet<u16>> {
    let document: Value = serde_json::to_value(openapi::document()).unwrap();
    let paths = document["paths"]
        .as_object()
        .into_iter()
        .flat_map(|all| all.values());
    let operations =
        paths.flat_map(|methods| methods.as_object().into_iter().flat_map(|all| all.values()));
    let statuses = operations.map(|it| {
        let responses = it["responses"]
            .as_object()
            .into_iter()
            .flat_map(|all| all.keys());
        let id = it["operationId"].as_str().unwrap_or_default().to_owned();
        (
            id,
            responses.filter_map(|status| status.parse().ok()).collect(),
        )
    });
    statuses.collect()
}

fn overlaps(window: &Window, from: Micros, to: Micros) -> bool {
    window.from <= to && from <= window.to + GRACE
}

/// Whether the node may have left clients without an answer at some moment between the two times.
fn is_silent(history: &History, node: usize, from: Micros, to: Micros) -> bool {
    let windows = history.windows.iter();
    windows
        .filter(|window| window.node == Some(node))
        .any(|window| overlaps(window, from, to))
}

fn honest(
    world: &World<'_>,
    op: &Op,
    documented: &HashMap<String, BTreeSet<u16>>,
    found: &mut Found,
) {
    let history = world.history;
    let silent = is_silent(history, op.node, op.invoked, op.answered);
    let who = || {
        format!(
            "user {} on node {}, {:?}: {} {}",
            op.user, op.node, op.ask, op.status, op.body
        )
    };
    let took = op.answered - op.invoked;
    found.unless(silent || took <= op.limit, "deadline", || {
        format!("{took} µs for {}", who())
    });
    if op.status == 0 {
        found.unless(silent, "no-answer", who);
        return;
    }
    found.unless(op.status != 500, "internal", who);
    let known = documented.get(op.ask.operation());
    found.unless(
        known.is_some_and(|all| all.contains(&op.status)),
        "undocumented",
        who,
    );
    // The load sends only valid requests, so few refusals are correct.
    let it = op.ask.chat().map(|chat| &world.cast.chats[chat]);
    let stays = it.is_none_or(|it| it.members.contains(&op.user));
    let code = op.body["code"].as_str().unwrap_or_default();
    let honest = match op.status {
        200..=299 => it.is_none_or(|it| it.knows(op.user)),
        // A position of an earlier epoch.
        410 => matches!(op.ask, Ask::Fetch { since } if since < world.bases[op.user]),
        // The same for a conversation with read fan-out.
        409 if !op.ask.needs_media() => {
            let in_another_life = world.bases[op.user] > 0;
            code == "cursor_ahead"
                && in_another_life
                && matches!(op.ask, Ask::Wait { .. } | Ask::Read { .. })
        }
        // A repeated removal finds no member.
        404 if !op.ask.needs_media() || world.bases[op.user] == 0 => {
            code == "not_found" && (!stays || matches!(op.ask, Ask::Remove { .. }))
        }
        // A restored backup may lack media, or what has become of them.
        404 | 409 if op.ask.needs_media() && world.bases[op.user] > 0 => {
            ["not_found", "conflict", "media_not_ready"].contains(&code)
        }
        503 => {
            let away = history
                .windows
                .iter()
                .any(|window| overlaps(window, op.invoked, op.answered));
            op.ask != Ask::Live && ["storage_unavailable", "overloaded"].contains(&code) && away
        }
        _ => false,
    };
    found.unless(honest, "dishonest", who);
}

/// A wait ends soon after there is news, as far as clients can know that time, and reports the news.
fn woken(world: &World<'_>, user: usize, found: &mut Found) {
    let known: HashMap<i64, Micros> = live::acknowledged_entries(world, user)
        .into_iter()
        .map(|(at, seq)| (seq, at))
        .collect();
    for op in world.history.ops.iter().filter(|op| op.user == user) {
        let Ask::Wait {
            since, ref watch, ..
        } = op.ask
        else {
            continue;
        };
        for (chat, seen) in watch {
            watched(world, op, *chat, *seen, found);
        }
        let news = op.body["news"] == true;
        let is_right = news == (int(&op.body["last_seq"]) > since);
        found.unless(is_right || !op.is_ok(), "late-wake", || {
            format!("user {user}: {:?} was answered by {}", op.ask, op.body)
        });
        // The next entry may be of a kind whose commit was not acknowledged to any client; a later entry will do.
        let next = (since + 1..since + 4)
            .filter_map(|seq| known.get(&seq))
            .min();
        let Some(committed) = next.filter(|at| **at < op.answered) else {
            continue;
        };
        let begun = op.invoked.max(*committed);
        let silent = is_silent(world.history, op.node, begun, op.answered);
        found.unless(silent || op.answered - begun <= WAKE, "late-wake", || {
            let late = op.answered - begun;
            format!(
                "user {user} waited on node {} for {late} µs after the commit: {:?}",
                op.node, op.ask
            )
        });
    }
}

/// The same for a conversation with read fan-out that the wait watches.
fn watched(world: &World<'_>, op: &Op, chat: usize, seen: i64, found: &mut Found) {
    let listed = super::list(&op.body["watched"]).iter();
    let id = world.cast.chats[chat].id.as_str();
    for one in listed.filter(|one| one["conversation_id"] == id) {
        found.unless(int(&one["last_seq"]) > seen, "late-wake", || {
            format!("user {} had seen {seen} of {chat}, and got {one}", op.user)
        });
    }
    let next = usize::try_from(seen)
        .ok()
        .and_then(|at| world.archives[chat].get(at));
    let id = next.and_then(|message| message["client_msg_id"].as_str());
    let committed = id.and_then(|id| world.sends.get(id)?.first_acknowledged);
    let Some(committed) = committed.filter(|at| *at < op.answered) else {
        return;
    };
    let begun = op.invoked.max(committed);
    let silent = is_silent(world.history, op.node, begun, op.answered);
    found.unless(silent || op.answered - begun <= WAKE, "late-wake", || {
        let late = op.answered - begun;
        format!(
            "user {} watched {chat} on node {} for {late} µs after the commit",
            op.user, op.node
        )
    });
}

/// The delays from commit to wake-up, sorted; 0 where the waiter was faster than the sender.
pub fn wakes(history: &History) -> Vec<Micros> {
    let world = World::of(history);
    let woken = history
        .ops
        .iter()
        .filter(|op| matches!(op.ask, Ask::Wait { .. }) && op.body["news"] == true);
    let known: Vec<HashMap<i64, Micros>> = (0..world.cast.users.len())
        .map(|user| {
            live::acknowledged_entries(&world, user)
                .into_iter()
                .map(|(at, seq)| (seq, at))
                .collect()
        })
        .collect();
    let mut wakes: Vec<Micros> = woken
        .filter_map(|op| {
            let Ask::Wait { since, .. } = op.ask else {
                return None;
            };
            let committed = known[op.user].get(&(since + 1))?;
            Some(op.answered.saturating_sub(op.invoked.max(*committed)))
        })
        .collect();
    wakes.sort_unstable();
    wakes
}

/// The longest time after a heal, before the next fault, at which a request began that failed.
pub fn back_after(history: &History) -> Micros {
    let failed = |op: &&Op| op.status == 0 || op.status >= 500;
    let since = |op: &Op| {
        let concerns = |window: &&Window| window.node.is_none_or(|node| node == op.node);
        let windows = || history.windows.iter().filter(concerns);
        let broken = windows().any(|it| it.from <= op.answered && op.invoked < it.to);
        let healed = windows()
            .map(|window| window.to)
            .filter(|to| *to <= op.invoked);
        healed
            .max()
            .filter(|_| !broken)
            .map(|healed| op.invoked - healed)
    };
    let failures = history.ops.iter().filter(failed);
    failures.filter_map(since).max().unwrap_or(0)
}
