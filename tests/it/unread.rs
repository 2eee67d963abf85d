//! Unread counts: a view of the timeline that cannot drift, whatever happens to Redis.

use crate::support::{App, eventually};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tideline::model::ids::{ConversationId, InboxSeq, UserId};
use tideline::model::unread::{Announcement, ConversationUnread, Unread};
use tideline::storage::redis::Redis;
use tideline::storage::redis::unread as cache;

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
async fn random_sends_reads_and_losses_of_redis_leave_exact_counts() {
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
    // The world check compares every count with a recount; here, that Redis itself got there.
    for person in &people {
        let user = UserId(person.id.parse().unwrap());
        let node = &app.nodes[0].app;
        let truth = person.unread().await;
        let cached = eventually(
            "Redis has the counts again",
            Duration::from_secs(10),
            async || {
                person.unread().await;
                cache::all(&node.redis, node.epoch, user)
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

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_counts_and_notices_are_correct() {
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
        // The breaker closes and the answers stay right.
        ann.send(&chat, "y").await;
        assert_eq!(
            ben.total().await,
            ann.history(&chat, 0).await.len() as i64 - 1
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_another_life_of_the_database_are_forgotten() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "x").await;
    let node = &app.nodes[0].app;
    let user = UserId(ben.id.parse().unwrap());
    let ahead = Unread {
        total: 9,
        conversations: vec![],
        as_of_seq: InboxSeq(99),
    };
    cache::merge(&node.redis, node.epoch, user, &ahead)
        .await
        .unwrap();
    assert_eq!(ben.total().await, 1);
    let kept = cache::all(&node.redis, node.epoch, user)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.as_of_seq, InboxSeq(2));
    app.finish().await;
}

/// The scripts alone, against a model: entries in any order, doubled, lost, with merges and flushes between.
#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_agree_with_a_model_under_any_order() {
    let (app, [ann]) = App::with(["ann"]).await;
    let node = &app.nodes[0].app;
    let redis: Arc<Redis> = Arc::clone(&node.redis);
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let conversations: Vec<_> = (0..4)
        .map(|_| ConversationId(tideline::clock::new_id()))
        .collect();
    for _ in 0..300 {
        let user = UserId(tideline::clock::new_id());
        // The true history: each entry says one conversation's count as of it.
        let length = random.random_range(1..30);
        let history: Vec<Announcement> = (1..=length)
            .map(|seq| Announcement {
                receiver: user,
                seq: InboxSeq(seq),
                conversation: conversations[random.random_range(0..4)],
                unread: random.random_range(0..4),
            })
            .collect();
        let truth = |head: i64| -> Unread {
            let mut counts: Vec<ConversationUnread> = conversations
                .iter()
                .filter_map(|id| {
                    let mine =
                        |entry: &&Announcement| entry.conversation == *id && entry.seq.0 <= head;
                    let unread = history.iter().rev().find(mine)?.unread;
                    (unread > 0).then_some(ConversationUnread {
                        conversation_id: *id,
                        unread,
                    })
                })
                .collect();
            counts.sort_by_key(|one| one.conversation_id);
            let total = counts.iter().map(|one| one.unread).sum();
            Unread {
                total,
                conversations: counts,
                as_of_seq: InboxSeq(head),
            }
        };
        let mut waiting = history.clone();
        waiting.extend(
            history
                .iter()
                .filter(|_| random.random_bool(0.3))
                .copied()
                .collect::<Vec<_>>(),
        );
        while !waiting.is_empty() {
            match random.random_range(0..10) {
                0 => cache::forget(&redis, node.epoch, user).await.unwrap(),
                1 => {
                    let counts = truth(random.random_range(0..=length));
                    cache::merge(&redis, node.epoch, user, &counts)
                        .await
                        .unwrap();
                }
                _ => {
                    // Mostly near the front, as writers do; sometimes several in one call.
                    let group: Vec<_> = (0..random.random_range(1..4))
                        .filter(|_| !waiting.is_empty())
                        .map(|_| ())
                        .collect::<Vec<_>>()
                        .into_iter()
                        .filter_map(|()| {
                            let reach = waiting.len().min(5);
                            (reach > 0).then(|| waiting.remove(random.random_range(0..reach)))
                        })
                        .collect();
                    let lost = random.random_bool(0.1);
                    if !lost {
                        cache::apply(&redis, node.epoch, &group).await.unwrap();
                    }
                }
            }
            // Whatever the hash says as of its mark is the truth as of the mark, once nothing waits beyond it.
            if let Some(counts) = cache::all(&redis, node.epoch, user).await.unwrap() {
                let sum: i64 = counts.conversations.iter().map(|one| one.unread).sum();
                assert_eq!(counts.total, sum, "total is the sum");
                if counts.as_of_seq.0 == length {
                    assert_eq!(counts, truth(length));
                }
            }
        }
        cache::merge(&redis, node.epoch, user, &truth(length))
            .await
            .unwrap();
        let end = cache::all(&redis, node.epoch, user).await.unwrap().unwrap();
        assert_eq!(end, truth(length));
    }
    drop(ann);
    app.finish().await;
}
