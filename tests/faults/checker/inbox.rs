//! An inbox contains everything of its owner's conversations, without a gap.

use super::{Found, World, int, list};
use crate::history::{Ask, Op, Outcome};
use serde_json::Value;
use std::collections::HashMap;

pub(super) fn check(world: &World<'_>, found: &mut Found) {
    for (user, outcome) in world.history.outcomes.iter().enumerate() {
        whole(world, user, outcome, found);
        projection(world, user, outcome, found);
    }
    for op in &world.history.ops {
        if matches!(op.ask, Ask::Fetch { .. }) && op.is_ok() {
            page(world, op, found);
        }
        if matches!(op.ask, Ask::Read { .. }) && op.is_ok() {
            messages(world, op, found);
        }
    }
}

fn whole(world: &World<'_>, user: usize, outcome: &Outcome, found: &mut Found) {
    let mut marks: HashMap<&str, i64> = HashMap::new();
    let mut before = "";
    for (n, entry) in outcome.inbox.iter().enumerate() {
        let seq = int(&entry["seq"]);
        let belongs = world.bases[user] + n as i64 + 1;
        found.unless(seq == belongs, "inbox-hole", || {
            format!("inbox of {user}: {seq} where {belongs} belongs")
        });
        let at = entry["at"].as_str().unwrap_or_default();
        found.unless(before <= at, "time-back", || {
            format!("inbox of {user}: entry {seq} is of {at}, the one before of {before}")
        });
        before = at;
        let Some(chat) = world.chat(&entry["conversation_id"]) else {
            found.add("leak", || {
                format!("inbox of {user}: nobody's conversation in {entry}")
            });
            continue;
        };
        found.unless(int(&entry["unread"]) >= 0, "count", || {
            format!("inbox of {user}: a negative count in {entry}")
        });
        match entry["kind"].as_str() {
            Some("message") => {
                let message = &entry["message"];
                let at = usize::try_from(int(&message["seq"]) - 1).unwrap_or(usize::MAX);
                let there = world.archives[chat].get(at);
                found.unless(there == Some(&message), "inbox-differs", || {
                    format!("inbox of {user}: {entry}, and the archive has {there:?}")
                });
            }
            Some("read") if world.cast.chats[chat].members.contains(&user) => {
                let mark = int(&entry["read_seq"]);
                let passed = marks.insert(&world.cast.chats[chat].id, mark);
                found.unless(passed < Some(mark), "mark-back", || {
                    format!("inbox of {user}: the mark of {chat} goes from {passed:?} to {mark}")
                });
            }
            _ => {}
        }
    }
    let head = outcome.head() - world.bases[user];
    found.unless(head == outcome.inbox.len() as i64, "inbox-hole", || {
        format!(
            "inbox of {user}: its head is {head}, with {} entries",
            outcome.inbox.len()
        )
    });
}

fn projection(world: &World<'_>, user: usize, outcome: &Outcome, found: &mut Found) {
    for (chat, belongs) in world.belongs[user].iter().enumerate() {
        let id = world.cast.chats[chat].id.as_str();
        let is_message =
            |entry: &&Value| entry["kind"] == "message" && entry["conversation_id"] == id;
        let there = outcome.inbox.iter().filter(is_message);
        let there: Vec<i64> = there.map(|entry| int(&entry["message"]["seq"])).collect();
        let none = Vec::new();
        let belongs = match world.cast.chats[chat].large {
            true => &none,
            false => belongs,
        };
        found.unless(there == *belongs, "projection", || {
            let at = there.iter().zip(belongs).position(|(a, b)| a != b);
            let at = at.unwrap_or(there.len().min(belongs.len()));
            format!(
                "inbox of {user}, conversation {chat}: {:?} where {:?} belongs",
                there.get(at),
                belongs.get(at)
            )
        });
    }
    // Permanent members have every message.
    for (chat, it) in world.cast.chats.iter().enumerate() {
        let before = world
            .first_archive_of(user, chat)
            .map_or(0, |all| all.len());
        let own = world.belongs[user][chat].len();
        let all = world.archives[chat].len() - before;
        let whole = !it.members.contains(&user) || own == all;
        found.unless(whole, "projection", || {
            format!("inbox of {user}, conversation {chat}: {own} of {all} messages")
        });
    }
}

/// The identity of an entry. The conversation that some entries show is of the time of the read, so it is left out.
fn essence(entry: &Value) -> [&Value; 8] {
    let names = [
        "seq",
        "kind",
        "conversation_id",
        "at",
        "unread",
        "message",
        "read_seq",
        "added",
    ];
    names.map(|name| &entry[name])
}

/// A page has no gap, ends at the head when it says so, and equals the final inbox: nothing ever appears below a seq that a
/// reader has passed.
fn page(world: &World<'_>, op: &Op, found: &mut Found) {
    let Ask::Fetch { since } = op.ask else {
        return;
    };
    let entries = list(&op.body["entries"]);
    let mut last = since;
    for entry in entries {
        let seq = int(&entry["seq"]);
        found.unless(seq == last + 1, "page-hole", || {
            format!(
                "user {} fetched from {since}: {seq} follows {last}",
                op.user
            )
        });
        last = seq;
        let there = world.entry(op.user, seq);
        let same = there.is_some_and(|there| essence(there) == essence(entry));
        found.unless(same, "page-differs", || {
            format!(
                "user {} was shown {entry}, and in the end there is {there:?}",
                op.user
            )
        });
    }
    let head = int(&op.body["last_seq"]);
    let ends = match op.body["has_more"].as_bool() {
        Some(true) => last < head && !entries.is_empty(),
        _ => last == head,
    };
    found.unless(
        ends && int(&op.body["next_since_seq"]) == last,
        "page-hole",
        || {
            format!(
                "user {} fetched from {since} to {last}, and the head is {head}",
                op.user
            )
        },
    );
}

/// The same for a page of a conversation, which begins for a guest where they joined.
fn messages(world: &World<'_>, op: &Op, found: &mut Found) {
    let Ask::Read { chat, since } = op.ask else {
        return;
    };
    let page = list(&op.body["messages"]);
    let guest = world.cast.chats[chat].guests.contains(&op.user);
    let first = page.first().map_or(since + 1, |one| int(&one["seq"]));
    let begins = if guest {
        first > since
    } else {
        first == since + 1
    };
    found.unless(begins, "page-hole", || {
        format!(
            "user {} read {chat} from {since}: {first} is the first",
            op.user
        )
    });
    let at = usize::try_from(first - 1).unwrap_or(usize::MAX);
    let there = world.archives[chat].get(at..at.saturating_add(page.len()));
    let same = there.is_some_and(|there| there.iter().copied().eq(page));
    found.unless(same, "page-differs", || {
        format!(
            "user {} read {} of {chat} from {first}, which are others in the end",
            op.user,
            page.len()
        )
    });
    let head = int(&op.body["last_seq"]);
    let last = first + page.len() as i64 - 1;
    let ends = op.body["has_more"] == true || last == head || guest && page.is_empty();
    found.unless(ends, "page-hole", || {
        format!(
            "user {} read {chat} from {since} to {last}, and the head is {head}",
            op.user
        )
    });
}
