//! Bans: who is banned, and stays out.

use crate::support::{App, Person, id};
use serde_json::{Value, json};

/// The id of a new public channel.
async fn channel(owner: &Person) -> String {
    let body = json!({"kind": "channel", "title": "News", "public": true});
    let made = owner.post("/conversations", body).await.ok(201);
    made["id"].as_str().unwrap().to_owned()
}

/// The ids of a page of banned users, and its cursor.
async fn banned(person: &Person, chat: &str, query: &str) -> (Vec<Value>, Value) {
    let path = format!("/conversations/{chat}/bans{query}");
    let page = person.get(&path).await.ok(200);
    let users = page["users"].as_array().unwrap().iter();
    (
        users.map(|user| user["id"].clone()).collect(),
        page["next_cursor"].clone(),
    )
}

async fn unban(person: &Person, chat: &str, who: &Person) {
    let path = format!("/conversations/{chat}/bans/{}", who.id);
    person.call("DELETE", &path).await.ok(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn banned_users_are_listed_and_cannot_join() {
    let (app, [ann, ben, cat, dan]) = App::with(["ann", "ben", "cat", "dan"]).await;
    let chat = channel(&ann).await;
    for one in [&ben, &dan] {
        one.add(&chat, &[one]).await.ok(200);
    }
    let (ann_before, ben_before) = (ann.head().await, ben.head().await);
    for _ in 0..2 {
        ann.ban(&chat, &ben).await.ok(204);
        ann.ban(&chat, &cat).await.ok(204);
    }
    // Ben sees a removal, and no other user is notified.
    let entries = ann.entries(ann_before).await;
    assert_eq!(
        (entries.len(), &entries[0]["removed"]),
        (1, &json!([ben.id.as_str()]))
    );
    let entries = ben.entries(ben_before).await;
    assert_eq!(
        (entries.len(), &entries[0]["conversation"]),
        (1, &Value::Null)
    );
    assert_eq!(cat.head().await, 0);
    for one in [&ben, &cat] {
        let there = one.add(&chat, &[one]).await.problem(404, "not_found");
        let random = one.add(&id(), &[one]).await.problem(404, "not_found");
        assert_eq!(there["detail"], random["detail"], "the two must look alike");
        one.conversation(&chat).await.problem(404, "not_found");
    }
    assert_eq!(ann.roles(&chat).await.len(), 2);

    let mut ids = [json!(ben.id), json!(cat.id)];
    ids.sort_by_key(Value::to_string);
    assert_eq!(banned(&ann, &chat, "").await, (ids.to_vec(), Value::Null));
    let (first, cursor) = banned(&ann, &chat, "?limit=1").await;
    let next = format!("?limit=1&cursor={}", cursor.as_str().unwrap());
    let (second, _) = banned(&ann, &chat, &next).await;
    assert_eq!([first, second].concat(), ids);
    let path = format!("/conversations/{chat}/bans?cursor=x");
    ann.get(&path).await.problem(400, "validation");

    // After the ban ends, the user is not a member but may join.
    for _ in 0..2 {
        unban(&ann, &chat, &ben).await;
    }
    ben.conversation(&chat).await.problem(404, "not_found");
    ben.add(&chat, &[&ben]).await.ok(200);
    assert_eq!(banned(&ann, &chat, "").await.0, [json!(cat.id)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ban_requires_permission_to_remove() {
    let names = ["owner", "admin", "other", "member", "mate", "out"];
    let (app, [owner, admin, other, member, mate, out]) = App::with(names).await;
    let chat = owner.group(&[&admin, &other, &member, &mate]).await;
    for one in [&admin, &other] {
        let role = json!({"role": "admin"});
        owner.change(&chat, one, role).await.ok(200);
    }
    for (one, whom) in [
        (&admin, &owner),
        (&admin, &other),
        (&admin, &admin),
        (&owner, &owner),
        (&member, &mate),
        (&member, &out),
    ] {
        one.ban(&chat, whom).await.problem(403, "forbidden");
    }
    out.ban(&chat, &mate).await.problem(404, "not_found");
    let bans = format!("/conversations/{chat}/bans");
    member.get(&bans).await.problem(403, "forbidden");
    out.get(&bans).await.problem(404, "not_found");
    let nobody = format!("{bans}/{}", id());
    let nobody = admin.put(&nobody, Value::Null).await;
    nobody.problem(404, "not_found");
    assert_eq!(owner.roles(&chat).await.len(), 5);

    admin.ban(&chat, &member).await.ok(204);
    admin.ban(&chat, &out).await.ok(204);
    owner.ban(&chat, &other).await.ok(204);
    assert_eq!(owner.roles(&chat).await.len(), 3);
    let end = format!("{bans}/{}", out.id);
    mate.call("DELETE", &end).await.problem(403, "forbidden");
    let direct = owner.direct(&mate).await;
    owner.ban(&direct, &mate).await.problem(400, "validation");
    // A public channel lets users join, and gives them no other right before that.
    let chat = channel(&owner).await;
    out.ban(&chat, &owner).await.problem(404, "not_found");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn banned_users_cannot_be_added() {
    let (app, [ann, ben, cat, dan]) = App::with(["ann", "ben", "cat", "dan"]).await;
    let chat = ann.group(&[&ben, &dan]).await;
    ann.change(&chat, &dan, json!({"role": "admin"}))
        .await
        .ok(200);
    ann.ban(&chat, &ben).await.ok(204);
    for one in [&ann, &dan] {
        one.add(&chat, &[&ben]).await.problem(403, "forbidden");
    }
    let added = dan.add(&chat, &[&ben, &cat, &dan]).await.ok(200);
    let expected = json!({"added": [cat.id], "already_members": [dan.id], "refused": [ben.id]});
    assert_eq!(added, expected);
    unban(&dan, &chat, &ben).await;
    let added = dan.add(&chat, &[&ben]).await.ok(200);
    assert_eq!(added["added"], json!([ben.id]));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_ban_and_join_leave_the_user_out() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    for _ in 0..12 {
        let chat = channel(&ann).await;
        let own = [&ben];
        let (banned, joined) = tokio::join!(ann.ban(&chat, &ben), ben.add(&chat, &own));
        banned.ok(204);
        assert!([200, 404].contains(&joined.status), "{}", joined.body);
        ben.conversation(&chat).await.problem(404, "not_found");
        ben.add(&chat, &[&ben]).await.problem(404, "not_found");
    }
    app.finish().await;
}

/// The last member leaves while a user joins: the channel then has that user as owner, or no member.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn channel_without_members_is_not_found() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    for _ in 0..12 {
        let chat = channel(&ann).await;
        let own = [&ben];
        let (left, joined) = tokio::join!(ann.remove(&chat, &ann), ben.add(&chat, &own));
        left.ok(204);
        match joined.status {
            200 => assert_eq!(ben.roles(&chat).await[&ben.id], "owner"),
            _ => drop(joined.problem(404, "not_found")),
        }
    }
    let chat = channel(&ann).await;
    ann.remove(&chat, &ann).await.ok(204);
    for one in [&ann, &ben] {
        one.add(&chat, &[one]).await.problem(404, "not_found");
        one.ban(&chat, &ann).await.problem(404, "not_found");
    }
    app.finish().await;
}
