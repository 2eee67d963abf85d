//! Uploaded pictures of users and groups: who sets them, who sees them, and how long they live.

use super::pictures::{decode, encode, quarters};
use crate::people::account_end::{delete, due_immediately, erase_due, proof};
use crate::support::media::{Bytes, PIXEL, image};
use crate::support::{App, Person, execute, id, number};
use image::GenericImageView;
use image::ImageFormat::Jpeg;
use serde_json::{Value, json};
use std::time::Duration;
use tideline::domain::media::collection::collect;

async fn round(app: &App) {
    collect(&app.nodes[0].handles.delivery).await.unwrap();
}

async fn set(who: &Person, path: &str, media: impl Into<Value>) -> crate::support::Answer {
    who.patch(path, json!({"avatar_media_id": media.into()}))
        .await
}

/// Reads the picture of a user or group as it is shown.
async fn look(who: &Person, shown: &Value) -> Bytes {
    let path = shown["avatar_url"].as_str().unwrap();
    who.read_bytes(path.strip_prefix("/v1").unwrap(), &[]).await
}

/// Whether the owner still has these media.
async fn has(owner: &Person, media: &str) -> bool {
    owner.get(&format!("/media/{media}")).await.status == 200
}

#[tokio::test]
async fn everybody_sees_the_picture_of_a_person() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let picture = encode(&quarters(400, 200), Jpeg);
    let media = ann.upload_image("image/jpeg", &picture).await;
    let head = ann.head().await;
    let me = set(&ann, "/me", &*media).await.ok(200);
    let path = format!("/v1/users/{}/avatar?v={media}", ann.id);
    assert_eq!(
        (&me["avatar_url"], &me["rev"]),
        (&json!(path), &json!(2)),
        "{me}"
    );
    assert_eq!(ann.entries(head).await[0]["kind"], "me");
    // The same again, by its id and as it is read, is no change.
    set(&ann, "/me", &*media).await.ok(200);
    let same = json!({"avatar_url": me["avatar_url"]});
    assert_eq!(ann.patch("/me", same).await.ok(200), me);
    assert_eq!(ann.head().await, head + 1);

    let shown = ben.get(&format!("/users?ids={}", ann.id)).await.ok(200)["users"][0].clone();
    assert_eq!(shown["avatar_url"], path);
    let direct = ben.conversation(&chat).await.ok(200);
    assert_eq!(direct["peer"]["avatar_url"], path);
    assert_eq!(direct["avatar_url"], Value::Null);
    let read = look(&ben, &shown).await;
    for (name, value) in [
        ("content-type", "image/jpeg"),
        ("cache-control", "private, no-cache"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "content-disposition",
            "inline; filename=\"avatar\"; filename*=UTF-8''avatar",
        ),
    ] {
        assert_eq!(read.header(name), value, "{name}");
    }
    let tag = read.header("etag").to_owned();
    assert_eq!(decode(&read.ok(200), Jpeg).dimensions(), (320, 160));
    let path = &path["/v1".len()..];
    let again = ben.read_bytes(path, &[("if-none-match", &tag)]).await;
    assert_eq!(again.status, 304);
    app.call("GET", &format!("/v1{path}"), None)
        .await
        .problem(401, "unauthenticated");
    ben.get(&format!("/users/{}/avatar", ben.id))
        .await
        .problem(404, "not_found");
    app.finish().await;
}

#[tokio::test]
async fn link_to_a_picture_ends_with_the_picture_and_with_the_device() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let first = ann.upload_image("image/png", PIXEL).await;
    set(&ann, "/me", &*first).await.ok(200);
    let phone = ben.another_device(&app).await;
    let nowhere = id();
    let [link, none] = phone.avatar_links(&ann.id, &nowhere).await;
    assert_eq!((&link["id"], &none), (&json!(ann.id), &Value::Null));
    let opened = ann.open_link(&link, &[]).await;
    assert_eq!(
        opened.header("cross-origin-resource-policy"),
        "cross-origin"
    );
    opened.ok(200);
    let second = ann.upload_image("image/png", PIXEL).await;
    set(&ann, "/me", &*second).await.ok(200);
    assert_eq!(ann.open_link(&link, &[]).await.code(), "not_found");
    let [link, _] = phone.avatar_links(&ann.id, &nowhere).await;
    ann.open_link(&link, &[]).await.ok(200);
    phone.call("POST", "/auth/logout").await.ok(204);
    assert_eq!(ann.open_link(&link, &[]).await.status, 404);

    for refused in [
        json!({}),
        json!({"user_ids": vec![&ann.id; 51], "conversation_ids": vec![&ann.id; 50]}),
    ] {
        let answer = ann.post("/media/avatar-links", refused).await;
        answer.problem(400, "validation");
    }
    app.finish().await;
}

#[tokio::test]
async fn picture_is_an_own_image_that_is_ready() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let group = format!("/conversations/{}", ann.group(&[&ben]).await);
    let foreign = ben.upload_image("image/png", PIXEL).await;
    let document = ann.upload(&[7; 10]).await;
    let open = ann.begin_upload(image("image/png", 10)).await;
    let open = open["media"]["id"].as_str().unwrap();
    for path in ["/me", &group] {
        for (media, status, code) in [
            (&*id(), 404, "not_found"),
            (&foreign, 404, "not_found"),
            (&document, 400, "validation"),
            (open, 409, "media_not_ready"),
        ] {
            set(&ann, path, media).await.problem(status, code);
        }
        ann.patch(path, json!({"avatar_media_id": "x"}))
            .await
            .problem(400, "validation");
    }
    let picture = ann.upload_image("image/png", PIXEL).await;
    let both = json!({"avatar_media_id": picture, "avatar_url": "https://files.example/a.png"});
    let refused = ann.patch("/me", both).await.problem(400, "validation");
    assert_eq!(refused["errors"][0]["pointer"], "/avatar_media_id");
    // The path of a picture that the caller does not have.
    let path = format!("/v1/users/{}/avatar?v={picture}", ann.id);
    let refused = ann.patch("/me", json!({"avatar_url": path})).await;
    refused.problem(400, "validation");
    let me = ann.get("/me").await.ok(200);
    assert_eq!((&me["avatar_url"], &me["rev"]), (&Value::Null, &json!(1)));
    app.finish().await;
}

#[tokio::test]
async fn members_see_the_picture_of_their_group() {
    let (app, [ann, ben, cat, eve]) = App::with(["ann", "ben", "cat", "eve"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    let path = format!("/conversations/{chat}");
    ann.change(&chat, &ben, json!({"role": "admin"}))
        .await
        .ok(200);
    let own = cat.upload_image("image/png", PIXEL).await;
    set(&cat, &path, &*own).await.problem(403, "forbidden");
    let media = ben.upload_image("image/png", PIXEL).await;
    set(&eve, &path, &*own).await.problem(404, "not_found");
    let direct = format!("/conversations/{}", ben.direct(&eve).await);
    set(&ben, &direct, &*media).await.problem(400, "validation");

    let head = cat.head().await;
    let changed = set(&ben, &path, &*media).await.ok(200);
    let url = format!("/v1/conversations/{chat}/avatar?v={media}");
    assert_eq!(changed["avatar_url"], url);
    let entry = cat.entries(head).await.remove(0);
    assert_eq!(
        (&entry["kind"], &entry["conversation_id"]),
        (&json!("conversation"), &json!(chat))
    );
    let listed = cat.get("/conversations").await.ok(200);
    assert_eq!(listed["conversations"][0]["avatar_url"], url);
    let head = cat.head().await;
    set(&ben, &path, &*media).await.ok(200);
    assert_eq!(cat.head().await, head, "nothing has changed");
    // A change of something else keeps it.
    let renamed = ann.patch(&path, json!({"title": "Sunday"})).await.ok(200);
    assert_eq!(renamed["avatar_url"], url);

    for member in [&ann, &ben, &cat] {
        look(member, &changed).await.ok(200);
    }
    assert_eq!(look(&eve, &changed).await.code(), "not_found");
    assert_eq!(eve.avatar_links(&ann.id, &chat).await[1], Value::Null);
    let [_, link] = cat.avatar_links(&ann.id, &chat).await;
    cat.open_link(&link, &[]).await.ok(200);
    ann.remove(&chat, &cat).await.ok(204);
    assert_eq!(cat.open_link(&link, &[]).await.code(), "not_found");
    assert_eq!(look(&cat, &changed).await.status, 404);
    // The one who has uploaded it leaves; the group keeps it until it is removed.
    ann.remove(&chat, &ben).await.ok(204);
    round(&app).await;
    look(&ann, &changed).await.ok(200);
    let without = set(&ann, &path, Value::Null).await.ok(200);
    assert_eq!(without["avatar_url"], Value::Null);
    assert_eq!(look(&ann, &changed).await.status, 404);
    round(&app).await;
    assert!(!has(&ben, &media).await);
    app.finish().await;
}

#[tokio::test]
async fn picture_lives_as_long_as_it_is_shown() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let media = ann.upload_image("image/png", PIXEL).await;
    let groups = [ann.group(&[&ben]).await, ann.group(&[]).await];
    set(&ann, "/me", &*media).await.ok(200);
    for group in &groups {
        let path = format!("/conversations/{group}");
        set(&ann, &path, &*media).await.ok(200);
    }
    let passed = "UPDATE media SET expires_at = now() WHERE expires_at IS NOT NULL";
    execute(&mut app.database(), passed);
    round(&app).await;
    ann.call("DELETE", &format!("/media/{media}"))
        .await
        .problem(409, "conflict");
    // An address elsewhere takes its place.
    let elsewhere = json!({"avatar_url": "https://files.example/ann.png"});
    ann.patch("/me", elsewhere).await.ok(200);
    round(&app).await;
    let path = format!("/conversations/{}", groups[0]);
    set(&ann, &path, Value::Null).await.ok(200);
    round(&app).await;
    assert!(has(&ann, &media).await, "the other group shows it");
    // Nobody sees a group that its last member has left.
    ann.remove(&groups[1], &ann).await.ok(204);
    round(&app).await;
    assert!(!has(&ann, &media).await);
    assert_eq!(ann.get("/media").await.ok(200)["used_bytes"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_account_leaves_no_picture() {
    let app = App::configured(due_immediately).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    let own = ann.upload_image("image/png", PIXEL).await;
    set(&ann, "/me", &*own).await.ok(200);
    let of_group = ann.upload_image("image/png", PIXEL).await;
    let path = format!("/conversations/{chat}");
    let shown = set(&ann, &path, &*of_group).await.ok(200);
    let [link, _] = ben.avatar_links(&ann.id, &chat).await;
    delete(&ann, &proof()).await.ok(202);
    erase_due(&app).await;
    round(&app).await;
    let user = ben.get(&format!("/users/{}", ann.id)).await.ok(200);
    assert_eq!(user["avatar_url"], Value::Null);
    assert_eq!(ben.open_link(&link, &[]).await.status, 404);
    let left = |media: &str| {
        let count =
            format!("SELECT count(*) AS n FROM media WHERE id = '{media}' AND state <> 'deleted'");
        number(&mut app.database(), &count)
    };
    assert_eq!((left(&own), left(&of_group)), (0, 1));
    look(&ben, &shown).await.ok(200);
    app.finish().await;
}

/// Changes of pictures against deletions and collections: a picture that is shown is there.
#[tokio::test]
async fn no_picture_is_shown_that_is_gone() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    app.add_node().await;
    let other = ann.at(&format!("http://{}", app.nodes[1].address));
    let chat = ann.group(&[&ben]).await;
    let group = format!("/conversations/{chat}");
    for n in 0..25 {
        let media = ann.upload_image("image/png", PIXEL).await;
        let path = format!("/media/{media}");
        set(&ann, "/me", &*media).await.ok(200);
        let collect = async {
            for _ in 0..3 {
                round(&app).await;
                tokio::time::sleep(Duration::from_millis(n % 7)).await;
            }
        };
        // It loses a reference, gets it back or another one, and is deleted, in any order.
        let (_, _, _, _, ()) = tokio::join!(
            set(&ann, "/me", Value::Null),
            set(&other, "/me", &*media),
            set(&other, &group, &*media),
            ann.call("DELETE", &path),
            collect
        );
        let (me, shown) = (ann.get("/me").await.ok(200), ben.conversation(&chat).await);
        for one in [me, shown.ok(200)] {
            if !one["avatar_url"].is_null() {
                look(&ben, &one).await.ok(200);
            }
        }
    }
    app.finish().await;
}
