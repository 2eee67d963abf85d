//! A device's copy of all data, kept in sync by the steps of the contract alone.

use crate::support::{Answer, Person};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub struct Client {
    pub person: Person,
    /// The position in the inbox.
    pub since: i64,
    /// Whether it sends the epoch of its position.
    pub minds_epochs: bool,
    epoch: String,
    /// Its conversations, with their messages by seq.
    pub chats: BTreeMap<String, Chat>,
    /// Its resyncs, by problem code.
    pub restarts: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Chat {
    pub messages: BTreeMap<i64, Value>,
    pub unread: i64,
    pub title: Value,
    /// It has read fan-out, so it is watched.
    pub large: bool,
    /// The last seq that it has, or where it joined.
    last: i64,
}

impl Client {
    pub async fn start(person: &Person) -> Self {
        let mut client = Self {
            person: person.clone(),
            since: 0,
            minds_epochs: true,
            epoch: String::new(),
            chats: BTreeMap::new(),
            restarts: Vec::new(),
        };
        client.start_over().await;
        client
    }

    /// Steps 1 and 2: list the conversations, read history from the own last seq, continue from the position of the first page.
    /// In another epoch the own seqs are invalid.
    async fn start_over(&mut self) {
        let (mut cursor, mut position, mut listed) = (String::new(), None, BTreeMap::new());
        loop {
            let path = format!("/conversations?order=id&limit=3{cursor}");
            let page = self.person.get(&path).await.ok(200);
            let epoch = page["epoch"].as_str().unwrap().to_owned();
            position.get_or_insert((page["inbox_seq"].as_i64().unwrap(), epoch));
            for one in page["conversations"].as_array().unwrap() {
                listed.insert(one["id"].as_str().unwrap().to_owned(), one.clone());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let (since, epoch) = position.unwrap();
        if epoch != self.epoch {
            self.chats.clear();
        }
        (self.since, self.epoch) = (since, epoch);
        self.chats.retain(|id, _| listed.contains_key(id));
        for (id, one) in listed {
            let chat = self.chats.entry(id.clone()).or_default();
            chat.show(&one);
            self.read_history(&id).await;
        }
    }

    /// Reads a conversation after the own last seq. A former member learns of the removal from the inbox.
    async fn read_history(&mut self, id: &str) {
        loop {
            let chat = self.chats.get_mut(id).unwrap();
            let path = format!(
                "/conversations/{id}/messages?since_seq={}&limit=7",
                chat.last
            );
            let page = self.person.get(&path).await;
            if page.status == 404 {
                return;
            }
            let page = page.ok(200);
            for message in page["messages"].as_array().unwrap() {
                chat.keep(message);
            }
            if page["has_more"] == false {
                return;
            }
        }
    }

    /// Step 3, with a wait: conversations with read fan-out are watched, and read when they move.
    pub async fn turn(&mut self, timeout: u64) {
        let mut path = format!("/notices?since_seq={}&timeout={timeout}", self.since);
        for (id, chat) in self.chats.iter().filter(|(_, chat)| chat.large) {
            path += &format!("&watch={id}:{}", chat.last);
        }
        let notice = self.person.get(&path).await;
        if notice.status == 404 {
            // No longer a member of one of them: the inbox says which.
            return self.sync().await;
        }
        let notice = notice.ok(200);
        if notice["news"] == true {
            self.sync().await;
        }
        for moved in notice["watched"].as_array().unwrap() {
            let id = moved["conversation_id"].as_str().unwrap();
            if self.chats.contains_key(id) {
                self.read_history(id).await;
            }
        }
    }

    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    async fn fetch(&self) -> Answer {
        let epoch = match self.minds_epochs {
            true => format!("&epoch={}", self.epoch),
            false => String::new(),
        };
        let path = format!("/inbox?since_seq={}&limit=9{epoch}", self.since);
        self.person.get(&path).await
    }

    /// Step 3, once: fetch until there is no more, with a resync where needed.
    pub async fn sync(&mut self) {
        loop {
            let answer = self.fetch().await;
            if answer.status != 200 {
                let code = answer.body["code"].as_str().unwrap().to_owned();
                let known = ["inbox_trimmed", "cursor_ahead", "epoch_changed"];
                assert!(known.contains(&code.as_str()), "{}", answer.body);
                assert_eq!(answer.body["resync"], "/v1/conversations");
                self.restarts.push(code);
                self.start_over().await;
                continue;
            }
            for entry in answer.body["entries"].as_array().unwrap() {
                assert_eq!(entry["seq"], self.since + 1, "without a hole");
                self.since += 1;
                self.apply(entry);
            }
            assert_eq!(answer.body["next_since_seq"], self.since);
            if answer.body["has_more"] == false {
                return;
            }
        }
    }

    fn apply(&mut self, entry: &Value) {
        let id = entry["conversation_id"].as_str().unwrap();
        if entry["kind"] == "conversation" && entry["conversation"].is_null() {
            self.chats.remove(id);
            return;
        }
        let chat = self.chats.entry(id.to_owned()).or_default();
        chat.unread = entry["unread"].as_i64().unwrap();
        match entry["kind"].as_str().unwrap() {
            "conversation" => chat.show(&entry["conversation"]),
            "message" => chat.keep(&entry["message"]),
            _ => {}
        }
    }

    /// Asserts that the copy equals the data of the server.
    pub async fn check(&self) {
        let unread = self.person.unread().await;
        let mut counts = BTreeMap::new();
        for one in unread["conversations"].as_array().unwrap() {
            counts.insert(
                one["conversation_id"].as_str().unwrap().to_owned(),
                one["unread"].clone(),
            );
        }
        let listed = self
            .person
            .get("/conversations?order=id&limit=500")
            .await
            .ok(200);
        let listed = listed["conversations"].as_array().unwrap();
        assert_eq!(listed.len(), self.chats.len());
        for one in listed {
            let id = one["id"].as_str().unwrap();
            let chat = &self.chats[id];
            let count = counts.get(id).cloned().unwrap_or(json!(0));
            assert_eq!(count, one["me"]["unread"]);
            // No entry carries messages and titles of a conversation with read fan-out.
            assert_eq!(chat.large, one["fanout"] == "read");
            if !chat.large {
                assert_eq!(chat.title, one["title"]);
                assert_eq!(json!(chat.unread), count);
            }
            let joined = one["me"]["joined_seq"].as_i64().unwrap();
            let seqs: Vec<_> = chat.messages.keys().copied().collect();
            let all: Vec<_> = (joined + 1..=one["last_seq"].as_i64().unwrap()).collect();
            assert_eq!(seqs, all, "{id}: every message, once, in order");
            let mut there = self.person.history(id, 0).await;
            there.truncate(500);
            for message in there {
                assert_eq!(chat.messages[&message["seq"].as_i64().unwrap()], message);
            }
        }
    }
}

impl Chat {
    fn show(&mut self, conversation: &Value) {
        self.unread = conversation["me"]["unread"].as_i64().unwrap();
        self.title = conversation["title"].clone();
        self.large = conversation["fanout"] == "read";
        let joined = conversation["me"]["joined_seq"].as_i64().unwrap();
        self.last = self.last.max(joined);
    }

    /// Keeps the next message, and skips known ones, since history and inbox overlap.
    fn keep(&mut self, message: &Value) {
        let seq = message["seq"].as_i64().unwrap();
        if seq > self.last {
            assert_eq!(seq, self.last + 1, "without a hole: {message}");
            self.last = seq;
            self.messages.insert(seq, message.clone());
        }
    }
}
