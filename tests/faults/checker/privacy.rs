//! No user is shown a conversation without being a member, or messages from before joining or after leaving.

use super::{Found, World, int};
use crate::history::{Ask, Chat, Micros};
use serde_json::Value;
use std::collections::HashSet;

pub(super) fn check(world: &World<'_>, found: &mut Found) {
    let mut visible: Vec<HashSet<(usize, i64)>> = world
        .belongs
        .iter()
        .map(|chats| {
            let all = chats.iter().enumerate();
            all.flat_map(|(chat, seqs)| seqs.iter().map(move |seq| (chat, *seq)))
                .collect()
        })
        .collect();
    for (user, seen) in visible.iter_mut().enumerate() {
        for chat in 0..world.cast.chats.len() {
            let before = world.first_archive_of(user, chat).unwrap_or_default();
            seen.extend(before.iter().map(|one| (chat, int(&one["seq"]))));
            // Users see their own messages, also those of an earlier epoch.
            let own = |one: &&&Value| one["sender_id"] == world.cast.users[user].as_str();
            let own = world.archives[chat].iter().filter(own);
            seen.extend(own.map(|one| (chat, int(&one["seq"]))));
        }
    }
    for op in &world.history.ops {
        look(world, op.user, &visible[op.user], &op.body, found);
    }
    for (user, outcome) in world.history.outcomes.iter().enumerate() {
        let read = [&outcome.inbox, &outcome.conversations, &outcome.unread];
        let read = read.into_iter().chain(&outcome.archives).flatten();
        for value in read {
            look(world, user, &visible[user], value, found);
        }
    }
    ex_members(world, found);
}

/// Searches a value for what this user may not see: messages from outside their membership, and words and ids of conversations
/// of others.
fn look(
    world: &World<'_>,
    user: usize,
    visible: &HashSet<(usize, i64)>,
    value: &Value,
    found: &mut Found,
) {
    match value {
        Value::Object(members) => {
            let chat = members.get("conversation_id").and_then(|id| world.chat(id));
            if let Some(chat) = chat
                && members.contains_key("content")
            {
                let seq = members.get("seq").map_or(-1, int);
                found.unless(visible.contains(&(chat, seq)), "leak", || {
                    format!("user {user} was shown message {seq} of conversation {chat}")
                });
            }
            for value in members.values() {
                look(world, user, visible, value, found);
            }
        }
        Value::Array(items) => {
            for value in items {
                look(world, user, visible, value, found);
            }
        }
        Value::String(text) => {
            // Most texts are ids alone, which need no search.
            let is_in = |chat: &Chat| match text.len() {
                36 => *text == chat.id,
                _ => text.contains(&chat.canary) || text.contains(&chat.id),
            };
            let mut foreign = world.cast.chats.iter().filter(|chat| !chat.knows(user));
            if let Some(chat) = foreign.find(|chat| is_in(chat)) {
                found.add("leak", || {
                    format!("user {user} was shown {text}, of {}", chat.canary)
                });
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// From the answer to a removal until the guest is added again, the conversation does not exist for the guest.
fn ex_members(world: &World<'_>, found: &mut Found) {
    for (chat, it) in world.cast.chats.iter().enumerate() {
        for guest in &it.guests {
            let mut out: Vec<(Micros, Micros)> = Vec::new();
            // Sorted by the time of the request.
            for op in &world.history.ops {
                match op.ask {
                    Ask::Remove { chat: c, guest: g } if (c, g) == (chat, *guest) && op.is_ok() => {
                        out.push((op.answered, Micros::MAX));
                    }
                    Ask::Add { chat: c, guest: g } if (c, g) == (chat, *guest) => {
                        for (_, end) in out.iter_mut().filter(|(_, end)| *end == Micros::MAX) {
                            *end = op.invoked;
                        }
                    }
                    _ => {}
                }
            }
            for op in world
                .history
                .ops
                .iter()
                .filter(|op| op.user == *guest && op.is_ok())
            {
                let reads = matches!(
                    op.ask,
                    Ask::Peek { .. } | Ask::Read { .. } | Ask::Mark { .. } | Ask::Download { .. }
                );
                let is_out =
                    |(from, to): &(Micros, Micros)| *from < op.invoked && op.answered < *to;
                let let_in = reads && op.ask.chat() == Some(chat) && out.iter().any(is_out);
                found.unless(!let_in, "leak", || {
                    format!(
                        "user {guest} is out of conversation {chat}, and {:?} was served",
                        op.ask
                    )
                });
            }
        }
    }
}
