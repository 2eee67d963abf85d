//! The unread scripts against a model: announcements in any order, repeated and lost, with merges and flushes in between.

use super::{applied, holds};
use crate::support::eventually;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;
use std::fmt::Debug;
use std::time::Duration;
use tideline::model::ids::{ConversationId, InboxSeq, UserId};
use tideline::model::unread::CommittedEntry;
use tideline::model::wire::unread::{ConversationUnread, Unread};
use tideline::storage::redis::sync::unread as cache;
use tideline::storage::redis::transport::server::RedisUnavailable;

/// A step on the hash of one user.
#[derive(Clone, Debug)]
enum Step {
    /// Some of the next announcements arrive in one call: how many, and how far ahead each is taken from.
    Arrive(Vec<Index>, usize),
    /// This many earlier announcements arrive again.
    Again(Vec<Index>),
    /// The next announcement is lost.
    Lose,
    /// Redis loses its data.
    Flush,
    /// A recount from PostgreSQL, as of this entry or the newest, is merged.
    Merge(Option<Index>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let picks = || vec(any::<Index>(), 1..5);
    let step = prop_oneof![
        // Mostly near the front, as writers announce.
        12 => (picks(), 1..6_usize).prop_map(|(picks, reach)| Step::Arrive(picks, reach)),
        1 => vec(any::<Index>(), 200..300).prop_map(|picks| Step::Arrive(picks, usize::MAX)),
        2 => picks().prop_map(Step::Again),
        1 => Just(Step::Lose),
        1 => Just(Step::Flush),
        2 => any::<Option<Index>>().prop_map(Step::Merge),
    ];
    vec(step, 0..50)
}

/// Entries: a conversation, and its count as of the entry, or -1 after a switch to read fan-out. Sometimes more than the script
/// keeps beyond a gap.
fn histories() -> impl Strategy<Value = Vec<(usize, i64)>> {
    let entry = || (0..4_usize, prop_oneof![8 => 0..4_i64, 1 => Just(-1_i64)]);
    prop_oneof![8 => vec(entry(), 1..40), 1 => vec(entry(), 280..400)]
}

/// The counts in PostgreSQL as of an entry.
fn truth(history: &[CommittedEntry], head: usize) -> Unread {
    let mut conversations = Vec::<ConversationUnread>::new();
    for entry in history[..head].iter().rev() {
        let conversation_id = entry.conversation;
        if !conversations
            .iter()
            .any(|one| one.conversation_id == conversation_id)
        {
            conversations.push(ConversationUnread {
                mentions: None,
                conversation_id,
                unread: entry.unread.unwrap_or(0),
            });
        }
    }
    conversations.retain(|one| one.unread > 0);
    conversations.sort_by_key(|one| one.conversation_id);
    Unread {
        total_mentions: None,
        total: conversations.iter().map(|one| one.unread).sum(),
        conversations,
        as_of_seq: InboxSeq(i64::try_from(head).unwrap()),
    }
}

/// Calls may be repeated, since a busy machine may exceed the time-out of a command.
async fn answered<T: Debug>(call: impl AsyncFnMut() -> Result<T, RedisUnavailable>) -> T {
    eventually(
        "Redis answers",
        Duration::from_secs(10),
        call,
        Result::is_ok,
    )
    .await
    .unwrap()
}

#[test]
fn counts_stay_exact_under_lost_and_reordered_announcements() {
    holds(48, (histories(), steps()), async |app, (history, steps)| {
        let (redis, epoch) = (
            &app.nodes[0].handles.delivery.redis,
            app.nodes[0].handles.delivery.epoch,
        );
        let user = UserId(tideline::clock::new_id());
        let conversations = [(); 4].map(|()| ConversationId(tideline::clock::new_id()));
        let history: Vec<_> = (1..)
            .zip(history)
            .map(|(seq, (conversation, unread))| CommittedEntry {
                receiver: user,
                seq: InboxSeq(seq),
                conversation: conversations[conversation],
                unread: Some(unread).filter(|unread| *unread >= 0),
            })
            .collect();
        let head = history.len();
        let merge = async |head: usize| {
            let counts = truth(&history, head);
            answered(async || cache::merge(redis, epoch, user, &counts).await).await;
        };
        // Counts begin with a reader who found no entries.
        merge(0).await;
        let (mut waiting, mut arrived) = (history.clone(), Vec::new());
        for step in steps {
            let mut group = Vec::new();
            match step {
                Step::Arrive(picks, reach) => {
                    for pick in picks {
                        if !waiting.is_empty() {
                            let next = pick.index(waiting.len().min(reach));
                            group.push(waiting.remove(next));
                        }
                    }
                    arrived.extend_from_slice(&group);
                }
                Step::Again(picks) if !arrived.is_empty() => {
                    group.extend(picks.iter().map(|pick| *pick.get(&arrived)));
                }
                Step::Again(_) => {}
                Step::Lose => drop(waiting.drain(..waiting.len().min(1))),
                Step::Flush => answered(async || cache::forget(redis, epoch, user).await).await,
                Step::Merge(as_of) => merge(as_of.map_or(head, |at| at.index(head + 1))).await,
            }
            if !group.is_empty() {
                let totals = applied(redis, epoch, &group).await;
                // The total for a wake-up.
                if let Some(known) = totals.get(&user) {
                    let is_large = |one: &CommittedEntry| one.unread.is_none();
                    assert!(!group.iter().any(is_large), "what is large is not in it");
                    let as_of = usize::try_from(known.as_of.0).unwrap();
                    assert_eq!(known.total, truth(&history, as_of).total, "as of {as_of}");
                }
            }
            let all = answered(async || cache::all(redis, epoch, user).await).await;
            let total = answered(async || cache::total(redis, epoch, user).await).await;
            assert_eq!(
                total.map(|total| (total.as_of, total.total)),
                all.as_ref().map(|all| (all.as_of_seq, all.total))
            );
            let Some(all) = all else { continue };
            let sum: i64 = all.conversations.iter().map(|one| one.unread).sum();
            assert_eq!(all.total, sum, "the total is the sum");
            let mark = usize::try_from(all.as_of_seq.0).unwrap();
            // An old entry changes nothing, and its answer says whether entries wait beyond a gap.
            let first = &history[..mark.min(1)];
            let known = !first.is_empty() && !applied(redis, epoch, first).await.is_empty();
            if known || mark == head {
                assert_eq!(all, truth(&history, mark));
            }
        }
        merge(head).await;
        let end = answered(async || cache::all(redis, epoch, user).await).await;
        assert_eq!(end, Some(truth(&history, head)));
    });
}
