//! Files are as they were uploaded: when they are downloaded, and in the end for each member. Each upload can be continued.

use super::{Found, World, int};
use crate::history::{Ask, Op, unsent};
use std::collections::{HashMap, HashSet};

pub(super) fn check(world: &World<'_>, found: &mut Found) {
    let ops = &world.history.ops;
    let sent = world.sends.values().filter_map(|sent| sent.file);
    let all = sent.chain(ops.iter().filter_map(Op::ready).map(|(_, file)| file));
    let mut digests: HashMap<&str, String> = HashMap::new();
    for file in all {
        digests
            .entry(file.id.as_str())
            .or_insert_with(|| file.digest());
    }
    // By conversation and seq.
    let mut posted: HashMap<(usize, i64), &str> = HashMap::new();
    for (chat, archive) in world.archives.iter().enumerate() {
        for message in archive {
            let id = message["client_msg_id"].as_str().unwrap_or_default();
            if let Some(file) = world.sends.get(id).and_then(|sent| sent.file) {
                posted.insert((chat, int(&message["seq"])), &digests[file.id.as_str()]);
            }
        }
    }
    let ready: HashSet<&str> = ops
        .iter()
        .filter_map(|op| Some(op.ready()?.1.id.as_str()))
        .collect();
    for op in ops {
        let who = || format!("user {}, {:?}: {}", op.user, op.ask, op.body);
        let expected = match &op.ask {
            Ask::Download { chat, seq } if op.is_ok() => posted.get(&(*chat, *seq)).copied(),
            _ => op
                .ready()
                .map(|(_, file)| digests[file.id.as_str()].as_str()),
        };
        let same = expected.is_none_or(|digest| op.body["sha256"] == digest);
        found.unless(same, "media-differ", who);
        if let Ask::Create { file } = &op.ask {
            found.unless(ready.contains(file.id.as_str()), "upload-stuck", who);
        }
    }
    for (user, outcome) in world.history.outcomes.iter().enumerate() {
        for (one, files) in outcome.conversations.iter().zip(&outcome.files) {
            let Some(chat) = world.chat(&one["id"]) else {
                continue;
            };
            for (seq, digest) in files {
                let expected = posted.get(&(chat, *seq)).copied();
                found.unless(expected == Some(digest), "media-lost", || {
                    format!("user {user} gets {digest} for {seq} of conversation {chat}, not {expected:?}")
                });
            }
        }
        for (media, file) in unsent(ops, user) {
            let digest = outcome.unsent.get(media);
            found.unless(
                digest == digests.get(file.id.as_str()),
                "media-lost",
                || format!("user {user} gets {digest:?} for their media {media}"),
            );
        }
    }
}
