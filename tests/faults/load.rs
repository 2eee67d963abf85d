//! The load. Each user has a random generator of their own, made from the seed of the run.

mod media;

use crate::deployment::{Deployment, QUIET};
use crate::history::{Ask, Class, Op};
use crate::support::id;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// The timeout of a wait: longer than the delay of a lost notice, so that a permanent loss shows.
const WAIT: u64 = 9;

struct Actor<'a> {
    deployment: &'a Deployment,
    stop: watch::Receiver<bool>,
    rng: StdRng,
    user: usize,
    device: usize,
    node: usize,
}

/// Runs all users until they are stopped.
pub async fn run(deployment: &Deployment, seed: u64, stop: watch::Receiver<bool>) {
    let actor = |user: usize, device: usize, role: u64| Actor {
        deployment,
        stop: stop.clone(),
        rng: StdRng::seed_from_u64(seed ^ (role << 16 | (user as u64) << 8 | device as u64)),
        user,
        device,
        node: (user + device) % 2,
    };
    let users = 0..deployment.people.len();
    let readers = users
        .clone()
        .flat_map(|user| [0, 1].map(|device| (user, device)));
    let readers = join_all(readers.map(|(user, device)| actor(user, device, 1).read_on()));
    let talkers = join_all(users.map(|user| actor(user, user % 2, 2).talk()));
    let groups = deployment.cast.chats.iter().enumerate();
    let groups = groups.filter(|(_, chat)| !chat.guests.is_empty());
    let doors = join_all(groups.map(|(chat, it)| actor(it.members[0], 0, 3).keep_the_door(chat)));
    let checks = join_all([0, 1].map(|node| actor(node, 1, 4).check_health()));
    tokio::join!(readers, talkers, doors, checks);
}

impl Actor<'_> {
    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        let time = self.rng.random_range(milliseconds);
        tokio::time::sleep(Duration::from_millis(time)).await;
    }

    async fn ask(&self, ask: Ask) -> Op {
        self.deployment
            .ask(self.user, self.device, self.node, ask)
            .await
    }

    /// Switches to the other node after a moment, as a client does whose request failed.
    async fn turn_away(&mut self) {
        self.pause(30..200).await;
        self.node = 1 - self.node;
    }

    /// A device in sync: wait, fetch until there is no more, read what has moved, wait.
    async fn read_on(mut self) {
        let chats = self.deployment.cast.chats.iter().enumerate();
        let large = chats.filter(|(_, chat)| chat.large && chat.knows(self.user));
        let mut seen: BTreeMap<usize, i64> = large.map(|(chat, _)| (chat, 0)).collect();
        let mut since = 0;
        while !self.stopped() {
            let mut stop = self.stop.clone();
            let ask = Ask::Wait {
                since,
                timeout: WAIT,
                watch: seen.iter().map(|(chat, seq)| (*chat, *seq)).collect(),
            };
            let wait = tokio::select! {
                op = self.ask(ask) => op,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            // The head of the watched conversation went back with the epoch.
            if wait.body["resync"].is_string() {
                seen.values_mut().for_each(|seq| *seq = 0);
                continue;
            }
            if !wait.is_ok() || wait.body["reconnect"] == true {
                self.turn_away().await;
                continue;
            }
            while !self.stopped() {
                let page = self.ask(Ask::Fetch { since }).await;
                if page.body["resync"].is_string() {
                    let listed = self.ask(Ask::List).await;
                    since = listed.body["inbox_seq"].as_i64().unwrap_or(since);
                    continue;
                }
                if !page.is_ok() {
                    self.turn_away().await;
                    continue;
                }
                since = page.body["next_since_seq"].as_i64().unwrap_or(since);
                if page.body["has_more"] == false {
                    break;
                }
            }
            let moved = wait.body["watched"].as_array();
            let id = |chat: usize| self.deployment.cast.chats[chat].id.as_str();
            let moved = |chat| {
                moved.is_some_and(|all| all.iter().any(|one| one["conversation_id"] == id(chat)))
            };
            let moved: Vec<usize> = seen.keys().copied().filter(|chat| moved(*chat)).collect();
            for chat in moved {
                self.catch_up(chat, seen.entry(chat).or_default()).await;
            }
            // Sometimes on the other node, so that devices use both.
            if self.rng.random_bool(0.05) {
                self.node = 1 - self.node;
            }
        }
    }

    /// Reads the messages of a conversation with read fan-out after the last seen seq.
    async fn catch_up(&mut self, chat: usize, seen: &mut i64) {
        while !self.stopped() {
            let page = self.ask(Ask::Read { chat, since: *seen }).await;
            if page.body["resync"].is_string() {
                *seen = 0;
            }
            if !page.is_ok() {
                self.turn_away().await;
                continue;
            }
            let last = page.body["messages"].as_array().and_then(|all| all.last());
            *seen = last.and_then(|one| one["seq"].as_i64()).unwrap_or(*seen);
            if page.body["has_more"] == false {
                return;
            }
        }
    }

    /// Health checks, as a load balancer makes them.
    async fn check_health(mut self) {
        self.node = self.user;
        while !self.stopped() {
            self.ask(Ask::Live).await;
            self.pause(200..600).await;
        }
    }

    async fn talk(mut self) {
        let cast = &self.deployment.cast;
        let mine: Vec<usize> = (0..cast.chats.len())
            .filter(|n| cast.chats[*n].knows(self.user))
            .collect();
        let quiet = QUIET.contains(&self.user);
        let mut count = 0;
        while !self.stopped() {
            self.pause(if quiet { 200..2_500 } else { 10..70 }).await;
            let chat = mine[self.rng.random_range(0..mine.len())];
            let seen = self.deployment.heads[chat].load(Ordering::Relaxed);
            let is_guest = cast.chats[chat].guests.contains(&self.user);
            match self.rng.random_range(0..100) {
                0..53 => self.send(chat, 1, &mut count).await,
                53..55 => self.share(chat, &mut count).await,
                55..65 => {
                    let size = self.rng.random_range(2..7);
                    self.send(chat, size, &mut count).await;
                }
                65..80 if seen > 0 && !is_guest => {
                    let seq = self.rng.random_range((seen - 20).max(1)..=seen);
                    self.ask(Ask::Mark { chat, seq }).await;
                }
                80..88 => drop(self.ask(Ask::Unread).await),
                88..94 => {
                    let since = self.rng.random_range((seen - 40).max(0)..=seen);
                    self.ask(Ask::Read { chat, since }).await;
                }
                94..95 => self.download().await,
                95..97 => {
                    let canary = self.rng.random_range(0..cast.chats.len());
                    self.ask(Ask::Search { canary }).await;
                }
                // A conversation of other users.
                _ => {
                    let chat = self.rng.random_range(0..cast.chats.len());
                    self.ask(Ask::Peek { chat }).await;
                }
            }
            if self.rng.random_bool(0.02) {
                self.node = 1 - self.node;
            }
        }
    }

    /// Sends. A send of unknown outcome is mostly repeated until it is known, on alternating nodes. Sometimes it is left open
    /// until the end of the run.
    async fn send(&mut self, chat: usize, size: usize, count: &mut u64) {
        let canary = &self.deployment.cast.chats[chat].canary;
        let messages = (0..size)
            .map(|_| {
                *count += 1;
                (id(), format!("{canary} {} {count}", self.user))
            })
            .collect();
        let file = None;
        self.post(Ask::Send {
            chat,
            messages,
            file,
        })
        .await;
    }

    async fn post(&mut self, ask: Ask) {
        loop {
            let op = self.ask(ask.clone()).await;
            for message in op.acknowledged() {
                let seq = message["seq"].as_i64().unwrap_or(0);
                let chat = ask.chat().unwrap_or_default();
                self.deployment.heads[chat].fetch_max(seq, Ordering::Relaxed);
                if message["kind"] == "file" {
                    self.deployment.files.lock().unwrap().push((chat, seq));
                }
            }
            // Sometimes a send is repeated although its answer arrived.
            let again = is_open(&op) || self.rng.random_bool(0.03);
            if !again || op.class() == Class::Fail || self.stopped() || self.rng.random_bool(0.1) {
                return;
            }
            self.turn_away().await;
        }
    }

    /// Adds and removes the guests of a group, one after the other.
    async fn keep_the_door(mut self, chat: usize) {
        let guests = &self.deployment.cast.chats[chat].guests;
        while !self.stopped() {
            let guest = guests[self.rng.random_range(0..guests.len())];
            self.persist(Ask::Add { chat, guest }).await;
            self.pause(100..1_200).await;
            let owner = self.user;
            if self.rng.random_bool(0.8) {
                // Removed by the owner, or leaving.
                if self.rng.random_bool(0.5) {
                    self.user = guest;
                }
                self.persist(Ask::Remove { chat, guest }).await;
                self.user = guest;
                self.ask(Ask::Peek { chat }).await;
                self.ask(Ask::Read { chat, since: 0 }).await;
                self.user = owner;
            }
            self.pause(50..600).await;
        }
    }

    /// Repeats a request until its outcome is known, or the run is over. Returns the last answer.
    async fn persist(&mut self, ask: Ask) -> Op {
        loop {
            let op = self.ask(ask.clone()).await;
            if op.class() != Class::Unknown || self.stopped() {
                return op;
            }
            self.turn_away().await;
        }
    }
}

/// Whether it is a send whose outcome is not known completely.
pub fn is_open(op: &Op) -> bool {
    let later = |one: &Value| one["problem"]["status"] == 503;
    let results = op.body["results"].as_array();
    op.class() == Class::Unknown || op.is_ok() && results.is_some_and(|all| all.iter().any(later))
}
