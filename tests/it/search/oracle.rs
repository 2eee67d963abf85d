//! Searches against a model that reads everything the caller may see: under random changes, and whatever the index has.

use super::words::results;
use crate::support::{App, Person, eventually, id, number};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tideline::engine::search::query::Terms;

const WORDS: [&str; 12] = [
    "ferry",
    "harbour",
    "noon",
    "the",
    "The",
    "上海",
    "海",
    "東京カメラ",
    "don't",
    "a",
    "straße",
    "ab",
];

const QUERIES: [&str; 16] = [
    "ferry",
    "the",
    "harb*",
    "ferry noon",
    "\"the ferry\"",
    "ferry -noon",
    "上海",
    "海",
    "カメラ",
    "don't",
    "a",
    "strasse",
    "上海 -the",
    "ferr",
    "nowhere",
    "\"上海 海\"",
];

/// How far the index is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Index {
    Off,
    On,
    /// It stops in the middle.
    Stopped,
}

fn words(random: &mut StdRng) -> String {
    let count = random.random_range(1..6);
    let words: Vec<_> = (0..count).map(|_| *WORDS.choose(random).unwrap()).collect();
    words.join(*[" ", ", ", ""].choose(random).unwrap())
}

/// The keys of the messages that match, in all conversations that a person sees.
async fn expected(person: &Person, chats: &[String], q: &str) -> BTreeSet<(String, i64)> {
    let terms = Terms::parse(q).unwrap();
    let mut keys = BTreeSet::new();
    for chat in chats {
        if person.conversation(chat).await.status != 200 {
            continue;
        }
        let mut since = 0;
        loop {
            let path = format!("/conversations/{chat}/messages?since_seq={since}&limit=500");
            let page = person.get(&path).await.ok(200);
            for message in page["messages"].as_array().unwrap() {
                since = message["seq"].as_i64().unwrap();
                let text = message["content"]["text"].as_str();
                if text.is_some_and(|text| terms.find(text).is_some()) {
                    keys.insert((chat.clone(), since));
                }
            }
            if page["has_more"] == json!(false) {
                break;
            }
        }
    }
    keys
}

async fn compare(person: &Person, chats: &[String], random: &mut StdRng, context: &str) {
    for q in QUERIES.sample(random, 4) {
        let limit = ["1", "3", "20", "50"].choose(random).unwrap();
        let limit = if *q == "the" && *limit == "1" {
            "50"
        } else {
            limit
        };
        let found = results(person, &[("q", q), ("limit", limit)]).await;
        let key = |one: &Value| {
            let message = &one["message"];
            let chat = message["conversation_id"].as_str().unwrap().to_owned();
            (chat, message["seq"].as_i64().unwrap())
        };
        let keys: BTreeSet<_> = found.iter().map(key).collect();
        assert_eq!(keys.len(), found.len(), "{context}: {q}: found twice");
        assert_eq!(
            keys,
            expected(person, chats, q).await,
            "{context}: {q}, {limit} a page"
        );
        let at = |one: &Value| one["message"]["created_at"].as_str().unwrap().to_owned();
        assert!(
            found.is_sorted_by(|one, next| at(one) >= at(next)),
            "{context}: {q}: order"
        );
    }
}

async fn run(seed: u64, index: Index) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut app = App::configured(|config| {
        config.index_pause = (index != Index::Off).then(|| Duration::from_millis(10));
        config.edit_seconds = -1;
        config.recall_seconds = -1;
    })
    .await;
    let people = app.people(["ann", "ben", "cem"]).await;
    let [ann, ben, cem] = &people;
    app.add_node().await;
    let chats = vec![
        ann.direct(ben).await,
        ann.group(&[ben, cem]).await,
        ann.group(&[ben]).await,
    ];
    let context = format!("seed {seed}, index {index:?}");
    let mut conn = app.database();
    let mut blocks = || number(&mut conn, "SELECT count(*) AS n FROM search_blocks");
    // A block at least, before the nodes that index are stopped.
    for _ in 0..32 {
        ann.send(&chats[0], &words(&mut random)).await;
    }
    if index != Index::Off {
        let some = async || blocks();
        eventually("a block", Duration::from_secs(20), some, |n| *n > 0).await;
    }
    for step in 0..30 {
        if step == 15 && index == Index::Stopped {
            // The other nodes index no more.
            let mut config = app.config.clone();
            config.index_pause = None;
            app.add_node_with(config).await;
            for node in app.nodes.drain(..2) {
                node.stop().await.unwrap();
            }
        }
        let url = format!(
            "http://{}",
            app.nodes[random.random_range(0..app.nodes.len())].address
        );
        let people = [ann.at(&url), ben.at(&url), cem.at(&url)];
        let [ann, ben, cem] = &people;
        let chat = chats.choose(&mut random).unwrap();
        let last = ann.conversation(chat).await.ok(200)["last_seq"]
            .as_i64()
            .unwrap();
        let seq = random.random_range(1..=last.max(1));
        let path = format!("/conversations/{chat}/messages/{seq}");
        match random.random_range(0..12) {
            0..5 => {
                let count = *[1, 5, 40, 70].choose(&mut random).unwrap();
                let message = |random: &mut StdRng| json!({"client_msg_id": id(), "kind": "text", "content": {"text": words(random)}});
                let messages: Vec<_> = (0..count).map(|_| message(&mut random)).collect();
                let batch = json!({"messages": messages});
                ann.post(&format!("/conversations/{chat}/messages/batch"), batch)
                    .await
                    .ok(200);
            }
            5..8 => {
                let found = ann.get(&path).await;
                let version = found.body["version"].as_i64().unwrap_or(1);
                let change = json!({"version": version, "content": {"text": words(&mut random)}});
                // Of others, or gone: refused.
                ann.patch(&path, change).await;
            }
            8 => drop(ann.call("DELETE", &path).await),
            9 => drop(
                ben.put(
                    &format!("/conversations/{chat}/hidden"),
                    json!({"seqs": [seq]}),
                )
                .await,
            ),
            10 => drop(ann.remove(&chats[1], cem).await),
            _ => drop(ann.add(&chats[1], &[cem]).await),
        }
        let person = people.choose(&mut random).unwrap();
        compare(
            person,
            &chats,
            &mut random,
            &format!("{context}, step {step}"),
        )
        .await;
    }
    assert_eq!(blocks() > 0, index != Index::Off, "{context}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_find_exactly_what_a_scan_finds() {
    let seed = tideline::config::environment("SEED")
        .map_or_else(rand::random, |seed| seed.parse().unwrap());
    for index in [Index::On, Index::Off, Index::Stopped] {
        run(seed, index).await;
    }
}
