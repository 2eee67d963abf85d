//! Read receipts: who has read a message, and to whom it was delivered.

use crate::support::{App, Person, execute, id, number, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tideline::domain::sync::delivered;

fn path(chat: &str, seq: i64) -> String {
    format!("/conversations/{chat}/messages/{seq}/receipts")
}

async fn receipts(who: &Person, chat: &str, seq: i64) -> Value {
    who.get(&path(chat, seq)).await.ok(200)
}

/// The readers, those to whom it was delivered, and those with a receipt.
fn counts(page: &Value) -> [i64; 3] {
    ["readers", "delivered", "eligible"].map(|name| page[name].as_i64().unwrap())
}

/// Read and delivered, by the name of the member.
fn members<'a>(page: &Value, people: &[&'a Person]) -> BTreeMap<&'a str, [bool; 2]> {
    let names: BTreeMap<_, _> = people
        .iter()
        .map(|one| (one.id.as_str(), one.name.as_str()))
        .collect();
    let flag = |value: &Value| value.as_bool().unwrap();
    let members = page["members"].as_array().unwrap().iter();
    members
        .map(|one| {
            let name = names[one["user_id"].as_str().unwrap()];
            (name, [flag(&one["read"]), flag(&one["delivered"])])
        })
        .collect()
}

async fn show_reads(who: &Person, read_receipts: bool) {
    let body = json!({"read_receipts": read_receipts});
    who.patch("/me", body).await.ok(200);
}

/// Stores the positions of the devices of a node, as it does every ten seconds.
async fn flush(app: &App) {
    delivered::flush(&app.nodes[0].handles.delivery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_count_readers_and_are_paged_by_user() {
    let (app, [ann, ben, cat, dan]) = App::with(["ann", "ben", "cat", "dan"]).await;
    let all = [&ann, &ben, &cat, &dan];
    let chat = ann.group(&[&ben, &cat, &dan]).await;
    ann.send(&chat, "one").await;
    let page = receipts(&ann, &chat, 1).await;
    assert_eq!(counts(&page), [0, 0, 3]);
    let nobody = [
        ("ben", [false; 2]),
        ("cat", [false; 2]),
        ("dan", [false; 2]),
    ];
    assert_eq!(members(&page, &all), nobody.into());
    assert_eq!(page["next_cursor"], Value::Null);
    // Reading, and sending, which reads too. What was read was delivered.
    ben.read(&chat, 1).await;
    cat.send(&chat, "two").await;
    let page = receipts(&ann, &chat, 1).await;
    assert_eq!(counts(&page), [2, 2, 3]);
    let read = [("ben", [true; 2]), ("cat", [true; 2]), ("dan", [false; 2])];
    assert_eq!(members(&page, &all), read.into());
    // The owner sees the receipts of the messages of others, and is in them.
    let page = receipts(&ann, &chat, 2).await;
    assert_eq!(counts(&page), [0, 0, 3]);
    let of: BTreeSet<_> = members(&page, &all).into_keys().collect();
    assert_eq!(of, ["ann", "ben", "dan"].into());
    // Pages have the counts of all.
    let (mut cursor, mut paged) = (String::new(), Vec::new());
    for more in [true, true, true, false] {
        let page = ann
            .get(&format!("{}?limit=1{cursor}", path(&chat, 1)))
            .await;
        let page = page.ok(200);
        assert_eq!(counts(&page), [2, 2, 3]);
        let members = page["members"].as_array().unwrap().iter();
        paged.extend(members.map(|one| one["user_id"].as_str().unwrap().to_owned()));
        assert_eq!(page["next_cursor"].is_string(), more);
        cursor = format!(
            "&cursor={}",
            page["next_cursor"].as_str().unwrap_or_default()
        );
    }
    let mut ids: Vec<_> = all[1..].iter().map(|one| one.id.clone()).collect();
    ids.sort_unstable();
    assert_eq!(paged, ids);
    for query in ["limit=0", "limit=501", "cursor=x", "since_seq=1"] {
        let bad = ann.get(&format!("{}?{query}", path(&chat, 1))).await;
        bad.problem(400, "validation");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_for_the_sender_and_the_leads_of_a_group() {
    let (app, [ann, ben, cat, eve]) = App::with(["ann", "ben", "cat", "eve"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    ben.send(&chat, "one").await;
    ben.get(&path(&chat, 1)).await.ok(200);
    ann.get(&path(&chat, 1)).await.ok(200);
    cat.get(&path(&chat, 1)).await.problem(403, "forbidden");
    ann.change(&chat, &cat, json!({"role": "admin"}))
        .await
        .ok(200);
    cat.get(&path(&chat, 1)).await.ok(200);
    // Nobody else learns whether the message exists: not an outsider, not a member that joined after it, whatever the role, and not
    // a sender that has left.
    eve.get(&path(&chat, 1)).await.problem(404, "not_found");
    ann.add(&chat, &[&eve]).await.ok(200);
    ann.change(&chat, &eve, json!({"role": "admin"}))
        .await
        .ok(200);
    eve.get(&path(&chat, 1)).await.problem(404, "not_found");
    // That member could not see it, and is in no receipt.
    assert_eq!(counts(&receipts(&ann, &chat, 1).await), [0, 0, 2]);
    ben.remove(&chat, &ben).await.ok(204);
    ben.get(&path(&chat, 1)).await.problem(404, "not_found");
    assert_eq!(counts(&receipts(&ann, &chat, 1).await), [0, 0, 2]);
    for seq in ["0", "2", "-1", "x"] {
        let path = format!("/conversations/{chat}/messages/{seq}/receipts");
        ann.get(&path).await.problem(404, "not_found");
    }
    ann.get(&path(&id(), 1)).await.problem(404, "not_found");
    // In a direct conversation, only the sender.
    let direct = ann.direct(&cat).await;
    ann.send(&direct, "one").await;
    cat.read(&direct, 1).await;
    assert_eq!(counts(&receipts(&ann, &direct, 1).await), [1, 1, 1]);
    cat.get(&path(&direct, 1)).await.problem(403, "forbidden");
    let recalled = format!("/conversations/{direct}/messages/1");
    ann.call("DELETE", &recalled).await.ok(200);
    for who in [&ann, &cat] {
        who.get(&path(&direct, 1))
            .await
            .problem(409, "message_gone");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_reads_are_in_no_receipt() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let all = [&ann, &ben, &cat];
    let chat = ann.group(&[&ben, &cat]).await;
    let direct = ann.direct(&ben).await;
    for chat in [&chat, &direct] {
        ann.send(chat, "one").await;
        ben.read(chat, 1).await;
        ben.send(chat, "two").await;
    }
    let peer =
        async |who: &Person| who.conversation(&direct).await.ok(200)["peer_read_seq"].clone();
    show_reads(&ben, false).await;
    let page = receipts(&ann, &chat, 1).await;
    assert_eq!(counts(&page), [0, 0, 1]);
    assert_eq!(members(&page, &all), [("cat", [false; 2])].into());
    assert_eq!(counts(&receipts(&ann, &direct, 1).await), [0, 0, 0]);
    // Who hides sees nobody's.
    for chat in [&chat, &direct] {
        ben.get(&path(chat, 2)).await.problem(403, "forbidden");
    }
    assert_eq!(
        [peer(&ann).await, peer(&ben).await],
        [json!(null), json!(null)]
    );
    // Unread counts and the own position do not change.
    assert_eq!(ben.conversation(&direct).await.ok(200)["me"]["read_seq"], 2);
    // Again on: as if it had never been off.
    show_reads(&ben, true).await;
    assert_eq!(counts(&receipts(&ann, &chat, 1).await), [1, 1, 2]);
    assert_eq!([peer(&ann).await, peer(&ben).await], [json!(2), json!(1)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_switches_receipts_off() {
    let app = App::configured(|config| config.receipts = false).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let direct = ann.direct(&ben).await;
    ann.send(&direct, "one").await;
    ben.read(&direct, 1).await;
    ann.get(&path(&direct, 1)).await.problem(403, "forbidden");
    ben.get(&path(&direct, 9)).await.problem(404, "not_found");
    let listed = ann.get("/conversations").await.ok(200);
    let entries = ann.entries(0).await;
    for conversation in [&listed["conversations"][0], &entries[0]["conversation"]] {
        assert_eq!(conversation["peer"]["id"], ben.id);
        assert_eq!(conversation["peer_read_seq"], Value::Null);
    }
    let features = app.call("GET", "/v1/capabilities", None).await.ok(200)["features"].clone();
    assert!(!features.as_array().unwrap().contains(&json!("receipts")));
    // No position is stored, since nobody sees it.
    ben.wait(2, 0).await;
    flush(&app).await;
    let stored = "SELECT count(*) AS n FROM devices WHERE inbox_seq > 0";
    assert_eq!(number(&mut app.database(), stored), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_conversations_have_no_receipts() {
    let app = App::configured(|config| config.fanout_limit = 2).await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "small").await;
    ann.get(&path(&chat, 1)).await.ok(200);
    ann.add(&chat, &[&cat]).await.ok(200);
    ann.send(&chat, "large").await;
    for seq in [1, 2] {
        let refused = ann.get(&path(&chat, seq)).await;
        refused.problem(409, "limit_reached");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_conversation_shows_the_read_position_of_the_peer() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let direct = ann.direct(&ben).await;
    let group = ann.group(&[&ben]).await;
    for words in ["one", "two", "three"] {
        ann.send(&direct, words).await;
    }
    ben.read(&direct, 2).await;
    for order in ["id", "activity"] {
        let listed = ann.get(&format!("/conversations?order={order}")).await;
        let listed = listed.ok(200)["conversations"].clone();
        let of = |id: &str| {
            let mut all = listed.as_array().unwrap().iter();
            let found = all.find(|one| one["id"] == id).unwrap();
            found["peer_read_seq"].clone()
        };
        assert_eq!((of(&direct), of(&group)), (json!(2), Value::Null));
    }
    assert_eq!(ann.conversation(&direct).await.ok(200)["peer_read_seq"], 2);
    assert_eq!(ben.conversation(&direct).await.ok(200)["peer_read_seq"], 3);
    assert_eq!(ann.entries(0).await[0]["conversation"]["peer_read_seq"], 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn message_is_delivered_when_a_device_asks_for_what_follows() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let phone = ben.another_device(&app).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "one").await;
    let delivered = async |seq| counts(&receipts(&ann, &chat, seq).await)[1];
    // A fetch of the message: it has not arrived before the device says so.
    let page = ben.inbox(0).await;
    flush(&app).await;
    assert_eq!(
        (page["last_seq"].clone(), delivered(1).await),
        (json!(2), 0)
    );
    // Of the next fetch, or of the next wait.
    ben.inbox(2).await;
    flush(&app).await;
    assert_eq!(delivered(1).await, 1);
    ann.send(&chat, "two").await;
    ann.send(&chat, "three").await;
    flush(&app).await;
    assert_eq!(delivered(2).await, 0);
    // The device has the second message, and not the third.
    ben.wait(3, 0).await;
    flush(&app).await;
    assert_eq!([delivered(2).await, delivered(3).await], [1, 0]);
    // Any device counts, and one that is behind takes nothing back.
    phone.wait(4, 0).await;
    ben.wait(2, 0).await;
    flush(&app).await;
    assert_eq!(delivered(3).await, 1);
    // A position that is refused says nothing.
    ann.send(&chat, "four").await;
    let refused = ben.get("/inbox?since_seq=99").await;
    refused.problem(409, "cursor_ahead");
    let path = format!("/notices?since_seq=5&timeout=0&epoch={}", id());
    ben.get(&path).await.problem(409, "epoch_changed");
    flush(&app).await;
    assert_eq!(delivered(4).await, 0);
    app.finish().await;
}

/// Entries of one transaction have the same time: a device that has some of them does not have the others.
#[tokio::test(flavor = "multi_thread")]
async fn part_of_a_batch_delivers_no_message_too_early() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let batch: Vec<_> = (0..3).map(|_| text("one of three")).collect();
    let path = format!("/conversations/{chat}/messages/batch");
    ann.post(&path, json!({"messages": batch})).await.ok(200);
    let delivered = async || {
        let mut all = Vec::new();
        for seq in 1..=3 {
            all.push(counts(&receipts(&ann, &chat, seq).await)[1]);
        }
        all
    };
    for (since, expected) in [(1, 0), (2, 0), (3, 0), (4, 1)] {
        ben.wait(since, 0).await;
        flush(&app).await;
        assert_eq!(delivered().await, [expected; 3], "{since}");
    }
    // An entry that expired has no time, and the head has.
    ann.send(&chat, "four").await;
    execute(&mut app.database(), "DELETE FROM inbox");
    ben.wait(5, 0).await;
    flush(&app).await;
    assert_eq!(counts(&receipts(&ann, &chat, 4).await)[1], 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_is_late_by_one_flush_after_a_failure() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "one").await;
    let delivered = async |ann: &Person, seq| counts(&receipts(ann, &chat, seq).await)[1];
    // PostgreSQL is away: the next flush has it.
    ben.wait(2, 0).await;
    app.postgres.cut();
    flush(&app).await;
    app.postgres.heal();
    flush(&app).await;
    assert_eq!(delivered(&ann, 1).await, 1);
    // The node is gone before its flush: the next wait says the same elsewhere.
    ann.send(&chat, "two").await;
    ben.wait(3, 0).await;
    let gone = app.nodes.remove(0);
    gone.stop().await.unwrap();
    app.add_node().await;
    let [ann, ben] = [&ann, &ben].map(|one| one.at(&app.url()));
    ben.wait(3, 0).await;
    flush(&app).await;
    assert_eq!(delivered(&ann, 2).await, 1);
    // A wait from a stored position has nothing to store.
    ben.wait(3, 0).await;
    let positions = &app.nodes[0].handles.delivery.delivered;
    assert_eq!(positions.take(), []);
    app.finish().await;
}

/// Waits for changes of a small conversation end when another member reads, on any node. Nobody learns it of a member that hides reads,
/// nor does such a member of others.
#[tokio::test(flavor = "multi_thread")]
async fn reads_wake_the_members_that_watch() {
    let mut app = App::start().await;
    app.add_node().await;
    let [ann, ben, cat, dan] = app.people(["ann", "ben", "cat", "dan"]).await;
    let chat = ann.group(&[&ben, &cat, &dan]).await;
    ann.send(&chat, "one").await;
    show_reads(&cat, false).await;
    let wait = async |who: &Person, parts: &str, timeout: u32| {
        let since = who.head().await;
        let path = format!("/notices?since_seq={since}&timeout={timeout}&watch={chat}:{parts}");
        let notice = who.get(&path).await.ok(200);
        notice["watched"].clone()
    };
    let ben_elsewhere = ben.at(&format!("http://{}", app.nodes[1].address));
    let (woken, own, hiding, without_changes, _) = tokio::join!(
        wait(&ann, "1:0", 20),
        wait(&ben, "1:0", 20),
        wait(&cat, "1:0", 4),
        wait(&dan, "1", 4),
        async {
            app.asleep(0, 4).await;
            ben_elsewhere.read(&chat, 1).await
        },
    );
    let moved =
        json!([{"conversation_id": chat, "last_seq": 1, "change_seq": 0, "reads_moved": true}]);
    assert_eq!(woken, moved);
    for none in [own, hiding, without_changes] {
        assert_eq!(none, json!([]));
    }
    let (of_hiding, of_same, _) = tokio::join!(wait(&ann, "1:0", 3), wait(&dan, "1:0", 3), async {
        app.asleep(0, 2).await;
        cat.read(&chat, 1).await;
        // The position is there already.
        ben.read(&chat, 1).await;
    });
    assert_eq!([of_hiding, of_same], [json!([]), json!([])]);
    app.finish().await;
}
