//! Conversations: one direct conversation per pair, groups created once, lists in both orders, hidden from others.

use crate::support::{App, execute, id, new_member};
use futures_util::future::join_all;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn two_users_share_one_direct_conversation() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let body = json!({"kind": "direct", "user_id": ben.id});
    let made = ann.post("/conversations", body.clone()).await;
    let location = made.header("location").to_owned();
    assert_eq!(made.header("idempotent-replayed"), "");
    let made = made.ok(201);
    assert_eq!(
        location,
        format!("/v1/conversations/{}", made["id"].as_str().unwrap())
    );
    assert_eq!(made["peer"]["id"], ben.id.as_str());
    assert_eq!(made["me"], new_member("member", 0));
    assert_eq!(
        (&made["fanout"], &made["member_count"]),
        (&json!("write"), &json!(2))
    );

    let again = ann.post("/conversations", body).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.ok(200)["id"], made["id"]);
    assert_eq!(ben.direct(&ann).await, made["id"].as_str().unwrap());
    let seen_by_ben = ben
        .get(&format!("/conversations/{}", made["id"].as_str().unwrap()))
        .await
        .ok(200);
    assert_eq!(seen_by_ben["peer"]["id"], ann.id.as_str());

    let entries = ben.entries(0).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["kind"], &entries[0]["seq"]),
        (&json!("conversation"), &json!(1))
    );
    assert_eq!(entries[0]["conversation"]["id"], made["id"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creates_return_one_direct_conversation() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let from_both_sides = (0..12).map(|n| async move { n });
    let creates = from_both_sides.map(|n| {
        let (ann, ben) = (ann.clone(), ben.clone());
        async move {
            let (caller, peer) = if n.await % 2 == 0 {
                (&ann, &ben)
            } else {
                (&ben, &ann)
            };
            caller
                .post(
                    "/conversations",
                    json!({"kind": "direct", "user_id": peer.id}),
                )
                .await
        }
    });
    let answers = join_all(creates).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    assert!(
        answers
            .iter()
            .all(|answer| answer.body["id"] == answers[0].body["id"])
    );
    assert_eq!(ann.entries(0).await.len(), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_conversation_is_hidden_from_other_users() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "between us").await;
    for path in ["", "/messages", "/messages/1"] {
        let shape = |body: &Value| {
            let mut body = body.clone();
            body["request_id"] = Value::Null;
            body
        };
        let there = eve
            .get(&format!("/conversations/{chat}{path}"))
            .await
            .problem(404, "not_found");
        let random = eve
            .get(&format!("/conversations/{}{path}", id()))
            .await
            .problem(404, "not_found");
        assert_eq!(shape(&there), shape(&random), "the two must look alike");
    }
    eve.post_message(&chat, crate::support::text("let me in"))
        .await
        .problem(404, "not_found");
    eve.put(&format!("/conversations/{chat}/read"), json!({"seq": 1}))
        .await
        .problem(404, "not_found");
    assert_eq!(
        eve.get("/conversations").await.ok(200)["conversations"],
        json!([])
    );
    assert_eq!(eve.inbox(0).await["entries"], json!([]));
    assert_eq!(eve.wait(0, 0).await["last_seq"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_peers_are_rejected() {
    let (app, [ann]) = App::with(["ann"]).await;
    let direct = |user: &str| json!({"kind": "direct", "user_id": user});
    let body = ann
        .post("/conversations", direct(&ann.id))
        .await
        .problem(400, "validation");
    assert_eq!(body["errors"][0]["pointer"], "/user_id");
    ann.post("/conversations", direct(&id()))
        .await
        .problem(404, "not_found");
    ann.post("/conversations", direct("nobody"))
        .await
        .problem(400, "validation");
    ann.post("/conversations", json!({"kind": "direct"}))
        .await
        .problem(400, "validation");
    ann.post("/conversations", json!({"kind": "séance", "user_id": id()}))
        .await
        .problem(400, "validation");
    ann.post(
        "/conversations",
        json!({"kind": "direct", "user_id": id(), "x": 1}),
    )
    .await
    .problem(400, "validation");
    assert_eq!(ann.head().await, 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn list_pages_in_both_orders_keep_the_first_inbox_seq() {
    let names = ["ann", "b00", "b01", "b02", "b03", "b04", "b05", "b06"];
    let (app, people) = App::with(names).await;
    let ann = &people[0];
    let mut chats = Vec::new();
    for peer in &people[1..] {
        chats.push(ann.direct(peer).await);
    }
    // The oldest conversation becomes the most recently active one.
    people[1].send(&chats[0], "hello").await;
    let head = ann.head().await;

    let page_through = async |order: &str| {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/conversations?order={order}&limit=3{cursor}");
            let page = ann.get(&path).await.ok(200);
            assert_eq!(page["inbox_seq"], head, "read before the first page");
            seen.extend(page["conversations"].as_array().unwrap().clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return seen,
            }
            // Later changes are in the inbox after that position.
            people[2].send(&chats[1], "meanwhile").await;
        }
    };
    let ids = |list: &[Value]| -> Vec<String> {
        list.iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let by_id = page_through("id").await;
    let mut sorted = chats.clone();
    sorted.sort();
    assert_eq!(ids(&by_id), sorted);

    let head = ann.head().await;
    let by_activity = ann.get("/conversations").await.ok(200);
    assert_eq!(by_activity["inbox_seq"], head);
    let list = by_activity["conversations"].as_array().unwrap();
    let times: Vec<_> = list
        .iter()
        .map(|one| one["updated_at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    assert_eq!(list[0]["id"], chats[1].as_str());
    assert_eq!(
        list[0]["last_message"]["content"],
        json!({"text": "meanwhile"})
    );
    assert_eq!(list[0]["me"]["unread"], list[0]["last_seq"]);

    let first = ann.get("/conversations?order=id&limit=3").await.ok(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    for bad in [
        format!("order=activity&cursor={cursor}"),
        "cursor=nonsense".into(),
        "limit=0".into(),
        "limit=501".into(),
        "order=size".into(),
        "page=2".into(),
        "limit=1&limit=2".into(),
    ] {
        ann.get(&format!("/conversations?{bad}"))
            .await
            .problem(400, "validation");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_last_messages_make_shorter_pages() {
    let (app, [ann, ben, cat, dan]) = App::with(["ann", "ben", "cat", "dan"]).await;
    let large = json!({"blob": "x".repeat(600_000)});
    let mut chats = Vec::new();
    for peer in [&ben, &cat, &dan] {
        let chat = ann.direct(peer).await;
        let message = json!({"client_msg_id": id(), "kind": "custom", "content": large});
        peer.post_message(&chat, message).await.ok(201);
        chats.push(chat);
    }
    chats.sort();
    for order in ["id", "activity"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/conversations?order={order}{cursor}");
            let page = ann.get(&path).await.ok(200);
            let list = page["conversations"].as_array().unwrap();
            assert!(list.len() <= 2, "{}", list.len());
            seen.extend(
                list.iter()
                    .map(|one| one["id"].as_str().unwrap().to_owned()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        seen.sort();
        assert_eq!(seen, chats, "{order}");
    }
    // The inbox entries of these conversations are as large.
    let page = ann.inbox(0).await;
    assert_eq!(
        (page["entries"].as_array().unwrap().len(), &page["has_more"]),
        (2, &json!(true))
    );
    assert_eq!(ann.entries(0).await.len(), 6);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn group_is_created_once_per_client_conversation_id() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    // The list has a duplicate and the creator: each is a member once.
    let body = json!({"kind": "group", "title": "Friday", "client_conversation_id": id(),
        "member_ids": [ben.id, cat.id, ben.id, ann.id]});
    let made = ann.post("/conversations", body.clone()).await;
    let location = made.header("location").to_owned();
    let made = made.ok(201);
    let chat = made["id"].as_str().unwrap();
    assert_eq!(location, format!("/v1/conversations/{chat}"));
    assert_eq!(made["me"], new_member("owner", 0));
    let expected = json!({"kind": "group", "title": "Friday", "fanout": "write", "member_count": 3,
        "last_seq": 0, "last_message": null, "peer": null});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }

    let again = ann.post("/conversations", body.clone()).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.ok(200), made);
    // The id is scoped to the creator: another user's request with it makes another group.
    let other = ben.post("/conversations", body.clone()).await.ok(201);
    assert_ne!(other["id"], made["id"]);

    for person in [&ann, &ben, &cat] {
        let entries = person.entries(0).await;
        let kinds: Vec<_> = entries.iter().map(|one| &one["kind"]).collect();
        assert_eq!(kinds, ["conversation"; 2]);
        assert_eq!(entries[0]["conversation"]["id"], made["id"]);
        assert_eq!(person.wait(0, 0).await["total_unread"], 0);
    }
    // After leaving, a replay does not find it either.
    ann.remove(chat, &ann).await.ok(204);
    let repeat = ann.post("/conversations", body).await;
    repeat.problem(404, "not_found");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_conversation_id_identifies_one_request() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let own = id();
    let make = |kind: &str, title: &str, members: &[&str]| json!({"kind": kind, "title": title, "member_ids": members, "client_conversation_id": own});
    let [a, b, c] = [&ann, &ben, &cat].map(|one| one.id.as_str());
    let made = ann.post("/conversations", make("group", "Friday", &[b, c]));
    let made = made.await.ok(201);
    let path = format!("/conversations/{}", made["id"].as_str().unwrap());
    let title = json!({"title": "Saturday"});
    ann.patch(&path, title).await.ok(200);
    // Members are compared as a set, and the title as it was requested, not as it is now.
    for same in [
        make("group", "Friday", &[c, b]),
        make("group", " Friday ", &[b, a, c, b]),
    ] {
        let again = ann.post("/conversations", same).await.ok(200);
        assert_eq!(again["id"], made["id"]);
    }
    let mut public = make("channel", "Friday", &[b, c]);
    public["public"] = json!(true);
    for other in [
        make("group", "Saturday", &[b, c]),
        make("group", "Friday", &[b]),
        make("group", "Friday", &[]),
        make("channel", "Friday", &[b, c]),
        public,
    ] {
        let refused = ann.post("/conversations", other).await;
        refused.problem(422, "client_conversation_id_reused");
    }
    assert_eq!(ann.head().await, 2);
    // For a group created before the request was stored, it cannot be compared.
    let forget = "UPDATE client_conversations SET request_hash = NULL, refused = NULL";
    execute(&mut app.database(), forget);
    let again = ann.post("/conversations", make("group", "Friday", &[b]));
    let again = again.await.ok(200);
    assert_eq!((&again["id"], &again["refused"]), (&made["id"], &json!([])));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_groups_are_rejected_without_side_effects() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let group = |title: Value, members: Value| json!({"kind": "group", "title": title, "member_ids": members});
    let long = "é".repeat(129);
    for (body, pointer) in [
        (group(json!(""), json!([])), "/title"),
        (group(json!(long), json!([])), "/title"),
        (group(json!(null), json!([])), "/title"),
        (group(json!(5), json!([])), "/title"),
        (
            json!({"kind": "group", "title": "x", "user_id": ben.id}),
            "/user_id",
        ),
        (
            json!({"kind": "direct", "title": "x", "user_id": ben.id}),
            "/title",
        ),
        (group(json!("x"), json!("ben")), "/member_ids"),
        (group(json!("x"), json!(["ben"])), "/member_ids/0"),
        (group(json!("x"), json!(vec![id(); 1_001])), "/member_ids"),
    ] {
        let refused = ann.post("/conversations", body).await;
        let refused = refused.problem(400, "validation");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    let unknown = group(json!("x"), json!([ben.id, id()]));
    let refused = ann.post("/conversations", unknown).await;
    refused.problem(404, "not_found");
    assert_eq!((ann.head().await, ben.head().await), (0, 0));

    let alone = group(json!("é".repeat(128)), json!([]));
    let alone = ann.post("/conversations", alone).await.ok(201);
    assert_eq!(alone["member_count"], 1);
    let chat = alone["id"].as_str().unwrap();
    for (body, pointer) in [
        (json!({"user_ids": []}), "/user_ids"),
        (json!({"user_ids": vec![id(); 1_001]}), "/user_ids"),
        (json!({"user_ids": [1]}), "/user_ids/0"),
    ] {
        let path = format!("/conversations/{chat}/members");
        let refused = ann.post(&path, body).await.problem(400, "validation");
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    let unknown = json!({"user_ids": [ben.id, id()]});
    let path = format!("/conversations/{chat}/members");
    let refused = ann.post(&path, unknown).await;
    refused.problem(404, "not_found");
    assert_eq!((ann.head().await, ben.head().await), (1, 0));
    for change in [
        json!({}),
        json!({"role": null}),
        json!({"role": "king"}),
        json!({"muted_until": 5}),
        json!({"muted_until": "tomorrow"}),
        json!({"muted_until": "+12026-01-01T00:00:00Z"}),
        json!({"muted_until": "1969-12-31T23:59:59Z"}),
        json!({"role": "member"}),
    ] {
        let refused = ann.change(chat, &ann, change).await;
        refused.problem(400, "validation");
    }
    app.finish().await;
}
