//! Paging while the list changes, and forged cursors.

use super::{holds, newcomers};
use crate::support::{App, Person};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use std::collections::HashSet;

/// The peers of one case; some of them have a conversation when the paging begins.
const PEERS: usize = 9;

/// One person and their conversations, in the order in which they were opened.
struct Hub {
    person: Person,
    peers: [Person; PEERS],
    chats: Vec<String>,
}

impl Hub {
    async fn with(app: &App, count: usize) -> Self {
        let [person] = newcomers(app).await;
        let mut hub = Self {
            person,
            peers: newcomers(app).await,
            chats: Vec::new(),
        };
        for _ in 0..count {
            hub.open().await;
        }
        hub
    }

    async fn open(&mut self) {
        if let Some(peer) = self.peers.get(self.chats.len()) {
            self.chats.push(peer.direct(&self.person).await);
        }
    }

    async fn page(&self, order: &str, limit: usize, cursor: Option<&str>) -> Value {
        let cursor = cursor.map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let path = format!("/conversations?order={order}&limit={limit}{cursor}");
        self.person.get(&path).await.ok(200)
    }
}

fn ids(page: &Value) -> Vec<String> {
    let list = page["conversations"].as_array().unwrap();
    list.iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

/// A change between two pages.
#[derive(Clone, Debug)]
enum Happening {
    /// A message in one of the conversations, from either side.
    Message(Index, bool),
    /// A new conversation.
    Open,
}

#[test]
fn paging_a_changing_list_skips_and_repeats_nothing() {
    let happening = prop_oneof![
        4 => (any::<Index>(), any::<bool>()).prop_map(|(chat, own)| Happening::Message(chat, own)),
        1 => Just(Happening::Open),
    ];
    let inputs = (
        select(&["id", "activity"][..]),
        0..=PEERS,
        vec((1..5_usize, vec(happening, 0..4)), 1..6),
    );
    holds(20, inputs, async |app, (order, count, pages)| {
        let mut hub = Hub::with(app, count).await;
        let before: Vec<_> = hub.chats.clone();
        let head = hub.person.head().await;
        let (mut seen, mut times, mut touched) = (Vec::new(), Vec::new(), HashSet::new());
        let mut cursor: Option<String> = None;
        for (limit, happenings) in pages.iter().cycle() {
            let page = hub.page(order, *limit, cursor.as_deref()).await;
            assert_eq!(page["inbox_seq"], head, "as of before the first page");
            for chat in ids(&page) {
                assert!(!seen.contains(&chat), "{chat} again after {seen:?}");
                seen.push(chat);
            }
            for one in page["conversations"].as_array().unwrap() {
                times.push(one["updated_at"].as_str().unwrap().to_owned());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
            assert_eq!(ids(&page).len(), *limit);
            for happening in happenings {
                match happening {
                    Happening::Message(chat, own) => {
                        let at = chat.index(hub.chats.len());
                        let sender = if *own { &hub.person } else { &hub.peers[at] };
                        sender.send(&hub.chats[at], "meanwhile").await;
                        touched.insert(hub.chats[at].clone());
                    }
                    Happening::Open => hub.open().await,
                }
            }
        }
        assert!(seen.iter().all(|chat| hub.chats.contains(chat)));
        if order == "id" {
            assert!(seen.is_sorted(), "{seen:?}");
            // Conversations that did not move are seen exactly once.
            touched.clear();
        } else {
            assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
        }
        for chat in before.iter().filter(|chat| !touched.contains(*chat)) {
            assert!(seen.contains(chat), "missed {chat} of {before:?}");
        }
    });
}

/// A change to a valid cursor.
#[derive(Clone, Debug)]
enum Harm {
    /// Arbitrary bytes.
    Replaced(String),
    /// A prefix.
    Cut(Index),
    /// One flipped bit.
    Flipped(Index, u8),
    /// One flipped bit of the decoded text.
    FlippedInside(Index, u8),
    /// One member with another value.
    Set(&'static str, Value),
    /// Used with the other order.
    OtherOrder,
    /// Used by another user.
    Borrowed,
}

fn harms() -> impl Strategy<Value = Harm> {
    let number = prop_oneof![any::<i64>(), select(&[i64::MIN, -1, 0, i64::MAX][..])];
    let member = select(&["order", "inbox_seq", "after", "updated_us"][..]);
    let value = prop_oneof![
        6 => number.prop_map(|n| json!(n)),
        1 => any::<u128>().prop_map(|n| json!(uuid::Uuid::from_u128(n))),
        1 => Just(Value::Null),
    ];
    prop_oneof![
        2 => any::<String>().prop_map(Harm::Replaced),
        2 => any::<Index>().prop_map(Harm::Cut),
        2 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Harm::Flipped(at, bit)),
        3 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Harm::FlippedInside(at, bit)),
        4 => (member, value).prop_map(|(member, value)| Harm::Set(member, value)),
        1 => Just(Harm::OtherOrder),
        1 => Just(Harm::Borrowed),
    ]
}

impl Harm {
    /// The changed cursor.
    fn done_to(&self, cursor: &str) -> Vec<u8> {
        let flip = |mut bytes: Vec<u8>, at: &Index, bit: u8| {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes
        };
        let inside = BASE64.decode(cursor).unwrap();
        match self {
            Self::Replaced(other) => other.clone().into_bytes(),
            Self::Cut(at) => cursor.as_bytes()[..at.index(cursor.len())].to_vec(),
            Self::Flipped(at, bit) => flip(cursor.into(), at, *bit),
            Self::FlippedInside(at, bit) => BASE64.encode(flip(inside, at, *bit)).into(),
            Self::Set(member, value) => {
                let mut members: Value = serde_json::from_slice(&inside).unwrap();
                members[*member] = value.clone();
                BASE64.encode(members.to_string()).into()
            }
            Self::OtherOrder | Self::Borrowed => cursor.into(),
        }
    }
}

#[test]
fn forged_cursors_are_rejected_or_harmless() {
    let orders = &[("id", "activity"), ("activity", "id")][..];
    let inputs = (select(orders), vec(harms(), 1..12));
    holds(20, inputs, async |app, ((order, other), harms)| {
        let (hub, stranger) = (Hub::with(app, 3).await, Hub::with(app, 2).await);
        let cursor = hub.page(order, 1, None).await["next_cursor"].clone();
        // A regression: this returned 500.
        let found = Harm::Set("updated_us", json!(-210_866_803_200_000_001_i64));
        for harm in harms.iter().chain([&found]) {
            let bytes = harm.done_to(cursor.as_str().unwrap());
            let cursor: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
            let whose = match harm {
                Harm::Borrowed => &stranger,
                _ => &hub,
            };
            let order = match harm {
                Harm::OtherOrder => other,
                _ => order,
            };
            let path = format!("/conversations?order={order}&cursor={cursor}");
            let answer = whose.person.get(&path).await;
            let must_fail = matches!(harm, Harm::Cut(_) | Harm::OtherOrder);
            if answer.status == 200 && !must_fail {
                let shown = ids(&answer.body);
                assert!(shown.iter().all(|id| whose.chats.contains(id)), "{harm:?}");
            } else {
                answer.problem(400, "validation");
            }
        }
    });
}
