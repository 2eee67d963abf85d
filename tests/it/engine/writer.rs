//! The guarantees of the write path under concurrency: each send is stored once, seqs have no gap, and all readers see one
//! order.

use crate::support::{App, Person, eventually, execute, id, number, text, waiting_for_locks};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn eight_concurrent_copies_of_a_send_store_one_message() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for round in 1..=10 {
        let message = text("once");
        let copies = (0..8).map(|_| ann.post_message(&chat, message.clone()));
        let answers = join_all(copies).await;
        let made = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(made, 1, "{answers:?}");
        for answer in answers {
            assert!([200, 201].contains(&answer.status));
            assert_eq!(
                answer.header("idempotent-replayed") == "true",
                answer.status == 200
            );
            assert_eq!(answer.body["seq"], round);
        }
    }
    assert_eq!(ben.entries(0).await.len(), 11);
    app.finish().await;
}

/// Follows a timeline while it grows, and fails on a gap, a step back, or an entry below the cursor.
async fn follow(page: impl AsyncFn(i64) -> Vec<i64>, done: &AtomicBool, from: i64) -> i64 {
    let mut seen = from;
    loop {
        let last_round = done.load(Ordering::Acquire);
        let seqs = page(seen).await;
        for seq in &seqs {
            assert_eq!(*seq, seen + 1, "after {seen} came {seqs:?}");
            seen = *seq;
        }
        if last_round && seqs.is_empty() {
            return seen;
        }
    }
}

fn seqs(list: &[Value]) -> Vec<i64> {
    list.iter()
        .map(|one| one["seq"].as_i64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_readers_never_see_gaps_or_reordering() {
    const EACH: i64 = 60;
    let names = ["hub", "ann", "ben", "cat", "dan", "eve"];
    let (app, people) = App::with(names).await;
    let hub = &people[0];
    let mut chats = Vec::new();
    for peer in &people[1..] {
        chats.push(hub.direct(peer).await);
    }
    let done = Arc::new(AtomicBool::new(false));
    // Every user sends to the hub in several conversations in parallel, and the hub answers, so every timeline has many writers.
    let sending = async {
        let senders = people[1..].iter().zip(&chats).flat_map(|(peer, chat)| {
            [peer, hub].map(|sender| async move {
                for n in 0..EACH {
                    let stored = sender.send(chat, &format!("{n}")).await;
                    assert_eq!(stored["content"]["text"], n.to_string());
                }
            })
        });
        join_all(senders).await;
        done.store(true, Ordering::Release);
    };
    let inboxes = join_all(people.iter().map(|person| {
        follow(
            async |since| seqs(person.inbox(since).await["entries"].as_array().unwrap()),
            &done,
            0,
        )
    }));
    let timelines = join_all(people[1..].iter().zip(&chats).map(|(peer, chat)| {
        follow(
            async |since| seqs(&peer.history(chat, since).await),
            &done,
            0,
        )
    }));
    let ((), inbox_ends, chat_ends) = tokio::join!(sending, inboxes, timelines);
    assert!(
        chat_ends.iter().all(|end| *end == 2 * EACH),
        "{chat_ends:?}"
    );
    assert_eq!(inbox_ends[0], 5 * (2 * EACH + 1));
    assert!(
        inbox_ends[1..].iter().all(|end| *end == 2 * EACH + 1),
        "{inbox_ends:?}"
    );

    // The sequential sends of each user keep their order, and both sides see the same.
    for (peer, chat) in people[1..].iter().zip(&chats) {
        let seen = peer.history(chat, 0).await;
        assert_eq!(seen, hub.history(chat, 0).await);
        for sender in [peer, hub] {
            let own: Vec<_> = seen
                .iter()
                .filter(|one| one["sender_id"] == sender.id.as_str())
                .collect();
            let order: Vec<_> = own
                .iter()
                .map(|one| one["content"]["text"].as_str().unwrap())
                .collect();
            assert_eq!(order, (0..EACH).map(|n| n.to_string()).collect::<Vec<_>>());
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sends_share_commits() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let answers = join_all((0..200).map(|_| ann.post_message(&chat, text("x")))).await;
    let seqs: HashSet<i64> = answers
        .iter()
        .map(|one| one.body["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=200).collect());
    let mut conn = app.database();
    // xmin is the transaction that wrote a row.
    let commits = number(
        &mut conn,
        "SELECT count(DISTINCT xmin::text) AS n FROM messages",
    );
    assert!(commits < 100, "200 concurrent sends took {commits} commits");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_conversation_does_not_block_others() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let (stuck, free) = (ann.direct(&ben).await, ann.direct(&cat).await);
    let mut conn = app.database();
    execute(
        &mut conn,
        &format!("BEGIN; SELECT FROM conversations WHERE id = '{stuck}' FOR UPDATE"),
    );
    let started = Instant::now();
    let sends = (0..20).map(|n| {
        let chat = if n % 2 == 0 { &stuck } else { &free };
        ann.post_message(chat, text("x"))
    });
    let (answers, ()) = tokio::join!(join_all(sends), async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        execute(&mut conn, "ROLLBACK");
    });
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    for (n, answer) in answers.into_iter().enumerate() {
        if n % 2 == 1 {
            answer.ok(201);
        } else if answer.status != 201 {
            answer.problem(503, "storage_unavailable");
        }
    }
    ann.send(&stuck, "goes on").await;
    app.finish().await;
}

/// One writer, and a conversation that stays locked while two users go on sending to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn long_locked_conversation_does_not_starve_its_writer() {
    let app = App::configured(|config| config.writers = 1).await;
    let [ann, ben, cat, dan] = app.people(["ann", "ben", "cat", "dan"]).await;
    let (stuck, free) = (ann.direct(&ben).await, cat.direct(&dan).await);
    let mut conn = app.database();
    let lock = format!("BEGIN; SELECT FROM conversations WHERE id = '{stuck}' FOR UPDATE");
    execute(&mut conn, &lock);
    let (done, started) = (AtomicBool::new(false), Instant::now());
    let persist = async |person: &Person| {
        for n in 0.. {
            let message = text(&n.to_string());
            loop {
                let answer = person.post_message(&stuck, message.clone()).await;
                if answer.status != 503 {
                    break assert!([200, 201].contains(&answer.status));
                }
                answer.problem(503, "storage_unavailable");
            }
            if done.load(Ordering::Acquire) {
                break;
            }
        }
    };
    let others = async {
        waiting_for_locks(&mut app.database(), 1).await;
        let mut slowest = Duration::ZERO;
        while started.elapsed() < Duration::from_secs(9) {
            let sent = Instant::now();
            cat.send(&free, "x").await;
            slowest = slowest.max(sent.elapsed());
        }
        done.store(true, Ordering::Release);
        execute(&mut conn, "ROLLBACK");
        slowest
    };
    let ((), (), slowest) = tokio::join!(persist(&ann), persist(&ben), others);
    // A batch waits for the lock for one second; the rest is slack for a busy machine.
    assert!(slowest < Duration::from_millis(2_500), "{slowest:?}");
    let history = ann.history(&stuck, 0).await;
    for person in [&ann, &ben] {
        let own = history
            .iter()
            .filter(|one| one["sender_id"] == person.id.as_str());
        let words: Vec<_> = own
            .map(|one| one["content"]["text"].as_str().unwrap())
            .collect();
        let order: Vec<_> = (0..words.len()).map(|n| n.to_string()).collect();
        assert_eq!(words, order);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_send_is_never_stored_after_a_later_one() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let (mut conn, mut other) = (app.database(), app.database());
    execute(
        &mut conn,
        &format!("BEGIN; SELECT FROM conversations WHERE id = '{chat}' FOR UPDATE"),
    );
    // A request with a body this large holds part of the body budget while it is alive.
    let ask = |words: &str| {
        let content = json!({"text": words, "filler": "x".repeat(200_000)});
        let message = json!({"client_msg_id": id(), "kind": "custom", "content": content});
        let (ann, chat) = (ann.clone(), chat.clone());
        tokio::spawn(async move { ann.post_message(&chat, message).await })
    };
    // The client disconnects while the writer is busy with the first send: the second one must be dropped.
    let first = ask("first");
    waiting_for_locks(&mut other, 1).await;
    let second = ask("second");
    let queued = async || {
        app.nodes[0]
            .handles
            .delivery
            .writers
            .waiting()
            .sum::<usize>()
    };
    eventually("the second is behind it", SOON, queued, |n| *n == 1).await;
    first.abort();
    second.abort();
    let taken = async || app.nodes[0].budget.taken();
    eventually("the server has noticed", SOON, taken, |n| *n == 0).await;
    execute(&mut conn, "ROLLBACK");
    // The commit of the first send began a transaction for the second.
    let ended = "SELECT count(*) AS n FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle' AND query = 'ROLLBACK' AND pid <> ";
    let holder = number(&mut conn, "SELECT pg_backend_pid()::bigint AS n");
    let ended = async || number(&mut other, &format!("{ended}{holder}"));
    eventually("it is ended", SOON, ended, |n| *n == 1).await;
    ann.send(&chat, "third").await;
    let history = ben.history(&chat, 0).await;
    let words: Vec<_> = history
        .iter()
        .map(|one| one["content"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(words.last(), Some(&"third"));
    assert!(!words.contains(&"second"), "{words:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_partition_is_created_on_send() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let mut conn = app.database();
    let week = number(
        &mut conn,
        "SELECT to_char(date_trunc('week', now(), 'UTC'), 'YYYYMMDD')::bigint AS n",
    );
    execute(&mut conn, &format!("DROP TABLE inbox_{week}"));
    ann.send(&chat, "into a new week").await;
    assert_eq!(ben.entries(1).await.len(), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_do_not_go_back_with_the_clock() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let mut conn = app.database();
    execute(
        &mut conn,
        "UPDATE timelines SET last_at = now() + interval '1 hour';
         UPDATE conversations SET updated_at = now() + interval '1 hour'",
    );
    let first = ann.send(&chat, "from the future").await;
    let second = ann.send(&chat, "and on").await;
    assert!(first["created_at"].as_str() <= second["created_at"].as_str());
    let ahead = "SELECT count(*) AS n FROM inbox WHERE kind = 'message' AND at > now() + interval '59 minutes'";
    assert_eq!(number(&mut conn, ahead), 4);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_sends_of_one_conversation_are_ordered() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let noise = |person: Person| {
        let chat = chat.clone();
        async move {
            for _ in 0..40 {
                let stored = person.send(&chat, "x").await;
                let mark = person.read(&chat, stored["seq"].as_i64().unwrap()).await;
                assert!(
                    mark["read_seq"].as_i64() >= stored["seq"].as_i64(),
                    "{mark}"
                );
            }
        }
    };
    tokio::join!(noise(ann.clone()), noise(ben.clone()), noise(ann.clone()));
    // A send marks the conversation as read, marks only move forward, and a mark beyond the head is rejected.
    let head = ann.history(&chat, 0).await.len() as i64;
    assert_eq!(head, 120);
    let mark = ann.read(&chat, head).await;
    assert_eq!(
        (&mark["read_seq"], &mark["unread"]),
        (&json!(head), &json!(0))
    );
    assert_eq!(ann.read(&chat, 1).await["read_seq"], head);
    let path = format!("/conversations/{chat}/read");
    let beyond = ann
        .put(&path, json!({"seq": head + 1}))
        .await
        .problem(400, "validation");
    assert_eq!(beyond["errors"][0]["pointer"], "/seq");
    ann.put(&path, json!({"seq": -1}))
        .await
        .problem(400, "validation");
    app.finish().await;
}
