//! The media store on S3: a server in this process, which checks signatures.

use crate::support::media::file;
use crate::support::{App, Person, id};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use tokio::net::TcpListener;

const KEY: &str = "a-key-id";
const SECRET: &str = "a-secret-key";

/// An S3 server with the bucket `media`. Returns its URL.
async fn s3(name: &str) -> String {
    let root: PathBuf = std::env::temp_dir().join(format!("tideline-s3-{name}-{}", id()));
    std::fs::create_dir_all(root.join("media")).unwrap();
    let files = s3s_fs::FileSystem::new(root).unwrap();
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = Builder::new().serve_connection(TokioIo::new(stream), service.clone());
            // A client that goes is no fault.
            tokio::spawn(async { drop(connection.await) });
        }
    });
    format!("http://{address}")
}

async fn on_s3(name: &str, secret: &str, is_direct: bool) -> App {
    let url = s3(name).await;
    App::configured(|config| {
        let media = config.media.as_mut().unwrap();
        media.url = "s3://media/some/prefix".to_owned();
        (media.direct, media.redirect) = (is_direct, is_direct);
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        media.store_options = vec![
            option("aws_access_key_id", KEY),
            option("aws_secret_access_key", secret),
            option("aws_region", "us-east-1"),
            option("aws_endpoint_url", &url),
            option("aws_allow_http", "true"),
        ];
    })
    .await
}

fn digest(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

async fn read(who: &Person, media: &str) -> Vec<u8> {
    let path = format!("/media/{media}/content");
    who.read_bytes(&path, &[]).await.ok(200)
}

#[tokio::test]
async fn uploads_are_kept_served_and_deleted() {
    let app = on_s3("kept", SECRET, false).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let bytes: Vec<u8> = (0..9_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let media = ann.upload(&bytes).await;
    assert!(read(&ann, &media).await == bytes);
    let chat = ann.direct(&ben).await;
    let sent = ann.attach(&chat, "file", &media).await.ok(201);
    let path = format!("/conversations/{chat}/messages/{}/media", sent["seq"]);
    let part = ben
        .read_bytes(&path, &[("range", "bytes=8388607-8388609")])
        .await;
    assert!(part.ok(206) == bytes[8_388_607..=8_388_609]);
    ann.call(
        "DELETE",
        &format!("/conversations/{chat}/messages/{}", sent["seq"]),
    )
    .await
    .ok(200);
    tideline::domain::media::collection::collect(&app.nodes[0].handles.delivery)
        .await
        .unwrap();
    ann.get(&format!("/media/{media}"))
        .await
        .problem(404, "not_found");
    app.finish().await;
}

/// Parts that clients send to the store itself: only the bytes that were announced.
#[tokio::test]
async fn store_takes_only_the_announced_bytes() {
    let app = on_s3("direct", SECRET, true).await;
    let [ann] = app.people(["ann"]).await;
    let bytes = [7; 100];
    let mut create = file(bytes.len());
    create["part_sha256"] = json!([digest(&bytes)]);
    let upload = ann.begin_upload(create.clone()).await;
    let direct = &upload["direct"][0];
    let put = async |bytes: &[u8], with_headers: bool| {
        let mut request = app.http.put(direct["url"].as_str().unwrap());
        if with_headers {
            for (name, value) in direct["headers"].as_object().unwrap() {
                request = request.header(name, value.as_str().unwrap());
            }
        }
        let answer = request.body(bytes.to_vec()).send().await.unwrap();
        answer.status().is_success()
    };
    let complete = format!(
        "/media/{}/complete",
        upload["media"]["id"].as_str().unwrap()
    );
    assert_eq!(upload["parts"][0]["received"], false);
    ann.post(&complete, Value::Null)
        .await
        .problem(409, "conflict");
    assert!(!put(&[8; 100], true).await, "other bytes");
    assert!(!put(&bytes, false).await, "without the signed header");
    assert!(put(&bytes, true).await);
    let done = ann.post(&complete, Value::Null).await.ok(200);
    assert_eq!(done["state"], "ready", "{done}");
    // The store itself serves it, with our type and name.
    let path = format!("/media/{}/content", done["id"].as_str().unwrap());
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let client = client.build().unwrap();
    let there = client
        .get(format!("{}/v1{path}", ann.url))
        .bearer_auth(&ann.token);
    let there = there.send().await.unwrap();
    assert_eq!(there.status(), 307);
    let location = there.headers()["location"].to_str().unwrap();
    let served = app.http.get(location).send().await.unwrap();
    assert_eq!(served.status(), 200);
    assert!(served.bytes().await.unwrap().as_ref() == bytes);
    let altered = location.replace("X-Amz-Expires=60", "X-Amz-Expires=6000");
    assert!(
        !app.http
            .get(altered)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    // As many digests as parts.
    create["client_media_id"] = json!(id());
    create["part_sha256"] = json!([digest(&bytes), digest(&bytes)]);
    ann.post("/media", create).await.problem(400, "validation");
    app.finish().await;
}

/// A store that refuses the server: media are off, and everything else works.
#[tokio::test]
async fn wrong_secret_leaves_the_node_without_media() {
    let app = on_s3("refused", "another-secret", false).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    ann.post("/media", file(10))
        .await
        .problem(403, "media_disabled");
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "words").await;
    app.finish().await;
}
