//! Members of groups: their number, permissions and view.

use crate::support::{App, Person, execute, id, new_member, text};
use serde_json::{Value, json};

fn kinds(entries: &[Value]) -> Vec<&str> {
    let kinds = entries.iter().map(|one| one["kind"].as_str().unwrap());
    kinds.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn group_size_is_limited() {
    let app = App::configured(|config| config.members_limit = 4).await;
    let [ann, ben, cat, dan, eve] = app.people(["ann", "ben", "cat", "dan", "eve"]).await;
    let everybody = json!({"kind": "group", "title": "x", "member_ids": [ben.id, cat.id, dan.id, eve.id],
        "client_conversation_id": id()});
    let refused = ann.post("/conversations", everybody.clone()).await;
    refused.problem(409, "limit_reached");
    // The rejected request has not consumed the id.
    let mut fewer = everybody;
    fewer["member_ids"] = json!([ben.id]);
    let chat = ann.post("/conversations", fewer).await.ok(201);
    let chat = chat["id"].as_str().unwrap();
    let refused = ann.add(chat, &[&cat, &dan, &eve]).await;
    refused.problem(409, "limit_reached");
    let added = ann.add(chat, &[&ben, &cat, &dan]).await.ok(200);
    assert_eq!(added["already_members"], json!([ben.id]));
    ann.add(chat, &[&eve]).await.problem(409, "limit_reached");
    ann.remove(chat, &dan).await.ok(204);
    ann.add(chat, &[&eve]).await.ok(200);
    assert_eq!(ann.roles(chat).await.len(), 4);
    app.finish().await;
}

/// Every action in every role, as in the contract.
#[tokio::test(flavor = "multi_thread")]
async fn role_permissions_match_the_contract() {
    let names = ["owner", "admin", "other", "member", "mate", "new", "out"];
    let (app, [owner, admin, other, member, mate, new, out]) = App::with(names).await;
    let chat = owner.group(&[&admin, &other, &member, &mate]).await;
    for one in [&admin, &other] {
        let made = owner.change(&chat, one, json!({"role": "admin"})).await;
        assert_eq!(made.ok(200)["role"], "admin");
    }
    let path = format!("/conversations/{chat}");
    let soon = || json!({"muted_until": "2100-01-01T00:00:00Z"});

    // All three send, read and list members; the group is hidden from others.
    for one in [&owner, &admin, &member] {
        one.send(&chat, "hi").await;
        assert_eq!(
            one.history(&chat, 0).await.len() as i64,
            one.head().await - 3
        );
        assert_eq!(one.roles(&chat).await.len(), 5);
    }
    let members = format!("{path}/members");
    out.get(&members).await.problem(404, "not_found");
    out.add(&chat, &[&out]).await.problem(404, "not_found");
    out.remove(&chat, &mate).await.problem(404, "not_found");
    out.remove(&chat, &out).await.problem(404, "not_found");
    out.change(&chat, &mate, soon())
        .await
        .problem(404, "not_found");
    let renamed = out.patch(&path, json!({"title": "mine"})).await;
    renamed.problem(404, "not_found");

    // Rename and add: owner and admins.
    for (one, title) in [(&owner, "one"), (&admin, "two")] {
        let renamed = one.patch(&path, json!({"title": title})).await.ok(200);
        assert_eq!(renamed["title"], title);
        assert_eq!(
            one.add(&chat, &[&new]).await.ok(200)["added"],
            json!([new.id])
        );
        one.remove(&chat, &new).await.ok(204);
    }
    let renamed = member.patch(&path, json!({"title": "three"})).await;
    renamed.problem(403, "forbidden");
    member.add(&chat, &[&new]).await.problem(403, "forbidden");

    // Remove and mute: members of a lower role.
    for (one, whom, allowed) in [
        (&owner, &admin, true),
        (&owner, &member, true),
        (&admin, &member, true),
        (&admin, &other, false),
        (&admin, &owner, false),
        (&admin, &admin, false),
        (&member, &mate, false),
        (&member, &admin, false),
        (&member, &owner, false),
        (&member, &member, false),
        (&owner, &owner, false),
    ] {
        let muted = one.change(&chat, whom, soon()).await;
        if allowed {
            assert_eq!(muted.ok(200)["muted_until"], "2100-01-01T00:00:00.000Z");
            let ended = one.change(&chat, whom, json!({"muted_until": null})).await;
            assert_eq!(ended.ok(200)["muted_until"], Value::Null);
        } else {
            muted.problem(403, "forbidden");
            if one.id != whom.id {
                one.remove(&chat, whom).await.problem(403, "forbidden");
            }
        }
    }
    admin.remove(&chat, &mate).await.ok(204);
    admin.remove(&chat, &mate).await.problem(404, "not_found");
    owner.remove(&chat, &out).await.problem(404, "not_found");
    owner
        .change(&chat, &out, soon())
        .await
        .problem(404, "not_found");

    // Change roles: the owner.
    for one in [&admin, &member] {
        for role in ["owner", "admin", "member"] {
            let changed = one.change(&chat, &other, json!({"role": role})).await;
            changed.problem(403, "forbidden");
        }
    }
    owner
        .change(&chat, &other, json!({"role": "member"}))
        .await
        .ok(200);
    // Ownership can be transferred, not given up.
    let given_up = owner.change(&chat, &owner, json!({"role": "admin"})).await;
    given_up.problem(400, "validation");
    let handed = owner.change(&chat, &member, json!({"role": "owner"})).await;
    assert_eq!(handed.ok(200)["role"], "owner");
    let roles = owner.roles(&chat).await;
    let role = |person: &Person| roles[&person.id].as_str();
    assert_eq!(
        [&owner, &admin, &other, &member].map(role),
        ["admin", "admin", "member", "owner"]
    );
    owner
        .change(&chat, &member, json!({"role": "owner"}))
        .await
        .problem(403, "forbidden");
    let direct = owner.direct(&mate).await;
    app_direct_refuses(&owner, &mate, &direct).await;
    app.finish().await;
}

/// A direct conversation has its two members, and nothing to administer.
async fn app_direct_refuses(ann: &Person, ben: &Person, chat: &str) {
    let path = format!("/conversations/{chat}");
    let title = json!({"title": "us"});
    ann.patch(&path, title).await.problem(400, "validation");
    ann.add(chat, &[ben]).await.problem(400, "validation");
    ann.remove(chat, ann).await.problem(400, "validation");
    ann.remove(chat, ben).await.problem(400, "validation");
    let promoted = ann.change(chat, ben, json!({"role": "admin"})).await;
    promoted.problem(400, "validation");
    assert_eq!(ann.roles(chat).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_see_only_messages_sent_during_membership() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "before cat").await;
    ann.send(&chat, "before cat, too").await;
    let before = cat.head().await;
    ann.add(&chat, &[&cat]).await.ok(200);

    // Joining: the view begins at the head.
    let seen = cat.conversation(&chat).await.ok(200);
    assert_eq!(seen["me"], new_member("member", 2));
    assert_eq!(
        (&seen["last_message"], &seen["last_seq"]),
        (&Value::Null, &json!(2))
    );
    assert!(cat.history(&chat, 0).await.is_empty());
    cat.get(&format!("/conversations/{chat}/messages/2"))
        .await
        .problem(404, "not_found");
    let entries = cat.entries(before).await;
    assert_eq!(kinds(&entries), ["conversation"]);
    assert_eq!(entries[0]["conversation"], seen);
    let of_ben = ben.entries(3).await;
    let change = &of_ben[0];
    assert_eq!(kinds(&of_ben), ["members"]);
    assert_eq!(
        [
            &change["actor_id"],
            &change["added"],
            &change["removed"],
            &change["changed"],
            &change["unread"]
        ],
        [
            &json!(ann.id),
            &json!([cat.id]),
            &json!([]),
            &json!([]),
            &json!(2)
        ]
    );

    ann.send(&chat, "cat sees this").await;
    assert_eq!(cat.history(&chat, 0).await[0]["seq"], 3);
    let walked = cat
        .get(&format!("/conversations/{chat}/messages?before_seq=9"))
        .await
        .ok(200);
    assert_eq!(
        (
            walked["messages"].as_array().unwrap().len(),
            &walked["has_more"]
        ),
        (1, &json!(false))
    );
    assert_eq!(cat.total().await, 1);

    // Leaving: no access from then on, received entries stay readable, and the last entry says so.
    let from = cat.head().await;
    cat.remove(&chat, &cat).await.ok(204);
    for path in ["", "/messages", "/members", "/messages/3"] {
        let gone = cat.get(&format!("/conversations/{chat}{path}")).await;
        gone.problem(404, "not_found");
    }
    cat.post_message(&chat, text("hello?"))
        .await
        .problem(404, "not_found");
    let read = cat
        .put(&format!("/conversations/{chat}/read"), json!({"seq": 3}))
        .await;
    read.problem(404, "not_found");
    assert_eq!(cat.total().await, 0);
    let last = cat.entries(from).await;
    assert_eq!(kinds(&last), ["conversation"]);
    assert_eq!(
        (&last[0]["conversation"], &last[0]["unread"]),
        (&Value::Null, &json!(0))
    );
    let all = cat.entries(0).await;
    let message = all.iter().find(|one| one["kind"] == "message").unwrap();
    assert_eq!(message["message"]["content"]["text"], "cat sees this");
    // The entry of the join must not show what cat may no longer see.
    assert_eq!(all[0]["conversation"], Value::Null);
    ann.send(&chat, "without cat").await;
    assert_eq!(cat.entries(from).await.len(), 1);

    // Rejoining begins a new view, and the entry of the leave stays.
    ann.add(&chat, &[&cat]).await.ok(200);
    let seen = cat.conversation(&chat).await.ok(200);
    assert_eq!(
        (&seen["me"]["joined_seq"], &seen["me"]["unread"]),
        (&json!(4), &json!(0))
    );
    ann.send(&chat, "welcome back").await;
    let seqs: Vec<_> = cat
        .history(&chat, 0)
        .await
        .iter()
        .map(|one| one["seq"].clone())
        .collect();
    assert_eq!(seqs, [json!(5)]);
    let entries = cat.entries(from).await;
    assert_eq!(kinds(&entries), ["conversation", "conversation", "message"]);
    assert_eq!(entries[0]["conversation"], Value::Null);
    assert_eq!(entries[1]["conversation"]["id"], chat.as_str());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn title_change_is_announced_once() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "x").await;
    let path = format!("/conversations/{chat}");
    let before = ben.head().await;
    for _ in 0..2 {
        let renamed = ann.patch(&path, json!({"title": "Saturday"})).await.ok(200);
        assert_eq!(renamed["title"], "Saturday");
    }
    let entries = ben.entries(before).await;
    assert_eq!(kinds(&entries), ["conversation"]);
    assert_eq!(
        (&entries[0]["conversation"]["title"], &entries[0]["unread"]),
        (&json!("Saturday"), &json!(1))
    );
    let wait = ben.wait(before, 5).await;
    assert_eq!(
        (&wait["news"], &wait["total_unread"]),
        (&json!(true), &json!(1))
    );
    // A change without effect is not announced either.
    ann.change(&chat, &ben, json!({"role": "member", "muted_until": null}))
        .await
        .ok(200);
    ann.add(&chat, &[&ben]).await.ok(200);
    assert_eq!(ben.head().await, before + 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_owner_is_succeeded_by_admin_or_longest_member() {
    let (app, [ann, ben, cat, dan]) = App::with(["ann", "ben", "cat", "dan"]).await;
    let chat = ann.group(&[]).await;
    for one in [&ben, &cat, &dan] {
        ann.add(&chat, &[one]).await.ok(200);
    }
    let muted = json!({"role": "admin", "muted_until": "2100-01-01T00:00:00Z"});
    ann.change(&chat, &dan, muted).await.ok(200);
    let before = ben.head().await;
    ann.remove(&chat, &ann).await.ok(204);
    // An admin precedes members who joined earlier, and an owner cannot be muted.
    let roles = ben.roles(&chat).await;
    assert_eq!(
        [&ben, &cat, &dan].map(|one| roles[&one.id].as_str()),
        ["member", "member", "owner"]
    );
    dan.send(&chat, "mine").await;
    let entry = &ben.entries(before).await[0];
    assert_eq!(entry["removed"], json!([ann.id]));
    let heir = json!([{"user_id": dan.id, "role": "owner", "muted_until": null}]);
    assert_eq!(entry["changed"], heir);
    dan.remove(&chat, &dan).await.ok(204);
    assert_eq!(cat.roles(&chat).await[&ben.id], "owner");
    ben.remove(&chat, &ben).await.ok(204);
    assert_eq!(cat.conversation(&chat).await.ok(200)["me"]["role"], "owner");
    // After the last member leaves the group is gone, also for joining.
    cat.remove(&chat, &cat).await.ok(204);
    for one in [&ann, &ben, &cat, &dan] {
        one.conversation(&chat).await.problem(404, "not_found");
        one.add(&chat, &[one]).await.problem(404, "not_found");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn muted_members_cannot_send() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    let first = text("while I may");
    ben.post_message(&chat, first.clone()).await.ok(201);
    let until = json!({"muted_until": "2100-01-01T01:00:00+01:00"});
    let muted = ann.change(&chat, &ben, until).await.ok(200);
    assert_eq!(muted["muted_until"], "2100-01-01T00:00:00.000Z");
    ben.post_message(&chat, text("hey"))
        .await
        .problem(403, "muted");
    // A replay is recognised before the mute; reading and leaving are allowed.
    assert_eq!(
        ben.post_message(&chat, first.clone()).await.ok(200)["seq"],
        1
    );
    ann.send(&chat, "quiet").await;
    ben.read(&chat, 2).await;
    let seen = ben.conversation(&chat).await.ok(200);
    assert_eq!(seen["me"]["muted_until"], "2100-01-01T00:00:00.000Z");
    let past = json!({"muted_until": "2020-01-01T00:00:00Z"});
    ann.change(&chat, &ben, past).await.ok(200);
    ben.send(&chat, "I am back").await;
    ben.remove(&chat, &ben).await.ok(204);
    let replay = ben.post_message(&chat, first).await;
    assert_eq!(replay.header("idempotent-replayed"), "true");
    replay.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mute_survives_leaving_until_it_expires() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    let until = |time: Value| json!({"muted_until": time});
    let end = "2100-01-01T00:00:00.000Z";
    ann.change(&chat, &ben, until(json!(end))).await.ok(200);
    // By leaving, by being removed, and by a ban.
    for way in 0..3 {
        match way {
            0 => drop(ben.remove(&chat, &ben).await.ok(204)),
            1 => drop(ann.remove(&chat, &ben).await.ok(204)),
            _ => {
                ann.ban(&chat, &ben).await.ok(204);
                let path = format!("/conversations/{chat}/bans/{}", ben.id);
                ann.call("DELETE", &path).await.ok(204);
            }
        }
        let before = cat.head().await;
        ann.add(&chat, &[&ben]).await.ok(200);
        let refused = ben.post_message(&chat, text("back")).await;
        refused.problem(403, "muted");
        let seen = ben.conversation(&chat).await.ok(200);
        assert_eq!(seen["me"]["muted_until"], end);
        let entry = &cat.entries(before).await[0];
        let muted = json!([{"user_id": ben.id, "role": "member", "muted_until": end}]);
        assert_eq!(
            (&entry["added"], &entry["changed"]),
            (&json!([ben.id]), &muted)
        );
    }
    // A mute that was lifted or has expired does not come back.
    for time in [Value::Null, json!("2020-01-01T00:00:00Z")] {
        ann.change(&chat, &ben, until(time)).await.ok(200);
        ben.remove(&chat, &ben).await.ok(204);
        let before = cat.head().await;
        ann.add(&chat, &[&ben]).await.ok(200);
        assert_eq!(cat.entries(before).await[0]["changed"], json!([]));
        ben.send(&chat, "back").await;
    }
    // The same if it expires while they are out.
    ann.change(&chat, &ben, until(json!(end))).await.ok(200);
    ben.remove(&chat, &ben).await.ok(204);
    execute(&mut app.database(), "UPDATE mutes SET muted_until = now()");
    ann.add(&chat, &[&ben]).await.ok(200);
    ben.send(&chat, "back").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed_in_pages() {
    let names = ["ann", "b00", "b01", "b02", "b03", "b04", "b05"];
    let (app, people) = App::with(names).await;
    let [ann, others @ ..] = &people;
    let chat = ann.group(&others.iter().collect::<Vec<_>>()).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/conversations/{chat}/members?limit=3{cursor}");
        let page = ann.get(&path).await.ok(200);
        seen.extend(page["members"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut ids: Vec<_> = people.iter().map(|one| one.id.as_str()).collect();
    ids.sort_unstable();
    let listed: Vec<_> = seen
        .iter()
        .map(|one| one["user"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, ids);
    for bad in ["limit=0", "limit=501", "cursor=x", "cursor=e30", "page=1"] {
        let path = format!("/conversations/{chat}/members?{bad}");
        ann.get(&path).await.problem(400, "validation");
    }
    app.finish().await;
}
