//! Redis and the model agree: random walks through the model, with each step also done by the scripts.
//!
//! After every step both are compared field by field, including entries ahead and the seqs of the counts. A failure prints the
//! shortest failing walk: for each step, its index in the model's list of possible steps.

#[path = "../../models/hash.rs"]
mod hash;

use self::hash::{Counts, Entry, SOUND, State, Step};
use super::{applied, holds};
use crate::support::{App, eventually, services};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::Index;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::time::Duration;
use tideline::model::ids::{ConversationId, InboxSeq, UserId};
use tideline::model::unread::CommittedEntry;
use tideline::model::wire::unread::{ConversationUnread, Unread as Snapshot};
use tideline::storage::redis::sync::unread as cache;
use tideline::storage::redis::transport::server::RedisUnavailable;

/// More than the model checker can explore.
const CONVERSATIONS: u8 = 3;
const ENTRIES: usize = 12;

/// The hash of a user in Redis.
struct Real<'a> {
    app: &'a App,
    user: UserId,
    /// The ids of the model's conversations.
    conversations: [ConversationId; 3],
    past: redis::aio::MultiplexedConnection,
}

/// Calls may be repeated, since a busy machine may exceed the time-out of a command.
async fn answered<T: Debug>(call: impl AsyncFnMut() -> Result<T, RedisUnavailable>) -> T {
    let within = Duration::from_secs(10);
    let answer = eventually("Redis answers", within, call, Result::is_ok).await;
    answer.unwrap()
}

impl<'a> Real<'a> {
    async fn new(app: &'a App) -> Self {
        let client = redis::Client::open(services().redis_url()).unwrap();
        Self {
            app,
            user: UserId(tideline::clock::new_id()),
            conversations: [(); 3].map(|()| ConversationId(tideline::clock::new_id())),
            past: client.get_multiplexed_async_connection().await.unwrap(),
        }
    }

    /// The mark and total for a wake-up, when they are known.
    async fn apply(&self, entries: &[Entry]) -> Option<(i64, i64)> {
        let node = &self.app.nodes[0].handles;
        let entries: Vec<_> = entries
            .iter()
            .map(|&(seq, conversation, unread)| CommittedEntry {
                receiver: self.user,
                seq: InboxSeq(seq),
                conversation: self.conversations[usize::from(conversation)],
                unread: Some(unread),
            })
            .collect();
        let totals = applied(&node.delivery.redis, node.delivery.epoch, &entries).await;
        totals.get(&self.user).map(|one| (one.as_of.0, one.total))
    }

    async fn merge(&self, head: i64, counts: &BTreeMap<u8, i64>) {
        let node = &self.app.nodes[0].handles;
        let conversations = counts.iter().map(|(of, unread)| ConversationUnread {
            mentions: None,
            conversation_id: self.conversations[usize::from(*of)],
            unread: *unread,
        });
        let snapshot = Snapshot {
            total_mentions: None,
            total: counts.values().sum(),
            conversations: conversations.collect(),
            as_of_seq: InboxSeq(head),
        };
        answered(async || {
            cache::merge(
                &node.delivery.redis,
                node.delivery.epoch,
                self.user,
                &snapshot,
            )
            .await
        })
        .await;
    }

    async fn flush(&self) {
        let node = &self.app.nodes[0].handles;
        answered(async || {
            cache::forget(&node.delivery.redis, node.delivery.epoch, self.user).await
        })
        .await;
    }

    /// Every field of the hash.
    async fn counts(&mut self) -> Option<Counts> {
        let epoch = self.app.nodes[0].handles.delivery.epoch;
        let mut fields: HashMap<String, String> = redis::cmd("HGETALL")
            .arg(format!("tl:{epoch}:unread:{{{}}}", self.user))
            .query_async(&mut self.past)
            .await
            .unwrap();
        let conversation = |id: &str| {
            let mut ids = self.conversations.iter();
            ids.position(|one| one.to_string() == id).unwrap() as u8
        };
        let pair = |text: &str| {
            let (left, right) = text.split_once(':').unwrap();
            (left.to_owned(), right.to_owned())
        };
        let mark = fields.remove("mark")?.parse().unwrap();
        let total = fields.remove("total").unwrap().parse().unwrap();
        let ahead = fields.remove("ahead").unwrap_or_default();
        let ahead = ahead.split_whitespace().map(pair);
        Some(Counts {
            mark,
            total,
            ahead: ahead
                .map(|(seq, id)| (seq.parse().unwrap(), conversation(&id)))
                .collect(),
            counts: fields
                .iter()
                .map(|(id, value)| {
                    let (count, seq) = pair(value);
                    (
                        conversation(id),
                        (count.parse().unwrap(), seq.parse().unwrap()),
                    )
                })
                .collect(),
        })
    }
}

#[test]
fn redis_scripts_match_the_model() {
    holds(48, vec(any::<Index>(), 0..80), async |app, walk| {
        let mut real = Real::new(app).await;
        // Counts begin with a reader who found no entries.
        let mut state = State::default().next(&Step::Merge(0), SOUND).unwrap();
        real.merge(0, &state.truth(0)).await;
        for pick in walk {
            let steps = state.steps(CONVERSATIONS, ENTRIES);
            let step = pick.get(&steps);
            match step {
                Step::Commit(..) => {}
                Step::Apply(seqs) => {
                    let entries = state.announced(seqs);
                    let mut model = state.redis.clone();
                    assert_eq!(
                        real.apply(&entries).await,
                        hash::apply(&mut model, &entries, SOUND),
                        "what {step:?} returns in {state:?}"
                    );
                }
                Step::Merge(head) => real.merge(*head, &state.truth(*head)).await,
                Step::Flush => real.flush().await,
            }
            let next = state.next(step, SOUND).unwrap_or_else(|| state.clone());
            assert_eq!(real.counts().await, next.redis, "{step:?} in {state:?}");
            state = next;
        }
    });
}

/// Random walks do not reach this bound.
#[tokio::test(flavor = "multi_thread")]
async fn redis_scripts_and_model_discard_counts_at_the_same_bound() {
    let app = App::start().await;
    let mut real = Real::new(&app).await;
    let mut model = None;
    real.merge(0, &BTreeMap::new()).await;
    hash::merge(&mut model, 0, &BTreeMap::new(), SOUND);
    // All but the first, in large calls, so that the bound is reached exactly and then exceeded.
    let entry = |seq: i64| (seq, u8::try_from(seq % 3).unwrap(), seq);
    for seqs in [2..200, 200..258, 258..259] {
        let entries: Vec<_> = seqs.map(entry).collect();
        assert_eq!(
            real.apply(&entries).await,
            hash::apply(&mut model, &entries, SOUND)
        );
        assert_eq!(real.counts().await, model);
        assert_eq!(model.is_some(), entries[0].0 < 258);
    }
    app.finish().await;
}
