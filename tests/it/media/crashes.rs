//! Nodes that are killed within uploads and within collections. Whenever it happens, no object is without a row and no media are without
//! their objects; another node finishes what was begun, and in the end nothing is left in the store.

use super::pictures::{decode, encode, quarters};
use crate::support::media::file;
use crate::support::store_has_what_the_rows_say;
use crate::support::{App, NodeProcess, Person, Stop, eventually, execute, id, number};
use image::ImageFormat::Jpeg;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::future::pending;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;
use tideline::config::environment;
use tideline::domain::media::{collection, processing};

/// The size of a part.
const PART: usize = 8 * 1024 * 1024;

/// How often a node is killed before a request to PostgreSQL, for each kind of work. It is also killed before and after each commit.
const KILLS: usize = 3;

/// How often a node is killed at a random moment.
const MOMENTS: usize = 3;

/// The environment names another seed.
fn random() -> StdRng {
    let seed = environment("SEED").map_or(1, |seed| seed.parse().unwrap());
    StdRng::seed_from_u64(seed)
}

/// Where to stop work of so many requests and commits: before some of its requests, and before and after each of its commits.
fn stops([requests, commits]: [usize; 2], random: &mut StdRng) -> Vec<Stop> {
    let before = (0..KILLS).map(|n| {
        let slice = n * requests / KILLS..(n + 1) * requests / KILLS;
        Stop::Before(random.random_range(slice))
    });
    let commits = (1..=commits).flat_map(|n| [Stop::BeforeCommit(n), Stop::AfterCommit(n)]);
    before.chain(commits).collect()
}

/// Kills a node as soon as its work is done, PostgreSQL does not answer, or a time has passed.
async fn kill(mut node: NodeProcess, work: impl Future, after: Option<Duration>, late: Duration) {
    // Not polled any more when the node is killed: a client sees nothing of it.
    let mut work = pin!(work);
    let passed = async {
        match after {
            Some(after) => tokio::time::sleep(after).await,
            None => pending().await,
        }
    };
    tokio::select! {
        _ = &mut work => {}
        () = node.postgres.stopped() => {}
        () = passed => {}
    }
    // What needs no PostgreSQL goes on meanwhile, such as the writing of a file.
    std::thread::sleep(late);
    node.process.signal("KILL");
    assert_eq!(node.process.wait(), -9);
}

/// A client's way to upload bytes, from wherever it was: a node sees the first half of it, another one the rest.
async fn upload(who: &Person, create: &Value, bytes: &[u8]) -> Value {
    let begun = who.post("/media", create.clone()).await;
    assert!([200, 201].contains(&begun.status), "{}", begun.body);
    let path = format!("/media/{}", begun.body["media"]["id"].as_str().unwrap());
    let parts = begun.body["parts"].as_array().unwrap().iter();
    for (part, bytes) in parts.zip(bytes.chunks(PART)) {
        if part["received"] == false {
            let path = format!("{path}/parts/{}", part["part"]);
            who.put_bytes(&path, bytes.to_vec(), &[]).await.ok(204);
        }
    }
    let complete = async || {
        let path = format!("{path}/complete");
        who.post(&path, Value::Null).await.ok(200)
    };
    // A commit that was under way when its node was killed may take a lease of 30 s after the test has ended all leases.
    let time = Duration::from_secs(60);
    eventually("it is done", time, complete, |done| {
        done["state"] != "processing"
    })
    .await
}

/// All files of the store, those included that are being written.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    };
    paths.flat_map(of).collect()
}

/// What was deleted is to be deleted once more, but nothing of uploads that go on.
const OBJECTS_DUE: &str =
    "UPDATE blob_deletions SET due_at = now() WHERE due_at < now() + interval '25 hours'";

/// The time of everything is over.
const ALL_DUE: &str = "UPDATE media SET expires_at = now() WHERE expires_at IS NOT NULL; UPDATE blob_deletions SET due_at = now()";

/// What there is in PostgreSQL.
const ROWS: &str = "SELECT (SELECT count(*) FROM media) + (SELECT count(*) FROM media_parts) + (SELECT count(*) FROM blob_deletions)
    + (SELECT count(*) FROM media_candidates) + (SELECT sum(bytes + uploads)::bigint FROM media_usage) AS n";

/// Lets the time of everything pass that no message refers to. Nothing is left, neither in PostgreSQL nor in the store.
async fn nothing_is_left(app: &App) {
    let mut conn = app.database();
    let time = Duration::from_secs(20);
    let collected = async || {
        execute(&mut conn, ALL_DUE);
        let delivery = &app.nodes[0].handles.delivery;
        collection::collect(delivery).await.unwrap();
        number(&mut conn, ROWS)
    };
    eventually("nothing is left", time, collected, |n| *n == 0).await;
    let left = files(&app.media_dir());
    assert_eq!(left.len(), 1, "beside the id of the store: {left:?}");
}

#[tokio::test]
async fn killed_node_leaves_an_upload_that_another_one_finishes() {
    let (app, [ann]) = App::with(["ann"]).await;
    let (mut conn, mut random) = (app.database(), random());
    let picture = encode(&quarters(2_000, 1_000), Jpeg);
    let jpeg = || json!({"client_media_id": id(), "kind": "image", "name": "a.jpg", "mime": "image/jpeg", "size": picture.len()});
    let large: Vec<u8> = (0..PART + 5).map(|n| (n % 251) as u8).collect();
    let kinds: [(&dyn Fn() -> Value, &[u8]); 2] = [(&|| file(PART + 5), &large), (&jpeg, &picture)];
    for (create, bytes) in kinds {
        // How many requests there are, and how long it takes.
        let node = app.add_process(&[]);
        let there = ann.at(&node.process.url);
        node.postgres.count("", None);
        let begun = std::time::Instant::now();
        upload(&there, &create(), bytes).await;
        let (counted, time) = (node.postgres.counted(), begun.elapsed());
        drop(node);
        let stops = stops(counted, &mut random).into_iter().map(Some);
        for stop in stops.chain([None; MOMENTS]) {
            let node = app.add_process(&[]);
            let there = ann.at(&node.process.url);
            node.postgres.count("", stop);
            let moment = time.mul_f64(random.random_range(0.0..1.0));
            let after = Some(moment).filter(|_| stop.is_none());
            let late = Duration::from_micros(random.random_range(0..4_000));
            let create = create();
            kill(node, upload(&there, &create, bytes), after, late).await;
            store_has_what_the_rows_say(&app, &mut conn);
            let over = "UPDATE media SET lease_until = now() WHERE lease_until IS NOT NULL";
            execute(&mut conn, over);
            let delivery = &app.nodes[0].handles.delivery;
            processing::take_over(delivery).await.unwrap();
            let done = upload(&ann, &create, bytes).await;
            assert_eq!(done["state"], "ready", "{done}");
            let path = format!("/media/{}/content", done["id"].as_str().unwrap());
            let read = ann.read_bytes(&path, &[]).await.ok(200);
            match done["kind"] == "file" {
                true => assert!(read == bytes),
                false => assert!(decode(&read, Jpeg) == decode(bytes, Jpeg)),
            }
        }
    }
    nothing_is_left(&app).await;
    app.finish().await;
}

#[tokio::test]
async fn killed_node_leaves_a_collection_that_another_one_finishes() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let (mut conn, mut random) = (app.database(), random());
    let chat = ann.direct(&ben).await;
    let recall = async |sent: &Value| {
        let path = format!("/conversations/{chat}/messages/{}", sent["seq"]);
        ann.call("DELETE", &path).await.ok(200);
    };
    // What every round has: media without a message, media whose message is recalled, media with a message, and half an upload.
    let prepare = async || {
        ann.upload(&[1; 10]).await;
        let recalled = ann.upload(&[2; 10]).await;
        let recalled = ann.attach(&chat, "file", &recalled).await.ok(201);
        let kept = ann.upload(&[3; 10]).await;
        let kept = ann.attach(&chat, "file", &kept).await.ok(201);
        let open = ann.begin_upload(file(10)).await;
        ann.put_parts(&open, &[4; 10]).await;
        recall(&recalled).await;
        execute(&mut app.database(), OBJECTS_DUE);
        // The rows of the round before are forgotten in this one.
        let due = "UPDATE media SET expires_at = now() WHERE expires_at IS NOT NULL";
        execute(&mut app.database(), due);
        kept
    };
    let collected = async || {
        // Those that a node has claimed are due in a minute.
        let due = "SELECT (SELECT count(*) FROM media WHERE expires_at <= now()) + (SELECT count(*) FROM media_candidates)
            + (SELECT count(*) FROM blob_deletions WHERE due_at <= now() + interval '2 minutes') AS n";
        let time = Duration::from_secs(20);
        let left = async || number(&mut app.database(), due);
        eventually("nothing is due", time, left, |n| *n == 0).await;
    };
    const FIRST: &str = "FROM media_candidates WHERE at";
    let delivery = &app.nodes[0].handles.delivery;
    let (mut kept, mut counted) = (Vec::new(), [0; 2]);
    // The first round has no rows to forget.
    for _ in 0..2 {
        kept.push(prepare().await);
        let node = app.add_process_behind(|postgres| postgres.count(FIRST, None));
        collected().await;
        counted = node.postgres.counted();
    }
    let stops = stops(counted, &mut random).into_iter();
    // Before a commit of the collector nothing is in the store that was not there after the one before.
    let stops = stops.filter(|stop| !matches!(stop, Stop::BeforeCommit(_)));
    for stop in stops {
        kept.push(prepare().await);
        let node = app.add_process_behind(|postgres| postgres.count(FIRST, Some(stop)));
        let late = Duration::from_micros(random.random_range(0..4_000));
        kill(node, collected(), None, late).await;
        store_has_what_the_rows_say(&app, &mut conn);
        // What the killed node has claimed is due again.
        execute(&mut conn, OBJECTS_DUE);
        collection::collect(delivery).await.unwrap();
    }
    for sent in &kept {
        let read = ben.read_media(&chat, &sent["seq"]).await;
        assert!(read.ok(200) == [3; 10]);
    }
    for sent in &kept {
        recall(sent).await;
    }
    nothing_is_left(&app).await;
    app.finish().await;
}
