//! Who types: a signal to the waits of members that look, never stored.

use crate::support::waits::two_nodes;
use crate::support::{Answer, App, Person, eventually, id, number};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tideline::domain::sync::notices::unsubscribe_idle;
use tokio::task::JoinHandle;

/// How long a user types after the last signal.
const LIFE: Duration = Duration::from_secs(8);

async fn types(who: &Person, chat: &str, typing: bool) -> Answer {
    let path = format!("/conversations/{chat}/typing");
    who.put(&path, json!({"typing": typing})).await
}

/// A wait that looks at a conversation, from a mark.
async fn look(who: &Person, chat: &str, mark: &Value, timeout: u64) -> Value {
    let since = who.head().await;
    look_from(who, since, chat, mark, timeout).await
}

async fn look_from(who: &Person, since: i64, chat: &str, mark: &Value, timeout: u64) -> Value {
    let mark = mark.as_str().unwrap();
    let path = format!("/notices?since_seq={since}&timeout={timeout}&typing={chat}:{mark}");
    who.get(&path).await.ok(200)
}

/// A sleeping wait that looks at a conversation.
async fn looking(
    app: &App,
    node: usize,
    who: &Person,
    chat: &str,
    mark: &Value,
    timeout: u64,
) -> JoinHandle<Value> {
    let sleeping = app.nodes[node].handles.delivery.waiters.asleep();
    let (who, chat, mark) = (who.clone(), chat.to_owned(), mark.clone());
    let wait = tokio::spawn(async move { look(&who, &chat, &mark, timeout).await });
    app.asleep(node, sleeping + 1).await;
    wait
}

/// Who types, as a notice says of its only conversation, and the new mark.
fn shown(notice: &Value) -> (Vec<&str>, &Value) {
    let typing = &notice["signals"]["typing"];
    assert_eq!(typing.as_array().map(Vec::len), Some(1), "{notice}");
    let users = typing[0]["user_ids"].as_array().unwrap().iter();
    (
        users.map(|user| user.as_str().unwrap()).collect(),
        &typing[0]["mark"],
    )
}

fn is_silent(notice: &Value) -> bool {
    notice["signals"] == json!({"typing": []})
}

fn published(app: &App, node: usize) -> u64 {
    let metrics = &app.nodes[node].handles.delivery.metrics;
    metrics.typing_published.get()
}

/// Every row that a request could have written.
fn rows(app: &App) -> [i64; 4] {
    let mut conn = app.database();
    [
        "SELECT COALESCE(sum(last_seq), 0)::bigint AS n FROM timelines",
        "SELECT COALESCE(sum(last_seq + change_seq), 0)::bigint AS n FROM conversations",
        "SELECT count(*) AS n FROM inbox",
        "SELECT count(*) AS n FROM messages",
    ]
    .map(|sql| number(&mut conn, sql))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn typing_is_shown_from_node_to_node_and_ends() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let (ben, before) = (ben.at(&second), rows(&app));
    let nobody = json!("0");
    // A start.
    let wait = looking(&app, 1, &ben, &chat, &nobody, 30).await;
    let began = Instant::now();
    types(&ann, &chat, true).await.ok(204);
    let notice = wait.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
    let (users, mark) = shown(&notice);
    assert_eq!(users, [&ann.id]);
    assert_eq!(notice["signals"]["typing"][0]["conversation_id"], chat);
    assert_eq!(
        (&notice["news"], &notice["last_seq"]),
        (&json!(false), &json!(1))
    );
    assert_ne!(mark, &nobody);
    // There is one signal, until the start is repeated no more.
    let notice = look(&ben, &chat, mark, 30).await;
    assert_eq!(shown(&notice), (Vec::new(), &nobody));
    let took = began.elapsed();
    assert!(
        (LIFE..LIFE + Duration::from_secs(2)).contains(&took),
        "{took:?}"
    );
    // A stop.
    types(&ann, &chat, true).await.ok(204);
    let notice = look(&ben, &chat, &nobody, 30).await;
    let wait = looking(&app, 1, &ben, &chat, shown(&notice).1, 30).await;
    let began = Instant::now();
    types(&ann, &chat, false).await.ok(204);
    assert_eq!(shown(&wait.await.unwrap()), (Vec::new(), &nobody));
    assert!(began.elapsed() < Duration::from_secs(3));
    // A user does not see their own typing, and it is in no mark.
    types(&ben, &chat, true).await.ok(204);
    assert!(is_silent(&look(&ben, &chat, &nobody, 2).await));
    assert_eq!(rows(&app), before);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn message_ends_the_typing_of_its_sender() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let (ben, nobody) = (ben.at(&second), json!("0"));
    let wait = looking(&app, 1, &ben, &chat, &nobody, 30).await;
    types(&ann, &chat, true).await.ok(204);
    let notice = wait.await.unwrap();
    let mark = shown(&notice).1;
    let sent = Instant::now();
    ann.send(&chat, "written").await;
    let wait = look(&ben, &chat, mark, 30).await;
    assert_eq!(shown(&wait), (Vec::new(), &nobody));
    assert!(sent.elapsed() < Duration::from_secs(3));
    // Without a start there is no stop.
    assert_eq!(published(&app, 0), 2);
    ann.send(&chat, "again").await;
    ben.send(&chat, "an answer").await;
    assert_eq!((published(&app, 0), published(&app, 1)), (2, 0));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn flood_is_published_once_in_two_seconds_and_wakes_once() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let (chat, nobody) = (ann.direct(&ben).await, json!("0"));
    let wait = looking(&app, 0, &ben, &chat, &nobody, 30).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let some = (0..20).map(|_| types(&ann, &chat, true));
        join_all(some)
            .await
            .into_iter()
            .for_each(|one| drop(one.ok(204)));
    }
    let most = began.elapsed().as_secs() / 2 + 1;
    assert!(
        (2..=most).contains(&published(&app, 0)),
        "{}",
        published(&app, 0)
    );
    let notice = wait.await.unwrap();
    let (users, mark) = shown(&notice);
    assert_eq!(users, [&ann.id]);
    // Repeats wake nobody.
    types(&ann, &chat, true).await.ok(204);
    assert!(is_silent(&look(&ben, &chat, mark, 3).await));
    // A stop is never dropped, however soon it comes.
    let before = published(&app, 0);
    for _ in 0..3 {
        types(&ann, &chat, false).await.ok(204);
    }
    assert_eq!(published(&app, 0), before + 3);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_typists_wake_a_wait_at_most_once_a_second() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let names: Vec<_> = (0..12).map(|n| format!("typist{n}")).collect();
    let url = app.url();
    let people = names
        .iter()
        .map(|name| Person::register(&app.http, &url, name));
    let people = join_all(people).await;
    let all: Vec<_> = people.iter().chain([&ben]).collect();
    let chat = ann.group(&all).await;
    // The node receives all signals from here on.
    let first = looking(&app, 0, &ben, &chat, &json!("0"), 30).await;
    let typing = {
        let (people, chat) = (people.clone(), chat.clone());
        tokio::spawn(async move {
            for person in people {
                types(&person, &chat, true).await.ok(204);
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        })
    };
    let began = Instant::now();
    let (mut notice, mut wakes) = (first.await.unwrap(), 1);
    while shown(&notice).0.len() < people.len() {
        let slept = Instant::now();
        notice = look(&ben, &chat, shown(&notice).1, 30).await;
        assert!(slept.elapsed() >= Duration::from_secs(1));
        wakes += 1;
    }
    assert!(
        (2..=began.elapsed().as_secs() + 1).contains(&wakes),
        "{wakes}"
    );
    typing.await.unwrap();
    app.finish().await;
}

/// A wait that moves to another node has no signal while its people still type, also if that node knows only some of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn change_of_node_is_no_change_of_who_types() {
    let (mut app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let (chat, nobody) = (ann.group(&[&ben, &cat]).await, json!("0"));
    types(&ann, &chat, true).await.ok(204);
    let wait = looking(&app, 0, &ben, &chat, &nobody, 30).await;
    types(&ann, &chat, true).await.ok(204);
    types(&cat, &chat, true).await.ok(204);
    let mut notice = wait.await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    join_all([types(&ann, &chat, true), types(&cat, &chat, true)]).await;
    if shown(&notice).0.len() < 2 {
        notice = look(&ben, &chat, shown(&notice).1, 30).await;
    }
    let (users, mark) = shown(&notice);
    let mut both = [&*ann.id, &*cat.id];
    both.sort_unstable();
    assert_eq!(users, both);
    app.add_node().await;
    let there = ben.at(&format!("http://{}", app.nodes[1].address));
    let wait = looking(&app, 1, &there, &chat, mark, 6).await;
    // The node knows only one of the two for the time being.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    types(&ann, &chat, true).await.ok(204);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    types(&cat, &chat, true).await.ok(204);
    assert!(is_silent(&wait.await.unwrap()));
    // The node knows both now, and tells the stop of one.
    types(&cat, &chat, false).await.ok(204);
    types(&ann, &chat, true).await.ok(204);
    assert_eq!(shown(&look(&there, &chat, mark, 30).await).0, [&ann.id]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mark_from_another_node_ends_when_nobody_types() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let nobody = json!("0");
    let wait = looking(&app, 0, &ben, &chat, &nobody, 30).await;
    types(&ann, &chat, true).await.ok(204);
    let notice = wait.await.unwrap();
    let moved = Instant::now();
    let notice = look(&ben.at(&second), &chat, shown(&notice).1, 30).await;
    assert_eq!(shown(&notice), (Vec::new(), &nobody));
    let took = moved.elapsed();
    assert!(
        (LIFE..LIFE + Duration::from_secs(2)).contains(&took),
        "{took:?}"
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn former_member_has_no_signal_after_the_entry_of_the_removal() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let (chat, nobody) = (ann.group(&[&ben, &cat]).await, json!("0"));
    // What ben may see is cached.
    let wait = looking(&app, 0, &ben, &chat, &nobody, 30).await;
    types(&ann, &chat, true).await.ok(204);
    let notice = wait.await.unwrap();
    let mark = shown(&notice).1;
    let wait = looking(&app, 0, &ben, &chat, mark, 30).await;
    ann.remove(&chat, &ben).await.ok(204);
    // The entry ends the wait, which says nothing of the conversation any more.
    let notice = wait.await.unwrap();
    assert_eq!(notice["news"], true);
    assert!(is_silent(&notice));
    types(&ben, &chat, true).await.problem(404, "not_found");
    let wait = looking(&app, 0, &ben, &chat, mark, 3).await;
    types(&cat, &chat, true).await.ok(204);
    assert!(is_silent(&wait.await.unwrap()));
    assert!(is_silent(&look(&ben, &chat, &nobody, 2).await));
    // The typing of a member who is removed ends.
    let notice = look(&ann, &chat, &nobody, 30).await;
    assert_eq!(shown(&notice).0, [&cat.id]);
    let wait = looking(&app, 0, &ann, &chat, shown(&notice).1, 30).await;
    ann.remove(&chat, &cat).await.ok(204);
    assert_eq!(shown(&wait.await.unwrap()), (Vec::new(), &nobody));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conversation_that_is_not_visible_has_no_signal() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let (chat, nobody) = (ann.direct(&ben).await, json!("0"));
    for (chat, mark) in [(&*chat, &nobody), (&*chat, &json!("7")), (&*id(), &nobody)] {
        let wait = looking(&app, 0, &eve, chat, mark, 3).await;
        let began = Instant::now();
        types(&ann, chat, true).await;
        let notice = wait.await.unwrap();
        assert!(began.elapsed() > Duration::from_secs(2), "{notice}");
        assert!(is_silent(&notice), "{notice}");
    }
    types(&eve, &chat, true).await.problem(404, "not_found");
    types(&eve, &chat, false).await.problem(404, "not_found");
    types(&eve, &id(), true).await.problem(404, "not_found");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn typing_that_nobody_may_see_is_accepted_and_not_shown() {
    let app = App::configured(|config| config.typing_members = 3).await;
    let [ann, ben, cat, dan] = app.people(["ann", "ben", "cat", "dan"]).await;
    let nobody = json!("0");
    let group = ann.group(&[&ben, &cat]).await;
    let mute = json!({"muted_until": "2100-01-01T00:00:00.000Z"});
    ann.change(&group, &ben, mute).await.ok(200);
    let large = ann.group(&[&ben, &cat, &dan]).await;
    let channel = json!({"kind": "channel", "title": "News", "member_ids": [ben.id]});
    let channel = ann.post("/conversations", channel).await.ok(201);
    let channel = channel["id"].as_str().unwrap();
    let posting = ann.group(&[&ben]).await;
    let admins = json!({"posting": "admins"});
    let path = format!("/conversations/{posting}");
    ann.patch(&path, admins).await.ok(200);
    let direct = dan.direct(&ben).await;
    dan.block(&ben).await.ok(204);
    for (typist, chat) in [
        (&ben, &*group),
        (&ben, &*large),
        (&ann, channel),
        (&ben, &*posting),
        (&ben, &*direct),
        (&dan, &*direct),
    ] {
        for typing in [true, true, false] {
            types(typist, chat, typing).await.ok(204);
        }
    }
    assert_eq!(published(&app, 0), 0);
    // The end of a mute is an entry, which ends what is cached.
    ann.change(&group, &ben, json!({"muted_until": null}))
        .await
        .ok(200);
    let again = async || {
        types(&ben, &group, true).await.ok(204);
        published(&app, 0)
    };
    eventually(
        "the node gets the entry",
        Duration::from_secs(5),
        again,
        |n| *n == 1,
    )
    .await;
    // A block in a group: neither sees the other, and a third person sees both.
    let both = ann.group(&[&ben, &cat]).await;
    cat.block(&ben).await.ok(204);
    let waits = [
        looking(&app, 0, &ben, &both, &nobody, 3).await,
        looking(&app, 0, &cat, &both, &nobody, 3).await,
        looking(&app, 0, &ann, &both, &nobody, 3).await,
    ];
    join_all([types(&ben, &both, true), types(&cat, &both, true)]).await;
    let [ben_shown, cat_shown, ann_shown] = waits.map(|wait| async { wait.await.unwrap() });
    assert!(is_silent(&ben_shown.await) && is_silent(&cat_shown.await));
    assert_ne!(shown(&ann_shown.await).1, &nobody);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limit_of_zero_turns_typing_off() {
    let app = App::configured(|config| config.typing_members = 0).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    types(&ann, &chat, true).await.ok(204);
    types(&ann, &chat, false).await.ok(204);
    types(&ann, &id(), true).await.problem(404, "not_found");
    assert!(is_silent(&look(&ben, &chat, &json!("0"), 1).await));
    assert_eq!(published(&app, 0), 0);
    let capabilities = app.call("GET", "/v1/capabilities", None).await.ok(200);
    let features = capabilities["features"].as_array().unwrap();
    assert!(!features.contains(&json!("typing")));
    assert_eq!(capabilities["limits"]["typing_members"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_only_in_answers_that_ask_for_them() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let (chat, nobody) = (ann.direct(&ben).await, json!("0"));
    assert_eq!(ben.wait(1, 0).await.get("signals"), None);
    assert!(is_silent(&look(&ben, &chat, &nobody, 0).await));
    // News come with signals.
    let wait = looking(&app, 0, &ben, &chat, &nobody, 30).await;
    types(&ann, &chat, true).await.ok(204);
    ann.send(&chat, "news").await;
    let notice = wait.await.unwrap();
    assert!(notice["signals"]["typing"].is_array(), "{notice}");
    // A superseded wait has none.
    let older = looking(&app, 0, &ben, &chat, &nobody, 30).await;
    let newer = tokio::spawn({
        let (ben, chat) = (ben.clone(), chat.clone());
        async move { look(&ben, &chat, &json!("0"), 2).await }
    });
    let notice = older.await.unwrap();
    assert_eq!(
        (&notice["superseded"], notice.get("signals")),
        (&json!(true), None)
    );
    assert!(is_silent(&newer.await.unwrap()));
    // Nor has one that has to reconnect.
    let wait = looking(&app, 0, &ben, &chat, &nobody, 30).await;
    let user = tideline::model::ids::UserId(ben.id.parse().unwrap());
    app.nodes[0].handles.delivery.waiters.reconnect(user);
    let notice = wait.await.unwrap();
    assert_eq!(
        (&notice["reconnect"], notice.get("signals")),
        (&json!(true), None)
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_typing_is_refused() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for bad in [
        chat.clone(),
        format!("{chat}:"),
        format!("{chat}:x"),
        format!("{chat}:-1"),
        format!("{chat}:00000000000000000"),
        format!("{chat}:0:0"),
        "x:0".to_owned(),
        format!("{chat}:0&typing={chat}:1"),
        [(); 5].map(|()| format!("{}:0", id())).join("&typing="),
    ] {
        let path = format!("/notices?since_seq=1&timeout=0&typing={bad}");
        let problem = ann.get(&path).await.problem(400, "validation");
        assert_eq!(
            problem["errors"][0]["pointer"], "typing",
            "{bad}: {problem}"
        );
    }
    for bad in [
        json!({}),
        json!({"typing": 1}),
        json!({"typing": null}),
        json!({"typing": true, "x": 1}),
    ] {
        let path = format!("/conversations/{chat}/typing");
        ann.put(&path, bad).await.problem(400, "validation");
    }
    app.finish().await;
}

/// Neither a lost Redis nor the end of a wait leaves anything behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn state_of_typing_is_forgotten_and_redis_is_not_needed() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let (chat, nobody) = (ann.direct(&ben).await, json!("0"));
    let delivery = &app.nodes[0].handles.delivery;
    let wait = looking(&app, 0, &ben, &chat, &nobody, 2).await;
    assert_eq!(delivery.waiters.typing.looked_at().len(), 1);
    unsubscribe_idle(delivery).await;
    types(&ann, &chat, true).await.ok(204);
    assert_eq!(shown(&wait.await.unwrap()).0, [&ann.id]);
    assert_eq!(delivery.waiters.typing.looked_at(), []);
    unsubscribe_idle(delivery).await;
    let idle = async || delivery.waiters.typing.is_idle();
    eventually("it is idle", Duration::from_secs(2), idle, |idle| *idle).await;
    app.redis.cut();
    types(&ann, &chat, false).await.ok(204);
    ann.send(&chat, "without Redis").await;
    app.redis.heal();
    app.finish().await;
}
