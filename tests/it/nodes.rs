//! Several nodes on one database and one Redis.

use crate::support::{App, Person, eventually, execute, number, text};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tideline::config::Secret;
use tideline::domain::sync::notices::unsubscribe_idle;
use tideline::engine::waiting::reconcile;
use tideline::model::ids::UserId;
use tideline::node::Node;
use tideline::storage::redis::sync::notices::Channel;
use tideline::storage::redis::sync::unread;
use tokio::task::JoinHandle;

/// Less than the period of the sweep, which would hide a notice that was lost.
const AT_ONCE: Duration = Duration::from_millis(1_500);

async fn two_nodes() -> (App, String, Person, Person, String) {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    app.add_node().await;
    let second = format!("http://{}", app.nodes[1].address);
    let chat = ann.direct(&ben).await;
    (app, second, ann, ben, chat)
}

/// Ben's wait, once it is parked on the first node.
async fn parked(app: &App, ben: &Person, since: i64) -> JoinHandle<Value> {
    let ben = ben.clone();
    let wait = tokio::spawn(async move { ben.wait(since, 30).await });
    app.asleep(0, 1).await;
    wait
}

/// Ben waits on the first node, Ann sends through the second.
async fn woken(app: &App, ann: &Person, ben: &Person, chat: &str) -> Duration {
    let head = ben.head().await;
    let wait = parked(app, ben, head).await;
    let sent = Instant::now();
    ann.send(chat, "across").await;
    let notice = wait.await.unwrap();
    assert_eq!(
        (
            &notice["news"],
            &notice["last_seq"],
            &notice["total_unread"]
        ),
        (&json!(true), &json!(head + 1), &json!(ben.total().await))
    );
    sent.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_send_on_one_node_wakes_a_wait_on_another_at_once() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let ann = ann.at(&second);
    for round in 0..10 {
        // With a hash that knows the total, and without one.
        if round % 3 == 0 {
            app.flush_redis().await;
        }
        let took = woken(&app, &ann, &ben, &chat).await;
        assert!(took < AT_ONCE, "round {round}: {took:?}");
    }
    app.finish().await;
}

/// Register, then look, then sleep: the look is answered as of before the send, and the send is told of before the sleep.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_between_the_look_and_the_sleep_is_not_slept_through() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    // The second node speaks to PostgreSQL past the proxy that will hold the first one's look.
    let mut config = app.config.clone();
    config.database_url = Secret(app.database_url());
    app.nodes.push(Node::start(config).await.unwrap());
    let ann = ann.at(&format!("http://{}", app.nodes[1].address));
    let mut conn = app.database();
    // A round that only the sweep has saved ends with the sweep, and the next one then waits a whole period for it.
    for round in 1..=3 {
        let began = number(
            &mut conn,
            "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint AS n",
        );
        let looks = format!(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'
             AND query LIKE 'SELECT t.user_id, t.last_seq%'
             AND extract(epoch FROM query_start) * 1e6 > {began}"
        );
        app.postgres.hold_answers();
        let wait = tokio::spawn({
            let ben = ben.clone();
            async move { ben.wait(round, 20).await }
        });
        let looked = async || number(&mut conn, &looks);
        eventually("it looks", Duration::from_secs(3), looked, |count| {
            *count > 0
        })
        .await;
        ann.send(&chat, "in between").await;
        app.postgres.heal();
        let healed = Instant::now();
        assert_eq!(wait.await.unwrap()["last_seq"], round + 1);
        assert!(
            healed.elapsed() < AT_ONCE,
            "round {round}: {:?}",
            healed.elapsed()
        );
    }
    app.finish().await;
}

/// Ben waits in vain, and a sweep finds that there is nothing new: what the next wait takes, until something is heard.
async fn in_vain(app: &App, ben: &Person, since: i64) {
    let user = UserId(ben.id.parse().unwrap());
    let wait = tokio::spawn({
        let ben = ben.clone();
        async move { ben.wait(since, 1).await }
    });
    app.asleep(0, 1).await;
    let swept = async || {
        reconcile::once(&app.nodes[0].app).await;
        app.nodes[0].app.waiters.swept.head(user)
    };
    // The announcement of an entry may come after a first one.
    eventually("it is swept", AT_ONCE, swept, |head| {
        head.is_some_and(|head| head.0 == since)
    })
    .await;
    assert_eq!(wait.await.unwrap()["news"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_again_in_vain_asks_nothing_of_postgres() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    // From before the first entry, and from after it.
    for since in [0, 1] {
        ben.total().await;
        in_vain(&app, &ben, since).await;
        app.postgres.freeze();
        assert_eq!(ben.wait(since, 1).await["news"], false);
        // From another position it has to be asked for.
        let path = format!("/notices?since_seq={}&timeout=1", 1 - since);
        let asked = ben.get(&path).await;
        asked.problem(503, "storage_unavailable");
        app.postgres.heal();
        if since == 0 {
            ann.direct(&ben).await;
        }
    }
    app.finish().await;
}

/// The total of a wait in vain is that of the time before, as long as the head is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_again_in_vain_asks_nothing_of_redis() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "one").await;
    assert_eq!(ben.total().await, 1);
    assert_eq!(ben.wait(2, 1).await["total_unread"], 1);
    // What nobody asks for may be anything.
    let wrong: i64 = app.unread_hash(&ben, "HSET", &["total", "7"]).await;
    assert_eq!(wrong, 0);
    assert_eq!(ben.wait(2, 1).await["total_unread"], 1);
    let _: i64 = app.unread_hash(&ben, "HSET", &["total", "1"]).await;
    ann.send(&chat, "two").await;
    assert_eq!(ben.wait(2, 1).await["total_unread"], 2);
    assert_eq!(ben.wait(3, 1).await["total_unread"], 2);
    app.finish().await;
}

/// What comes while nobody waits, and so is told to nobody, is not slept through by the next wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn news_between_two_waits_is_told_at_once() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    // A round that only the sweep has saved may be lucky with it once.
    for round in 1..=8 {
        in_vain(&app, &ben, round).await;
        match round % 4 {
            0 => drop(ann.send(&chat, "here").await),
            1 => drop(ann.at(&second).send(&chat, "across").await),
            2 => {
                unsubscribe_idle(&app.nodes[0].app).await;
                ann.at(&second).send(&chat, "nobody listens").await;
            }
            _ => {
                app.redis.cut();
                ann.at(&second).send(&chat, "nobody hears this").await;
                app.redis.heal();
            }
        }
        let asked = Instant::now();
        assert_eq!(ben.wait(round, 20).await["last_seq"], round + 1);
        let took = asked.elapsed();
        assert!(took < AT_ONCE, "round {round}: {took:?}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscriptions_come_back_after_a_loss_and_what_was_missed_is_looked_for() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let ann = ann.at(&second);
    let wait = parked(&app, &ben, 1).await;
    app.redis.cut();
    ann.send(&chat, "nobody hears this").await;
    app.redis.heal();
    let healed = Instant::now();
    assert_eq!(wait.await.unwrap()["last_seq"], 2);
    assert!(
        healed.elapsed() < Duration::from_secs(5),
        "{:?}",
        healed.elapsed()
    );
    let missing = async || app.nodes[0].app.notices.missing();
    let none = |missing: &Vec<_>| missing.is_empty();
    eventually("they are back", Duration::from_secs(5), missing, none).await;
    let took = woken(&app, &ann, &ben, &chat).await;
    assert!(took < AT_ONCE, "{took:?}");
    app.finish().await;
}

/// Redis is away when a wait begins, and back while it sleeps: its subscription, which failed, is asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wait_that_could_not_subscribe_is_not_deaf_for_life() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let (ann, node) = (ann.at(&second), &app.nodes[0].app);
    // A round that only the sweep has saved ends with the sweep, and the next one then waits a whole period for it.
    for head in 1..=3 {
        unsubscribe_idle(node).await;
        app.redis.cut();
        let wait = parked(&app, &ben, head).await;
        let missing = async || node.notices.missing();
        eventually("it cannot", AT_ONCE, missing, |all| !all.is_empty()).await;
        app.redis.heal();
        let soon = Duration::from_secs(5);
        eventually("it can", soon, missing, Vec::is_empty).await;
        let there = async || app.nodes[1].app.redis.ping().await;
        eventually("the other node is back", soon, there, |up| *up).await;
        let sent = Instant::now();
        ann.send(&chat, "across").await;
        assert_eq!(wait.await.unwrap()["last_seq"], head + 1);
        assert!(sent.elapsed() < AT_ONCE, "{:?}", sent.elapsed());
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_end_with_the_waits_but_not_those_that_are_needed() {
    let (app, _, ann, ben, chat) = two_nodes().await;
    let node = &app.nodes[0].app;
    ann.wait(1, 1).await;
    let wait = parked(&app, &ben, 1).await;
    assert_eq!(node.notices.channels().len(), 2);
    unsubscribe_idle(node).await;
    let bens = Channel::Inbox(UserId(ben.id.parse().unwrap()));
    assert_eq!(node.notices.channels(), [bens]);
    ann.send(&chat, "x").await;
    wait.await.unwrap();
    app.finish().await;
}

/// A wait that begins while the idle subscription of its user is being ended: it subscribes and looks, the subscription is
/// ended under it, a message is told to nobody, and only then does the node notice that somebody waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_published_while_a_needed_subscription_is_ended_is_looked_for() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let (ann, node) = (ann.at(&second), &app.nodes[0].app);
    let user = UserId(ben.id.parse().unwrap());
    let channel = Channel::Inbox(user);
    let counted = async || {
        let total = unread::total(&node.redis, node.epoch, user).await;
        total.ok().flatten().map(|total| total.as_of.0)
    };
    ben.total().await;
    // A round that only the sweep has saved ends with the sweep, and the next one then waits a whole period for it.
    for head in 1..=3 {
        let wait = parked(&app, &ben, head).await;
        node.notices.unsubscribe(&[channel]).await;
        ann.send(&chat, "nobody hears this").await;
        // Counted and published is one step.
        let told = |as_of: &Option<i64>| *as_of == Some(head + 1);
        eventually("it is announced", AT_ONCE, counted, told).await;
        let noticed = Instant::now();
        node.notices.mark_missing(&[channel]);
        assert_eq!(wait.await.unwrap()["last_seq"], head + 1);
        let took = noticed.elapsed();
        assert!(took < AT_ONCE, "from {head}: {took:?}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn announcements_of_two_nodes_out_of_order_leave_exact_counts() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let [cat] = app.people(["cat"]).await;
    let other = cat.direct(&ben).await;
    ben.total().await;
    let noise = |person: Person, chat: String| async move {
        for _ in 0..60 {
            person.send(&chat, "x").await;
        }
    };
    let reads = async {
        for seq in 1..20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let head = ben.history(&chat, 0).await.len() as i64;
            ben.at(&second).read(&chat, seq.min(head)).await;
            ben.total().await;
        }
    };
    let senders = vec![
        noise(ann.clone(), chat.clone()),
        noise(ann.at(&second), chat.clone()),
        noise(cat.at(&second), other.clone()),
        noise(cat.clone(), other.clone()),
    ];
    tokio::join!(join_all(senders), reads);
    assert_eq!(ben.total().await, ben.at(&second).total().await);
    assert_eq!(ben.total().await, 120 - 19 + 120);
    app.finish().await;
}

/// Killed between commit and announce: nobody tells the other node, so its sweep has to find out.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_killed_node_had_no_time_to_announce_is_found() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "counted").await;
    // From here on Redis knows Ben's total, and will know it wrong.
    ben.total().await;
    let doomed = app.add_process(&[]);
    let through_doomed = ann.at(&doomed.process.url);
    let wait = parked(&app, &ben, 2).await;
    doomed.redis.freeze();
    let message = text("committed");
    let stored = through_doomed
        .post_message(&chat, message.clone())
        .await
        .ok(201);
    doomed.process.signal("KILL");
    let killed = Instant::now();
    let notice = wait.await.unwrap();
    let took = killed.elapsed();
    assert_eq!(
        (
            &notice["news"],
            &notice["last_seq"],
            &notice["total_unread"]
        ),
        (&json!(true), &json!(3), &json!(2))
    );
    // Five seconds are promised; the slack is for the machine of the tests.
    assert!(took < Duration::from_millis(5_500), "{took:?}");
    assert_eq!(
        ben.unread().await,
        json!({"total": 2, "conversations": [{"conversation_id": chat, "unread": 2}], "as_of_seq": 3})
    );
    // Neither lost nor doubled: a repeat on the node that is left gets the first answer.
    let again = ann.post_message(&chat, message).await;
    assert_eq!(again.ok(200), stored);
    let entries = ben.entries(2).await;
    assert_eq!(
        entries
            .iter()
            .map(|entry| &entry["message"])
            .collect::<Vec<_>>(),
        [&stored]
    );
    ann.send(&chat, "after").await;
    assert_eq!(ben.total().await, 3);
    app.finish().await;
}

/// Stopped, or cut off, between lock and commit: PostgreSQL ends the idle transaction, and with it the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_stalls_between_lock_and_commit_does_not_stop_another() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let node = app.add_process(&[]);
    let through_stalled = ann.at(&node.process.url);
    let (mut holder, mut watcher) = (app.database(), app.database());
    for (stopped, peer) in [(true, &ben), (false, &cat)] {
        let chat = ann.direct(peer).await;
        through_stalled.send(&chat, "one").await;
        execute(
            &mut holder,
            &format!("BEGIN; SELECT FROM conversations WHERE id = '{chat}' FOR UPDATE"),
        );
        let message = text("two");
        let send = tokio::spawn({
            let (ann, chat, message) = (through_stalled.clone(), chat.clone(), message.clone());
            async move { ann.post_message(&chat, message).await }
        });
        // A wait for the lock that has just begun (the writer begins again after a second): there is time to stall the
        // node and let go of the lock before it ends.
        let waits = "SELECT COALESCE(max(pid), 0)::bigint AS n FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'
                 AND clock_timestamp() - query_start < interval '300 ms'";
        let waits = async || number(&mut watcher, waits);
        let backend = eventually("it waits", Duration::from_secs(3), waits, |pid| *pid > 0).await;
        if stopped {
            node.process.signal("STOP");
        } else {
            node.postgres.freeze();
        }
        execute(&mut holder, "ROLLBACK");
        // The lock was given to the stalled node, which cannot go on to its next statement.
        let holds = format!(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE pid = {backend} AND state = 'idle in transaction'"
        );
        let holds = async || number(&mut watcher, &holds);
        eventually("it holds the lock", Duration::from_secs(1), holds, |n| {
            *n == 1
        })
        .await;
        let started = Instant::now();
        peer.send(&chat, "three").await;
        let took = started.elapsed();
        // One second (see the pool), and some for the machine of the tests.
        assert!(took < Duration::from_millis(1_500), "{took:?}");

        if stopped {
            node.process.signal("CONT");
        } else {
            node.postgres.heal();
        }
        // What it had in hand is answered, and a repeat says what became of it.
        let answer = send.await.unwrap();
        if answer.status != 201 {
            answer.problem(503, "storage_unavailable");
        }
        let again = through_stalled.post_message(&chat, message).await;
        assert!([200, 201].contains(&again.status), "{}", again.body);
        through_stalled.send(&chat, "four").await;
        let history = ann.history(&chat, 0).await;
        let told: Vec<_> = history
            .iter()
            .map(|one| (&one["seq"], &one["content"]["text"]))
            .collect();
        assert_eq!(
            json!(told),
            json!([[1, "one"], [2, "three"], [3, "two"], [4, "four"]])
        );
    }
    app.finish().await;
}

/// What has reached a stopped node is served when it goes on: the time for the head of a request is for slow clients, and no
/// client was slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_was_stopped_does_not_blame_its_clients() {
    let (app, [ann]) = App::with(["ann"]).await;
    let node = app.add_process(&[]);
    let through = ann.at(&node.process.url);
    through.unread().await;
    node.process.signal("STOP");
    // Each on a connection of its own, which waits to be accepted.
    let requests = (0..100).map(|_| {
        let through = through.clone();
        tokio::spawn(async move { through.get("/unread").await })
    });
    let requests: Vec<_> = requests.collect();
    // As long as the table of faults wants it, and the limit for a head was ten seconds once.
    tokio::time::sleep(Duration::from_secs(11)).await;
    node.process.signal("CONT");
    for request in join_all(requests).await {
        request.unwrap().ok(200);
    }
    app.finish().await;
}
