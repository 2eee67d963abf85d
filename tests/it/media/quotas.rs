//! What a user may keep: reserved when an upload is created, and given back exactly once.

use crate::support::media::file;
use crate::support::{App, eventually, id};
use futures_util::future::join_all;
use serde_json::json;

async fn used(who: &crate::support::Person) -> (i64, i64) {
    let page = who.get("/media").await.ok(200);
    (
        page["used_bytes"].as_i64().unwrap(),
        page["quota_bytes"].as_i64().unwrap(),
    )
}

#[tokio::test]
async fn parallel_creations_never_pass_the_quota() {
    let app = App::configured(|config| config.media.as_mut().unwrap().quota = 1_000).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let creations = (0..50).map(|_| ann.post("/media", file(300)));
    let answers = join_all(creations).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 3);
    for answer in answers {
        if answer.status != 201 {
            answer.problem(409, "limit_reached");
        }
    }
    assert_eq!(used(&ann).await, (900, 1_000));
    assert_eq!(used(&ben).await, (0, 1_000));
    app.finish().await;
}

#[tokio::test]
async fn unfinished_uploads_are_limited() {
    let (app, [ann]) = App::with(["ann"]).await;
    let creations = (0..25).map(|_| ann.post("/media", file(1)));
    let answers = join_all(creations).await;
    let created: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert_eq!(created.len(), 20);
    let refused = ann.post("/media", file(1)).await;
    refused.problem(409, "limit_reached");
    // A deleted one makes room.
    let first = created[0].body["media"]["id"].as_str().unwrap();
    let path = format!("/media/{first}");
    for _ in 0..2 {
        ann.call("DELETE", &path).await.ok(204);
    }
    ann.get(&path).await.problem(404, "not_found");
    assert_eq!(used(&ann).await.0, 19);
    ann.post("/media", file(1)).await.ok(201);
    app.finish().await;
}

#[tokio::test]
async fn bytes_that_another_user_has_are_counted_and_shown_as_new_ones() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let bytes = [7; 1_000];
    let first = ann.upload_as(file(1_000), &bytes).await;
    let second = ben.upload_as(file(1_000), &bytes).await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first["sha256"], second["sha256"]);
    assert_eq!((used(&ann).await.0, used(&ben).await.0), (1_000, 1_000));
    app.finish().await;
}

#[tokio::test]
async fn server_without_a_store_says_so() {
    let app = App::configured(|config| config.media = None).await;
    let [ann] = app.people(["ann"]).await;
    ann.post("/media", file(1))
        .await
        .problem(403, "media_disabled");
    ann.get("/media").await.problem(403, "media_disabled");
    let picture = json!({"avatar_media_id": id()});
    let group = format!("/conversations/{}", ann.group(&[]).await);
    for path in ["/me", &group] {
        let refused = ann.patch(path, picture.clone()).await;
        refused.problem(403, "media_disabled");
    }
    let path = format!("/users/{}/avatar", ann.id);
    ann.get(&path).await.problem(403, "media_disabled");
    let capabilities = app.call("GET", "/v1/capabilities", None).await.ok(200);
    let features = capabilities["features"].as_array().unwrap();
    assert!(!features.iter().any(|feature| feature == "media"));
    assert_eq!(capabilities["limits"]["media_bytes"], 0);
    app.finish().await;
}

#[tokio::test]
async fn full_disk_takes_no_upload_and_serves_what_is_there() {
    let mut app = App::start().await;
    let [ann] = app.people(["ann"]).await;
    let media = ann.upload(&[7; 10]).await;
    app.config.media.as_mut().unwrap().least_free = 100;
    app.add_node().await;
    let there = ann.at(&format!("http://{}", app.nodes[1].address));
    let refused = there.post("/media", file(10)).await;
    refused.problem(503, "storage_unavailable");
    let path = format!("/media/{media}/content");
    there.read_bytes(&path, &[]).await.ok(200);
    app.finish().await;
}

#[tokio::test]
async fn pages_are_newest_first_and_end() {
    let (app, [ann]) = App::with(["ann"]).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        let upload = ann.begin_upload(file(1)).await;
        made.insert(0, upload["media"]["id"].clone());
    }
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ann.get(&format!("/media?limit=2{cursor}")).await.ok(200);
        let media = page["media"].as_array().unwrap().iter();
        listed.extend(media.map(|one| one["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, made);
    ann.get("/media?cursor=x").await.problem(400, "validation");
    app.finish().await;
}

/// A node whose directory is not the one of the database would miss half of the media.
#[tokio::test]
async fn node_with_another_store_keeps_no_media() {
    let mut app = App::start().await;
    let [ann] = app.people(["ann"]).await;
    let url = format!("file://{}-other", app.media_dir().display());
    app.config.media.as_mut().unwrap().url = url;
    app.add_node().await;
    let there = ann.at(&format!("http://{}", app.nodes[1].address));
    there
        .post("/media", file(1))
        .await
        .problem(403, "media_disabled");
    ann.post("/media", file(1)).await.ok(201);
    app.finish().await;
}

#[tokio::test]
async fn all_users_together_have_a_limit_that_a_node_knows_from_its_start() {
    let mut app = App::start().await;
    let [ann] = app.people(["ann"]).await;
    ann.upload(&[7; 10]).await;
    app.config.media.as_mut().unwrap().total = Some(10);
    app.add_node().await;
    let there = ann.at(&format!("http://{}", app.nodes[1].address));
    // Less than the time between two looks.
    let soon = std::time::Duration::from_secs(4);
    let create = async || there.post("/media", file(10)).await.status;
    eventually("it is full", soon, create, |status| *status == 503).await;
    ann.post("/media", file(10)).await.ok(201);
    app.finish().await;
}
