//! Bodies accept only the fields of the operation, and responses disclose nothing else.

use crate::support::requests::{Request, Scene, known_members, operations};
use crate::support::{App, id};
use serde_json::{Value, json};

/// Fields that a response should not have: more of a user than is public, or a misplaced secret.
pub fn disclosed(body: &Value) -> impl Iterator<Item = String> {
    fn search(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                let mut names: Vec<_> = members.keys().map(String::as_str).collect();
                names.sort_unstable();
                let user = [
                    "avatar_url",
                    "created_at",
                    "deleted",
                    "display_name",
                    "id",
                    "kind",
                    "rev",
                    "status",
                    "username",
                ];
                let (mut profile, mut account) = (user.to_vec(), user.to_vec());
                profile.extend(["attributes", "bio"]);
                // Only the person's own account has the settings.
                account.extend(["attributes", "bio", "forward_name", "read_receipts"]);
                profile.sort_unstable();
                account.sort_unstable();
                let known = names == user || names == profile || names == account;
                if members.contains_key("username") && !known {
                    found.push(format!("a user with {names:?}"));
                }
                let session = members.contains_key("expires_in");
                let secret = |name: &&str| {
                    let token = ["access_token", "refresh_token"].contains(name);
                    // A placeholder of a picture.
                    !(session && token)
                        && *name != "thumbhash"
                        && ["password", "hash", "secret", "token", "email", "address"]
                            .iter()
                            .any(|word| name.contains(word))
                };
                found.extend(names.into_iter().filter(secret).map(str::to_owned));
                members.values().for_each(|one| search(one, found));
            }
            Value::Array(items) => items.iter().for_each(|one| search(one, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    search(body, &mut found);
    found.into_iter()
}

#[test]
fn disclosure_check_finds_secret_fields() {
    let user = json!({"id": 1, "username": 1, "display_name": 1, "created_at": 1, "avatar_url": 1, "rev": 1, "status": 1, "deleted": 1, "kind": 1});
    let mut more = user.clone();
    more["last_seen_at"] = json!(1);
    let session = json!({"access_token": 1, "refresh_token": 1, "expires_in": 1, "user": user});
    for (body, count) in [
        (json!({"users": [user]}), 0),
        (json!([{"peer": more}]), 1),
        (session, 0),
        (json!({"me": {"access_token": 1, "password_hash": 1}}), 2),
    ] {
        assert_eq!(disclosed(&body).count(), count, "{body}");
    }
}

/// The JSON pointers of all objects in a body.
fn objects(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            into.push(at.to_owned());
            for (name, member) in members {
                objects(member, &format!("{at}/{name}"), into);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                objects(item, &format!("{at}/{n}"), into);
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_body_fields_are_rejected() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "hi").await;
    let mut names = known_members();
    // Fields of other systems, and of our own tables.
    names.extend(
        [
            "is_admin",
            "password_hash",
            "refresh_hash",
            "revoked_at",
            "blocked",
            "last_change",
        ]
        .map(str::to_owned),
    );
    for sure in [
        "id",
        "role",
        "owner_id",
        "seq",
        "user_id",
        "device_id",
        "created_at",
        "sender_id",
    ] {
        names.insert(sure.to_owned());
    }
    let scene = Scene {
        caller: &ann,
        chat: &chat,
        member: &ben,
        stranger: &cat,
    };
    let state = async || {
        let groups = ann.conversation(&chat).await.ok(200);
        (
            groups,
            ann.roles(&chat).await,
            ann.get("/me").await.ok(200),
            cat.head().await,
        )
    };
    let mut all = Vec::new();
    for operation in operations() {
        let good = operation.good(&app, &scene).await;
        all.push((operation, good));
    }
    let before = state().await;
    let mut tried = 0;
    for (operation, good) in all {
        let mut goods = Vec::new();
        if good.body.is_some() {
            goods.push(good.clone());
        }
        if operation.id == "create_conversation" {
            let group = json!({"kind": "group", "title": "x", "member_ids": [], "client_conversation_id": id()});
            goods.push(Request {
                body: Some(group),
                ..good
            });
        }
        for good in goods {
            let body = good.body.clone().unwrap();
            let mut places = Vec::new();
            objects(&body, "", &mut places);
            for place in places {
                // A draft may have any content, and a profile any attributes.
                let free = [("update_draft", "/content"), ("update_me", "/attributes")];
                if free.contains(&(operation.id.as_str(), place.as_str())) {
                    continue;
                }
                for name in &names {
                    let mut body = body.clone();
                    let object = body.pointer_mut(&place).unwrap().as_object_mut().unwrap();
                    let takes = [("/device", "id"), ("", "role"), ("", "device")];
                    let optional = takes.contains(&(place.as_str(), name))
                        && ["login_user", "update_member"].contains(&operation.id.as_str())
                        || operation.id == "update_me" && name == "username"
                        || operation.id == "update_conversation" && name == "avatar_media_id";
                    if object.contains_key(name) || optional {
                        continue;
                    }
                    let value = match name.as_str() {
                        "role" => json!("owner"),
                        name if name.ends_with("seq") => json!(1),
                        name if name.ends_with("_at") => json!("2020-01-01T00:00:00.000Z"),
                        name if name == "title" || name == "username" => json!("smuggled"),
                        _ => json!(ben.id),
                    };
                    object.insert(name.clone(), value);
                    let request = Request {
                        body: Some(body),
                        ..good.clone()
                    };
                    let answer = request.send_as(&ann).await;
                    let what = format!("{} with {place}/{name}: {}", operation.id, answer.body);
                    let refused = match answer.body["results"].get(0) {
                        Some(one) => one["problem"]["code"] == "validation",
                        None => answer.status == 400 && answer.body["code"] == "validation",
                    };
                    assert!(refused, "{what}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1_000, "only {tried}");
    assert_eq!(state().await, before);
    app.finish().await;
}
