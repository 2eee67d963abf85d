//! Register, query, sleep: waits for news of one inbox, with notices that can get lost.
//!
//! This file is long because a model is read as a whole.
//!
//! Devices of one user wait on this node. Entries are committed by another node and by this one. The publisher of the other
//! node publishes them to Redis, unless Redis is away or the node dies first. Commits of this node also wake its own waits.
//! This node receives notices while it is subscribed, until its connection is cut. After a reconnect it subscribes again and
//! checks every wait. A sweep checks every wait periodically. The subscription ends when no wait needs it. A wait takes its
//! steps one at a time, with any other steps in between; it may time out, or its client may disconnect. Only commits and waits
//! are bounded; faults, sweeps and reconnects may happen at any time.
//!
//! The model has no time, only order: "within five seconds" is "not beyond a whole round of the sweep", and "immediately" is
//! "when everything in progress has arrived". The product is `domain/sync/notices.rs`,
//! `engine/waiting/{registry,head_cache,reconcile}.rs`, `engine/writer/publish.rs`, `storage/redis/sync/notices.rs` and
//! `tasks/{sweep,notices}.rs`; comments name the functions that the steps stand for.
//!
//! This file is long because a protocol is one piece: its state, its steps and its properties explain each other.
//!
//! In a counterexample `Wait(1)` is a new wait of device 1. The other steps of a wait, such as `QueryHead(0)`, name it by its
//! index among the unanswered waits, oldest first. `BeginRound(0)` and `FinishRound(0)` are a round of the sweep,
//! `BeginRound(1)` and `FinishRound(1)` the check after a reconnect.

use crate::{Design, asked, refuted, states_of};
use stateright::{Model, Property};

const PROMPT: &str = "a wait is woken by notices alone while none is lost";
const FOUND: &str = "undisturbed, the sweep finds every wait that missed its notice";
const ROUND: &str = "no wait outlives a round of the sweep that began behind the head";
const HEAD: &str = "no answer is beyond the head";
const NEWS: &str = "no answer calls news what was seen";
const ONE: &str = "a device has one registered wait that sleeps";
const KEPT: &str = "no wait sleeps that nothing can wake";
const SWEPT: &str = "sometimes the sweep wakes a wait that missed its notice";
const OLDER: &str = "sometimes a wait is superseded";
const LATE: &str = "sometimes a notice comes to a wait that has seen it";

/// The rules of the design. Each is `true` in the product.
#[derive(Clone, Copy)]
struct Rules {
    /// A wait registers and subscribes before it queries the head.
    register_first: bool,
    /// A wait queries the head after Redis has acknowledged its subscription.
    acknowledged: bool,
    /// A notice wakes only waits that have not seen its entry.
    compare_seq: bool,
    /// There is a sweep.
    sweep: bool,
    /// The sweep uses the lowest position of a user's waits.
    lowest_position: bool,
    /// A newer wait of a device that is not refused ends the older ones.
    supersede: bool,
    /// After a lost connection every wait is checked …
    query_after_reconnect: bool,
    /// … when the subscriptions are active again.
    subscribed_first: bool,
    /// The same holds for a subscription that ended just when a wait began.
    query_after_unsubscribing: bool,
    /// A subscription that was requested without a connection is retried after the reconnect.
    retry_subscription: bool,
    /// An entry is announced after its commit.
    commit_first: bool,
    /// The cached head of the last sweep is cleared by news, also while the sweep runs …
    news_invalidates: bool,
    /// … and when the subscription begins, since earlier news was not received.
    subscription_invalidates: bool,
}

const SOUND: Rules = Rules {
    register_first: true,
    acknowledged: true,
    compare_seq: true,
    sweep: true,
    lowest_position: true,
    supersede: true,
    query_after_reconnect: true,
    subscribed_first: true,
    query_after_unsubscribing: true,
    retry_subscription: true,
    commit_first: true,
    news_invalidates: true,
    subscription_invalidates: true,
};

/// The bounds of the exploration, and the design.
#[derive(Clone, Copy)]
struct Waits {
    commits: u8,
    waits: u8,
    devices: u8,
    /// Whether the connection to Redis is cut.
    cuts: bool,
    rules: Rules,
    broken: Option<&'static str>,
}

/// Two commits, so that an older notice can come after a newer one was answered. The connection stays up.
const STEADY: Waits = Waits {
    commits: 2,
    waits: 2,
    devices: 2,
    cuts: false,
    rules: SOUND,
    broken: None,
};

/// One commit, and a connection that can be cut at any moment.
const SHAKY: Waits = Waits {
    commits: 1,
    cuts: true,
    ..STEADY
};

/// A node that commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    /// The node with the waits.
    Here,
    /// The other one.
    There,
}

const NODES: [Node; 2] = [Node::Here, Node::There];

/// The step of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// It registers late: only where `register_first` is broken.
    Register,
    /// It subscribes in Redis.
    Subscribe,
    /// It queries the head in PostgreSQL.
    QueryHead,
    /// It sleeps.
    Sleep,
}

/// The wake-up of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wake {
    /// The head, and whether the total as of it is known.
    News(u8, bool),
    Superseded,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wait {
    device: u8,
    since: u8,
    at: At,
    /// It is registered, so notices find it.
    registered: bool,
    /// Its subscription was active when it queried.
    subscribed_first: bool,
    /// Its first wake-up.
    wake: Option<Wake>,
}

impl Wait {
    /// It will sleep on although there is news.
    fn is_behind(&self, head: u8) -> bool {
        self.at == At::Sleep && self.wake.is_none() && self.since < head
    }
}

/// A round of the sweep, or of the check after a reconnect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Round {
    /// The lowest position of all waits.
    position: u8,
    /// The devices whose wait was registered and behind the head when it began.
    owed: Vec<u8>,
    /// The head when it began, unless a notice arrived since.
    found: Option<u8>,
}

/// The rounds: the sweep, and the check after a reconnect.
const SWEEP: usize = 0;
const RECHECK: usize = 1;

/// The progress of ending a subscription that no wait needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ending {
    /// It was found to be idle.
    Idle,
    /// Redis has ended it.
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// The head in PostgreSQL.
    head: u8,
    /// An entry was announced before its commit: only where `commit_first` is broken.
    open: bool,
    /// For each node, its committed and unannounced entries.
    queues: [Vec<u8>; 2],
    /// The notices on their way to this node, oldest first.
    published: Vec<u8>,
    /// The connection to Redis is up.
    connected: bool,
    /// Redis sends notices to this node …
    subscribed: bool,
    /// … and is asked to after a reconnect.
    remembered: bool,
    /// A subscription is on its way that no wait waits for: only where `acknowledged` is broken.
    subscribing: bool,
    ending: Option<Ending>,
    /// The connection was lost, and the check has not run yet.
    lost: bool,
    rounds: [Option<Round>; 2],
    /// The head of the last sweep, unless a notice arrived since.
    cached_head: Option<u8>,
    /// The unanswered waits, oldest first.
    waits: Vec<Wait>,
    /// The number of waits that may still begin.
    left: u8,
    /// For each device, the seq that it has seen.
    seen: Vec<u8>,
    /// A notice was lost, and this node cannot know.
    missed: bool,
    /// The property that the last step failed.
    failed: Option<&'static str>,
}

/// A step.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// A node commits an entry.
    Commit(Node),
    /// A node announces an entry before its commit: only where `commit_first` is broken.
    AnnounceEarly(Node),
    /// The transaction of that entry is rolled back.
    RollBack,
    /// The publisher of a node announces this many entries in one call.
    Announce(Node, usize),
    /// The publisher of a node cannot reach Redis, or the other node dies, which looks the same from here.
    DropQueue(Node),
    /// This node receives the next notice.
    Receive,
    /// The connection to Redis is lost, with the notices on it.
    LoseConnection,
    /// The connection is back, with the subscriptions.
    Reconnect,
    /// A round records the waits,
    BeginRound(usize),
    /// queries PostgreSQL, and wakes.
    FinishRound(usize),
    /// The idle subscription is found,
    FindIdle,
    /// ended in Redis,
    EndIdle,
    /// and renewed if a wait has begun.
    CheckIdle,
    /// A device waits from its position: it registers, …
    Wait(u8),
    Register(usize),
    /// … subscribes, …
    Subscribe(usize),
    /// … queries the head, and sleeps or is answered, …
    QueryHead(usize),
    /// … or uses the cached head of the last sweep, if that is its position.
    UseCachedHead(usize),
    /// It is woken and answered …
    Wake(usize),
    /// … or it times out …
    TimeOut(usize),
    /// … or its client disconnects.
    Disconnect(usize),
    /// A subscription that no wait waits for reaches Redis.
    SubscriptionArrives,
}

impl State {
    /// `WaitRegistry::wake_inbox`.
    fn news(&mut self, seq: u8, total: bool, rules: Rules) {
        if rules.news_invalidates {
            self.invalidate_cached_head();
        }
        for wait in &mut self.waits {
            if wait.registered && (wait.since < seq || !rules.compare_seq) {
                wait.registered = false;
                wait.wake = wait.wake.or(Some(Wake::News(seq, total)));
            }
        }
    }

    /// `InboxHeadCache::invalidate`.
    fn invalidate_cached_head(&mut self) {
        self.cached_head = None;
        if let Some(round) = &mut self.rounds[SWEEP] {
            round.found = None;
        }
    }

    /// Begins the subscription, if Redis is reachable.
    fn subscribe(&mut self, rules: Rules) {
        if self.connected && !self.subscribed {
            self.subscribed = true;
            if rules.subscription_invalidates {
                self.invalidate_cached_head();
            }
        }
    }

    /// `WaitRegistry::register`.
    fn register(&mut self, index: usize) {
        self.waits[index].registered = true;
        self.waits[index].at = At::Subscribe;
    }

    /// `WaitGuard::supersede_older`.
    fn supersede(&mut self, index: usize, rules: Rules) {
        let device = self.waits[index].device;
        for older in &mut self.waits[..index] {
            if rules.supersede && older.registered && older.device == device {
                older.registered = false;
                older.wake = older.wake.or(Some(Wake::Superseded));
            }
        }
    }

    /// `WaitRegistry::positions`, of the one user.
    fn position(&self, rules: Rules) -> Option<u8> {
        let registered = self.waits.iter().filter(|wait| wait.registered);
        let positions = registered.map(|wait| wait.since);
        match rules.lowest_position {
            true => positions.min(),
            false => positions.max(),
        }
    }

    /// The devices whose registered waits are behind the head.
    fn behind(&self) -> Vec<u8> {
        let behind = |wait: &&Wait| wait.registered && wait.since < self.head;
        let waits = self.waits.iter().filter(behind);
        waits.map(|wait| wait.device).collect()
    }

    /// Answers a wait with the head in PostgreSQL.
    fn answer_with_head(&mut self, index: usize) {
        let news = self.waits[index].since < self.head;
        self.answer(index, self.head, news);
    }

    /// Answers a wait.
    fn answer(&mut self, index: usize, seq: u8, news: bool) {
        let wait = self.waits.remove(index);
        if seq > self.head {
            self.failed = Some(HEAD);
        } else if news && seq <= wait.since {
            self.failed = Some(NEWS);
        }
        let seen = &mut self.seen[usize::from(wait.device)];
        *seen = seq.max(*seen);
    }

    /// Nothing is in progress that happens by itself, except sweeps.
    fn is_quiet(&self) -> bool {
        self.connected
            && !self.lost
            && !self.open
            && !self.subscribing
            && self.ending.is_none()
            && self.rounds[RECHECK].is_none()
            && self.published.is_empty()
            && self.queues.iter().all(Vec::is_empty)
            && self
                .waits
                .iter()
                .all(|wait| wait.at == At::Sleep && wait.wake.is_none())
    }
}

impl Waits {
    fn next_of_wait(&self, state: &mut State, step: &Step) {
        let rules = self.rules;
        match *step {
            Step::Wait(device) => {
                state.left -= 1;
                state.waits.push(Wait {
                    device,
                    since: state.seen[usize::from(device)],
                    at: At::QueryHead,
                    registered: false,
                    subscribed_first: false,
                    wake: None,
                });
                if rules.register_first {
                    state.register(state.waits.len() - 1);
                }
            }
            Step::Register(index) => state.register(index),
            Step::Subscribe(index) => {
                if rules.acknowledged {
                    let later = !state.connected && rules.retry_subscription;
                    state.subscribe(rules);
                    state.remembered |= state.connected || later;
                    state.lost |= later;
                }
                state.subscribing |= state.connected && !rules.acknowledged;
                state.waits[index].subscribed_first = state.subscribed;
                state.waits[index].at = match rules.register_first {
                    true => At::QueryHead,
                    false => At::Sleep,
                };
            }
            Step::QueryHead(index) => {
                state.supersede(index, rules);
                if state.waits[index].since < state.head {
                    state.answer(index, state.head, true);
                } else {
                    state.waits[index].at = match rules.register_first {
                        true => At::Sleep,
                        false => At::Register,
                    };
                }
            }
            Step::UseCachedHead(index) => {
                state.supersede(index, rules);
                state.waits[index].at = At::Sleep;
            }
            Step::Wake(index) => match state.waits[index].wake {
                Some(Wake::News(seq, true)) => state.answer(index, seq, true),
                _ => state.answer_with_head(index),
            },
            Step::TimeOut(index) => state.answer_with_head(index),
            Step::Disconnect(index) => drop(state.waits.remove(index)),
            _ => {}
        }
    }

    fn next_of_round(&self, state: &mut State, step: &Step) {
        match *step {
            Step::BeginRound(which) => {
                if which == RECHECK {
                    state.lost = false;
                }
                state.rounds[which] = state.position(self.rules).map(|position| Round {
                    position,
                    owed: state.behind(),
                    found: Some(state.head),
                });
            }
            Step::FinishRound(which) => {
                let round = state.rounds[which].take().unwrap();
                if which == SWEEP {
                    state.cached_head = round.found;
                }
                if state.head > round.position {
                    state.news(state.head, false, self.rules);
                }
                if state.behind().iter().any(|one| round.owed.contains(one)) {
                    state.failed = Some(ROUND);
                }
            }
            _ => {}
        }
    }

    fn next_of_redis(&self, state: &mut State, step: &Step) {
        match *step {
            Step::Announce(node, count) => {
                let newest = state.queues[node as usize].drain(..count).max();
                let newest = newest.unwrap();
                if state.subscribed {
                    state.published.push(newest);
                }
                if node == Node::Here {
                    state.news(newest, true, self.rules);
                }
            }
            Step::DropQueue(node) => {
                let dropped = std::mem::take(&mut state.queues[node as usize]);
                match node {
                    Node::Here => state.news(dropped[dropped.len() - 1], false, self.rules),
                    Node::There => state.missed = true,
                }
            }
            Step::Receive => {
                let seq = state.published.remove(0);
                state.news(seq, true, self.rules);
            }
            Step::LoseConnection => {
                state.connected = false;
                state.subscribed = false;
                state.subscribing = false;
                state.published.clear();
                state.lost = self.rules.query_after_reconnect;
            }
            Step::Reconnect => {
                state.connected = true;
                if state.remembered {
                    state.subscribe(self.rules);
                }
            }
            Step::SubscriptionArrives => {
                state.subscribing = false;
                state.subscribe(self.rules);
                state.remembered = true;
            }
            Step::FindIdle => state.ending = Some(Ending::Idle),
            Step::EndIdle => {
                state.ending = Some(Ending::Ended);
                state.subscribed = false;
                state.remembered = false;
            }
            Step::CheckIdle => {
                state.ending = None;
                if state.position(self.rules).is_some() {
                    state.subscribe(self.rules);
                    state.remembered = true;
                    state.lost |= self.rules.query_after_unsubscribing;
                }
            }
            _ => {}
        }
    }
}

impl Design for Waits {
    fn broken(&self) -> Option<&'static str> {
        self.broken
    }
}

impl Model for Waits {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            head: 0,
            open: false,
            queues: [vec![], vec![]],
            published: vec![],
            connected: true,
            subscribed: false,
            remembered: false,
            subscribing: false,
            ending: None,
            lost: false,
            rounds: [None, None],
            cached_head: None,
            waits: vec![],
            left: self.waits,
            seen: vec![0; usize::from(self.devices)],
            missed: false,
            failed: None,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for node in NODES {
            if state.open {
                steps.push(Step::Commit(node));
            } else if state.head < self.commits {
                steps.push(match self.rules.commit_first {
                    true => Step::Commit(node),
                    false => Step::AnnounceEarly(node),
                });
            }
            let queued = state.queues[node as usize].len();
            steps.extend((1..=queued).map(|count| Step::Announce(node, count)));
            if queued > 0 {
                steps.push(Step::DropQueue(node));
            }
        }
        if state.open {
            steps.push(Step::RollBack);
        }
        if !state.published.is_empty() {
            steps.push(Step::Receive);
        }
        if state.subscribing {
            steps.push(Step::SubscriptionArrives);
        }
        if self.cuts {
            steps.push(match state.connected {
                true => Step::LoseConnection,
                false => Step::Reconnect,
            });
        }
        for which in [SWEEP, RECHECK] {
            let due = match which {
                SWEEP => self.rules.sweep && state.position(self.rules).is_some(),
                _ => state.lost && (state.connected || !self.rules.subscribed_first),
            };
            match &state.rounds[which] {
                None if due => steps.push(Step::BeginRound(which)),
                None => {}
                Some(_) => steps.push(Step::FinishRound(which)),
            }
        }
        match state.ending {
            None if state.remembered && state.position(self.rules).is_none() => {
                steps.push(Step::FindIdle)
            }
            None => {}
            Some(Ending::Idle) => steps.push(Step::EndIdle),
            Some(Ending::Ended) => steps.push(Step::CheckIdle),
        }
        if state.left > 0 {
            // Devices are interchangeable: the first one waits first.
            let devices = self.devices.min(1 + self.waits - state.left);
            steps.extend((0..devices).map(Step::Wait));
        }
        for (index, wait) in state.waits.iter().enumerate() {
            // Leaving while asleep is like a time-out.
            if wait.at != At::Sleep {
                steps.push(Step::Disconnect(index));
            }
            if wait.at == At::QueryHead
                && wait.subscribed_first
                && state.cached_head == Some(wait.since)
            {
                steps.push(Step::UseCachedHead(index));
            }
            steps.push(match wait.at {
                At::Register => Step::Register(index),
                At::Subscribe => Step::Subscribe(index),
                At::QueryHead => Step::QueryHead(index),
                At::Sleep if wait.wake.is_some() => Step::Wake(index),
                At::Sleep => Step::TimeOut(index),
            });
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Commit(node) => {
                state.head += 1;
                if state.open {
                    state.open = false;
                } else {
                    let head = state.head;
                    state.queues[node as usize].push(head);
                }
            }
            Step::AnnounceEarly(node) => {
                state.open = true;
                state.queues[node as usize].push(last.head + 1);
            }
            Step::RollBack => state.open = false,
            Step::BeginRound(_) | Step::FinishRound(_) => self.next_of_round(&mut state, &step),
            Step::Wait(_)
            | Step::Register(_)
            | Step::Subscribe(_)
            | Step::QueryHead(_)
            | Step::UseCachedHead(_)
            | Step::Wake(_)
            | Step::TimeOut(_)
            | Step::Disconnect(_) => self.next_of_wait(&mut state, &step),
            _ => self.next_of_redis(&mut state, &step),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let all = vec![
            Property::always(PROMPT, |_, state: &State| {
                let mut waits = state.waits.iter();
                state.missed || !state.is_quiet() || waits.all(|wait| !wait.is_behind(state.head))
            }),
            Property::always(FOUND, |model: &Self, state: &State| {
                let mut state = state.clone();
                if !state.is_quiet() || state.rounds[SWEEP].is_some() {
                    return true;
                }
                if model.rules.sweep && state.position(model.rules).is_some() {
                    for step in [Step::BeginRound(SWEEP), Step::FinishRound(SWEEP)] {
                        model.next_of_round(&mut state, &step);
                    }
                }
                let mut waits = state.waits.iter();
                waits.all(|wait| !wait.is_behind(state.head))
            }),
            Property::always(ROUND, |_, state: &State| state.failed != Some(ROUND)),
            Property::always(HEAD, |_, state: &State| state.failed != Some(HEAD)),
            Property::always(NEWS, |_, state: &State| state.failed != Some(NEWS)),
            Property::always(ONE, |_, state: &State| {
                let mut waits = state.waits.clone();
                waits.retain(|wait| wait.registered && wait.at == At::Sleep);
                let mut devices: Vec<_> = waits.iter().map(|wait| wait.device).collect();
                devices.sort_unstable();
                devices.windows(2).all(|two| two[0] != two[1])
            }),
            Property::always(KEPT, |_, state: &State| {
                let mut asleep = state.waits.iter().filter(|wait| wait.at == At::Sleep);
                asleep.all(|wait| wait.registered || wait.wake.is_some())
            }),
            Property::sometimes(SWEPT, |_, state: &State| {
                let mut waits = state.waits.iter();
                state.missed
                    && state.queues[Node::Here as usize].is_empty()
                    && waits.any(|wait| wait.wake == Some(Wake::News(state.head, false)))
            }),
            Property::sometimes(OLDER, |_, state: &State| {
                let mut waits = state.waits.iter();
                waits.any(|wait| wait.wake == Some(Wake::Superseded))
            }),
            Property::sometimes(LATE, |_, state: &State| {
                let registered = state.waits.iter().filter(|wait| wait.registered);
                let mut since = registered.map(|wait| wait.since);
                since.any(|since| state.published.first().is_some_and(|seq| *seq <= since))
            }),
        ];
        asked(self, all)
    }
}

#[test]
fn all_properties_hold_while_connected() {
    let states = states_of(STEADY);
    assert!(states > 100_000, "only {states} states");
}

#[test]
fn all_properties_hold_across_disconnects() {
    let states = states_of(SHAKY);
    assert!(states > 50_000, "only {states} states");
}

/// The counterexample for a property without one of the rules.
fn without(property: &'static str, walk: Waits, rules: Rules) -> String {
    refuted(Waits {
        rules,
        broken: Some(property),
        ..walk
    })
}

#[test]
fn query_before_registration_misses_news() {
    let rules = Rules {
        register_first: false,
        ..SOUND
    };
    assert_eq!(
        without(PROMPT, STEADY, rules),
        "Wait(0), QueryHead(0), Commit(Here), Announce(Here, 1), Register(0), Subscribe(0)"
    );
}

#[test]
fn query_before_subscription_ack_misses_news() {
    let rules = Rules {
        acknowledged: false,
        ..SOUND
    };
    assert_eq!(
        without(PROMPT, STEADY, rules),
        "Wait(0), Subscribe(0), QueryHead(0), Commit(There), Announce(There, 1), SubscriptionArrives"
    );
}

#[test]
fn waking_every_wait_repeats_seen_news() {
    let rules = Rules {
        compare_seq: false,
        ..SOUND
    };
    assert_eq!(
        without(NEWS, STEADY, rules),
        "Commit(Here), Wait(0), Subscribe(0), QueryHead(0), Wait(0), Announce(Here, 1), Subscribe(0), QueryHead(0), Wake(0)"
    );
}

#[test]
fn without_a_sweep_a_lost_notice_is_missed() {
    let rules = Rules {
        sweep: false,
        ..SOUND
    };
    assert_eq!(
        without(FOUND, STEADY, rules),
        "Wait(0), Subscribe(0), QueryHead(0), Commit(There), DropQueue(There)"
    );
}

#[test]
fn sweep_by_the_highest_position_misses_other_waits() {
    let rules = Rules {
        lowest_position: false,
        ..SOUND
    };
    assert_eq!(
        without(ROUND, Waits { waits: 3, ..STEADY }, rules),
        "Commit(Here), Wait(0), Wait(0), Subscribe(0), QueryHead(0), Wait(0), BeginRound(0), FinishRound(0)"
    );
}

#[test]
fn without_superseding_a_device_has_two_waits() {
    let rules = Rules {
        supersede: false,
        ..SOUND
    };
    assert_eq!(
        without(ONE, STEADY, rules),
        "Wait(0), Wait(0), Subscribe(0), QueryHead(0), Subscribe(1), QueryHead(1)"
    );
}

#[test]
fn without_a_query_after_reconnecting_lost_news_is_missed() {
    let rules = Rules {
        query_after_reconnect: false,
        ..SOUND
    };
    assert_eq!(
        without(PROMPT, SHAKY, rules),
        "Wait(0), Subscribe(0), LoseConnection, QueryHead(0), Commit(There), Announce(There, 1), Reconnect"
    );
}

#[test]
fn query_before_resubscription_misses_news() {
    let rules = Rules {
        subscribed_first: false,
        ..SOUND
    };
    assert_eq!(
        without(PROMPT, SHAKY, rules),
        "LoseConnection, Wait(0), Subscribe(0), BeginRound(1), FinishRound(1), QueryHead(0), Commit(There), Announce(There, 1), Reconnect"
    );
}

#[test]
fn resubscribing_without_a_query_misses_news() {
    let rules = Rules {
        query_after_unsubscribing: false,
        ..SOUND
    };
    assert_eq!(
        without(PROMPT, STEADY, rules),
        "Wait(0), Subscribe(0), Disconnect(0), FindIdle, Wait(0), Subscribe(0), EndIdle, QueryHead(0), Commit(There), Announce(There, 1), CheckIdle"
    );
}

#[test]
fn unretried_subscription_leaves_a_wait_without_notices() {
    let rules = Rules {
        retry_subscription: false,
        ..SOUND
    };
    assert_eq!(
        without(PROMPT, SHAKY, rules),
        "LoseConnection, Wait(0), Subscribe(0), Reconnect, BeginRound(1), FinishRound(1), QueryHead(0), Commit(There), Announce(There, 1)"
    );
}

#[test]
fn head_cache_kept_after_a_notice_is_stale() {
    let rules = Rules {
        news_invalidates: false,
        ..SOUND
    };
    assert_eq!(
        without(PROMPT, STEADY, rules),
        "Wait(0), Subscribe(0), BeginRound(0), Commit(Here), DropQueue(Here), FinishRound(0), Wait(0), Disconnect(0), Subscribe(0), UseCachedHead(0)"
    );
}

#[test]
fn head_cache_kept_before_a_subscription_is_stale() {
    let rules = Rules {
        subscription_invalidates: false,
        ..SOUND
    };
    assert_eq!(
        without(PROMPT, STEADY, rules),
        "Wait(0), BeginRound(0), FinishRound(0), Commit(There), Announce(There, 1), Subscribe(0), UseCachedHead(0)"
    );
}

#[test]
fn announcement_before_commit_may_report_a_missing_entry() {
    let rules = Rules {
        commit_first: false,
        ..SOUND
    };
    assert_eq!(
        without(HEAD, STEADY, rules),
        "AnnounceEarly(Here), Wait(0), Announce(Here, 1), Subscribe(0), QueryHead(0), Wake(0)"
    );
}
