//! A search finds each message that was acknowledged before it began, newest first. In the end it finds what can be read.

use super::{Found, World, int, list};
use crate::history::Ask;
use std::collections::HashSet;

pub(super) fn check(world: &World<'_>, found: &mut Found) {
    for op in &world.history.ops {
        let Ask::Search { canary: chat } = op.ask else {
            continue;
        };
        if !op.is_ok() {
            continue;
        }
        let results = list(&op.body["results"]);
        let seqs: Vec<i64> = results
            .iter()
            .map(|one| int(&one["message"]["seq"]))
            .collect();
        found.unless(seqs.is_sorted_by(|a, b| a > b), "search-order", || {
            format!("user {} found {seqs:?} of conversation {chat}", op.user)
        });
        // Guests come and go.
        if !world.cast.chats[chat].members.contains(&op.user) {
            continue;
        }
        let oldest = match op.body["complete"] == true {
            true => 0,
            false => seqs.last().copied().unwrap_or(i64::MAX),
        };
        let seqs: HashSet<i64> = seqs.into_iter().collect();
        for message in &world.archives[chat] {
            let id = message["client_msg_id"].as_str().unwrap_or_default();
            let sent = world.sends.get(id);
            let acknowledged = sent.and_then(|sent| sent.first_acknowledged);
            let seq = int(&message["seq"]);
            let belongs = seq > oldest && acknowledged.is_some_and(|at| at < op.invoked);
            found.unless(!belongs || seqs.contains(&seq), "search-misses", || {
                format!("user {} did not find {seq} of conversation {chat}", op.user)
            });
        }
    }
    for (user, outcome) in world.history.outcomes.iter().enumerate() {
        for (archive, seqs) in outcome.archives.iter().zip(&outcome.found) {
            let read = archive.iter().rev().map(|one| int(&one["seq"]));
            found.unless(read.eq(seqs.iter().copied()), "search-misses", || {
                format!(
                    "user {user} reads {} messages and finds {}",
                    archive.len(),
                    seqs.len()
                )
            });
        }
    }
}
