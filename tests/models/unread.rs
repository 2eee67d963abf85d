//! The hash of unread counts: announcements and merges in every order.
//!
//! Entries are committed one after the other, each with its conversation's count. Nodes announce them in any order, one or two
//! in a call, repeatedly, or never. Readers merge what they counted in PostgreSQL as of any earlier head: late, repeatedly, or
//! never. Redis may lose its data at any moment. Only the inbox is bounded, to a few entries in a few conversations. The number
//! of announcers makes no difference, since every order is explored.
//!
//! In a counterexample `Commit(0, 2)` is an entry of conversation 0 with the count 2; `Apply([3, 1])` one call of
//! `unread_apply.lua` with the third and the first entry; `Merge(2)` one call of `unread_merge.lua` with the true counts as of
//! the second.

use super::hash::{self, Conversation, Counts, Rules, State, Step};
use crate::{Design, asked, refuted, states_of};
use stateright::{Model, Property};

const SUM: &str = "the total is the sum of the counts";
const EXACT: &str = "counts whose mark is the head are exact";
const KNOWN: &str = "counts with nothing ahead are exact as of the mark";
const TRUE: &str = "a count is true as of the mark or, when newer, of its own seq";
const BEHIND: &str = "the mark is not beyond the head";
const FORWARD: &str = "neither a merge nor an entry moves anything back";
const REPAIRED: &str = "a merge of the truth makes everything exact";
const ZERO: &str = "sometimes a zero count waits for the mark";
const FULL: &str = "sometimes as many are ahead as may be, and one more is to come";
const HOLE: &str = "sometimes one entry is missing between the mark and what is ahead";

/// The bounds of the exploration, and the design.
#[derive(Clone, Copy)]
struct Unread {
    /// The number of conversations.
    conversations: Conversation,
    /// The number of entries.
    entries: usize,
    /// The scripts.
    rules: Rules,
    /// The property to be refuted.
    broken: Option<&'static str>,
}

/// Two entries of one conversation and one of another can be ahead, with a gap before and between them.
const LONG: Unread = Unread {
    conversations: 2,
    entries: 5,
    rules: Rules {
        // One less than can be ahead, so that the bound is reached.
        most_ahead: 3,
        ..hash::SOUND
    },
    broken: None,
};

/// One more conversation, and fewer entries.
const WIDE: Unread = Unread {
    conversations: 3,
    entries: 4,
    rules: Rules {
        most_ahead: 2,
        ..hash::SOUND
    },
    broken: None,
};

/// The state, and what the last step did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Observed {
    state: State,
    /// The last step moved the mark back, or replaced a count by an older one.
    moved_back: bool,
}

/// Whether the counts are true as of the mark.
fn is_exact(state: &State, counts: &Counts) -> bool {
    let truth = state.truth(counts.mark);
    let stored = counts.counts.iter().filter(|(_, (count, _))| *count > 0);
    counts.total == truth.values().sum::<i64>()
        && stored.map(|(of, (count, _))| (of, count)).eq(&truth)
}

/// The seq as of which a conversation's count must be true.
fn as_of(counts: &Counts, conversation: Conversation) -> i64 {
    let stored = counts.counts.get(&conversation);
    stored.map_or(counts.mark, |(_, seq)| counts.mark.max(*seq))
}

impl Design for Unread {
    fn broken(&self) -> Option<&'static str> {
        self.broken
    }
}

impl Model for Unread {
    type State = Observed;
    type Action = Step;

    fn init_states(&self) -> Vec<Observed> {
        vec![Observed::default()]
    }

    fn actions(&self, last: &Observed, steps: &mut Vec<Step>) {
        steps.extend(last.state.steps(self.conversations, self.entries));
    }

    fn next_state(&self, last: &Observed, step: Step) -> Option<Observed> {
        let state = last.state.next(&step, self.rules)?;
        let moved_back = match (&last.state.redis, &state.redis) {
            (Some(before), Some(after)) => (0..self.conversations)
                .any(|one| after.mark < before.mark || as_of(after, one) < as_of(before, one)),
            _ => false,
        };
        Some(Observed { state, moved_back })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let all = vec![
            Property::always(SUM, |_, Observed { state, .. }: &Observed| {
                let sum = |one: &Counts| one.counts.values().map(|(count, _)| count).sum::<i64>();
                state.redis.as_ref().is_none_or(|one| one.total == sum(one))
            }),
            Property::always(EXACT, |_, Observed { state, .. }: &Observed| {
                let mut at_head = state.redis.iter().filter(|one| one.mark == state.head());
                at_head.all(|one| is_exact(state, one))
            }),
            Property::always(KNOWN, |_, Observed { state, .. }: &Observed| {
                let mut known = state.redis.iter().filter(|one| one.ahead.is_empty());
                known.all(|one| is_exact(state, one))
            }),
            Property::always(TRUE, |model: &Self, Observed { state, .. }: &Observed| {
                let stored = |one: &Counts, of| one.counts.get(&of).map_or(0, |(count, _)| *count);
                state.redis.iter().all(|one| {
                    (0..model.conversations)
                        .all(|of| stored(one, of) == state.count(of, as_of(one, of)))
                })
            }),
            Property::always(BEHIND, |_, Observed { state, .. }: &Observed| {
                state.redis.iter().all(|one| one.mark <= state.head())
            }),
            Property::always(FORWARD, |_, observed: &Observed| !observed.moved_back),
            Property::always(
                REPAIRED,
                |model: &Self, Observed { state, .. }: &Observed| {
                    let (mut redis, head) = (state.redis.clone(), state.head());
                    hash::merge(&mut redis, head, &state.truth(head), model.rules);
                    redis.is_some_and(|one| one.mark == head && is_exact(state, &one))
                },
            ),
            Property::sometimes(ZERO, |_, Observed { state, .. }: &Observed| {
                let mut counts = state.redis.iter().flat_map(|one| one.counts.values());
                counts.any(|(count, _)| *count == 0)
            }),
            Property::sometimes(FULL, |model, Observed { state, .. }: &Observed| {
                let mut ahead = state.redis.iter().map(|one| one.ahead.len());
                ahead.any(|ahead| ahead == model.rules.most_ahead)
            }),
            Property::sometimes(HOLE, |_, Observed { state, .. }: &Observed| {
                let mut redis = state.redis.iter();
                redis.any(|one| one.ahead.contains_key(&(one.mark + 2)))
            }),
        ];
        asked(self, all)
    }
}

#[test]
fn all_properties_hold_in_a_long_inbox() {
    let states = states_of(LONG);
    assert!(states > 50_000, "only {states} states");
}

#[test]
fn all_properties_hold_in_a_wide_inbox() {
    let states = states_of(WIDE);
    assert!(states > 5_000, "only {states} states");
}

/// The counterexample for a property without one of the rules.
fn without(property: &'static str, rules: Rules) -> String {
    refuted(Unread {
        rules,
        broken: Some(property),
        ..WIDE
    })
}

#[test]
fn model_fails_if_older_entries_overwrite_newer_counts() {
    let rules = Rules {
        newest_wins: false,
        ..WIDE.rules
    };
    assert_eq!(
        without(EXACT, rules),
        "Commit(0, 0), Commit(0, 1), Merge(0), Apply([2, 1])"
    );
}

#[test]
fn model_fails_if_the_total_counts_messages() {
    let rules = Rules {
        total_by_difference: false,
        ..WIDE.rules
    };
    assert_eq!(
        without(SUM, rules),
        "Commit(0, 1), Commit(0, 1), Merge(0), Apply([1, 2])"
    );
}

#[test]
fn model_fails_if_zero_counts_are_dropped_early() {
    let rules = Rules {
        zero_is_kept: false,
        ..WIDE.rules
    };
    assert_eq!(
        without(EXACT, rules),
        "Commit(0, 1), Commit(0, 0), Merge(0), Apply([2]), Apply([1])"
    );
}

#[test]
fn model_fails_if_stale_merges_are_applied() {
    let rules = Rules {
        merge_checks_mark: false,
        ..WIDE.rules
    };
    assert_eq!(
        without(EXACT, rules),
        "Commit(0, 1), Commit(0, 0), Merge(2), Merge(1)"
    );
}

#[test]
fn model_fails_if_a_merge_replaces_newer_counts() {
    let rules = Rules {
        merge_keeps_newer: false,
        ..WIDE.rules
    };
    assert_eq!(
        without(FORWARD, rules),
        "Commit(0, 0), Commit(0, 0), Commit(0, 0), Merge(0), Apply([3]), Merge(1)"
    );
}

#[test]
fn model_fails_if_the_mark_skips_a_gap() {
    let rules = Rules {
        mark_stops_at_gap: false,
        ..WIDE.rules
    };
    assert_eq!(
        without(KNOWN, rules),
        "Commit(0, 1), Commit(1, 0), Merge(0), Apply([2])"
    );
    assert_eq!(
        without(REPAIRED, rules),
        "Commit(0, 1), Commit(1, 0), Merge(0), Apply([2])"
    );
}
