//! Promises of messages that change, over many operations.
//!
//! This file is long because each promise is one long scene, and several need the same people and the same steps.

use crate::messaging::expiry::{pass, sweep};
use crate::properties::newcomers;
use crate::support::requests::{Scene, operations};
use crate::support::{App, Person, execute, id, number, services, text};
use futures_util::StreamExt;
use futures_util::{future::join_all, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Once a recall has answered, no answer of a GET has the content, and Redis never has it.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_has_a_recalled_content() {
    const CANARY: &str = "canary-93ce";
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben]).await;
    let mut message = text(CANARY);
    message["content"]["mentions"] = json!([ben.id]);
    message["mention_all"] = json!(true);
    ann.post_message(&chat, message).await.ok(201);
    let at = format!("/conversations/{chat}/messages/1");
    let edit = json!({"version": 1, "content": {"text": format!("{CANARY} again")}});
    ann.patch(&at, edit).await.ok(200);
    let reaction = format!("{at}/reactions/{CANARY}");
    ben.put(&reaction, Value::Null).await.ok(200);
    let pin = format!("/conversations/{chat}/pins/1");
    ann.put(&pin, Value::Null).await.ok(204);
    let mut reply = text("a reply");
    reply["reply_to"] = json!(1);
    ben.post_message(&chat, reply).await.ok(201);
    let mut paths = Vec::new();
    for operation in operations().iter().filter(|one| one.method == "GET") {
        let scene = Scene {
            caller: &ben,
            chat: &chat,
            member: &ann,
            stranger: &cat,
        };
        paths.push(operation.good(&app, &scene).await);
    }
    let queries = [
        "?changed_since=0",
        "?seqs=1,2",
        "?since_seq=1&with_replied=true",
    ];
    let queries = queries.map(|query| format!("/conversations/{chat}/messages{query}"));
    let shows = async |who: &Person| {
        let mut shown = 0;
        for request in &paths {
            let body = request.send_as(who).await.body.to_string();
            shown += usize::from(body.contains(CANARY));
        }
        for path in &queries {
            let body = who.get(path).await.body.to_string();
            shown += usize::from(body.contains(CANARY));
        }
        shown
    };
    assert!(shows(&ben).await > 6);
    ann.call("DELETE", &at).await.ok(200);
    for who in [&ann, &ben] {
        assert_eq!(shows(who).await, 0, "{}", who.name);
    }
    let client = redis::Client::open(services().redis_url()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut redis)
        .await
        .unwrap();
    for key in keys {
        // Another test may delete it meanwhile.
        let dump: Option<Vec<u8>> = redis::cmd("DUMP")
            .arg(&key)
            .query_async(&mut redis)
            .await
            .unwrap();
        let dump = dump.unwrap_or_default();
        let found = dump
            .windows(CANARY.len())
            .any(|part| part == CANARY.as_bytes());
        assert!(!found && !key.contains(CANARY), "{key}");
    }
    app.finish().await;
}

/// Many users react to one message of a large group that others watch on two nodes: the counts are exact, the author gets at most one
/// entry a minute, others none, and each watcher is answered at most every two seconds and sees the last reaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn storm_of_reactions_costs_the_author_one_entry() {
    const USERS: usize = 200;
    const WATCHERS: usize = 20;
    const REACTIONS: i64 = 600;
    let mut app = App::configured(|config| config.fanout_limit = 2).await;
    app.add_node().await;
    let urls = [0, 1].map(|node| format!("http://{}", app.nodes[node].address));
    let people: [Person; 1 + USERS + WATCHERS] = newcomers(&app).await;
    let (ann, others) = people.split_first().unwrap();
    let (rest, watching) = others.split_at(USERS);
    let chat = ann.group(&others.iter().collect::<Vec<_>>()).await;
    ann.send(&chat, "x").await;
    let minutes_from = Instant::now();
    let heads = join_all(people.iter().map(Person::head)).await;
    // Returns the number of answers, and when the last reaction was seen.
    let watch = async |who: Person, head: i64| {
        let (mut change, mut answers) = (0, 0);
        while change < REACTIONS {
            let path = format!("/notices?since_seq={head}&timeout=20&watch={chat}:1:{change}");
            let notice = who.get(&path).await.ok(200);
            assert_eq!(notice["news"], false, "{notice}");
            let Some(moved) = notice["watched"].get(0) else {
                continue;
            };
            assert!(moved["change_seq"].as_i64().unwrap() > change, "{notice}");
            let path = format!("/conversations/{chat}/messages?changed_since={change}");
            change = who.get(&path).await.ok(200)["change_seq"].as_i64().unwrap();
            answers += 1;
        }
        (answers, Instant::now())
    };
    let watchers = watching.iter().enumerate().map(|(n, who)| {
        let head = heads[1 + USERS + n];
        watch(who.at(&urls[n % 2]), head)
    });
    let began = Instant::now();
    let storm = async {
        app.asleep(0, WATCHERS / 2).await;
        app.asleep(1, WATCHERS / 2).await;
        for emoji in ["a", "b", "c"] {
            let path = format!("/conversations/{chat}/messages/1/reactions/{emoji}");
            for some in rest.chunks(20) {
                let nodes = some.iter().zip(urls.iter().cycle());
                let reacting = nodes.map(|(who, url)| {
                    let who = who.at(url);
                    async { (who.put(&path, Value::Null).await, who).0 }
                });
                for answer in join_all(reacting).await {
                    answer.ok(200);
                }
            }
        }
        Instant::now()
    };
    let (seen, end) = tokio::join!(join_all(watchers), storm);
    for (answers, last) in seen {
        let most = (last - began).as_secs_f64() / 2.0 + 2.0;
        assert!(
            f64::from(answers) <= most,
            "{answers} answers, at most {most}"
        );
        let late = last.saturating_duration_since(end);
        assert!(late < Duration::from_secs(5), "{late:?}");
    }
    let shown = ann.history(&chat, 0).await[0].clone();
    assert_eq!(shown["change_seq"], REACTIONS);
    assert_eq!(shown["reactions"].as_array().unwrap().len(), 3);
    for reaction in shown["reactions"].as_array().unwrap() {
        let emoji = reaction["emoji"].as_str().unwrap();
        let stored = format!("SELECT count(*) AS n FROM reactions WHERE emoji = '{emoji}'");
        assert_eq!(reaction["count"], number(&mut app.database(), &stored));
        assert_eq!(reaction["count"], USERS);
    }
    let minutes = i64::try_from(minutes_from.elapsed().as_secs() / 60).unwrap() + 1;
    let new = join_all(people.iter().map(Person::head)).await;
    let new: Vec<_> = new
        .iter()
        .zip(&heads)
        .map(|(now, then)| now - then)
        .collect();
    assert!((1..=minutes).contains(&new[0]), "{}", new[0]);
    // Each user's own devices get the user's own three reactions.
    assert!(new[1..=USERS].iter().all(|count| *count == 3), "{new:?}");
    assert!(new[1 + USERS..].iter().all(|count| *count == 0), "{new:?}");
    app.finish().await;
}

/// The counts agree after any order of sends, read marks, recalls, expiries, cleared histories and marks, in every kind of conversation.
/// The check of the world, at the end, compares them with PostgreSQL and Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn unread_counts_agree_after_any_operations() {
    let app = App::configured(|config| {
        config.fanout_limit = 3;
        config.recall_seconds = -1;
    })
    .await;
    let people = app.people(["ann", "ben", "cat", "dan"]).await;
    let [ann, ben, cat, dan] = &people;
    let chats = [
        ann.direct(ben).await,
        ann.group(&[ben, cat]).await,
        ann.group(&[ben, cat, dan]).await,
    ];
    let members: [&[&Person]; 3] = [&[ann, ben], &[ann, ben, cat], &[ann, ben, cat, dan]];
    // A linear congruential generator: the same steps each time.
    let mut state = 20_261_129_u64;
    let mut below = |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % n
    };
    let mut heads = [0_usize; 3];
    let agree = async |who: &Person, step: i32| {
        let total = who.total().await;
        let list = who.get("/conversations").await.ok(200);
        let list = list["conversations"].as_array().unwrap().iter();
        let sum: i64 = list.map(|one| one["me"]["unread"].as_i64().unwrap()).sum();
        assert_eq!(total, sum, "{} after {step} steps", who.name);
        assert_eq!(who.wait(0, 0).await["total_unread"], total);
    };
    for step in 0..400 {
        let which = below(3);
        let (chat, who) = (&chats[which], members[which][below(members[which].len())]);
        let seq = below(heads[which] + 1);
        let path = format!("/conversations/{chat}");
        match below(13) {
            0..=3 | 11 => {
                let mut message = text("x");
                // Almost all, or the first one that stays would stop the sweep.
                if which > 0 || below(8) > 0 {
                    message["expires_in"] = json!(600);
                }
                who.post_message(chat, message).await.ok(201);
                heads[which] += 1;
            }
            9 => {
                // Beyond the positions of most members, who have sent one of the last messages.
                let end = heads[which].saturating_sub(below(4));
                let old: Vec<_> = (0..=i64::try_from(end).unwrap()).collect();
                pass(&mut app.database(), chat, &old);
                sweep(&app).await;
                agree(ann, step).await;
                agree(who, step).await;
            }
            10 => {
                // Mostly in one batch.
                let newest = format!("{path}/messages/{}", heads[which]);
                let lead = if which == 0 { who } else { ann };
                let mark = json!({"seq": heads[which]});
                let read = format!("{path}/read");
                let (recalled, marked) =
                    tokio::join!(lead.call("DELETE", &newest), who.put(&read, mark));
                let known = [200, 403, 404].contains(&recalled.status);
                assert!(known, "{}", recalled.body);
                marked.ok(200);
            }
            4 => {
                who.read(chat, i64::try_from(seq).unwrap()).await;
            }
            5..=7 => {
                let recalled = who.call("DELETE", &format!("{path}/messages/{seq}")).await;
                assert!(
                    [200, 403, 404].contains(&recalled.status),
                    "{}",
                    recalled.body
                );
            }
            8 => {
                let marked = who.put(&format!("{path}/marked_unread"), Value::Null).await;
                marked.ok(204);
            }
            _ => {
                // Little of it, so that something is left.
                let seq = seq.min(heads[which] / 4);
                let cleared = who
                    .put(&format!("{path}/cleared"), json!({"seq": seq}))
                    .await;
                cleared.ok(204);
            }
        }
        if step % 50 == 49 {
            for who in &people {
                agree(who, step).await;
            }
        }
    }
    // A single unread message that is recalled leaves nothing unread.
    let chat = cat.group(&[dan]).await;
    let before = dan.total().await;
    cat.send(&chat, &id()).await;
    assert_eq!(dan.total().await, before + 1);
    cat.call("DELETE", &format!("/conversations/{chat}/messages/1"))
        .await
        .ok(200);
    assert_eq!(dan.total().await, before);
    app.finish().await;
}

/// A thousand messages, each edited and recalled at the same moment on two nodes: all end recalled, an edit is before or refused, no
/// version is left, and every change has one number.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn edit_against_recall_from_two_nodes() {
    const CHATS: i64 = 20;
    const MESSAGES: i64 = 50;
    let mut app = App::configured(|config| config.recall_seconds = -1).await;
    app.add_node().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let url = format!("http://{}", app.nodes[1].address);
    let (here, there) = ([&ann, &ben], [&ann.at(&url), &ben.at(&url)]);
    let path = |chat: &str, seq: i64| format!("/conversations/{chat}/messages/{seq}");
    let set_up = async || {
        let chat = ann.group(&[&ben]).await;
        let messages: Vec<_> = (0..MESSAGES).map(|_| text("one")).collect();
        let batch = format!("/conversations/{chat}/messages/batch");
        let batch = ann.post(&batch, json!({"messages": messages}));
        batch.await.ok(200);
        // Half have a second version, so that a third one stores an old one.
        let second = json!({"version": 1, "content": {"text": "two"}});
        let edits = (2..=MESSAGES).step_by(2).map(async |seq| {
            let at = path(&chat, seq);
            ann.patch(&at, second.clone()).await.ok(200);
        });
        join_all(edits).await;
        chat
    };
    let chats = join_all((0..CHATS).map(|_| set_up())).await;
    let past = "UPDATE message_states SET edited_at = edited_at - interval '1 second'";
    execute(&mut app.database(), past);
    let heads = [ann.head().await, ben.head().await];
    let race = async |n: i64| {
        let chat = &chats[usize::try_from(n % CHATS).unwrap()];
        let at = path(chat, n / CHATS + 1);
        let (one, other) = if n % 2 == 0 {
            (here, there)
        } else {
            (there, here)
        };
        let version = if (n / CHATS) % 2 == 0 { 1 } else { 2 };
        let body = json!({"version": version, "content": {"text": "three"}});
        let edit = one[0].patch(&at, body);
        let recall = async {
            let stub = other[0].call("DELETE", &at).await.ok(200);
            // The node of the edit, whose answer may be open, has no more than the stub.
            if n % 4 == 0 {
                assert_eq!(one[1].get(&at).await.ok(200), stub);
            }
            stub
        };
        let (edit, stub) = tokio::join!(edit, recall);
        assert_eq!(stub["kind"], "recalled");
        let is_stored = edit.status == 200;
        match is_stored {
            true => assert_eq!(edit.ok(200)["version"], version + 1),
            false => drop(edit.problem(409, "message_gone")),
        }
        i64::from(is_stored)
    };
    let rounds = stream::iter(0..CHATS * MESSAGES).map(race);
    let stored: i64 = rounds
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await
        .iter()
        .sum();
    // Both orders have happened.
    assert!((1..CHATS * MESSAGES).contains(&stored), "{stored}");
    let mut conn = app.database();
    for left in [
        "SELECT count(*) AS n FROM message_versions",
        "SELECT count(*) AS n FROM messages WHERE content IS NOT NULL",
        "SELECT count(*) AS n FROM message_states WHERE content IS NOT NULL OR recalled_at IS NULL",
    ] {
        assert_eq!(number(&mut conn, left), 0, "{left}");
    }
    let numbers = "SELECT sum(change_seq)::bigint AS n FROM conversations";
    assert_eq!(
        number(&mut conn, numbers),
        CHATS * MESSAGES * 3 / 2 + stored
    );
    for (who, head) in [&ann, &ben].into_iter().zip(heads) {
        let entries = who.entries(head).await;
        let count = |kind: &str| entries.iter().filter(|one| one["kind"] == kind).count();
        let (edits, recalls) = (count("edit"), count("recall"));
        assert_eq!(i64::try_from(edits).unwrap(), stored, "{}", who.name);
        assert_eq!(
            i64::try_from(recalls).unwrap(),
            CHATS * MESSAGES,
            "{}",
            who.name
        );
    }
    assert_eq!(ben.total().await, 0);
    app.finish().await;
}

/// The number of the last change that a message shows.
fn number_of(message: &Value) -> i64 {
    message["change_seq"].as_i64().unwrap_or(0)
}

/// A cache of all messages of a conversation, with the number to ask after.
struct Cache {
    messages: BTreeMap<i64, Value>,
    number: i64,
}

impl Cache {
    /// Of two states of a message the one with the higher number stays.
    fn keep(&mut self, page: &Value) {
        for message in page["messages"].as_array().unwrap() {
            let seq = message["seq"].as_i64().unwrap();
            let kept = self.messages.get(&seq);
            if kept.is_none_or(|kept| number_of(kept) <= number_of(message)) {
                self.messages.insert(seq, message.clone());
            }
        }
    }

    /// Reads all pages. The number is that of the first one.
    async fn read(who: &Person, chat: &str, limit: i64) -> Self {
        let mut cache = Self {
            messages: BTreeMap::new(),
            number: -1,
        };
        loop {
            let last = cache.messages.keys().last().copied().unwrap_or(0);
            let path = format!("/conversations/{chat}/messages?since_seq={last}&limit={limit}");
            let page = who.get(&path).await.ok(200);
            if cache.number < 0 {
                cache.number = page["change_seq"].as_i64().unwrap();
            }
            cache.keep(&page);
            if page["has_more"] == false {
                return cache;
            }
        }
    }

    /// Reads one page of the changes after the number. Returns whether there are more.
    async fn catch_up(&mut self, who: &Person, chat: &str, limit: i64) -> bool {
        let since = self.number;
        let path = format!("/conversations/{chat}/messages?changed_since={since}&limit={limit}");
        let page = who.get(&path).await.ok(200);
        self.keep(&page);
        self.number = page["change_seq"].as_i64().unwrap();
        page["has_more"] == true
    }
}

/// Caches that are read while messages change hold what a fresh read holds, once they have read the changes after the number that came
/// with their first page, whatever they have read of those in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn caches_converge_while_messages_change() {
    const MESSAGES: i64 = 200;
    for fanout_limit in [500, 1] {
        let mut app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        app.add_node().await;
        let [ann, ben] = app.people(["ann", "ben"]).await;
        let url = format!("http://{}", app.nodes[1].address);
        let chat = ann.group(&[&ben]).await;
        for _ in 0..MESSAGES / 100 {
            let messages: Vec<_> = (0..100).map(|_| text("one")).collect();
            let batch = format!("/conversations/{chat}/messages/batch");
            let batch = ann.post(&batch, json!({"messages": messages}));
            batch.await.ok(200);
        }
        let done = AtomicUsize::new(0);
        // Each message changes about once, so that no later change brings what a cache has missed.
        let writer = async |who: Person, first: i64| {
            for n in (first..MESSAGES).step_by(2) {
                let seq = 1 + n * 77 % MESSAGES;
                let at = format!("/conversations/{chat}/messages/{seq}");
                let answer = match n / 2 % 4 {
                    0 => {
                        let body = json!({"version": 1, "content": {"text": "two"}});
                        who.patch(&at, body).await
                    }
                    1 => who.call("DELETE", &at).await,
                    2 => who.put(&format!("{at}/reactions/x"), Value::Null).await,
                    _ => {
                        let pin = format!("/conversations/{chat}/pins/{seq}");
                        who.put(&pin, Value::Null).await
                    }
                };
                assert!([200, 204].contains(&answer.status), "{}", answer.body);
            }
            done.fetch_add(1, Ordering::Relaxed);
        };
        let reader = async |who: Person, limit: i64| {
            let mut caches = Vec::new();
            while done.load(Ordering::Relaxed) < 2 {
                let mut cache = Cache::read(&who, &chat, limit).await;
                for _ in 0..caches.len() % 3 {
                    cache.catch_up(&who, &chat, 7).await;
                }
                caches.push(cache);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            caches
        };
        let there = ben.at(&url);
        let ((), (), mut caches, more) = tokio::join!(
            writer(ann.clone(), 0),
            writer(ann.at(&url), 1),
            reader(ben.clone(), 500),
            reader(there.clone(), 70),
        );
        caches.extend(more);
        let fresh = Cache::read(&ben, &chat, 500).await;
        assert_eq!(fresh.number, MESSAGES);
        let old = caches.iter().filter(|one| one.number < fresh.number);
        assert!(old.count() > 10, "of {}", caches.len());
        for (n, cache) in caches.iter_mut().enumerate() {
            let number = cache.number;
            while cache.catch_up(&there, &chat, 100).await {}
            assert_eq!(cache.number, fresh.number);
            for (seq, message) in &fresh.messages {
                assert_eq!(&cache.messages[seq], message, "cache {n}, read at {number}");
            }
        }
        app.finish().await;
    }
}
