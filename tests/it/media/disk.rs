//! What a user can make the store keep: no more than what is reserved, whatever the client does, and not where it would be lost.

use super::collection::{objects, round};
use crate::support::media::file;
use crate::support::{App, Person, Wire, eventually, execute, number, waiting_for_locks};
use diesel::{Connection, PgConnection};
use serde_json::{Value, json};
use std::time::Duration;
use tideline::config::RateLimit;
use tideline::node::Node;

/// The size of a part.
const PART: usize = 8 * 1024 * 1024;

/// Sends a part without its last byte.
async fn begin_part(app: &App, who: &Person, media: &str, size: usize) -> Wire {
    let mut wire = Wire::to(app.nodes[0].address).await;
    let head = format!(
        "PUT /v1/media/{media}/parts/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {size}\r\n\r\n",
        who.token
    );
    wire.write(&head).await;
    wire.write(&"x".repeat(size - 1)).await;
    wire
}

fn media_id(upload: &Value) -> &str {
    upload["media"]["id"].as_str().unwrap()
}

#[tokio::test]
async fn client_that_hangs_up_leaves_a_part_that_counts() {
    let (app, [ann]) = App::with(["ann"]).await;
    let upload = ann.begin_upload(file(PART)).await;
    let media = media_id(&upload);
    let time = Duration::from_secs(20);
    for _ in 0..3 {
        let before = objects(&app, media);
        let mut wire = begin_part(&app, &ann, media, PART).await;
        wire.write("x").await;
        while objects(&app, media) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(wire);
        let path = format!("/media/{media}/upload");
        let received = async || ann.get(&path).await.ok(200)["parts"][0]["received"].clone();
        eventually("received", time, received, |received| received == true).await;
        let kept = async || objects(&app, media);
        eventually("one object", time, kept, |kept| *kept == 1).await;
    }
    ann.call("DELETE", &format!("/media/{media}")).await.ok(204);
    round(&app).await;
    assert_eq!(objects(&app, media), 0);
    app.finish().await;
}

#[tokio::test]
async fn part_that_comes_too_late_is_deleted_at_once() {
    let (app, [ann]) = App::with(["ann"]).await;
    let (deleted, complete) = (
        ann.begin_upload(file(10)).await,
        ann.begin_upload(file(10)).await,
    );
    let (deleted, complete) = (media_id(&deleted), media_id(&complete));
    let mut late = [
        begin_part(&app, &ann, deleted, 10).await,
        begin_part(&app, &ann, complete, 10).await,
    ];
    // Until both have begun.
    tokio::time::sleep(Duration::from_secs(1)).await;
    ann.call("DELETE", &format!("/media/{deleted}"))
        .await
        .ok(204);
    let [first, second] = &mut late;
    first.write("x").await;
    first.answer().await.problem(404, "not_found");
    let path = format!("/media/{complete}");
    let part = format!("{path}/parts/1");
    ann.put_bytes(&part, vec![7; 10], &[]).await.ok(204);
    let done = ann.post(&format!("{path}/complete"), Value::Null).await;
    assert_eq!(done.ok(200)["state"], "ready");
    let kept = objects(&app, complete);
    second.write("x").await;
    second.answer().await.problem(409, "conflict");
    assert_eq!((objects(&app, deleted), objects(&app, complete)), (0, kept));
    app.finish().await;
}

#[tokio::test]
async fn repeats_are_counted_and_refused_parts_leave_no_trace() {
    let limit = RateLimit {
        per_second: 1_000,
        burst: 1_000,
    };
    let app = App::configured(|config| config.rate_limit = Some(limit)).await;
    let [ann] = app.people(["ann"]).await;
    let upload = ann.begin_upload(file(10)).await;
    let media = media_id(&upload);
    let path = format!("/media/{media}/parts/1");
    let noted = || {
        number(
            &mut app.database(),
            "SELECT count(*) AS n FROM blob_deletions",
        )
    };
    let before = noted();
    for bytes in [vec![7; 9], vec![7; 11]] {
        let refused = ann.put_bytes(&path, bytes, &[]).await;
        refused.problem(400, "validation");
    }
    assert_eq!(noted(), before);
    for n in 0..5 {
        let answer = ann.put_bytes(&path, vec![7; 10], &[]).await;
        let policy = answer.header("ratelimit-policy");
        assert_eq!(policy.starts_with("\"media_upload\""), n > 0, "{policy}");
        answer.ok(204);
        assert_eq!(objects(&app, media), 1);
    }
    app.finish().await;
}

/// A directory whose file system is not mounted is an empty one, and takes whatever is written.
#[tokio::test]
async fn nothing_is_written_beneath_a_file_system_that_is_not_mounted() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let media = ann.upload(&[7; 10]).await;
    let sent = ann.attach(&chat, "file", &media).await.ok(201);
    let part = ann.begin_upload(file(10)).await;
    let (dir, away) = (app.media_dir(), app.media_dir().with_extension("away"));
    std::fs::rename(&dir, &away).unwrap();
    std::fs::create_dir(&dir).unwrap();
    let path = format!("/media/{}/parts/1", media_id(&part));
    let refused = ann.put_bytes(&path, vec![7; 10], &[]).await;
    refused.problem(503, "storage_unavailable");
    round(&app).await;
    let refused = ann.post("/media", file(10)).await;
    refused.problem(503, "storage_unavailable");
    assert_eq!(
        app.nodes[0].handles.delivery.metrics.media_available.get(),
        0
    );
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    std::fs::remove_dir(&dir).unwrap();
    std::fs::rename(&away, &dir).unwrap();
    round(&app).await;
    ann.put_bytes(&path, vec![7; 10], &[]).await.ok(204);
    ann.post("/media", file(10)).await.ok(201);
    assert!(ben.read_media(&chat, &sent["seq"]).await.ok(200) == [7; 10]);
    app.finish().await;
}

#[tokio::test]
async fn all_users_together_have_a_limit_between_two_looks() {
    let app = App::configured(|config| config.media.as_mut().unwrap().total = Some(1_000)).await;
    let [ann] = app.people(["ann"]).await;
    let create = async |size| ann.post("/media", file(size)).await;
    create(1_001).await.problem(503, "storage_unavailable");
    let first = file(600);
    let upload = ann.post("/media", first.clone()).await.ok(201);
    create(401).await.problem(503, "storage_unavailable");
    // A repeat reserves nothing.
    ann.post("/media", first).await.ok(200);
    create(400).await.ok(201);
    create(1).await.problem(503, "storage_unavailable");
    ann.call("DELETE", &format!("/media/{}", media_id(&upload)))
        .await
        .ok(204);
    round(&app).await;
    create(600).await.ok(201);
    assert_eq!(ann.get("/media").await.ok(200)["used_bytes"], json!(1_000));
    app.finish().await;
}

/// Both find no store, and one of them is the first to choose it.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_have_the_same_store() {
    let mut app = App::start().await;
    let [mut held, mut conn] =
        [0, 1].map(|_| PgConnection::establish(&app.database_url()).unwrap());
    execute(&mut conn, "DELETE FROM media_store");
    execute(&mut held, "BEGIN; LOCK TABLE media_store IN SHARE MODE");
    let release = async {
        waiting_for_locks(&mut conn, 2).await;
        execute(&mut held, "COMMIT");
    };
    let start = || Node::start(app.config.clone());
    let (first, second, ()) = tokio::join!(start(), start(), release);
    for node in [first, second] {
        let node = node.unwrap();
        assert!(node.handles.delivery.media.is_some());
        app.nodes.push(node);
    }
    app.finish().await;
}
