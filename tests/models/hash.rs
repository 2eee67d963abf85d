//! The Redis side in Rust: the hash of a user's unread counts and its two scripts, line by line.
//!
//! `src/storage/redis/sync/unread_apply.lua` and `unread_merge.lua` are the source. This file follows their order and names, so
//! that `unread` can run them a million times. `tests/it/properties/scripts.rs` compares both by random walks. A change of a
//! script is made here too; its reasons stay there.

use std::collections::{BTreeMap, BTreeSet};

/// A conversation, by number.
pub type Conversation = u8;

/// An announced inbox entry: its seq, its conversation, and the conversation's count as of it.
pub type Entry = (i64, Conversation, i64);

/// The rules of the scripts. Each is `true` in the product.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// An entry changes its conversation's count only when it is newer than that count.
    pub newest_wins: bool,
    /// The total changes by the difference to the stored count, not by one per message.
    pub total_by_difference: bool,
    /// A zero count keeps its seq until the mark has passed it.
    pub zero_is_kept: bool,
    /// The mark waits at a gap.
    pub mark_stops_at_gap: bool,
    /// A merge changes nothing when the mark has reached its head.
    pub merge_checks_mark: bool,
    /// A merge keeps counts that are newer.
    pub merge_keeps_newer: bool,
    /// The most entries kept beyond a gap; with one more the hash is dropped.
    pub most_ahead: usize,
}

/// The rules of the product.
pub const SOUND: Rules = Rules {
    newest_wins: true,
    total_by_difference: true,
    zero_is_kept: true,
    mark_stops_at_gap: true,
    merge_checks_mark: true,
    merge_keeps_newer: true,
    most_ahead: 256,
};

/// The hash of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    /// The highest seq up to which every entry was applied.
    pub mark: i64,
    /// The sum of the counts.
    pub total: i64,
    /// The entries that were applied beyond it.
    pub ahead: BTreeMap<i64, Conversation>,
    /// Each conversation's count and its seq.
    pub counts: BTreeMap<Conversation, (i64, i64)>,
}

/// `unread_apply.lua`: returns the mark and the total, when they are known.
pub fn apply(key: &mut Option<Counts>, entries: &[Entry], rules: Rules) -> Option<(i64, i64)> {
    let hash = key.as_mut()?;
    let mut changed = BTreeMap::new();
    for &(seq, conversation, count) in entries {
        if seq <= hash.mark || hash.ahead.contains_key(&seq) {
            continue;
        }
        let stored = hash.counts.get(&conversation).copied();
        let old: (i64, i64) = *changed
            .get(&conversation)
            .unwrap_or(&stored.unwrap_or_default());
        if seq > old.1 || !rules.newest_wins {
            hash.total += match count {
                1.. if !rules.total_by_difference => 1,
                _ => count - old.0,
            };
            changed.insert(conversation, (count, seq));
        }
        if seq == hash.mark + 1 || !rules.mark_stops_at_gap {
            hash.mark = seq.max(hash.mark);
        } else {
            hash.ahead.insert(seq, conversation);
        }
    }
    let mut passed = BTreeSet::new();
    while let Some(conversation) = hash.ahead.remove(&(hash.mark + 1)) {
        hash.mark += 1;
        passed.insert(conversation);
    }
    if hash.ahead.len() > rules.most_ahead {
        *key = None;
        return None;
    }
    for (&conversation, &(count, seq)) in &changed {
        if count > 0 || (seq > hash.mark && rules.zero_is_kept) {
            hash.counts.insert(conversation, (count, seq));
        } else {
            hash.counts.remove(&conversation);
        }
    }
    for conversation in passed {
        let stored = hash.counts.get(&conversation);
        if !changed.contains_key(&conversation)
            && stored.is_some_and(|&(count, seq)| count == 0 && seq <= hash.mark)
        {
            hash.counts.remove(&conversation);
        }
    }
    hash.ahead.is_empty().then_some((hash.mark, hash.total))
}

/// `unread_merge.lua`.
pub fn merge(
    key: &mut Option<Counts>,
    head: i64,
    counts: &BTreeMap<Conversation, i64>,
    rules: Rules,
) {
    let reached = key.as_ref().is_some_and(|hash| hash.mark >= head);
    if reached && rules.merge_checks_mark {
        return;
    }
    let hash = key.get_or_insert_default();
    let mut snapshot = counts.clone();
    hash.total = 0;
    hash.counts.retain(|conversation, &mut (count, seq)| {
        let newer = seq > head && rules.merge_keeps_newer;
        if newer {
            snapshot.remove(conversation);
            hash.total += count;
        }
        newer
    });
    for (conversation, count) in snapshot {
        hash.counts.insert(conversation, (count, head));
        hash.total += count;
    }
    hash.mark = hash.mark.max(head);
    hash.ahead.retain(|seq, _| *seq > hash.mark);
    while hash.ahead.remove(&(hash.mark + 1)).is_some() {
        hash.mark += 1;
    }
}

/// PostgreSQL and Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The inbox: for each entry its conversation and the count as of it.
    pub entries: Vec<(Conversation, i64)>,
    /// The hash.
    pub redis: Option<Counts>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An entry is committed.
    Commit(Conversation, i64),
    /// Entries are announced in one call.
    Apply(Vec<i64>),
    /// The true counts as of an entry are merged.
    Merge(i64),
    /// Redis loses its data.
    Flush,
}

impl State {
    /// The head in PostgreSQL.
    pub fn head(&self) -> i64 {
        self.entries.len() as i64
    }

    /// The count of a conversation as of a seq.
    pub fn count(&self, conversation: Conversation, as_of: i64) -> i64 {
        let mut before = self.entries[..as_of as usize].iter().rev();
        before
            .find(|(of, _)| *of == conversation)
            .map_or(0, |(_, count)| *count)
    }

    /// All counts that are not zero, as of a seq.
    pub fn truth(&self, as_of: i64) -> BTreeMap<Conversation, i64> {
        let mut counts: BTreeMap<_, _> = self.entries[..as_of as usize].iter().copied().collect();
        counts.retain(|_, count| *count > 0);
        counts
    }

    /// Entries as they are announced.
    pub fn announced(&self, seqs: &[i64]) -> Vec<Entry> {
        let entry = |seq: &i64| {
            let (conversation, count) = self.entries[*seq as usize - 1];
            (*seq, conversation, count)
        };
        seqs.iter().map(entry).collect()
    }

    /// All possible next steps, with these bounds on entries and conversations.
    pub fn steps(&self, conversations: Conversation, entries: usize) -> Vec<Step> {
        let (mut steps, head) = (vec![Step::Flush], self.head());
        if self.entries.len() < entries {
            // Conversations are interchangeable: the next new one gets the next number.
            let used = self.entries.iter().map(|(of, _)| of + 1).max();
            for conversation in 0..conversations.min(used.unwrap_or(0) + 1) {
                // A message adds one; a read leaves any number, and a send leaves none.
                let count = self.count(conversation, head);
                steps.extend((0..=count + 1).map(|count| Step::Commit(conversation, count)));
            }
        }
        for first in 1..=head {
            steps.push(Step::Apply(vec![first]));
            let others = (1..=head).filter(|second| *second != first);
            steps.extend(others.map(|second| Step::Apply(vec![first, second])));
        }
        steps.extend((0..=head).map(Step::Merge));
        steps
    }

    /// The state after a step, if it changes anything.
    pub fn next(&self, step: &Step, rules: Rules) -> Option<Self> {
        let (mut entries, mut redis) = (self.entries.clone(), self.redis.clone());
        match step {
            Step::Commit(conversation, count) => entries.push((*conversation, *count)),
            Step::Apply(seqs) => drop(apply(&mut redis, &self.announced(seqs), rules)),
            Step::Merge(head) => merge(&mut redis, *head, &self.truth(*head), rules),
            Step::Flush => redis = None,
        }
        let next = Self { entries, redis };
        (next != *self).then_some(next)
    }
}
