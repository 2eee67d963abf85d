//! Unread counts are derived from the timeline and stay exact, whatever happens to Redis.

use crate::support::{App, Person, admin, eventually, execute, number, services};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use tideline::domain::identity::seeding;
use tideline::domain::sync::unread::{self, Found};
use tideline::model::ids::{ConversationId, InboxSeq, UserId};
use tideline::model::unread::CommittedEntry;
use tideline::model::wire::unread::Unread;
use tideline::storage::redis::sync::unread::{self as cache, Applied, Total, Walk};

/// A busy machine may exceed the time-out of a command, and the call may be repeated.
const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn counts_follow_sends_and_reads() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let (with_ann, with_cat) = (ben.direct(&ann).await, ben.direct(&cat).await);
    assert_eq!(
        ben.unread().await,
        json!({"total": 0, "conversations": [], "as_of_seq": 2})
    );
    for _ in 0..3 {
        ann.send(&with_ann, "x").await;
    }
    cat.send(&with_cat, "x").await;
    let count = |chat: &str, n: i64| json!({"conversation_id": chat, "unread": n});
    let unread = ben.unread().await;
    assert_eq!(unread["total"], 4);
    assert_eq!(unread["as_of_seq"], 6);
    for one in [count(&with_ann, 3), count(&with_cat, 1)] {
        assert!(
            unread["conversations"].as_array().unwrap().contains(&one),
            "{unread}"
        );
    }
    let mark = ben.read(&with_ann, 2).await;
    assert_eq!(
        mark,
        json!({"conversation_id": with_ann, "read_seq": 2, "unread": 1, "total_unread": 2})
    );
    ben.send(&with_cat, "sending means having read").await;
    assert_eq!(
        ben.unread().await["conversations"],
        json!([count(&with_ann, 1)])
    );
    assert_eq!(cat.unread().await["total"], 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_sends_reads_and_redis_losses_leave_exact_counts() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (app, people) = App::with(["ann", "ben", "cat", "dan"]).await;
    let mut chats = Vec::new();
    for a in 0..people.len() {
        for b in 0..a {
            chats.push((a, b, people[a].direct(&people[b]).await, 0));
        }
    }
    for step in 0..300 {
        let pick = random.random_range(0..chats.len());
        let (a, b, chat, head) = &mut chats[pick];
        let person = &people[if random.random() { *a } else { *b }];
        match random.random_range(0..100) {
            0..60 => {
                person.send(chat, "x").await;
                *head += 1;
            }
            60..90 => {
                person.read(chat, random.random_range(0..=*head)).await;
            }
            90..94 => app.flush_redis().await,
            94..96 => app.redis.cut(),
            _ => app.redis.heal(),
        }
        if step % 10 == 0 {
            person.total().await;
        }
    }
    app.redis.heal();
    // The world check compares every count with a recount. This checks that Redis has the counts again.
    for person in &people {
        let user = UserId(person.id.parse().unwrap());
        let node = &app.nodes[0].handles;
        let truth = person.unread().await;
        let cached = eventually(
            "Redis has the counts again",
            WITHIN,
            async || {
                person.unread().await;
                cache::all(&node.delivery.redis, node.delivery.epoch, user)
                    .await
                    .ok()
                    .flatten()
            },
            |counts| counts.as_ref().is_some_and(|counts| json!(counts) == truth),
        )
        .await;
        assert!(cached.is_some());
    }
    app.finish().await;
}

/// Many users share a call of the script, and two of them have more entries than fit into one call.
#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_of_users_are_independent() {
    let app = App::start().await;
    let node = &app.nodes[0].handles;
    let new = || UserId(tideline::clock::new_id());
    let known: Vec<_> = (0..600).map(|_| new()).collect();
    let none = Unread {
        total_mentions: None,
        total: 0,
        conversations: Vec::new(),
        as_of_seq: InboxSeq(0),
    };
    for user in &known {
        let merge =
            async || cache::merge(&node.delivery.redis, node.delivery.epoch, *user, &none).await;
        let merged = eventually("Redis answers", WITHIN, merge, Result::is_ok).await;
        merged.unwrap();
    }
    let (unknown, broken) = (new(), new());
    let client = redis::Client::open(services().redis_url()).unwrap();
    let mut past = client.get_multiplexed_async_connection().await.unwrap();
    let key = format!("tl:{}:unread:{{{broken}}}", node.delivery.epoch);
    let mut no_hash = redis::cmd("SET");
    no_hash.arg(&key).arg("no hash");
    let _: String = no_hash.query_async(&mut past).await.unwrap();

    let conversation = ConversationId(tideline::clock::new_id());
    let entry = |receiver: &UserId, seq: i64| CommittedEntry {
        receiver: *receiver,
        seq: InboxSeq(seq),
        conversation,
        unread: Some(2 * seq),
    };
    let (much, partly_large) = (known[0], known[1]);
    let mut entries = vec![entry(&broken, 1), entry(&unknown, 1)];
    entries.extend(known.iter().map(|user| entry(user, 1)));
    entries.extend((2..=600).map(|seq| entry(&much, seq)));
    entries.push(CommittedEntry {
        unread: None,
        ..entry(&partly_large, 2)
    });
    entries.extend((3..=600).map(|seq| entry(&partly_large, seq)));
    let apply = async || cache::apply(&node.delivery.redis, node.delivery.epoch, &entries).await;
    let all = |applied: &Applied| applied.lost == 0;
    let applied = eventually("Redis applies them", WITHIN, apply, all).await;
    let total = |seq| Total {
        as_of: InboxSeq(seq),
        total: 2 * seq,
    };
    let mut expected: HashMap<_, _> = known.iter().map(|user| (*user, total(1))).collect();
    expected.insert(much, total(600));
    // After a switch to read fan-out, a later part does not return a total.
    expected.remove(&partly_large);
    assert_eq!(applied.totals, expected);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_notices_are_correct_without_redis() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for loss in ["cut", "freeze"] {
        if loss == "cut" {
            app.redis.cut()
        } else {
            app.redis.freeze()
        }
        let wait = tokio::spawn({
            let ben = ben.clone();
            let head = ben.head().await;
            async move { ben.wait(head, 20).await }
        });
        ann.send(&chat, "x").await;
        let notice = wait.await.unwrap();
        assert_eq!(notice["news"], true);
        assert_eq!(notice["total_unread"], ben.total().await);
        assert_eq!(ben.read(&chat, 1).await["total_unread"], ben.total().await);
        app.redis.heal();
        // The circuit closes, and answers stay correct.
        ann.send(&chat, "y").await;
        assert_eq!(
            ben.total().await,
            ann.history(&chat, 0).await.len() as i64 - 1
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_counts_ahead_of_the_database_are_discarded() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "x").await;
    let node = &app.nodes[0].handles;
    let user = UserId(ben.id.parse().unwrap());
    let ahead = Unread {
        total_mentions: None,
        total: 9,
        conversations: vec![],
        as_of_seq: InboxSeq(99),
    };
    cache::merge(&node.delivery.redis, node.delivery.epoch, user, &ahead)
        .await
        .unwrap();
    assert_eq!(ben.total().await, 1);
    let kept = cache::all(&node.delivery.redis, node.delivery.epoch, user)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.as_of_seq, InboxSeq(2));
    app.finish().await;
}

/// Audits all users with counts in Redis, as the task does in many rounds.
async fn audit_all(app: &App) {
    let node = &app.nodes[0].handles;
    let mut at = Walk::default();
    loop {
        at = unread::audit_some(&node.delivery, at).await.unwrap();
        if at == Walk::default() {
            return;
        }
    }
}

/// Ann sends Ben three messages, and Redis has his counts. Also returns a reader of the drift counter.
async fn counted() -> (App, Person, Person, String, impl Fn(&App) -> u64) {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for _ in 0..3 {
        ann.send(&chat, "x").await;
    }
    assert_eq!(ben.total().await, 3);
    (app, ann, ben, chat, |app: &App| {
        app.nodes[0].handles.delivery.metrics.unread_drift.get()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn auditor_drops_wrong_counts_and_the_next_read_rebuilds_them() {
    let (app, _, ben, chat, drift) = counted().await;
    let audited = &app.nodes[0].handles.delivery.metrics.unread_audited;
    audit_all(&app).await;
    assert_eq!(drift(&app), 0);
    assert!(audited.get() > 0);
    // A wrong total, a wrong part, and an extra conversation.
    let stranger = tideline::clock::new_id().to_string();
    for (round, wrong) in [
        vec!["total", "4"],
        vec![&chat, "2:4"],
        vec![&stranger, "1:4", "total", "4"],
    ]
    .into_iter()
    .enumerate()
    {
        let _: i64 = app.unread_hash(&ben, "HSET", &wrong).await;
        audit_all(&app).await;
        assert_eq!(drift(&app), round as u64 + 1, "{wrong:?}");
        assert_eq!(app.unread_hash::<i64>(&ben, "EXISTS", &[]).await, 0);
        let truth = json!({"total": 3, "conversations": [{"conversation_id": chat, "unread": 3}], "as_of_seq": 4});
        assert_eq!(ben.unread().await, truth);
        audit_all(&app).await;
        assert_eq!(drift(&app), round as u64 + 1, "repaired");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_cached_counts_are_not_reported_as_drift() {
    let (app, ann, ben, chat, drift) = counted().await;
    let user = UserId(ben.id.parse().unwrap());
    let node = &app.nodes[0].handles;
    let unproved = async || {
        assert_eq!(
            unread::audit(&node.delivery, &[user]).await.unwrap(),
            [Found::Unproved]
        );
        assert_eq!(app.unread_hash::<i64>(&ben, "EXISTS", &[]).await, 1);
    };
    // Behind and ahead of the head, with a wrong total.
    for mark in ["3", "5"] {
        let fields = ["mark", mark, "total", "77"];
        let _: i64 = app.unread_hash(&ben, "HSET", &fields).await;
        unproved().await;
    }
    let fields = ["mark", "4", "total", "3"];
    let _: i64 = app.unread_hash(&ben, "HSET", &fields).await;
    assert_eq!(
        unread::audit(&node.delivery, &[user]).await.unwrap(),
        [Found::Exact]
    );
    // Committed, and the announcement lost or very late.
    app.redis.cut();
    ann.send(&chat, "x").await;
    assert!(
        unread::audit_some(&node.delivery, Walk::default())
            .await
            .is_err()
    );
    app.redis.heal();
    let ping = async || node.delivery.redis.ping().await;
    eventually("Redis is back", WITHIN, ping, |up| *up).await;
    assert_ne!(
        unread::audit(&node.delivery, &[user]).await.unwrap(),
        [Found::Drifted]
    );
    assert_eq!(ben.total().await, 4);
    assert_eq!(
        unread::audit(&node.delivery, &[user]).await.unwrap(),
        [Found::Exact]
    );
    app.postgres.cut();
    assert!(unread::audit(&node.delivery, &[user]).await.is_err());
    app.postgres.heal();
    assert_eq!(drift(&app), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn operator_rebuilds_unread_counts_while_nodes_run() {
    let (app, ann, ben, chat, drift) = counted().await;
    let [cat, dan] = app.people(["cat", "dan"]).await;
    let other = cat.direct(&ben).await;
    for person in [&ann, &ben, &cat] {
        let begun = async || {
            person.total().await;
            app.unread_hash::<i64>(person, "EXISTS", &[]).await
        };
        let there = |exists: &i64| *exists == 1;
        eventually("Redis knows them", WITHIN, begun, there).await;
    }
    let _: i64 = app.unread_hash(&ben, "HSET", &["total", "99"]).await;
    // Behind the head and so unused: rebuilt, and not counted as wrong.
    let _: i64 = app.unread_hash(&ben, "HSET", &["mark", "4"]).await;
    let _: i64 = app.unread_hash(&ann, "HSET", &["total", "99"]).await;
    let rebuild = || {
        let output = app.admin(&["rebuild-unread"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        (line, said)
    };
    let (line, said) = rebuild();
    assert_eq!(line, json!({"rebuilt": 3, "wrong": 1}), "{said}");
    assert!(
        said.contains(&format!("unread counts of {}", ann.id)),
        "{said}"
    );
    let node = &app.nodes[0].handles;
    for person in [&ann, &ben, &cat] {
        let user = UserId(person.id.parse().unwrap());
        assert_eq!(
            unread::audit(&node.delivery, &[user]).await.unwrap(),
            [Found::Exact]
        );
    }
    assert_eq!(app.unread_hash::<i64>(&dan, "EXISTS", &[]).await, 0);
    assert_eq!(ben.total().await, 3);
    // Repeated while messages arrive: exact afterwards.
    let senders = async {
        for _ in 0..100 {
            tokio::join!(ann.send(&chat, "x"), cat.send(&other, "x"));
            ben.total().await;
        }
    };
    let url = app.database_url();
    let rebuilds = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            let output = admin(&url, &services().redis_url(), &["rebuild-unread"]);
            assert!(output.status.success(), "{output:?}");
        }
    });
    let ((), rebuilt) = tokio::join!(senders, rebuilds);
    rebuilt.unwrap();
    assert_eq!(ben.total().await, 203);
    audit_all(&app).await;
    assert_eq!(drift(&app), 0);
    // Without Redis the command fails with a message.
    let output = admin(
        &app.database_url(),
        "redis://127.0.0.1:1",
        &["rebuild-unread"],
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("not all counts were rebuilt"), "{said}");
    assert!(output.stdout.is_empty());
    app.finish().await;
}

/// After Redis lost its counts, many users need a recount together.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_recounts_share_queries() {
    let (app, ann, ben, chat, _) = counted().await;
    let node = &app.nodes[0].handles;
    let many = seeding::seed(&node.auth, 0, 300).await.unwrap();
    let mut database = app.database();
    execute(
        &mut database,
        "BEGIN; LOCK TABLE members IN ACCESS EXCLUSIVE MODE",
    );
    let [ann, ben] = [&ann, &ben].map(|person| UserId(person.id.parse().unwrap()));
    let users = many.iter().map(|one| one.user).chain([ben, ann, ben]);
    let counts = join_all(users.map(|user| node.delivery.recounts.submit(user)));
    let release = async {
        let hung = async || {
            let waiting = "SELECT count(*) AS n FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
            number(&mut database, waiting)
        };
        let concurrency = i64::from(node.config.writers);
        eventually("they wait for the lock", WITHIN, hung, |n| {
            *n == concurrency
        })
        .await;
        assert_eq!(node.delivery.pg.usage().waiting, 0);
        execute(&mut database, "ROLLBACK");
    };
    let (counts, ()) = tokio::join!(counts, release);
    let counts: Vec<_> = counts
        .into_iter()
        .map(|counts| counts.unwrap().small)
        .collect();
    let (many, known) = counts.split_at(300);
    assert!(
        many.iter()
            .all(|counts| counts.as_of_seq.0 == 0 && counts.conversations.is_empty())
    );
    let totals: Vec<_> = known
        .iter()
        .map(|counts| (counts.total, counts.as_of_seq.0))
        .collect();
    assert_eq!(totals, [(3, 4), (0, 4), (3, 4)]);
    assert_eq!(
        known[0].conversations[0].conversation_id.0.to_string(),
        chat
    );
    app.finish().await;
}
