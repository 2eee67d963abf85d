//! Read fan-out: the switch, watching, exact counts, mentions, channels.

use crate::support::{App, Client, Person, id, number, services, text};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tideline::domain::identity::seeding;

async fn small_limit() -> App {
    App::configured(|config| config.fanout_limit = 3).await
}

/// Four members in a group that switched to read fan-out with the fourth.
async fn large(app: &App) -> ([Person; 4], String) {
    let people = app.people(["ann", "ben", "cat", "dan"]).await;
    let [ann, ben, cat, dan] = &people;
    let chat = ann.group(&[ben, cat]).await;
    ann.add(&chat, &[dan]).await.ok(200);
    (people, chat)
}

/// A wait that watches a conversation.
fn watch(who: &Person, since: i64, chat: &str, seq: i64) -> tokio::task::JoinHandle<Value> {
    let (who, path) = (who.clone(), watch_path(since, chat, seq));
    tokio::spawn(async move { who.get(&path).await.ok(200) })
}

fn watch_path(since: i64, chat: &str, seq: i64) -> String {
    format!("/notices?since_seq={since}&timeout=20&watch={chat}:{seq}")
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn group_above_the_limit_switches_to_read_fanout_once() {
    let app = small_limit().await;
    let [ann, ben, cat, dan, eve] = app.people(["ann", "ben", "cat", "dan", "eve"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    ann.send(&chat, "one").await;
    ann.send(&chat, "two").await;
    let before = ben.head().await;
    ann.add(&chat, &[&dan]).await.ok(200);
    ann.send(&chat, "three").await;

    // Every member gets an entry for the switch; the message after it makes no entries.
    let entries = ben.entries(before).await;
    assert_eq!(kinds(&entries), ["conversation", "members"]);
    let switched = &entries[0]["conversation"];
    assert_eq!(
        (&switched["fanout"], &switched["switch_seq"]),
        (&json!("read"), &json!(2))
    );
    assert_eq!(entries[0]["unread"], 2);
    let entries = dan.entries(0).await;
    assert_eq!(kinds(&entries), ["conversation"]);
    assert_eq!(entries[0]["conversation"]["me"]["joined_seq"], 2);
    for (person, seen) in [(&ben, 1..=3), (&dan, 3..=3)] {
        let history = person.history(&chat, 0).await;
        let seqs: Vec<_> = history
            .iter()
            .map(|one| one["seq"].as_i64().unwrap())
            .collect();
        assert_eq!(seqs, seen.collect::<Vec<_>>());
    }

    // The switch is permanent, and changes that do not concern a member make no entry.
    let before = [ann.head().await, ben.head().await];
    ann.add(&chat, &[&eve]).await.ok(200);
    ann.remove(&chat, &dan).await.ok(204);
    ann.remove(&chat, &eve).await.ok(204);
    ann.remove(&chat, &cat).await.ok(204);
    let rename = json!({"title": "Saturday"});
    ann.patch(&format!("/conversations/{chat}"), rename)
        .await
        .ok(200);
    let entries = ann.entries(before[0]).await;
    assert_eq!(
        kinds(&entries),
        ["members", "members", "members", "members", "conversation"]
    );
    assert_eq!(ben.head().await, before[1]);
    let now = ben.conversation(&chat).await.ok(200);
    assert_eq!(
        (
            &now["title"],
            &now["fanout"],
            &now["switch_seq"],
            &now["member_count"]
        ),
        (&json!("Saturday"), &json!("read"), &json!(2), &json!(2))
    );
    assert_eq!(kinds(&cat.entries(0).await).last(), Some(&"conversation"));
    cat.conversation(&chat).await.problem(404, "not_found");

    // The owner leaves: the successor gets an entry.
    ann.remove(&chat, &ann).await.ok(204);
    let last = ben.entries(before[1]).await;
    assert_eq!(last[0]["changed"][0]["role"], "owner");
    app.finish().await;
}

/// Clients follow the contract while users send and join and the group switches: each sees the archive from where it joined,
/// once and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn switch_to_read_fanout_loses_no_message() {
    let mut app = small_limit().await;
    app.add_node().await;
    let urls = [app.url(), format!("http://{}", app.nodes[1].address)];
    let people = app.people(["ann", "ben", "cat", "dan", "eve", "fay"]).await;
    let [ann, ben, ..] = &people;
    for round in 0..3 {
        let chat = ann.group(&[ben]).await;
        let (done, _) = tokio::sync::watch::channel(false);
        let follow = people.iter().enumerate().map(|(n, person)| {
            let (person, done) = (person.at(&urls[n % 2]), done.subscribe());
            async move {
                let mut client = Client::start(&person).await;
                while !*done.borrow() {
                    client.turn(1).await;
                }
                client.turn(0).await;
                client.check().await;
                client
            }
        });
        let follow: Vec<_> = follow.map(tokio::spawn).collect();
        let talk = |who: Person| {
            let chat = chat.clone();
            async move {
                for n in 0..25 {
                    who.send(&chat, &format!("{} {n}", who.name)).await;
                }
            }
        };
        let joins = async {
            for who in &people[2..] {
                tokio::time::sleep(Duration::from_millis(20 * (1 + round))).await;
                ann.add(&chat, &[who]).await.ok(200);
            }
            people[2].send(&chat, "here").await;
        };
        tokio::join!(talk(ann.at(&urls[1])), talk(ben.clone()), joins);
        done.send(true).unwrap();
        for client in follow {
            let client = client.await.unwrap();
            assert!(client.restarts.is_empty());
            let kept = &client.chats[&chat];
            assert!(
                kept.large && kept.messages.contains_key(&51),
                "{:?}",
                client.person.name
            );
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sweep_finds_watched_messages_without_redis() {
    let mut app = small_limit().await;
    app.add_node().await;
    let ([ann, ben, ..], chat) = large(&app).await;
    let ann = ann.at(&format!("http://{}", app.nodes[1].address));
    app.redis.cut();
    let wait = watch(&ben, ben.head().await, &chat, 0);
    app.asleep(0, 1).await;
    let sent = Instant::now();
    ann.send(&chat, "missed").await;
    assert_eq!(wait.await.unwrap()["watched"][0]["last_seq"], 1);
    assert!(
        sent.elapsed() < Duration::from_secs(5),
        "{:?}",
        sent.elapsed()
    );
    app.redis.heal();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn only_current_members_can_watch() {
    let app = small_limit().await;
    let ([ann, ben, cat, _], chat) = large(&app).await;
    let [out] = app.people(["out"]).await;
    for (who, what, seq) in [(&out, &chat, 0), (&ben, &id(), 0)] {
        let refused = who.get(&watch_path(0, what, seq)).await;
        refused.problem(404, "not_found");
    }
    let ahead = ben.get(&watch_path(ben.head().await, &chat, 1)).await;
    ahead.problem(409, "cursor_ahead");
    // A member who is removed while waiting gets that entry, and no later message.
    let wait = watch(&cat, cat.head().await, &chat, 0);
    app.asleep(0, 1).await;
    ann.remove(&chat, &cat).await.ok(204);
    let notice = wait.await.unwrap();
    assert_eq!(
        (&notice["news"], &notice["watched"]),
        (&json!(true), &json!([]))
    );
    ann.send(&chat, "without her").await;
    let refused = cat.get(&watch_path(cat.head().await, &chat, 0)).await;
    refused.problem(404, "not_found");
    assert_eq!(cat.total().await, 0);

    let head = ben.head().await;
    let many: String = (0..101).map(|_| format!("&watch={}:0", id())).collect();
    for bad in [
        format!("&watch={chat}"),
        format!("&watch={chat}:"),
        format!("&watch={chat}:-1"),
        format!("&watch={chat}:9007199254740992"),
        format!("&watch=x:{chat}"),
        "&watch=".to_owned(),
        format!("&watch={chat}:0&watch={chat}:0"),
        many,
    ] {
        let path = format!("/notices?since_seq={head}&timeout=0{bad}");
        let problem = ben.get(&path).await.problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], "watch", "{bad}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn unread_counts_include_read_fanout_conversations() {
    let app = small_limit().await;
    let [ann, ben, cat, dan] = app.people(["ann", "ben", "cat", "dan"]).await;
    let (chat, small) = (ann.group(&[&ben, &cat]).await, ann.direct(&ben).await);
    ben.total().await;
    for _ in 0..3 {
        ann.send(&chat, "before").await;
        ann.send(&small, "hi").await;
    }
    assert_eq!(ben.total().await, 6);
    // The notice of the switch has the whole total, although Redis has just dropped the group's three.
    let wait = tokio::spawn({
        let (ben, head) = (ben.clone(), ben.head().await);
        async move { ben.wait(head, 20).await }
    });
    app.asleep(0, 1).await;
    ann.add(&chat, &[&dan]).await.ok(200);
    assert_eq!(wait.await.unwrap()["total_unread"], 6);
    ann.send(&chat, "after").await;
    assert_eq!(ben.total().await, 7);
    assert_eq!(dan.total().await, 1);
    assert_eq!(ann.total().await, 0, "sending means having read");
    let read = ben.read(&chat, 2).await;
    assert_eq!(
        (&read["unread"], &read["total_unread"]),
        (&json!(2), &json!(5))
    );
    assert_eq!(ben.entries(0).await.last().unwrap()["unread"], 2);
    // A notice of a write fan-out conversation carries the sum of both.
    let wait = watch(&ben, ben.head().await, &chat, 4);
    app.asleep(0, 1).await;
    ann.send(&small, "hi").await;
    assert_eq!(wait.await.unwrap()["total_unread"], 6);
    let conversation = ben.conversation(&chat).await.ok(200);
    assert_eq!(conversation["me"]["unread"], 2);
    ben.read(&chat, 4).await;
    assert_eq!(ben.total().await, 4);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mentions_reach_only_members_in_both_fanout_modes() {
    let app = small_limit().await;
    let ([ann, ben, cat, dan], chat) = large(&app).await;
    let [out] = app.people(["out"]).await;
    let small = ann.group(&[&ben]).await;
    for (chat, expected) in [
        (&chat, vec!["mention"]),
        (&small, vec!["message", "mention"]),
    ] {
        let before = [
            ann.head().await,
            ben.head().await,
            cat.head().await,
            dan.head().await,
        ];
        let mut hello = text("hello");
        hello["content"]["mentions"] = json!([ben.id, ben.id, ann.id, out.id, id()]);
        let sent = ann.post_message(chat, hello.clone()).await.ok(201);
        assert_eq!(sent["content"], hello["content"]);
        let entries = ben.entries(before[1]).await;
        assert_eq!(kinds(&entries), expected);
        let mention = entries.last().unwrap();
        assert_eq!(
            (&mention["message"], &mention["unread"]),
            (&sent, &json!(1))
        );
        // A replay notifies nobody again, and mentions are part of the content.
        assert_eq!(ann.post_message(chat, hello.clone()).await.ok(200), sent);
        hello["content"]["mentions"] = json!([ben.id]);
        let other = ann.post_message(chat, hello).await;
        other.problem(422, "client_msg_id_reused");
        assert_eq!(kinds(&ben.entries(before[1]).await), expected);
        assert_eq!([cat.head().await, dan.head().await], before[2..]);
        let own = ann.entries(before[0]).await;
        assert!(!kinds(&own).contains(&"mention"));
        ben.read(chat, 1).await;
    }
    assert_eq!(out.head().await, 0);
    let mut many = text("all");
    many["content"]["mentions"] = (0..101).map(|_| json!(id())).collect();
    let refused = ann.post_message(&chat, many).await;
    let problem = refused.problem(400, "validation");
    assert_eq!(problem["errors"][0]["pointer"], "/content/mentions");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_restrict_sends_and_public_ones_allow_joining() {
    let app = App::start().await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let make = json!({"kind": "channel", "title": "News", "public": true, "member_ids": [ben.id],
        "client_conversation_id": id()});
    let made = ann.post("/conversations", make.clone()).await.ok(201);
    let chat = made["id"].as_str().unwrap();
    let expected = json!({"kind": "channel", "title": "News", "fanout": "read", "switch_seq": 0, "public": true,
        "member_count": 2, "peer": null});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }
    assert_eq!(ann.post("/conversations", make).await.ok(200)["id"], chat);
    ann.send(chat, "hear").await;
    assert_eq!(ben.total().await, 1);
    let refused = ben.post_message(chat, text("me too")).await;
    refused.problem(403, "forbidden");
    ann.change(chat, &ben, json!({"role": "admin"}))
        .await
        .ok(200);
    ben.send(chat, "me too").await;

    // Before joining, a user cannot see it, and cannot add others.
    cat.conversation(chat).await.problem(404, "not_found");
    cat.post_message(chat, text("x"))
        .await
        .problem(404, "not_found");
    cat.remove(chat, &cat).await.problem(404, "not_found");
    cat.remove(chat, &ben).await.problem(404, "not_found");
    let [dan] = app.people(["dan"]).await;
    cat.add(chat, &[&cat, &dan]).await.problem(404, "not_found");
    let joined = cat.add(chat, &[&cat]).await.ok(200);
    assert_eq!(
        joined,
        json!({"added": [cat.id], "already_members": [], "refused": []})
    );
    let again = cat.add(chat, &[&cat]).await.ok(200);
    assert_eq!(again["already_members"], json!([cat.id]));
    cat.add(chat, &[&dan]).await.problem(403, "forbidden");
    let own = cat.conversation(chat).await.ok(200);
    assert_eq!(
        (&own["me"]["role"], &own["me"]["joined_seq"]),
        (&json!("member"), &json!(2))
    );
    assert!(cat.history(chat, 0).await.is_empty());
    cat.remove(chat, &cat).await.ok(204);
    cat.conversation(chat).await.problem(404, "not_found");

    let private = json!({"kind": "channel", "title": "Ours"});
    let private = ann.post("/conversations", private).await.ok(201);
    assert_eq!(private["public"], false);
    let private = private["id"].as_str().unwrap();
    cat.add(private, &[&cat]).await.problem(404, "not_found");
    let group = json!({"kind": "group", "title": "x", "public": true});
    ann.post("/conversations", group)
        .await
        .problem(400, "validation");
    app.finish().await;
}

/// The rows of conversations and inboxes that transactions after this one have written.
fn rows_written_since(app: &App, transaction: i64) -> i64 {
    let tables = [
        "conversations",
        "members",
        "messages",
        "member_changes",
        "timelines",
        "inbox",
    ];
    let rows = |table: &str| {
        let query =
            format!("SELECT count(*) AS n FROM {table} WHERE xmin::text::bigint > {transaction}");
        number(&mut app.database(), &query)
    };
    tables.into_iter().map(rows).sum()
}

/// Whether a message arrives within this time.
async fn receives(mut messages: impl Stream<Item = String> + Unpin, within: Duration) -> bool {
    let next = tokio::time::timeout(within, messages.next()).await;
    next.is_ok_and(|message| message.is_some())
}

/// In a group of 600 and in one of 10,000, a send writes its message, the head and the position of the sender, and is announced
/// once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn read_fanout_send_cost_is_independent_of_member_count() {
    const SENDS: usize = 10;
    const SOON: Duration = Duration::from_secs(10);
    const QUIET: Duration = Duration::from_millis(400);
    let app = App::start().await;
    let [ann] = app.people(["ann"]).await;
    let mut ids = Vec::new();
    for first in (0..10_000).step_by(1_000) {
        let seeded = seeding::seed(&app.nodes[0].handles.auth, first, first + 1_000)
            .await
            .unwrap();
        ids.extend(seeded.iter().map(|one| one.user.to_string()));
    }
    // Every announcement is published, whether a user waits or not.
    let redis = redis::Client::open(services().redis_url()).unwrap();
    let monitor = redis.get_async_monitor().await.unwrap();
    let all = format!("\"SPUBLISH\" \"tl:{}:", app.nodes[0].handles.delivery.epoch);
    let is_ours = |line: &String| std::future::ready(line.contains(&all));
    let mut published = monitor.into_on_message().filter(is_ours);
    for size in [600, 10_000] {
        let chat = ann.group(&[]).await;
        for some in ids[..size].chunks(1_000) {
            let path = format!("/conversations/{chat}/members");
            ann.post(&path, json!({"user_ids": some})).await.ok(200);
        }
        let conversation = ann.conversation(&chat).await.ok(200);
        assert_eq!(conversation["member_count"], size + 1);
        assert_eq!(conversation["fanout"], "read");
        let now = number(&mut app.database(), "SELECT txid_current() AS n");
        while receives(&mut published, QUIET).await {}
        for n in 0..SENDS {
            ann.send(&chat, &format!("{n}")).await;
            // Two queued announcements may be coalesced into one.
            assert!(receives(&mut published, SOON).await, "to {size}");
        }
        assert!(!receives(&mut published, QUIET).await, "to {size}");
        let rows = rows_written_since(&app, now);
        assert_eq!(rows, SENDS as i64 + 2, "to {size}");
    }
    app.finish().await;
}
