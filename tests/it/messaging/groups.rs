//! Concurrent changes of groups: removals and sends, two adds, a leaving owner, creates and adds; and a large group on two
//! nodes.

use crate::support::{App, Person, execute, id, number, text, waiting_for_locks};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tideline::domain::identity::seeding;

/// Lock first, then read. The send begins while the user is a member and waits for the lock behind the removal. A statement
/// that locks and reads in one would see the members as of its start, and store the message.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn send_queued_behind_a_removal_is_rejected() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    // The first send opens the writer's connection.
    ben.send(&chat, "in").await;
    let (mut holder, mut watcher) = (app.database(), app.database());
    let lock = format!("BEGIN; SELECT FROM conversations WHERE id = '{chat}' FOR UPDATE");
    execute(&mut holder, &lock);
    let (remover, sender) = (ann.clone(), ben.clone());
    let (group, leaver) = (chat.clone(), ben.clone());
    let removal = tokio::spawn(async move { remover.remove(&group, &leaver).await });
    waiting_for_locks(&mut watcher, 1).await;
    let group = chat.clone();
    let send = tokio::spawn(async move { sender.post_message(&group, text("out")).await });
    waiting_for_locks(&mut watcher, 2).await;
    execute(&mut holder, "COMMIT");
    removal.await.unwrap().ok(204);
    send.await.unwrap().problem(404, "not_found");
    assert_eq!(ann.history(&chat, 0).await.len(), 1);
    app.finish().await;
}

/// Replays an inbox: between leaving and joining, a member must not send. If the inbox is their own, they must not receive
/// either.
fn replay(entries: &[Value], chat: &str, person: &Person, own: bool) {
    let mut inside = false;
    for entry in entries.iter().filter(|one| one["conversation_id"] == chat) {
        let names = |list: &str| entry[list].as_array().unwrap().contains(&json!(person.id));
        match entry["kind"].as_str().unwrap() {
            "members" => inside = (inside || names("added")) && !names("removed"),
            // The first entry of an inbox, or an own entry.
            "conversation" if own || entry["seq"] == 1 => inside = !entry["conversation"].is_null(),
            "message" if own || entry["message"]["sender_id"] == person.id.as_str() => {
                assert!(inside, "{} is out: {entry}", person.name);
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn removed_member_cannot_send_or_receive_until_readded() {
    let (mut app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    app.add_node().await;
    let second = format!("http://{}", app.nodes[1].address);
    let chat = ann.group(&[&ben, &cat]).await;
    let done = AtomicBool::new(false);
    let chatter = async |person: Person| {
        let mut stored = 0;
        while !done.load(Ordering::Acquire) {
            let answer = person.post_message(&chat, text("x")).await;
            match answer.status {
                201 => stored += 1,
                _ => drop(answer.problem(404, "not_found")),
            }
        }
        stored
    };
    let doors = async {
        for _ in 0..10 {
            ann.remove(&chat, &ben).await.ok(204);
            ann.at(&second).add(&chat, &[&ben]).await.ok(200);
        }
        done.store(true, Ordering::Release);
    };
    let (here, there, others, ()) = tokio::join!(
        chatter(ben.clone()),
        chatter(ben.at(&second)),
        chatter(cat.at(&second)),
        doors
    );
    let stored = ann.conversation(&chat).await.ok(200)["last_seq"].clone();
    assert_eq!(stored, here + there + others);
    for person in [&ann, &cat] {
        replay(&person.entries(0).await, &chat, &ben, false);
    }
    replay(&ben.entries(0).await, &chat, &ben, true);
    app.finish().await;
}

/// Membership is read in one statement and messages in the next. In between, the reader is removed and another member sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn read_in_progress_excludes_messages_after_removal() {
    // One connection for reads, with prepared statements: the first answer that is held back is that of the membership query.
    let app = App::configured(|config| (config.writers, config.db_pool) = (1, 2)).await;
    let elsewhere = app.add_process(&[]);
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let ann = ann.at(&elsewhere.process.url);
    let mut conn = app.database();
    for read in ["", "/2", "?since_seq=1", "?before_seq=9"] {
        let chat = ann.group(&[&ben]).await;
        ann.send(&chat, "before").await;
        let path = format!("/conversations/{chat}/messages{read}");
        ben.get(&path).await;
        let looked = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()
            AND state = 'idle' AND query LIKE 'SELECT GREATEST(m.joined_seq, m.cleared_seq)%'";
        let reading = loop {
            app.postgres.hold_answers();
            let (ben, path) = (ben.clone(), path.clone());
            let reading = tokio::spawn(async move { ben.get(&path).await });
            let since = Instant::now();
            while number(&mut conn, looked) == 0 && since.elapsed() < Duration::from_secs(2) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if number(&mut conn, looked) == 1 {
                break reading;
            }
            // The answer that was held back belongs to a background task of the node.
            app.postgres.heal();
            reading.await.unwrap();
        };
        ann.remove(&chat, &ben).await.ok(204);
        ann.send(&chat, "after").await;
        app.postgres.heal();
        let answer = reading.await.unwrap();
        assert!(
            !answer.body.to_string().contains("after"),
            "{}",
            answer.body
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_adds_add_each_member_once() {
    let app = App::configured(|config| config.members_limit = 6).await;
    let names = ["ann", "ben", "cat", "dan", "eve", "fay", "gus"];
    let [ann, ben, cat, dan, eve, fay, gus] = app.people(names).await;
    for _ in 0..6 {
        let chat = ann.group(&[&ben]).await;
        ann.change(&chat, &ben, json!({"role": "admin"}))
            .await
            .ok(200);
        let (two, too) = ([&cat, &dan], [&dan, &eve]);
        let (one, other) = tokio::join!(ann.add(&chat, &two), ben.add(&chat, &too));
        let (one, other) = (one.ok(200), other.ok(200));
        let added = |answer: &Value| answer["added"].as_array().unwrap().len();
        assert_eq!(added(&one) + added(&other), 3, "{one} {other}");
        assert_eq!(ann.roles(&chat).await.len(), 5);
        // One place is left for two users.
        let (one, other) = ([&fay], [&gus]);
        let (one, other) = tokio::join!(ann.add(&chat, &one), ben.add(&chat, &other));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn group_keeps_one_owner_under_concurrent_changes() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    for _ in 0..8 {
        let chat = ann.group(&[&ben, &cat]).await;
        // The owner leaves during the hand-over, and so does the new owner.
        let (left, handed, heir) = tokio::join!(
            ann.remove(&chat, &ann),
            ann.change(&chat, &ben, json!({"role": "owner"})),
            ben.remove(&chat, &ben),
        );
        left.ok(204);
        heir.ok(204);
        assert!([200, 404].contains(&handed.status), "{}", handed.body);
        assert_eq!(
            cat.roles(&chat).await,
            [(cat.id.clone(), "owner".to_owned())].into()
        );

        // Demoted while leaving, and while removing a member.
        let chat = ann.group(&[&ben, &cat]).await;
        ann.change(&chat, &ben, json!({"role": "admin"}))
            .await
            .ok(200);
        let (demoted, removed) = tokio::join!(
            ann.change(&chat, &ben, json!({"role": "member"})),
            ben.remove(&chat, &cat),
        );
        demoted.ok(200);
        assert!([204, 403].contains(&removed.status), "{}", removed.body);
        let (demoted, left) = tokio::join!(
            ann.change(&chat, &ben, json!({"role": "admin"})),
            ben.remove(&chat, &ben),
        );
        left.ok(204);
        assert!([200, 404].contains(&demoted.status), "{}", demoted.body);
        assert_eq!(ann.conversation(&chat).await.ok(200)["me"]["role"], "owner");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_creates_and_adds_make_one_group() {
    let (mut app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    app.add_node().await;
    let second = format!("http://{}", app.nodes[1].address);
    for round in 1..=5 {
        let body = json!({"kind": "group", "title": "x", "member_ids": [ben.id], "client_conversation_id": id()});
        let creates = (0..6).map(|n| {
            let ann = if n % 2 == 0 {
                ann.clone()
            } else {
                ann.at(&second)
            };
            let (body, cat) = (body.clone(), &cat);
            async move {
                let made = ann.post("/conversations", body).await;
                let chat = made.body["id"].as_str().unwrap().to_owned();
                let added = ann.add(&chat, &[cat]).await.ok(200);
                (made.status, chat, added["added"].as_array().unwrap().len())
            }
        });
        let answers = join_all(creates).await;
        let chats: BTreeSet<_> = answers.iter().map(|(_, chat, _)| chat).collect();
        assert_eq!(chats.len(), 1, "{answers:?}");
        let made = answers.iter().filter(|(status, ..)| *status == 201).count();
        let added: usize = answers.iter().map(|(.., added)| added).sum();
        assert_eq!((made, added), (1, 1), "{answers:?}");
        assert_eq!(cat.entries(0).await.len(), round);
    }
    app.finish().await;
}

/// Follows an inbox by waits and fetches, until it has this many entries.
async fn follow(device: Person, until: i64) -> Vec<Value> {
    let mut seen: Vec<Value> = Vec::new();
    let mut since = 0;
    while since < until {
        let notice = device.wait(since, 20).await;
        assert_ne!(notice["superseded"], true);
        let page = device.entries(since).await;
        for entry in page {
            since += 1;
            assert_eq!(entry["seq"], since, "without a hole");
            seen.push(entry);
        }
    }
    seen
}

/// Two nodes, a group of 500, and one user on 20 devices: sends, a rename and member changes must reach every inbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn group_of_500_reaches_20_devices_on_two_nodes() {
    const SENDS: i64 = 30;
    let mut app = App::configured(|config| config.members_limit = 500).await;
    let [ann, hub] = app.people(["ann", "hub"]).await;
    app.add_node().await;
    let urls = [app.url(), format!("http://{}", app.nodes[1].address)];
    let seeded = seeding::seed(&app.nodes[0].handles.auth, 0, 498)
        .await
        .unwrap();
    let many: Vec<Person> = seeded
        .into_iter()
        .map(|user| Person {
            id: user.user.to_string(),
            name: user.username,
            device: user.device.to_string(),
            token: user.access_token,
            refresh_token: String::new(),
            url: urls[0].clone(),
            http: app.http.clone(),
        })
        .collect();
    let mut devices = vec![hub.clone()];
    for _ in 1..20 {
        devices.push(hub.another_device(&app).await);
    }
    let mut people: Vec<_> = many.iter().collect();
    people.push(&hub);
    let chat = ann.group(&people).await;
    assert_eq!(ann.roles(&chat).await.len(), 500);
    ann.add(&chat, &[&many[0]]).await.ok(200);
    let [late] = app.people(["late"]).await;
    ann.add(&chat, &[&late]).await.problem(409, "limit_reached");

    // One entry for the group, one for the title, two for a member who leaves and one who joins, and the sends.
    let all = 4 + SENDS;
    let followers = devices.iter().enumerate().map(|(n, device)| {
        let device = device.at(&urls[n % 2]);
        follow(device, all)
    });
    let sends = (0..SENDS as usize).map(|n| {
        let (sender, chat) = (many[n * 7].at(&urls[n % 2]), &chat);
        async move { sender.send(chat, &format!("{n}")).await }
    });
    let changes = async {
        let path = format!("/conversations/{chat}");
        let title = json!({"title": "Five hundred"});
        ann.at(&urls[1]).patch(&path, title).await.ok(200);
        ann.remove(&chat, &many[497]).await.ok(204);
        ann.at(&urls[1]).add(&chat, &[&late]).await.ok(200);
    };
    let (seen, sent, ()) = tokio::join!(join_all(followers), join_all(sends), changes);
    assert_eq!(sent.len() as i64, SENDS);
    for device in &seen[1..] {
        // `conversation` entries show the present, which differs between reads.
        let shape = |entries: &[Value]| -> Vec<Value> {
            let part = |one: &Value| {
                json!([
                    one["kind"],
                    one["unread"],
                    one["message"],
                    one["added"],
                    one["removed"]
                ])
            };
            entries.iter().map(part).collect()
        };
        assert_eq!(shape(device), shape(&seen[0]));
    }
    let messages = seen[0].iter().filter(|one| one["kind"] == "message");
    let seqs: Vec<_> = messages
        .map(|one| one["message"]["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=SENDS).collect::<Vec<_>>());

    // A read on one device changes the counts on every device and node.
    let mark = devices[3].at(&urls[1]).read(&chat, SENDS - 5).await;
    assert_eq!(mark["total_unread"], 5);
    let heads = join_all(devices.iter().enumerate().map(|(n, device)| {
        let device = device.at(&urls[n % 2]);
        async move { (device.wait(all, 10).await, device.total().await) }
    }))
    .await;
    for (notice, total) in heads {
        assert_eq!(
            (&notice["last_seq"], &notice["total_unread"]),
            (&json!(all + 1), &json!(5))
        );
        assert_eq!(total, 5);
    }
    app.finish().await;
}
