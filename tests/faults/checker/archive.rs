//! Each message is stored once, in one order, as it was acknowledged.

use super::{Found, World, int};
use crate::history::{Ask, Op};
use serde_json::Value;
use std::collections::HashMap;

pub(super) fn check(world: &World<'_>, found: &mut Found) {
    for chat in 0..world.archives.len() {
        archive(world, chat, found);
        same_order(world, chat, found);
        real_time(world, chat, found);
    }
    acknowledged(world, found);
    for op in &world.history.ops {
        batch(op, found);
    }
}

fn archive(world: &World<'_>, chat: usize, found: &mut Found) {
    let mut seen = HashMap::new();
    for (n, message) in world.archives[chat].iter().enumerate() {
        let seq = int(&message["seq"]);
        found.unless(seq == n as i64 + 1, "archive-hole", || {
            format!("conversation {chat}: {seq} where {} belongs", n + 1)
        });
        let id = message["client_msg_id"].as_str().unwrap_or_default();
        let twice = seen.insert((message["sender_id"].as_str(), id), seq);
        found.unless(twice.is_none(), "doubled", || {
            format!("conversation {chat}: {id} is {twice:?} and {seq}")
        });
        let sent = world.sends.get(id);
        let as_sent = sent.is_some_and(|sent| {
            let sender = world.cast.users[sent.user].as_str();
            sent.chat == chat
                && message["sender_id"] == sender
                && message["content"][if sent.file.is_some() { "name" } else { "text" }]
                    == sent.text
        });
        found.unless(as_sent, "never-sent", || {
            format!("conversation {chat}: nobody has sent {message}")
        });
    }
}

/// Each member reads the same archive; a guest reads it from where they joined.
fn same_order(world: &World<'_>, chat: usize, found: &mut Found) {
    let all = &world.archives[chat];
    for (user, outcome) in world.history.outcomes.iter().enumerate() {
        let id = world.cast.chats[chat].id.as_str();
        let Some(listed) = outcome.conversations.iter().find(|one| one["id"] == id) else {
            let stays = world.cast.chats[chat].members.contains(&user);
            found.unless(!stays, "conversation-lost", || {
                format!("conversation {chat} is not listed for {user}")
            });
            continue;
        };
        let joined = int(&listed["me"]["joined_seq"]).clamp(0, all.len() as i64) as usize;
        let own = world.archive_of(user, chat);
        found.unless(own == all[joined..], "archive-differs", || {
            format!(
                "conversation {chat}: user {user} reads {} messages after {joined}",
                own.len()
            )
        });
        found.unless(
            int(&listed["last_seq"]) == all.len() as i64,
            "archive-hole",
            || {
                let head = &listed["last_seq"];
                format!(
                    "conversation {chat}: its head is {head}, with {} messages",
                    all.len()
                )
            },
        );
    }
}

/// A send that began after another was acknowledged has a higher seq. This holds between any two users, and so for the
/// sequential sends of one device.
fn real_time(world: &World<'_>, chat: usize, found: &mut Found) {
    let mut latest = (0, "");
    for message in &world.archives[chat] {
        let id = message["client_msg_id"].as_str().unwrap_or_default();
        let Some(sent) = world.sends.get(id) else {
            continue;
        };
        let acknowledged = sent.first_acknowledged.unwrap_or(u64::MAX);
        found.unless(acknowledged >= latest.0, "order", || {
            format!(
                "conversation {chat}: {id} was acknowledged before {} began, and comes after it",
                latest.1
            )
        });
        latest = latest.max((sent.first_invoked, id));
    }
}

/// Acknowledged sends are stored, and a replay returns the first answer.
fn acknowledged(world: &World<'_>, found: &mut Found) {
    let stored: HashMap<_, _> = world
        .archives
        .iter()
        .enumerate()
        .flat_map(|(chat, all)| all.iter().map(move |one| ((chat, int(&one["seq"])), *one)))
        .collect();
    for op in &world.history.ops {
        let Ask::Send { chat, .. } = &op.ask else {
            continue;
        };
        for message in op.acknowledged() {
            let there = stored.get(&(*chat, int(&message["seq"])));
            found.unless(there == Some(&message), "lost", || {
                format!("{message} was acknowledged, and there is {there:?}")
            });
            let id = message["client_msg_id"].as_str().unwrap_or_default();
            let first = world.sends.get(id).and_then(|sent| sent.answer);
            found.unless(first == Some(message), "other-answer", || {
                format!("{id} was answered with {first:?}, and then with {message}")
            });
        }
    }
    // For permanent members the outcome of every send is known in the end.
    for (id, sent) in &world.sends {
        let stays = world.cast.chats[sent.chat].members.contains(&sent.user);
        // The media of an earlier epoch may be gone.
        let lacks = sent.file.is_some() && world.bases[sent.user] > 0;
        found.unless(
            !stays || lacks || sent.answer.is_some(),
            "unsettled",
            || {
                format!(
                    "conversation {}: nobody knows what became of {id}",
                    sent.chat
                )
            },
        );
    }
}

fn batch(op: &Op, found: &mut Found) {
    let seqs: Vec<i64> = op
        .acknowledged()
        .iter()
        .map(|one| int(&one["seq"]))
        .collect();
    found.unless(seqs.is_sorted(), "batch-order", || {
        format!("a batch was stored as {seqs:?}")
    });
    let (Ask::Send { messages, .. }, Some(results)) = (&op.ask, op.body["results"].as_array())
    else {
        return;
    };
    let ids = |one: &Value| one["client_msg_id"].as_str().unwrap_or_default().to_owned();
    let same = results
        .iter()
        .map(ids)
        .eq(messages.iter().map(|(id, _)| id.clone()));
    found.unless(same, "batch-order", || {
        format!("a batch was answered by {results:?}")
    });
    let failed = results
        .iter()
        .position(|one| one["problem"]["status"] == 503);
    let later = failed.map_or(&[][..], |at| &results[at..]);
    found.unless(
        later.iter().all(|one| one["problem"]["status"] == 503),
        "batch-order",
        || format!("after a transient failure something was stored: {results:?}"),
    );
}
