//! Settings and drafts: what one member alone sees of a conversation.

use crate::support::{App, Person, execute, number, waiting_for_locks};
use serde_json::{Value, json};
use std::time::Duration;

fn path(chat: &str) -> String {
    format!("/conversations/{chat}/settings")
}

async fn set(who: &Person, chat: &str, change: Value) -> Value {
    who.patch(&path(chat), change).await.ok(200)
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_reach_the_members_own_devices_only() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ben.send(&chat, "one").await;
    let none = json!({"notify": null, "pinned": false, "archived": false, "hidden_through": null, "nickname": null});
    let shown =
        async |who: &Person| who.conversation(&chat).await.ok(200)["me"]["settings"].clone();
    assert_eq!(shown(&ann).await, none);
    let before = [ann.head().await, ben.head().await];
    let change = json!({"notify": {"level": "none", "until": "2100-01-01T02:00:00+02:00"}, "pinned": true, "nickname": " Benny "});
    let after = json!({"notify": {"level": "none", "until": "2100-01-01T00:00:00.000Z"}, "pinned": true,
        "archived": false, "hidden_through": null, "nickname": "Benny"});
    assert_eq!(set(&ann, &chat, change.clone()).await, after);
    // Again: no entry.
    assert_eq!(set(&ann, &chat, change).await, after);
    // A field that is absent stays as it is.
    let hidden = set(&ann, &chat, json!({"hidden_through": 1, "archived": true})).await;
    assert_eq!(
        (
            &hidden["hidden_through"],
            &hidden["archived"],
            &hidden["nickname"]
        ),
        (&json!(1), &json!(true), &json!("Benny"))
    );
    let entries = ann.entries(before[0]).await;
    assert_eq!(kinds(&entries), ["settings", "settings"]);
    for entry in &entries {
        // As they are now, with the count as it is.
        assert_eq!(entry["settings"], hidden);
        assert_eq!(
            (&entry["unread"], &entry["conversation_id"]),
            (&json!(1), &json!(chat))
        );
    }
    assert_eq!(ben.head().await, before[1]);
    assert_eq!(shown(&ben).await, none);
    // The next message changes no setting: `hidden_through` is below it.
    ben.send(&chat, "two").await;
    assert_eq!(shown(&ann).await, hidden);
    let listed = ann.get("/conversations").await.ok(200);
    assert_eq!(listed["conversations"][0]["me"]["settings"], hidden);
    let reset = json!({"notify": null, "pinned": false, "archived": false, "hidden_through": null, "nickname": null});
    assert_eq!(set(&ann, &chat, reset).await, none);
    assert_eq!(ann.total().await, 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_settings_change_nothing() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "one").await;
    let head = ann.head().await;
    for (change, pointer) in [
        (json!({}), ""),
        (json!({"pinned": null}), "/pinned"),
        (json!({"pinned": 1}), "/pinned"),
        (json!({"archived": "true"}), "/archived"),
        (json!({"notify": {}}), "/notify/level"),
        (json!({"notify": {"level": "some"}}), "/notify/level"),
        (
            json!({"notify": {"level": "all", "until": "soon"}}),
            "/notify/until",
        ),
        (
            json!({"notify": {"level": "all", "more": 1}}),
            "/notify/more",
        ),
        (json!({"notify": "all"}), "/notify"),
        (json!({"hidden_through": -1}), "/hidden_through"),
        (json!({"hidden_through": 2}), "/hidden_through"),
        (
            json!({"hidden_through": 9007199254740992_i64}),
            "/hidden_through",
        ),
        (json!({"nickname": ""}), "/nickname"),
        (json!({"nickname": " \u{200b} "}), "/nickname"),
        (json!({"nickname": "a\nb"}), "/nickname"),
        (json!({"nickname": "x".repeat(65)}), "/nickname"),
        (json!({"hides": 1}), "/hides"),
    ] {
        let problem = ann
            .patch(&path(&chat), change)
            .await
            .problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let outside = eve.patch(&path(&chat), json!({"pinned": true})).await;
    outside.problem(404, "not_found");
    let outside = eve.patch(&path(&chat), json!({"hidden_through": 99})).await;
    outside.problem(404, "not_found");
    assert_eq!(ann.head().await, head);
    assert_eq!(
        set(&ann, &chat, json!({"nickname": "x".repeat(64)})).await["pinned"],
        false
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_fifty_conversations_are_pinned() {
    let (app, [ann]) = App::with(["ann"]).await;
    let mut chats = Vec::new();
    for _ in 0..51 {
        chats.push(ann.group(&[]).await);
    }
    let (last, others) = chats.split_last().unwrap();
    for chat in others {
        set(&ann, chat, json!({"pinned": true})).await;
    }
    let refused = ann
        .patch(&path(last), json!({"pinned": true, "archived": true}))
        .await;
    refused.problem(409, "limit_reached");
    let shown = ann.conversation(last).await.ok(200);
    assert_eq!(shown["me"]["settings"]["archived"], false);
    // One that is pinned already stays so, and one less leaves room.
    set(&ann, &chats[0], json!({"pinned": true, "archived": true})).await;
    ann.remove(&chats[0], &ann).await.ok(204);
    set(&ann, last, json!({"pinned": true})).await;
    app.finish().await;
}

/// A busy group delays no setting, and no setting delays a group.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn settings_do_not_wait_for_the_conversation() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    let mut conn = app.database();
    let lock = |what: &str| format!("BEGIN; SELECT FROM {what} FOR UPDATE");
    execute(
        &mut conn,
        &lock(&format!("conversations WHERE id = '{chat}'")),
    );
    set(&ann, &chat, json!({"pinned": true})).await;
    execute(&mut conn, "ROLLBACK");
    // It waits for the own timeline alone.
    execute(
        &mut conn,
        &lock(&format!("timelines WHERE user_id = '{}'", ben.id)),
    );
    set(&ann, &chat, json!({"archived": true})).await;
    let (mut other, of_ben) = (app.database(), ben.clone());
    let there = chat.clone();
    let waiting = tokio::spawn(async move { set(&of_ben, &there, json!({"pinned": true})).await });
    waiting_for_locks(&mut other, 1).await;
    execute(&mut conn, "ROLLBACK");
    waiting.await.unwrap();
    app.finish().await;
}

/// Settings that are changed while their member is removed, or while messages come: the entry of the removal stays the last one, and
/// every entry has the right count. The world check says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leaving_deletes_the_settings() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    for round in 0..20 {
        let change = json!({"nickname": format!("{round}"), "pinned": true});
        let setting = async {
            for pinned in [true, false] {
                let mut change = change.clone();
                change["pinned"] = json!(pinned);
                let answer = ben.patch(&path(&chat), change).await;
                assert!([200, 404].contains(&answer.status), "{}", answer.body);
            }
        };
        let leaving = async {
            tokio::time::sleep(Duration::from_millis(round % 7)).await;
            ben.remove(&chat, &ben).await.ok(204);
        };
        tokio::join!(setting, leaving, ann.send(&chat, "news"));
        assert_eq!(
            ben.entries(0).await.last().unwrap()["conversation"],
            Value::Null
        );
        let rows = "SELECT count(*) AS n FROM conversation_settings";
        assert_eq!(number(&mut app.database(), rows), 0);
        ann.add(&chat, &[&ben]).await.ok(200);
        let back = ben.conversation(&chat).await.ok(200);
        assert_eq!(back["me"]["settings"]["nickname"], Value::Null);
    }
    app.finish().await;
}
