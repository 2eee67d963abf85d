//! Direct conversations: one per pair, listed in both orders, invisible to everybody else.

use crate::support::{App, id};
use futures_util::future::join_all;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_has_one_conversation() {
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
    assert_eq!(
        made["me"],
        json!({"role": "member", "read_seq": 0, "unread": 0, "joined_seq": 0, "muted_until": null})
    );
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
async fn racing_creates_of_a_pair_find_one_conversation() {
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
async fn nobody_else_learns_of_a_conversation() {
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
async fn impossible_peers_are_refused() {
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
async fn the_list_pages_in_both_orders_and_remembers_the_inbox_position() {
    let names = ["ann", "b00", "b01", "b02", "b03", "b04", "b05", "b06"];
    let (app, people) = App::with(names).await;
    let ann = &people[0];
    let mut chats = Vec::new();
    for peer in &people[1..] {
        chats.push(ann.direct(peer).await);
    }
    // The oldest conversation becomes the newest by activity.
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
            // What happens while one pages comes in the inbox after that position.
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
