//! Uploads: what comes out is what went in, whatever is lost, repeated or interrupted.

use super::pictures::{CANARY, decode, encode, has, jpeg_with, quarters, segment};
use crate::support::media::file;
use crate::support::{Answer, App, Person, Wire, eventually, id};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::ImageFormat::Jpeg;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The size of a part.
const PART: usize = 8 * 1024 * 1024;

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24).to_le_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

fn digest(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

fn media_id(upload: &Value) -> &str {
    upload["media"]["id"].as_str().unwrap()
}

#[tokio::test]
async fn file_comes_back_byte_for_byte() {
    let (app, [ann]) = App::with(["ann"]).await;
    let bytes = noise(2 * PART + 5);
    let mut create = file(bytes.len());
    create["sha256"] = json!(digest(&bytes));
    let done = ann.upload_as(create, &bytes).await;
    assert_eq!(done["state"], "ready", "{done}");
    assert_eq!(
        (&done["size"], &done["sha256"], &done["mime"]),
        (
            &json!(bytes.len()),
            &json!(digest(&bytes)),
            &json!("application/octet-stream")
        )
    );
    let path = format!("/media/{}/content", done["id"].as_str().unwrap());
    let read = ann.read_bytes(&path, &[]).await;
    assert_eq!(
        read.header("content-disposition"),
        "attachment; filename=\"plan.bin\"; filename*=UTF-8''plan.bin"
    );
    assert!(read.ok(200) == bytes);
    app.finish().await;
}

#[tokio::test]
async fn picture_keeps_its_pixels_and_loses_everything_else() {
    let (app, [ann]) = App::with(["ann"]).await;
    let plain = encode(&quarters(2_000, 1_000), Jpeg);
    let comment = segment(0xfe, CANARY.as_bytes());
    let bytes = jpeg_with(&plain, &[comment]);
    assert!(has(&bytes, CANARY.as_bytes()));
    let create = json!({"client_media_id": id(), "kind": "image", "name": "a.jpg", "mime": "image/jpeg", "size": bytes.len()});
    let done = ann.upload_as(create, &bytes).await;
    assert_eq!(
        (&done["state"], &done["width"], &done["height"]),
        (&json!("ready"), &json!(2_000), &json!(1_000)),
        "{done}"
    );
    assert!(done["thumbhash"].is_string());
    let variants = done["variants"].as_array().unwrap();
    let sides: Vec<_> = variants
        .iter()
        .map(|one| (&one["name"], &one["width"]))
        .collect();
    assert_eq!(
        sides,
        [
            (&json!("small"), &json!(320)),
            (&json!("medium"), &json!(1280))
        ]
    );
    for variant in ["original", "medium", "small"] {
        let path = format!(
            "/media/{}/content?variant={variant}",
            done["id"].as_str().unwrap()
        );
        let read = ann.read_bytes(&path, &[]).await;
        assert_eq!(read.header("content-type"), "image/jpeg");
        let read = read.ok(200);
        assert!(!has(&read, CANARY.as_bytes()), "{variant}");
        if variant == "original" {
            assert!(decode(&read, Jpeg) == decode(&bytes, Jpeg));
            assert_eq!(done["size"], read.len());
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn parts_come_in_any_order_repeated_and_on_any_node() {
    let (mut app, [ann]) = App::with(["ann"]).await;
    app.add_node().await;
    let other = ann.at(&format!("http://{}", app.nodes[1].address));
    let bytes = noise(2 * PART + 1);
    let upload = ann.begin_upload(file(bytes.len())).await;
    let path = |part: usize| format!("/media/{}/parts/{part}", media_id(&upload));
    let part = |n: usize| bytes.chunks(PART).nth(n - 1).unwrap().to_vec();
    // The third first, then the first one with other bytes, which the right ones replace.
    other.put_bytes(&path(3), part(3), &[]).await.ok(204);
    ann.put_bytes(&path(1), vec![0; PART], &[]).await.ok(204);
    other.put_bytes(&path(1), part(1), &[]).await.ok(204);
    let complete = format!("/media/{}/complete", media_id(&upload));
    let early = ann.post(&complete, Value::Null).await;
    let missing = json!([{"pointer": "/parts/2", "detail": "is missing"}]);
    assert_eq!(early.problem(409, "conflict")["errors"], missing);
    let read = other
        .get(&format!("/media/{}/upload", media_id(&upload)))
        .await
        .ok(200);
    let received: Vec<_> = read["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["received"])
        .collect();
    assert_eq!(received, [true, false, true]);
    let second = path(2);
    let (one, two) = tokio::join!(
        ann.put_bytes(&second, part(2), &[]),
        other.put_bytes(&second, part(2), &[])
    );
    one.ok(204);
    two.ok(204);
    let (one, two) = tokio::join!(
        ann.post(&complete, Value::Null),
        other.post(&complete, Value::Null)
    );
    let (one, two) = (one.ok(200), two.ok(200));
    assert_eq!(one, two);
    assert_eq!(
        (&one["state"], &one["sha256"]),
        (&json!("ready"), &json!(digest(&bytes)))
    );
    // Nothing on the wire reaches it afterwards.
    let late = ann.put_bytes(&path(1), vec![0; PART], &[]).await;
    late.problem(409, "conflict");
    let content = format!("/media/{}/content", media_id(&upload));
    assert!(ann.read_bytes(&content, &[]).await.ok(200) == bytes);
    app.finish().await;
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_nothing_is_kept() {
    let (app, [ann]) = App::with(["ann"]).await;
    let upload = ann.begin_upload(file(10)).await;
    let path = format!("/media/{}/parts/1", media_id(&upload));
    let right = format!("sha-256=:{}:", digest(&[7; 10]));
    for (bytes, digest) in [
        (vec![7; 9], None),
        (vec![7; 11], None),
        (Vec::new(), None),
        (vec![8; 10], Some(right.as_str())),
        (vec![7; 10], Some("sha-256=:AA==:")),
        (vec![7; 10], Some("md5=:AA==:")),
    ] {
        let headers: Vec<_> = digest
            .iter()
            .map(|digest| ("content-digest", *digest))
            .collect();
        let answer = ann.put_bytes(&path, bytes, &headers).await;
        answer.problem(400, "validation");
    }
    let read = ann
        .get(&format!("/media/{}/upload", media_id(&upload)))
        .await
        .ok(200);
    assert_eq!(read["parts"][0]["received"], false);
    for missing in ["0", "2", "-1", "x", "99999999999"] {
        let path = format!("/media/{}/parts/{missing}", media_id(&upload));
        ann.put_bytes(&path, vec![7; 10], &[])
            .await
            .problem(404, "not_found");
    }
    let as_json = ann.put(&path, json!({"a": 1})).await;
    as_json.problem(415, "unsupported_media_type");
    ann.put_bytes(&path, vec![7; 10], &[("content-digest", &right)])
        .await
        .ok(204);
    app.finish().await;
}

#[tokio::test]
async fn creation_is_idempotent_and_checked() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let create = file(10);
    let first = ann.post("/media", create.clone()).await.ok(201);
    let again = ann.post("/media", create.clone()).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.ok(200), first);
    // Another user's id is another upload.
    let theirs = ben.post("/media", create.clone()).await.ok(201);
    assert_ne!(theirs["media"]["id"], first["media"]["id"]);
    let with = |changes: Value| {
        let mut other = create.clone();
        for (name, value) in changes.as_object().unwrap() {
            other[name] = value.clone();
        }
        other
    };
    let reused = ann.post("/media", with(json!({"size": 11}))).await;
    reused.problem(422, "client_msg_id_reused");
    let new = |changes: Value| {
        let mut other = with(changes);
        other["client_media_id"] = json!(id());
        other
    };
    for (changes, status, code) in [
        (json!({"size": 0}), 400, "validation"),
        (json!({"size": -1}), 400, "validation"),
        (json!({"name": ""}), 400, "validation"),
        (json!({"name": "x".repeat(256)}), 400, "validation"),
        (json!({"kind": "audio"}), 400, "validation"),
        (json!({"sha256": "AA=="}), 400, "validation"),
        (json!({"duration_ms": 1}), 400, "validation"),
        (json!({"width": 1}), 400, "validation"),
        (
            json!({"kind": "video", "mime": "video/mp4"}),
            400,
            "validation",
        ),
        (json!({"kind": "image"}), 415, "unsupported_media_type"),
        (
            json!({"kind": "image", "mime": "image/svg+xml"}),
            415,
            "unsupported_media_type",
        ),
        (
            json!({"size": 100 * 1024 * 1024 + 1}),
            413,
            "payload_too_large",
        ),
        (
            json!({"kind": "image", "mime": "image/png", "size": 32 * 1024 * 1024 + 1}),
            413,
            "payload_too_large",
        ),
    ] {
        let what = changes.to_string();
        let answer = ann.post("/media", new(changes)).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        answer.problem(status, code);
    }
    app.finish().await;
}

/// What the server finds decides, not what the client says.
#[tokio::test]
async fn lies_are_rejected_with_their_reason() {
    let (app, [ann]) = App::with(["ann"]).await;
    let picture = encode(&quarters(64, 64), Jpeg);
    let cases: [(&str, &str, &[u8], &str); 5] = [
        ("image", "image/png", &picture, "type"),
        ("image", "image/jpeg", b"<svg onload=alert(1)>", "type"),
        (
            "image",
            "image/jpeg",
            &picture[..picture.len() / 2],
            "damaged",
        ),
        ("video", "video/mp4", &picture, "type"),
        ("image", "image/gif", b"GIF", "damaged"),
    ];
    for (kind, mime, bytes, reason) in cases {
        let mut create = json!({"client_media_id": id(), "kind": kind, "name": "a", "mime": mime, "size": bytes.len()});
        if kind == "video" {
            create["width"] = json!(1);
            create["height"] = json!(1);
            create["duration_ms"] = json!(1);
        }
        let done = ann.upload_as(create, bytes).await;
        assert_eq!(
            (&done["state"], &done["reason"]),
            (&json!("rejected"), &json!(reason)),
            "{kind} {mime}: {done}"
        );
        let path = format!("/media/{}/content", done["id"].as_str().unwrap());
        assert_eq!(ann.read_bytes(&path, &[]).await.status, 404);
    }
    let mut create = file(10);
    create["sha256"] = json!(digest(&[8; 10]));
    let done = ann.upload_as(create, &[7; 10]).await;
    assert_eq!(
        (&done["state"], &done["reason"]),
        (&json!("rejected"), &json!("digest"))
    );
    assert_eq!(ann.get("/media").await.ok(200)["used_bytes"], 0);
    app.finish().await;
}

#[tokio::test]
async fn only_the_owner_sees_an_upload() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let done = ann.upload(&[7; 10]).await;
    let open = ann.begin_upload(file(10)).await;
    for media in [done.as_str(), media_id(&open), &id()] {
        for (method, path) in [
            ("GET", format!("/media/{media}")),
            ("GET", format!("/media/{media}/upload")),
            ("GET", format!("/media/{media}/content")),
            ("DELETE", format!("/media/{media}")),
            ("POST", format!("/media/{media}/complete")),
        ] {
            ben.call(method, &path).await.problem(404, "not_found");
        }
        let path = format!("/media/{media}/parts/1");
        ben.put_bytes(&path, vec![7; 10], &[])
            .await
            .problem(404, "not_found");
    }
    app.finish().await;
}

/// A node that is killed during the processing: another one takes over when its lease ends.
#[tokio::test]
async fn another_node_takes_over_the_processing() {
    let (mut app, [ann]) = App::with(["ann"]).await;
    app.add_node().await;
    let upload = ann.begin_upload(file(10)).await;
    ann.put_parts(&upload, &[7; 10]).await;
    // A run whose node has died immediately.
    let begun = format!(
        "UPDATE media SET state = 'processing', object_id = gen_random_uuid(), lease_until = now() WHERE id = '{}'",
        media_id(&upload)
    );
    diesel::connection::SimpleConnection::batch_execute(&mut app.database(), &begun).unwrap();
    let path = format!("/media/{}", media_id(&upload));
    let state = async || ann.get(&path).await.ok(200)["state"].clone();
    eventually("ready", Duration::from_secs(20), state, |state| {
        state == "ready"
    })
    .await;
    app.finish().await;
}

#[tokio::test]
async fn absent_store_means_503_and_leaves_the_rest_alone() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let media = ann.upload(&[7; 10]).await;
    let sent = ann.attach(&chat, "file", &media).await.ok(201);
    let upload = ann.begin_upload(file(10)).await;
    let (dir, away) = (app.media_dir(), app.media_dir().with_extension("away"));
    std::fs::rename(&dir, &away).unwrap();
    std::fs::write(&dir, "no directory").unwrap();
    let path = format!("/media/{}/parts/1", media_id(&upload));
    ann.put_bytes(&path, vec![7; 10], &[])
        .await
        .problem(503, "storage_unavailable");
    let read = ben.read_media(&chat, &sent["seq"]).await;
    assert_eq!(
        (read.status, read.code().as_str()),
        (503, "storage_unavailable")
    );
    ann.send(&chat, "words").await;
    std::fs::remove_file(&dir).unwrap();
    std::fs::rename(&away, &dir).unwrap();
    ann.put_bytes(&path, vec![7; 10], &[]).await.ok(204);
    ben.read_media(&chat, &sent["seq"]).await.ok(200);
    app.finish().await;
}

/// Sends half of a part, and then nothing.
async fn slow(app: &App, who: &Person, path: &str) -> Answer {
    let mut wire = Wire::to(app.nodes[0].address).await;
    let head = format!(
        "PUT /v1{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: 10\r\n\r\nhalf-",
        who.token
    );
    wire.write(&head).await;
    wire.answer().await
}

#[tokio::test]
async fn user_sends_two_parts_at_a_time_and_not_slowly() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let upload = ann.begin_upload(file(10)).await;
    let path = format!("/media/{}/parts/1", media_id(&upload));
    let third = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let theirs = ben.begin_upload(file(10)).await;
        ben.put_parts(&theirs, &[7; 10]).await;
        ann.put_bytes(&path, vec![7; 10], &[]).await
    };
    let (one, two, third) = tokio::join!(slow(&app, &ann, &path), slow(&app, &ann, &path), third);
    third.problem(429, "rate_limited");
    for slow in [one, two] {
        slow.problem(408, "request_timeout");
    }
    ann.put_bytes(&path, vec![7; 10], &[]).await.ok(204);
    app.finish().await;
}
