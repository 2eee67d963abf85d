//! Change numbers: writers, pages of changes, and a cache of history, with their statements in every order.
//!
//! This file is long because a model is read as a whole.
//!
//! Two nodes change messages of one conversation. A transaction waits for the conversation's lock, reads the messages, and
//! commits their new states under the next numbers, or it is rolled back. A batch may change a message twice. A device reads the
//! history and the changes page by page, with one request of each in progress. A request is two statements, each with its own
//! snapshot: the head with the membership, and the page. Its answer may arrive late. The device may leave the conversation.
//! Only the changes are bounded.
//!
//! The product is `engine/writer/batch.rs`, `engine/writer/commands/{edit,recall,react}.rs`, `domain/messaging/changes.rs`
//! (`changed_since`), `domain/messaging/messages.rs` (`page`) and `storage/pg/messaging/{conversations,states}.rs`; comments name
//! the functions that the steps stand for. The rules of the device are those of every client.
//!
//! This file is long because a protocol is one piece: its state, its steps and its properties explain each other.
//!
//! In a counterexample `Begin([0, 1])` is a new transaction that changes message 0 and then message 1. Its other steps name it by
//! its index among the open ones, oldest first. `Request` is the first statement of a request, `SecondRead` the second one.

use crate::{Design, asked, refuted, states_of};
use stateright::{Model, Property};

const SKIPPED: &str = "no change up to the noted number is missing";
const CONVERGES: &str = "a device that asks from its number gets the present states";
const KEPT: &str = "no change undoes another one";
const FORMER: &str = "no page has a change from after its reader left";
const CUT: &str = "sometimes a page is cut at the head";
const LATE: &str = "sometimes an older state arrives after a newer one";
const UNKNOWN: &str = "sometimes a change arrives before the page with its message";

/// The rules of the design. Each is `true` in the product.
#[derive(Clone, Copy)]
struct Rules {
    /// Numbers come from the conversation's row, not from a sequence …
    by_row: bool,
    /// … which is read under its lock.
    lock_first: bool,
    /// The messages are read by a statement that begins after the lock was taken.
    read_after_lock: bool,
    /// A request reads the head before the page.
    head_first: bool,
    /// A page of changes ends at that head.
    cut: bool,
    /// While there is more, the number to go on from is that of the last message.
    last_while_more: bool,
    /// A device notes the number of its first page of history, not of a later one.
    first_noted: bool,
    /// Of two states of a message a device keeps the one with the higher number.
    newest_wins: bool,
    /// A device keeps changes of messages that it has not read yet.
    keep_unknown: bool,
}

const SOUND: Rules = Rules {
    by_row: true,
    lock_first: true,
    read_after_lock: true,
    head_first: true,
    cut: true,
    last_while_more: true,
    first_noted: true,
    newest_wins: true,
    keep_unknown: true,
};

/// The bounds of the exploration, and the design.
#[derive(Clone, Copy)]
struct Numbers {
    messages: usize,
    changes: u8,
    /// The size of a page.
    limit: usize,
    /// The device begins with all messages in its cache, and the number from before every change.
    cached: bool,
    /// The device may leave the conversation.
    leaves: bool,
    rules: Rules,
    broken: Option<&'static str>,
}

/// A device pages through the changes.
const PAGING: Numbers = Numbers {
    messages: 2,
    changes: 5,
    limit: 1,
    cached: true,
    leaves: true,
    rules: SOUND,
    broken: None,
};

/// The same with larger pages.
const LARGE: Numbers = Numbers {
    messages: 3,
    changes: 4,
    limit: 2,
    ..PAGING
};

/// A device reads the history, and changes meanwhile.
const CACHING: Numbers = Numbers {
    changes: 4,
    cached: false,
    leaves: false,
    ..PAGING
};

/// The nodes, of which each has one transaction at a time.
const NODES: usize = 2;

/// The state of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct MessageState {
    /// The number of its last change.
    number: u8,
    /// How many changes it has seen, which stands for its content.
    changes: u8,
}

/// The step that a transaction takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Lock,
    ReadMessages,
    Commit,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Transaction {
    /// The messages that it changes, in this order.
    batch: Vec<usize>,
    at: At,
    /// The number before its own ones.
    number: u8,
    /// The messages as it has read them.
    seen: Vec<MessageState>,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    /// The messages from a seq.
    History,
    /// `changed_since`.
    Changes,
}

type Rows = Vec<(usize, MessageState)>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Request {
    since: u8,
    /// The head, once it is read.
    head: Option<u8>,
    /// The page, once it is read.
    rows: Option<Rows>,
}

/// The answer to a request.
struct Answer {
    rows: Rows,
    /// The number to note.
    change_seq: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// `conversations.change_seq`.
    head: u8,
    /// The sequence: only where `by_row` is broken.
    sequence: u8,
    /// `messages_now`.
    messages: Vec<MessageState>,
    /// For each message, the number of its committed changes.
    committed: Vec<u8>,
    /// The open transactions, oldest first.
    open: Vec<Transaction>,
    /// The number of changes that may still begin.
    left: u8,
    /// The head when the device left the conversation.
    former: Option<u8>,
    /// The messages that the device has.
    cache: Vec<Option<MessageState>>,
    /// The number of messages that it has read from the history.
    read: usize,
    /// The number that it has noted.
    noted: Option<u8>,
    history: Option<Request>,
    changes: Option<Request>,
}

/// A step.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// A transaction begins, and waits for the lock.
    Begin(Vec<usize>),
    /// `conversations::lock` returns.
    Lock(usize),
    /// `changed_messages`.
    ReadMessages(usize),
    /// `write`, and the commit.
    Commit(usize),
    /// A deadline, or the death of the node.
    RollBack(usize),
    /// The device leaves the conversation.
    LeaveConversation,
    /// The first statement of a request,
    Request(Of),
    /// the second one,
    SecondRead(Of),
    /// and the arrival of the answer.
    Response(Of),
}

impl State {
    fn request(&mut self, of: Of) -> &mut Option<Request> {
        match of {
            Of::History => &mut self.history,
            Of::Changes => &mut self.changes,
        }
    }

    fn is_locked(&self) -> bool {
        self.open.iter().any(|one| one.at != At::Lock)
    }

    /// `write`. The unique index refuses a number that another message has, which rolls back.
    fn commit(&mut self, transaction: Transaction) {
        let (mut number, mut states) = (transaction.number, transaction.seen);
        for message in &transaction.batch {
            number += 1;
            states[*message].number = number;
            states[*message].changes += 1;
        }
        let all = 0..self.messages.len();
        let (written, others): (Vec<_>, Vec<_>) =
            all.partition(|message| transaction.batch.contains(message));
        let mut taken = others.iter().map(|other| self.messages[*other].number);
        if taken.any(|number| written.iter().any(|one| states[*one].number == number)) {
            return;
        }
        for message in written {
            self.messages[message] = states[message];
        }
        for message in &transaction.batch {
            self.committed[*message] += 1;
        }
        self.head = self.head.max(number);
    }
}

impl Numbers {
    fn next_of_transaction(&self, state: &mut State, step: &Step) {
        let rules = self.rules;
        match *step {
            Step::Begin(ref batch) => {
                let count = u8::try_from(batch.len()).unwrap();
                state.left -= count;
                let mut number = 0;
                if !rules.by_row {
                    number = state.sequence;
                    state.sequence += count;
                } else if !rules.lock_first {
                    number = state.head;
                }
                // A statement that waits for a lock reads other rows from the snapshot with which it began.
                let seen = match rules.read_after_lock {
                    true => vec![],
                    false => state.messages.clone(),
                };
                state.open.push(Transaction {
                    batch: batch.clone(),
                    at: At::Lock,
                    number,
                    seen,
                });
            }
            Step::Lock(index) => {
                let head = state.head;
                let transaction = &mut state.open[index];
                if rules.by_row && rules.lock_first {
                    transaction.number = head;
                }
                transaction.at = match rules.read_after_lock {
                    true => At::ReadMessages,
                    false => At::Commit,
                };
            }
            Step::ReadMessages(index) => {
                state.open[index].seen = state.messages.clone();
                state.open[index].at = At::Commit;
            }
            Step::Commit(index) => {
                let transaction = state.open.remove(index);
                state.commit(transaction);
            }
            Step::RollBack(index) => drop(state.open.remove(index)),
            _ => {}
        }
    }

    /// `conversations::view`. A request of a former member is refused.
    fn read_head(&self, state: &mut State, of: Of) {
        let (head, former) = (state.head, state.former);
        let request = state.request(of);
        match former {
            Some(_) => *request = None,
            None => request.as_mut().unwrap().head = Some(head),
        }
    }

    /// `archive::page`, `states::changed_since`.
    fn read_page(&self, state: &mut State, of: Of) {
        let since = state.request(of).as_ref().unwrap().since;
        let messages = state.messages.iter().copied().enumerate();
        let mut rows: Rows = match of {
            Of::History => messages.skip(usize::from(since)).collect(),
            Of::Changes => messages.filter(|(_, one)| one.number > since).collect(),
        };
        if of == Of::Changes {
            rows.sort_by_key(|(_, one)| one.number);
        }
        rows.truncate(self.limit);
        state.request(of).as_mut().unwrap().rows = Some(rows);
    }

    /// The answer, when both statements have returned. That of changes is `changed_since` of the domain.
    fn answer(&self, of: Of, request: &Request) -> Option<Answer> {
        let (head, mut rows) = (request.head?, request.rows.clone()?);
        if of == Of::History {
            return Some(Answer {
                rows,
                change_seq: head,
            });
        }
        let read = rows.len();
        if self.rules.cut {
            rows.retain(|(_, one)| one.number <= head);
        }
        let last = rows.last().map_or(request.since, |(_, one)| one.number);
        let has_more = !rows.is_empty() && rows.len() == read && last < head;
        Some(Answer {
            rows,
            change_seq: match has_more && self.rules.last_while_more {
                true => last,
                false => head,
            },
        })
    }

    fn receive(&self, state: &mut State, of: Of) {
        let rules = self.rules;
        let request = state.request(of).take().unwrap();
        let answer = self.answer(of, &request).unwrap();
        if of == Of::History {
            state.read += answer.rows.len();
        }
        for (message, new) in answer.rows {
            let cached = &mut state.cache[message];
            let is_kept = match cached {
                Some(old) => !rules.newest_wins || old.number < new.number,
                None => of == Of::History || rules.keep_unknown,
            };
            if is_kept {
                *cached = Some(new);
            }
        }
        if of == Of::Changes || state.noted.is_none() || !rules.first_noted {
            state.noted = Some(answer.change_seq);
        }
    }

    fn next_of_device(&self, state: &mut State, step: &Step) {
        match *step {
            Step::LeaveConversation => state.former = Some(state.head),
            Step::Request(of) => {
                let since = match of {
                    Of::History => u8::try_from(state.read).unwrap(),
                    Of::Changes => state.noted.unwrap(),
                };
                *state.request(of) = Some(Request {
                    since,
                    head: None,
                    rows: None,
                });
                match self.rules.head_first {
                    true => self.read_head(state, of),
                    false => self.read_page(state, of),
                }
            }
            Step::SecondRead(of) => match self.rules.head_first {
                true => self.read_page(state, of),
                false => self.read_head(state, of),
            },
            Step::Response(of) => self.receive(state, of),
            _ => {}
        }
    }

    /// The device after it has read the rest of the history, and the changes, while nothing changes.
    fn settle(&self, state: &State) -> State {
        let mut state = state.clone();
        let history = state.history.take();
        if history
            .as_ref()
            .is_some_and(|one| self.answer(Of::History, one).is_some())
        {
            state.history = history;
            self.receive(&mut state, Of::History);
        }
        state.changes = None;
        let request = |state: &mut State, of| {
            for step in [Step::Request(of), Step::SecondRead(of), Step::Response(of)] {
                self.next_of_device(state, &step);
            }
        };
        while state.read < self.messages {
            request(&mut state, Of::History);
        }
        // One page for each message, and an empty one.
        for _ in 0..=self.messages {
            request(&mut state, Of::Changes);
        }
        state
    }
}

impl Design for Numbers {
    fn broken(&self) -> Option<&'static str> {
        self.broken
    }
}

impl Model for Numbers {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let messages = vec![MessageState::default(); self.messages];
        vec![State {
            head: 0,
            sequence: 0,
            committed: vec![0; self.messages],
            open: vec![],
            left: self.changes,
            former: None,
            cache: match self.cached {
                true => messages.iter().copied().map(Some).collect(),
                false => vec![None; self.messages],
            },
            read: if self.cached { self.messages } else { 0 },
            noted: self.cached.then_some(0),
            history: None,
            changes: None,
            messages,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.open.len() < NODES {
            let all = 0..self.messages;
            if state.left >= 1 {
                steps.extend(all.clone().map(|one| Step::Begin(vec![one])));
            }
            if state.left >= 2 {
                let two = |one| (0..self.messages).map(move |two| Step::Begin(vec![one, two]));
                steps.extend(all.flat_map(two));
            }
        }
        for (index, transaction) in state.open.iter().enumerate() {
            match transaction.at {
                At::Lock if state.is_locked() => {}
                At::Lock => steps.push(Step::Lock(index)),
                At::ReadMessages => steps.push(Step::ReadMessages(index)),
                At::Commit => steps.push(Step::Commit(index)),
            }
            steps.push(Step::RollBack(index));
        }
        if self.leaves && state.former.is_none() && !state.is_locked() {
            steps.push(Step::LeaveConversation);
        }
        for (of, request) in [(Of::History, &state.history), (Of::Changes, &state.changes)] {
            let may_request = match of {
                Of::History => state.read < self.messages,
                Of::Changes => state.noted.is_some(),
            };
            match request {
                Some(request) if self.answer(of, request).is_some() => {
                    steps.push(Step::Response(of));
                }
                Some(_) => steps.push(Step::SecondRead(of)),
                None if may_request && state.former.is_none() => steps.push(Step::Request(of)),
                None => {}
            }
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        self.next_of_transaction(&mut state, &step);
        self.next_of_device(&mut state, &step);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let all = vec![
            Property::always(SKIPPED, |_, state: &State| {
                let mut both = state.cache.iter().zip(&state.messages);
                both.all(|(cached, present)| {
                    Some(present.number) > state.noted || cached.is_none_or(|one| one == *present)
                })
            }),
            Property::always(CONVERGES, |model: &Self, state: &State| {
                if state.former.is_some() {
                    return true;
                }
                let settled = model.settle(state);
                let mut both = settled.cache.iter().zip(&settled.messages);
                settled.noted == Some(settled.head)
                    && both.all(|(cached, present)| *cached == Some(*present))
            }),
            Property::always(KEPT, |_, state: &State| {
                let mut both = state.messages.iter().zip(&state.committed);
                both.all(|(message, committed)| message.changes == *committed)
            }),
            Property::always(FORMER, |model: &Self, state: &State| {
                let request = state.changes.as_ref();
                let answer = request.and_then(|one| model.answer(Of::Changes, one));
                let mut rows = answer.iter().flat_map(|answer| &answer.rows);
                rows.all(|(_, one)| state.former.is_none_or(|head| one.number <= head))
            }),
            Property::sometimes(CUT, |model: &Self, state: &State| {
                let read = |one: &&Request| one.rows.as_ref().is_some_and(|rows| !rows.is_empty());
                let request = state.changes.as_ref().filter(read);
                request
                    .and_then(|one| model.answer(Of::Changes, one))
                    .is_some_and(|answer| answer.rows.is_empty())
            }),
        ];
        let of_history = vec![
            Property::sometimes(LATE, |_, state: &State| {
                let rows = state
                    .history
                    .iter()
                    .flat_map(|one| one.rows.iter().flatten());
                let mut rows = rows.map(|(message, one)| (state.cache[*message], one));
                rows.any(|(cached, one)| cached.is_some_and(|cached| cached.number > one.number))
            }),
            Property::sometimes(UNKNOWN, |_, state: &State| {
                let mut rows = state
                    .changes
                    .iter()
                    .flat_map(|one| one.rows.iter().flatten());
                rows.any(|(message, _)| state.cache[*message].is_none())
            }),
        ];
        let of_history = of_history.into_iter().filter(|_| !self.cached);
        asked(self, all.into_iter().chain(of_history).collect())
    }
}

#[test]
fn all_properties_hold_for_short_pages() {
    let states = states_of(PAGING);
    assert!(states > 100_000, "only {states} states");
}

#[test]
fn all_properties_hold_for_larger_pages() {
    let states = states_of(LARGE);
    assert!(states > 100_000, "only {states} states");
}

#[test]
fn all_properties_hold_for_cached_history() {
    let states = states_of(CACHING);
    assert!(states > 100_000, "only {states} states");
}

/// The counterexample for a property without one of the rules.
fn without(property: &'static str, walk: Numbers, rules: Rules) -> String {
    refuted(Numbers {
        rules,
        broken: Some(property),
        ..walk
    })
}

#[test]
fn number_from_a_sequence_is_skipped() {
    let rules = Rules {
        by_row: false,
        ..SOUND
    };
    assert_eq!(
        without(SKIPPED, PAGING, rules),
        "Begin([0]), Begin([0]), Lock(1), ReadMessages(1), Commit(1), Lock(0), ReadMessages(0), Request(Changes), SecondRead(Changes), Commit(0), Response(Changes)"
    );
}

#[test]
fn number_taken_before_the_lock_is_given_twice() {
    let rules = Rules {
        lock_first: false,
        ..SOUND
    };
    assert_eq!(
        without(SKIPPED, PAGING, rules),
        "Begin([0]), Begin([0]), Lock(0), ReadMessages(0), Commit(0), Lock(0), ReadMessages(0), Request(Changes), SecondRead(Changes), Commit(0), Response(Changes)"
    );
}

#[test]
fn read_in_the_locking_statement_undoes_a_change() {
    let rules = Rules {
        read_after_lock: false,
        ..SOUND
    };
    assert_eq!(
        without(KEPT, PAGING, rules),
        "Begin([0]), Begin([0]), Lock(0), Commit(0), Lock(0), Commit(0)"
    );
}

#[test]
fn head_read_after_the_page_skips_a_change() {
    let rules = Rules {
        head_first: false,
        ..SOUND
    };
    assert_eq!(
        without(SKIPPED, PAGING, rules),
        "Begin([0]), Lock(0), ReadMessages(0), Request(Changes), Commit(0), SecondRead(Changes), Response(Changes)"
    );
    assert_eq!(
        without(CONVERGES, CACHING, rules),
        "Begin([0]), Lock(0), ReadMessages(0), Request(History), Commit(0), SecondRead(History)"
    );
}

#[test]
fn uncut_page_shows_a_former_member_later_changes() {
    let rules = Rules {
        cut: false,
        ..SOUND
    };
    assert_eq!(
        without(FORMER, PAGING, rules),
        "Begin([0]), Request(Changes), LeaveConversation, Lock(0), ReadMessages(0), Commit(0), SecondRead(Changes)"
    );
}

#[test]
fn head_noted_while_there_is_more_skips_a_change() {
    let rules = Rules {
        last_while_more: false,
        ..SOUND
    };
    assert_eq!(
        without(SKIPPED, PAGING, rules),
        "Begin([0, 1]), Lock(0), ReadMessages(0), Commit(0), Request(Changes), SecondRead(Changes), Response(Changes)"
    );
}

#[test]
fn number_of_a_later_page_leaves_an_earlier_one_stale() {
    let rules = Rules {
        first_noted: false,
        ..SOUND
    };
    assert_eq!(
        without(SKIPPED, CACHING, rules),
        "Begin([0]), Lock(0), ReadMessages(0), Request(History), SecondRead(History), Commit(0), Response(History), Request(History), SecondRead(History), Response(History)"
    );
}

#[test]
fn older_state_that_arrives_late_stays() {
    let rules = Rules {
        newest_wins: false,
        ..SOUND
    };
    assert_eq!(
        without(SKIPPED, CACHING, rules),
        "Begin([1]), Lock(0), ReadMessages(0), Request(History), SecondRead(History), Response(History), Request(History), SecondRead(History), Commit(0), Request(Changes), SecondRead(Changes), Response(Changes), Response(History)"
    );
}

#[test]
fn ignored_change_of_a_message_that_arrives_late_is_lost() {
    let rules = Rules {
        keep_unknown: false,
        ..SOUND
    };
    assert_eq!(
        without(SKIPPED, CACHING, rules),
        "Begin([1]), Lock(0), ReadMessages(0), Request(History), SecondRead(History), Response(History), Request(History), SecondRead(History), Commit(0), Request(Changes), SecondRead(Changes), Response(Changes), Response(History)"
    );
}
