//! Pages of any size, from any position, add up to the whole list.

use super::{holds, newcomers};
use crate::support::{Person, id, text};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::Index;
use serde_json::{Value, json};
use tideline::model::page::PAGE_BYTES;

/// An action of one of two users.
#[derive(Clone, Debug)]
enum Act {
    /// Sends this many messages concurrently.
    Say(usize),
    /// Sends this many large messages in sequence; each fills much of a page.
    SayMuch(usize),
    /// Marks as read up to this seq.
    Read(Index),
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop_oneof![
        12 => (1..12_usize).prop_map(Act::Say),
        1 => (1..5_usize).prop_map(Act::SayMuch),
        4 => any::<Index>().prop_map(Act::Read),
    ];
    vec((0..2_usize, act), 0..12)
}

/// The expected history and inboxes.
struct Model {
    messages: Vec<Value>,
    /// Of each: seq, kind, unread, message, read_seq.
    inboxes: [Vec<Value>; 2],
    read: [usize; 2],
}

impl Model {
    fn new() -> Self {
        let made = || vec![json!([1, "conversation", 0, null, null])];
        Self {
            messages: Vec::new(),
            inboxes: [made(), made()],
            read: [0, 0],
        }
    }

    fn deliver(&mut self, to: usize, kind: &str, message: Option<&Value>) {
        let inbox = &mut self.inboxes[to];
        let unread = self.messages.len() - self.read[to];
        let read_seq = message.is_none().then_some(self.read[to]);
        inbox.push(json!([inbox.len() + 1, kind, unread, message, read_seq]));
    }

    fn said(&mut self, by: usize, message: &Value) {
        self.messages.push(message.clone());
        self.read[by] = self.messages.len();
        self.deliver(0, "message", Some(message));
        self.deliver(1, "message", Some(message));
    }

    fn has_read(&mut self, by: usize, seq: usize) {
        if seq > self.read[by] {
            self.read[by] = seq;
            self.deliver(by, "read", None);
        }
    }
}

async fn play(people: &[Person; 2], chat: &str, acts: &[(usize, Act)]) -> Model {
    let mut model = Model::new();
    for (by, act) in acts {
        let person = &people[*by];
        match act {
            Act::Say(count) => {
                let messages: Vec<_> = (0..*count).map(|n| text(&n.to_string())).collect();
                let path = format!("/conversations/{chat}/messages/batch");
                let answer = person.post(&path, json!({"messages": messages})).await;
                for result in answer.ok(200)["results"].as_array().unwrap() {
                    model.said(*by, &result["message"]);
                }
            }
            Act::SayMuch(count) => {
                for _ in 0..*count {
                    let content = json!({"much": "x".repeat(300_000)});
                    let message =
                        json!({"client_msg_id": id(), "kind": "custom", "content": content});
                    let stored = person.post_message(chat, message).await.ok(201);
                    model.said(*by, &stored);
                }
            }
            Act::Read(upto) => {
                let seq = upto.index(model.messages.len() + 1);
                person.read(chat, i64::try_from(seq).unwrap()).await;
                model.has_read(*by, seq);
            }
        }
    }
    model
}

/// A page may be shorter than the limit only when it is large, and it is never empty.
#[track_caller]
fn is_full<'a>(
    page: &'a [Value],
    limit: usize,
    rest: usize,
    message: impl Fn(&'a Value) -> &'a Value,
) {
    let bytes: usize = page
        .iter()
        .map(|one| message(one)["content"].to_string().len())
        .sum();
    let is_large = i64::try_from(bytes).unwrap() >= PAGE_BYTES;
    assert!(
        page.len() == limit.min(rest) || (page.len() < limit && is_large),
        "{} of {rest}, limit {limit}, {bytes} bytes",
        page.len()
    );
}

struct Sizes<'a>(std::iter::Cycle<std::slice::Iter<'a, usize>>);

impl<'a> Sizes<'a> {
    fn of(limits: &'a [usize]) -> Self {
        Self(limits.iter().cycle())
    }

    fn next(&mut self) -> usize {
        *self.0.next().unwrap()
    }
}

/// Reads forward from a seq to the end.
async fn forward(person: &Person, chat: &str, all: &[Value], from: usize, limits: &[usize]) {
    let (mut since, mut sizes) = (from, Sizes::of(limits));
    loop {
        let limit = sizes.next();
        let path = format!("/conversations/{chat}/messages?since_seq={since}&limit={limit}");
        let page = person.get(&path).await.ok(200);
        let messages = page["messages"].as_array().unwrap();
        is_full(messages, limit, all.len() - since, |one| one);
        assert_eq!(messages, &all[since..since + messages.len()]);
        since += messages.len();
        assert_eq!(page["last_seq"], all.len());
        assert_eq!(page["has_more"], since < all.len(), "at {since}");
        if since == all.len() {
            return;
        }
    }
}

/// Reads backward to the beginning, from the newest page or from below a seq.
async fn backward(
    person: &Person,
    chat: &str,
    all: &[Value],
    from: Option<usize>,
    limits: &[usize],
) {
    let (mut bound, mut sizes) = (from, Sizes::of(limits));
    loop {
        let limit = sizes.next();
        let below = bound.map_or(String::new(), |seq| format!("&before_seq={seq}"));
        let path = format!("/conversations/{chat}/messages?limit={limit}{below}");
        let page = person.get(&path).await.ok(200);
        let messages = page["messages"].as_array().unwrap();
        let rest = bound.map_or(all.len(), |seq| seq.saturating_sub(1).min(all.len()));
        is_full(messages, limit, rest, |one| one);
        let begin = rest - messages.len();
        assert_eq!(messages, &all[begin..rest]);
        assert_eq!(page["last_seq"], all.len());
        assert_eq!(page["has_more"], begin > 0, "below {bound:?}");
        if begin == 0 {
            return;
        }
        bound = Some(begin + 1);
    }
}

/// Reads an inbox from a seq to the end.
async fn inbox(person: &Person, chat: &str, all: &[Value], from: usize, limits: &[usize]) {
    let (mut since, mut sizes) = (from, Sizes::of(limits));
    loop {
        let limit = sizes.next();
        let path = format!("/inbox?since_seq={since}&limit={limit}");
        let page = person.get(&path).await.ok(200);
        let entries = page["entries"].as_array().unwrap();
        // The entry of the conversation shows its last message.
        let shown = |one: &'_ Value| match one.get("conversation") {
            Some(_) => "/conversation/last_message",
            None => "/message",
        };
        is_full(entries, limit, all.len() - since, |one| {
            one.pointer(shown(one)).unwrap_or(&Value::Null)
        });
        let received: Vec<_> = entries
            .iter()
            .map(|e| {
                json!([
                    e["seq"],
                    e["kind"],
                    e["unread"],
                    e["message"],
                    e["read_seq"]
                ])
            })
            .collect();
        assert_eq!(received, all[since..since + received.len()]);
        assert!(entries.iter().all(|entry| entry["conversation_id"] == chat));
        since += entries.len();
        assert_eq!(page["next_since_seq"], since);
        assert_eq!(page["last_seq"], all.len());
        assert_eq!(page["has_more"], since < all.len(), "at {since}");
        if since == all.len() {
            return;
        }
    }
}

#[test]
fn concatenated_pages_equal_the_full_list() {
    let limits = || vec(1..40_usize, 1..5);
    let inputs = (acts(), limits(), any::<[Index; 3]>(), 0..2_usize);
    holds(10, inputs, async |app, (acts, limits, starts, reader)| {
        let people = newcomers::<2>(app).await;
        let chat = people[0].direct(&people[1]).await;
        let model = play(&people, &chat, &acts).await;
        let (person, messages) = (&people[reader], model.messages.as_slice());
        let [since, before, position] = starts.map(|start| start.index(messages.len() + 3));
        forward(person, &chat, messages, 0, &limits).await;
        forward(person, &chat, messages, since.min(messages.len()), &limits).await;
        backward(person, &chat, messages, None, &limits).await;
        backward(person, &chat, messages, Some(before), &limits).await;
        for (person, entries) in people.iter().zip(&model.inboxes) {
            inbox(person, &chat, entries, 0, &limits).await;
            inbox(person, &chat, entries, position.min(entries.len()), &limits).await;
        }
    });
}
