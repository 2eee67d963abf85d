//! Judges a run: a pure function of what the clients saw and of what can be read in the end. It knows the contract and
//! nothing of the server. Each broken guarantee has a name here, and `seeded_defects.rs` proves that each is detected.

mod answers;
mod archive;
mod counts;
mod inbox;
mod live;
mod media;
mod privacy;
mod search;

use crate::history::{Ask, Cast, File, History, Micros, Outcome};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

pub use answers::{back_after, wakes};

/// A broken guarantee, by name, with details.
#[derive(Clone, Debug)]
pub struct Violation {
    pub name: &'static str,
    pub what: String,
}

/// At most this many violations of one name are reported.
const MAX_REPORTED: usize = 5;

/// All violations of a run.
pub fn check(history: &History) -> Vec<Violation> {
    let world = World::of(history);
    let mut found = Found::default();
    archive::check(&world, &mut found);
    inbox::check(&world, &mut found);
    live::check(&world, &mut found);
    counts::check(&world, &mut found);
    privacy::check(&world, &mut found);
    search::check(&world, &mut found);
    media::check(&world, &mut found);
    answers::check(&world, &mut found);
    for bug in &history.bugs {
        found.add("bug", || bug.clone());
    }
    found.all
}

#[derive(Default)]
struct Found {
    all: Vec<Violation>,
    counts: HashMap<&'static str, usize>,
}

impl Found {
    fn add(&mut self, name: &'static str, what: impl FnOnce() -> String) {
        let count = self.counts.entry(name).or_default();
        *count += 1;
        if *count <= MAX_REPORTED {
            self.all.push(Violation { name, what: what() });
        }
    }

    /// Adds a violation unless this holds.
    fn unless(&mut self, holds: bool, name: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.add(name, what);
        }
    }
}

/// What is known of one message, from all its attempts.
struct Sent<'a> {
    chat: usize,
    user: usize,
    text: &'a str,
    file: Option<&'a File>,
    first_invoked: Micros,
    first_acknowledged: Option<Micros>,
    /// The first answer.
    answer: Option<&'a Value>,
}

/// The history, indexed for the checks.
struct World<'a> {
    history: &'a History,
    cast: &'a Cast,
    /// The index of a conversation in the cast, by its id.
    chats: HashMap<&'a str, usize>,
    users: HashMap<&'a str, usize>,
    /// The messages of each conversation, as its first member reads them.
    archives: Vec<Vec<&'a Value>>,
    /// By `client_msg_id`.
    sends: BTreeMap<&'a str, Sent<'a>>,
    /// For each user and conversation: the seqs that belong in that inbox, in order. The source is the inbox of the first
    /// member, which has each message and each change of members in order.
    belongs: Vec<Vec<Vec<i64>>>,
    /// For each user: the head of the inbox when this epoch began, and the counts as of then.
    bases: Vec<i64>,
    counts: Vec<BTreeMap<&'a str, i64>>,
    /// For each user: the sum of the unread counts after each entry of the inbox, computed from the entries.
    totals: Vec<Vec<i64>>,
}

impl<'a> World<'a> {
    fn of(history: &'a History) -> Self {
        let cast = &history.cast;
        let ids = |all: Vec<&'a str>| all.into_iter().enumerate().map(|(n, id)| (id, n)).collect();
        let mut world = Self {
            history,
            cast,
            chats: ids(cast.chats.iter().map(|chat| chat.id.as_str()).collect()),
            users: ids(cast.users.iter().map(String::as_str).collect()),
            archives: Vec::new(),
            sends: sends(history),
            belongs: vec![vec![Vec::new(); cast.chats.len()]; cast.users.len()],
            bases: vec![0; cast.users.len()],
            counts: vec![BTreeMap::new(); cast.users.len()],
            totals: Vec::new(),
        };
        for (user, start) in history.starts.iter().enumerate() {
            world.bases[user] = start.head();
            for one in &start.conversations {
                let id = one["id"].as_str().unwrap_or_default();
                if one["fanout"] != "read" {
                    world.counts[user].insert(id, int(&one["me"]["unread"]));
                }
            }
        }
        let outcomes = history.outcomes.iter().zip(&world.counts);
        let is_large = |id: &Value| {
            let chat = world.chat(id);
            chat.is_some_and(|chat| cast.chats[chat].large)
        };
        world.totals = outcomes
            .map(|(outcome, counts)| totals(&outcome.inbox, counts, is_large))
            .collect();
        for (chat, it) in cast.chats.iter().enumerate() {
            let archive = world.archive_of(it.members[0], chat);
            world.archives.push(archive);
            world.project(chat);
        }
        world
    }

    /// The messages of a conversation, as a user reads them in the end.
    fn archive_of(&self, user: usize, chat: usize) -> Vec<&'a Value> {
        self.archive_at(&self.history.outcomes[user], chat)
            .unwrap_or_default()
    }

    /// The same at the beginning of the epoch; nothing if the user was not a member or nothing was there.
    fn first_archive_of(&self, user: usize, chat: usize) -> Option<Vec<&'a Value>> {
        self.archive_at(self.history.starts.get(user)?, chat)
    }

    /// The entry of this seq in a user's inbox.
    fn entry(&self, user: usize, seq: i64) -> Option<&'a Value> {
        let at = usize::try_from(seq - self.bases[user] - 1).ok()?;
        self.history.outcomes[user].inbox.get(at)
    }

    fn archive_at(&self, outcome: &'a Outcome, chat: usize) -> Option<Vec<&'a Value>> {
        let mut listed = outcome.conversations.iter().zip(&outcome.archives);
        let found = listed.find(|(one, _)| one["id"] == self.cast.chats[chat].id.as_str());
        found.map(|(_, archive)| archive.iter().collect())
    }

    fn project(&mut self, chat: usize) {
        let it = &self.cast.chats[chat];
        if it.large {
            // All members read it from the archive.
            let before = self.first_archive_of(it.members[0], chat);
            let before = before.map_or(0, |all| all.len());
            let seqs = self.archives[chat].iter().skip(before);
            let seqs: Vec<_> = seqs.map(|one| int(&one["seq"])).collect();
            for user in &it.members {
                self.belongs[*user][chat].clone_from(&seqs);
            }
            return;
        }
        let mut present = vec![false; self.cast.users.len()];
        for (user, present) in present.iter_mut().enumerate() {
            let was_in = self.first_archive_of(user, chat).is_some();
            *present = it.members.contains(&user) || was_in;
        }
        for entry in &self.history.outcomes[it.members[0]].inbox {
            if entry["conversation_id"] != it.id.as_str() {
                continue;
            }
            match entry["kind"].as_str() {
                Some("message") => {
                    let seq = int(&entry["message"]["seq"]);
                    for user in (0..present.len()).filter(|user| present[*user]) {
                        self.belongs[user][chat].push(seq);
                    }
                }
                Some("members") => {
                    for (name, is_in) in [("added", true), ("removed", false)] {
                        for id in list(&entry[name]).iter().filter_map(Value::as_str) {
                            if let Some(user) = self.users.get(id) {
                                present[*user] = is_in;
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The conversations of a user with read fan-out.
    fn large_of(&self, user: usize) -> impl Iterator<Item = usize> {
        let chats = self.cast.chats.iter().enumerate();
        chats.filter_map(move |(chat, it)| (it.large && it.knows(user)).then_some(chat))
    }

    fn chat(&self, value: &Value) -> Option<usize> {
        value.as_str().and_then(|id| self.chats.get(id)).copied()
    }
}

fn sends(history: &History) -> BTreeMap<&str, Sent<'_>> {
    let mut sends = BTreeMap::new();
    for op in &history.ops {
        let Ask::Send {
            chat,
            messages,
            file,
        } = &op.ask
        else {
            continue;
        };
        for (id, text) in messages {
            let sent = sends.entry(id.as_str()).or_insert(Sent {
                chat: *chat,
                user: op.user,
                text,
                file: file.as_ref().map(|(_, file)| file),
                first_invoked: op.invoked,
                first_acknowledged: None,
                answer: None,
            });
            sent.first_invoked = sent.first_invoked.min(op.invoked);
        }
        for message in op.acknowledged() {
            let id = message["client_msg_id"].as_str().unwrap_or_default();
            if let Some(sent) = sends.get_mut(id)
                && sent.first_acknowledged.is_none_or(|at| op.answered < at)
            {
                sent.first_acknowledged = Some(op.answered);
                sent.answer = Some(message);
            }
        }
    }
    sends
}

/// No entry carries messages of conversations with read fan-out, so their counts are left out.
fn totals(
    inbox: &[Value],
    first: &BTreeMap<&str, i64>,
    is_large: impl Fn(&Value) -> bool,
) -> Vec<i64> {
    let (mut counts, mut total) = (first.clone(), first.values().sum());
    let mut totals = vec![total];
    for entry in inbox {
        if is_large(&entry["conversation_id"]) {
            totals.push(total);
            continue;
        }
        let unread = int(&entry["unread"]);
        let before = counts.insert(
            entry["conversation_id"].as_str().unwrap_or_default(),
            unread,
        );
        total += unread - before.unwrap_or(0);
        totals.push(total);
    }
    totals
}

/// A number; -1, which is never expected, for anything else.
fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or(-1)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
