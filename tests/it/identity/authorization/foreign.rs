//! Ids of other users get exactly the same response as ids that do not exist.

use crate::support::requests::{Request, Scene, operations};
use crate::support::token::with;
use crate::support::{Answer, App, Person, id, text};
use serde_json::{Value, json};

/// A response without its request id.
fn said(answer: &Answer) -> (u16, Value) {
    let body = match answer.body.is_object() {
        true => with(&answer.body, "request_id", None),
        false => answer.body.clone(),
    };
    (answer.status, body)
}

/// The headers, but for those that always differ.
fn headers(answer: &Answer) -> Vec<(String, String)> {
    let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
    let all = answer.headers.iter();
    let mut all: Vec<_> = all.map(|(k, v)| (k.to_string(), text(v))).collect();
    all.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_conversations_look_like_missing_ones() {
    let (app, [ann, ben, eve, cat]) = App::with(["ann", "ben", "eve", "cat"]).await;
    let group = ann.group(&[&ben]).await;
    let direct = ann.direct(&ben).await;
    let left = ann.group(&[&ben, &eve]).await;
    // The same holds for a public channel: before joining, a user learns nothing of it and adds no one.
    let public =
        json!({"kind": "channel", "title": "News", "public": true, "member_ids": [ben.id]});
    let public = ann.post("/conversations", public).await.ok(201);
    let public = public["id"].as_str().unwrap().to_owned();
    for chat in [&group, &direct, &left, &public] {
        ann.send(chat, "hi").await;
    }
    eve.remove(&left, &eve).await.ok(204);
    let nobodys = id();
    let mut tried = 0;
    for operation in operations() {
        if !operation.path.starts_with("/v1/conversations/{id}") {
            continue;
        }
        let scene = Scene {
            caller: &eve,
            chat: &nobodys,
            member: &ben,
            stranger: &cat,
        };
        let good = operation.good(&app, &scene).await;
        // A bad body gets the same response too, whether validation comes before or after the membership check.
        let bad_body = good.body.is_some().then(|| json!({"unknown": 1}));
        for body in [good.body.clone(), bad_body] {
            let ask = async |chat: &str| {
                let path = good.path.replace(&nobodys, chat);
                let request = Request {
                    path,
                    body: body.clone(),
                    ..good.clone()
                };
                let answer = request.send_as(&eve).await;
                let text = answer.body.to_string().replace("request_id", "");
                assert!(!text.contains(&ann.id), "{}: {text}", operation.id);
                answer
            };
            let random = ask(&nobodys).await;
            for chat in [&group, &direct, &left, &public] {
                let foreign = ask(chat).await;
                let mut pair = [&random, &foreign].map(said);
                // Each problem of a batch has the request id.
                for (_, body) in &mut pair {
                    if let Some(one) = body.pointer_mut("/results/0/problem/request_id") {
                        *one = Value::Null;
                    }
                }
                assert_eq!(pair[0], pair[1], "{}", operation.id);
                assert_eq!(headers(&random), headers(&foreign), "{}", operation.id);
                tried += 1;
            }
        }
    }
    assert!(tried > 55, "only {tried}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_ids_look_like_random_ids() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let group = ann.group(&[&ben]).await;
    ann.send(&group, "before eve").await;
    ann.add(&group, &[&eve]).await.ok(200);
    ann.send(&group, "with eve").await;
    let own = eve.group(&[]).await;
    let same =
        async |who: &Person, method: &str, path: &str, foreign: &str, body: Option<Value>| {
            let ask = async |one: &str| {
                let text = |value: &Value| value.to_string().replace("{}", one);
                let body = body.as_ref().map(|body| text(body).parse().unwrap());
                who.try_call(method, &path.replace("{}", one), body.as_ref())
                    .await
                    .unwrap()
            };
            let random = ask(&id()).await;
            let theirs = ask(foreign).await;
            assert_eq!(said(&theirs), said(&random), "{method} {path}");
            theirs.status
        };
    // Watching a conversation of others.
    let watch = "/notices?since_seq=0&timeout=0&watch={}:0";
    let theirs = ann.group(&[&ben]).await;
    assert_eq!(same(&eve, "GET", watch, &theirs, None).await, 404);
    // Devices of others.
    let device = "/me/devices/{}";
    assert_eq!(same(&eve, "DELETE", device, &ann.device, None).await, 404);
    ann.get("/me").await.ok(200);
    // Users outside of the group.
    let member = format!("/conversations/{own}/members/{{}}");
    let mute = json!({"muted_until": "2100-01-01T00:00:00Z"});
    assert_eq!(same(&eve, "DELETE", &member, &ben.id, None).await, 404);
    assert_eq!(same(&eve, "PATCH", &member, &ben.id, Some(mute)).await, 404);
    // A member without permission to remove learns nothing of who is in the group.
    let member = format!("/conversations/{group}/members/{{}}");
    let removed = eve.call("DELETE", &member.replace("{}", &ben.id)).await;
    removed.problem(403, "forbidden");
    // Ids of another kind: of a conversation, a device or a message.
    let message = ann.history(&group, 0).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let users = json!({"user_ids": ["{}"]});
    let add = format!("/conversations/{own}/members");
    let direct = json!({"kind": "direct", "user_id": "{}"});
    let many = json!({"kind": "group", "title": "x", "member_ids": [ben.id, "{}"]});
    for other in [&group, &ann.device, &message] {
        for (method, path, body) in [
            ("POST", add.as_str(), Some(users.clone())),
            ("POST", "/conversations", Some(direct.clone())),
            ("POST", "/conversations", Some(many.clone())),
            ("GET", "/users/{}", None),
            ("PUT", "/me/blocks/{}", None),
            ("GET", "/conversations/{}", None),
        ] {
            if other == &group && path == "/conversations/{}" {
                continue;
            }
            assert_eq!(same(&eve, method, path, other, body).await, 404, "{path}");
        }
        assert_eq!(same(&eve, "GET", "/users?ids={}", other, None).await, 200);
    }
    // The epoch is public, and any other value is invalid.
    let path = "/inbox?since_seq=0&epoch={}";
    assert_eq!(same(&eve, "GET", path, &group, None).await, 409);
    // A message from before joining looks like one that does not exist yet.
    let message = async |seq: i64| {
        let path = format!("/conversations/{group}/messages/{seq}");
        said(&eve.get(&path).await)
    };
    assert_eq!(message(1).await, message(99).await);
    assert_eq!(message(1).await, message(-1).await);
    assert_eq!(message(1).await.0, 404);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_chosen_ids_are_scoped_to_their_user() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let group = ann.group(&[&ben, &eve]).await;
    let message = text("mine");
    let first = ann.post_message(&group, message.clone()).await.ok(201);
    // The same client_msg_id of another sender is another message, even with other content.
    let mut other = message.clone();
    other["content"]["text"] = json!("mine too");
    let second = eve.post_message(&group, other).await.ok(201);
    assert_ne!(first["id"], second["id"]);
    // Only the sender can replay a message.
    ann.post_message(&group, message.clone()).await.ok(200);
    let own = eve.group(&[]).await;
    eve.post_message(&own, message).await.ok(201);
    // A device of another user is not reused: the login creates one, as for an unknown id.
    for device in [ann.device.clone(), id()] {
        let body = json!({"username": "eve", "password": crate::support::PASSWORD, "device": {"id": device}});
        let session = app.call("POST", "/v1/auth/login", Some(body)).await.ok(200);
        assert_ne!(session["device_id"], device);
        assert_eq!(session["user"]["id"], eve.id);
    }
    ann.get("/me").await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_cursors_return_only_own_data() {
    let (app, [ann, ben, cat, eve]) = App::with(["ann", "ben", "cat", "eve"]).await;
    let group = ann.group(&[&ben, &cat]).await;
    for who in [&ben, &cat] {
        ann.direct(who).await;
        let path = format!("/me/blocks/{}", who.id);
        ann.put(&path, Value::Null).await.ok(204);
    }
    let members = format!("/conversations/{group}/members");
    for path in [members.as_str(), "/me/blocks", "/conversations"] {
        let page = ann.get(&format!("{path}?limit=1")).await.ok(200);
        let cursor = page["next_cursor"].as_str().unwrap();
        let foreign = eve.get(&format!("{path}?cursor={cursor}")).await;
        let without = eve.get(path).await;
        if path == members {
            assert_eq!(said(&foreign), said(&without));
            foreign.problem(404, "not_found");
        } else {
            let mut shown = foreign.ok(200);
            // The cursor carries the inbox position of its owner; borrowing it affects only the borrower.
            if path == "/conversations" {
                shown["inbox_seq"] = without.body["inbox_seq"].clone();
            }
            assert_eq!(shown, without.body);
        }
    }
    app.finish().await;
}
