//! Who reads media: all who may read a message that refers to them. Everybody else gets the answer for an unknown message.

use super::pictures::{encode, quarters};
use crate::support::media::Bytes;
use crate::support::{App, Person, eventually, execute, id, text};
use image::ImageFormat::Jpeg;
use serde_json::{Value, json};
use std::time::Duration;
use tideline::clock::unix_seconds;
use tideline::config::RateLimit;
use tideline::model::time::Timestamp;

const PICTURE: &[u8] = b"the bytes of a plan";

/// A group with a message that has media.
async fn posted(owner: &Person, others: &[&Person]) -> (String, Value) {
    let chat = owner.group(others).await;
    let media = owner.upload(PICTURE).await;
    let sent = owner.attach(&chat, "file", &media).await.ok(201);
    (chat, sent)
}

/// What an outsider gets: byte for byte that of a random id, but for the id of the request.
async fn is_hidden(who: &Person, chat: &str, seq: &Value) {
    let said = |read: Bytes| {
        let mut body: Value = serde_json::from_slice(&read.bytes).unwrap();
        body["request_id"] = Value::Null;
        (read.status, body)
    };
    let there = said(who.read_media(chat, seq).await);
    let nowhere = said(who.read_media(&id(), &json!(1)).await);
    assert_eq!(there, nowhere);
    assert_eq!(there.0, 404);
    assert_eq!(who.link(chat, seq, "original").await, Value::Null);
}

#[tokio::test]
async fn members_read_and_others_find_nothing() {
    let (app, [ann, ben, cat, dan, eve]) = App::with(["ann", "ben", "cat", "dan", "eve"]).await;
    let (chat, sent) = posted(&ann, &[&ben, &cat]).await;
    let seq = &sent["seq"];
    for reader in [&ann, &ben, &cat] {
        assert!(reader.read_media(&chat, seq).await.ok(200) == PICTURE);
        let link = reader.link(&chat, seq, "original").await;
        assert!(reader.open_link(&link, &[]).await.ok(200) == PICTURE);
    }
    // Never a member, one who has left, and one who came later.
    is_hidden(&eve, &chat, seq).await;
    let link = cat.link(&chat, seq, "original").await;
    ann.remove(&chat, &cat).await.ok(204);
    is_hidden(&cat, &chat, seq).await;
    assert_eq!(cat.open_link(&link, &[]).await.status, 404);
    ann.add(&chat, &[&dan]).await.ok(200);
    is_hidden(&dan, &chat, seq).await;
    // A member who has hidden the message, or cleared the history.
    let link = ben.link(&chat, seq, "original").await;
    let path = format!("/conversations/{chat}/hidden");
    ben.put(&path, json!({"seqs": [seq]})).await.ok(204);
    is_hidden(&ben, &chat, seq).await;
    assert_eq!(ben.open_link(&link, &[]).await.status, 404);
    assert!(ann.read_media(&chat, seq).await.ok(200) == PICTURE);
    app.finish().await;
}

#[tokio::test]
async fn recall_ends_access_at_once_and_the_owner_cannot_read_either() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let (chat, sent) = posted(&ann, &[&ben]).await;
    let seq = &sent["seq"];
    let link = ben.link(&chat, seq, "original").await;
    let path = format!("/conversations/{chat}/messages/{seq}");
    ann.call("DELETE", &path).await.ok(200);
    for reader in [&ann, &ben] {
        is_hidden(reader, &chat, seq).await;
    }
    assert_eq!(ben.open_link(&link, &[]).await.status, 404);
    app.finish().await;
}

#[tokio::test]
async fn link_is_of_a_device_and_dies_with_it() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let (chat, sent) = posted(&ann, &[&ben]).await;
    let phone = ben.another_device(&app).await;
    let link = phone.link(&chat, &sent["seq"], "original").await;
    assert_eq!(link["variant"], "original");
    let opened = ann.open_link(&link, &[]).await;
    assert_eq!(
        opened.header("cross-origin-resource-policy"),
        "cross-origin"
    );
    assert_eq!(
        opened.header("content-security-policy"),
        "sandbox; default-src 'none'"
    );
    assert_eq!(opened.header("cache-control"), "private, no-cache");
    opened.ok(200);
    // Altered in each part, another one's, and none.
    let url = link["url"].as_str().unwrap();
    for altered in [
        url.replace("/l/A", "/l/B"),
        format!("{url}A"),
        url[..url.len() - 1].to_owned(),
        "/v1/media/l/x".to_owned(),
    ] {
        let answer = ann.open_link(&json!({"url": altered}), &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
    }
    phone.call("POST", "/auth/logout").await.ok(204);
    assert_eq!(ann.open_link(&link, &[]).await.status, 404);
    assert!(ben.read_media(&chat, &sent["seq"]).await.ok(200) == PICTURE);
    app.finish().await;
}

#[tokio::test]
async fn links_that_open_nothing_count_for_the_address() {
    let limit = RateLimit {
        per_second: 1,
        burst: 40,
    };
    let app = App::configured(|config| config.rate_limit = Some(limit)).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let (chat, sent) = posted(&ann, &[&ben]).await;
    let link = ben.link(&chat, &sent["seq"], "original").await;
    let mut altered = link.clone();
    altered["url"] = json!(format!("{}A", link["url"].as_str().unwrap()));
    let policy = |read: &Bytes| read.header("ratelimit-policy").to_owned();
    let address = "\"address\";q=40;w=40";
    let refused = ann.open_link(&altered, &[]).await;
    assert_eq!((refused.status, policy(&refused).as_str()), (404, address));
    let until_refused = async |link: &Value| {
        let status = async || ann.open_link(link, &[]).await.status;
        let time = Duration::from_secs(20);
        eventually("refused", time, status, |status| *status == 429).await;
    };
    until_refused(&altered).await;
    // A link that opens counts for its user, and is not refused with the others.
    let read = ann.open_link(&link, &[]).await;
    assert!(policy(&read).starts_with("\"media\""));
    assert!(read.ok(200) == PICTURE);
    // One that was of use, too: its message is recalled.
    let path = format!("/conversations/{chat}/messages/{}", sent["seq"]);
    ann.call("DELETE", &path).await.ok(200);
    until_refused(&link).await;
    app.finish().await;
}

#[tokio::test]
async fn media_of_a_message_can_be_sent_on_by_who_sees_it() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let (chat, sent) = posted(&ann, &[&ben]).await;
    let media = sent["content"]["media_id"].as_str().unwrap();
    let other = ben.direct(&cat).await;
    // By id, and as a forward.
    let again = ben.attach(&other, "file", media).await.ok(201);
    let forward =
        json!({"client_msg_id": id(), "forward": {"conversation_id": chat, "seq": sent["seq"]}});
    let forwarded = ben.post_message(&other, forward).await.ok(201);
    for one in [&again, &forwarded] {
        assert_eq!(one["content"]["media_id"], media);
        let url = format!("/v1/conversations/{other}/messages/{}/media", one["seq"]);
        assert_eq!(one["content"]["url"], url);
        assert!(cat.read_media(&other, &one["seq"]).await.ok(200) == PICTURE);
    }
    // Media that one does not see do not exist.
    let eve_chat = cat.direct(&ann).await;
    let own = ann.upload(b"secret").await;
    for unknown in [own.as_str(), &id()] {
        cat.attach(&eve_chat, "file", unknown)
            .await
            .problem(404, "not_found");
    }
    // The recall of the first message does not reach the copies.
    let path = format!("/conversations/{chat}/messages/{}", sent["seq"]);
    ann.call("DELETE", &path).await.ok(200);
    assert!(cat.read_media(&other, &again["seq"]).await.ok(200) == PICTURE);
    app.finish().await;
}

#[tokio::test]
async fn message_names_media_of_its_kind_that_are_ready() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let media = ann.upload(PICTURE).await;
    ann.attach(&chat, "image", &media)
        .await
        .problem(400, "validation");
    let upload = ann.begin_upload(crate::support::media::file(5)).await;
    let open = upload["media"]["id"].as_str().unwrap();
    ann.attach(&chat, "file", open)
        .await
        .problem(409, "media_not_ready");
    for content in [
        json!({"media_id": media, "url": "https://a.example/b"}),
        json!({"media_id": media, "mime": "text/plain"}),
        json!({"media_id": media, "poster_media_id": media}),
        json!({"media_id": media, "alt": ""}),
        json!({"media_id": 7}),
    ] {
        let message = json!({"client_msg_id": id(), "kind": "file", "content": content});
        ann.post_message(&chat, message)
            .await
            .problem(400, "validation");
    }
    // A repeat is recognised by what the client said, whatever has become of the media.
    let message = json!({"client_msg_id": id(), "kind": "file", "content": {"media_id": media, "alt": "the plan"}});
    let sent = ann.post_message(&chat, message.clone()).await.ok(201);
    assert_eq!(sent["content"]["alt"], "the plan");
    assert_eq!(ann.post_message(&chat, message.clone()).await.ok(200), sent);
    let mut other = message.clone();
    other["content"]["alt"] = json!("another");
    ann.post_message(&chat, other)
        .await
        .problem(422, "client_msg_id_reused");
    let edit = format!("/conversations/{chat}/messages/{}", sent["seq"]);
    let changed = json!({"version": 1, "content": {"media_id": media}});
    ann.patch(&edit, changed).await.problem(400, "validation");
    app.finish().await;
}

#[tokio::test]
async fn ranges_tags_and_names() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let (chat, sent) = posted(&ann, &[&ben]).await;
    let path = format!("/conversations/{chat}/messages/{}/media", sent["seq"]);
    let whole = ben.read_bytes(&path, &[]).await;
    let tag = whole.header("etag").to_owned();
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let part = ben.read_bytes(&path, &[("range", "bytes=4-8")]).await;
    let size = PICTURE.len();
    assert_eq!(part.header("content-range"), format!("bytes 4-8/{size}"));
    assert!(part.ok(206) == PICTURE[4..=8]);
    let beyond = ben.read_bytes(&path, &[("range", "bytes=99-")]).await;
    assert_eq!(beyond.header("content-range"), format!("bytes */{size}"));
    assert_eq!(beyond.status, 416);
    let many = "bytes=".to_owned() + &"0-0,".repeat(10_000) + "1-1";
    assert!(ben.read_bytes(&path, &[("range", &many)]).await.ok(200) == PICTURE);
    let same = ben.read_bytes(&path, &[("if-none-match", &tag)]).await;
    assert_eq!((same.status, same.bytes.len()), (304, 0));
    for (if_range, status) in [(tag.as_str(), 206), ("\"other\"", 200)] {
        let headers = [("range", "bytes=0-0"), ("if-range", if_range)];
        assert_eq!(ben.read_bytes(&path, &headers).await.status, status);
    }
    let head = ben.http.head(format!("{}/v1{path}", ben.url));
    let head = head.bearer_auth(&ben.token).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], size.to_string());
    assert!(head.bytes().await.unwrap().is_empty());
    // A member who has left gets no further range.
    ann.remove(&chat, &ben).await.ok(204);
    let late = ben.read_bytes(&path, &[("range", "bytes=4-8")]).await;
    assert_eq!(late.status, 404);
    let late = ben.read_bytes(&path, &[("if-none-match", &tag)]).await;
    assert_eq!(late.status, 404);
    app.finish().await;
}

#[tokio::test]
async fn text_has_no_media() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let sent = ann.post_message(&chat, text("words")).await.ok(201);
    is_hidden(&ben, &chat, &sent["seq"]).await;
    app.finish().await;
}

#[tokio::test]
async fn scheduled_message_keeps_its_media() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let media = ann.upload(PICTURE).await;
    let later = |media: &str| {
        let at = Timestamp::of_seconds(unix_seconds() + 2);
        json!({"conversation_id": chat, "send_at": at, "kind": "file", "content": {"media_id": media}})
    };
    let unknown = ann
        .put(&format!("/me/scheduled/{}", id()), later(&id()))
        .await;
    unknown.problem(404, "not_found");
    ann.put(&format!("/me/scheduled/{}", id()), later(&media))
        .await
        .ok(200);
    let kept = ann.call("DELETE", &format!("/media/{media}")).await;
    kept.problem(409, "conflict");
    let sent = async || ben.history(&chat, 0).await;
    let time = Duration::from_secs(20);
    let sent = eventually("sent", time, sent, |sent| sent.len() == 1).await;
    assert_eq!(sent[0]["content"]["media_id"], media);
    assert!(ben.read_media(&chat, &sent[0]["seq"]).await.ok(200) == PICTURE);
    app.finish().await;
}

#[tokio::test]
async fn media_of_many_messages_can_be_sent_on_by_who_sees_one() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let media = ann.upload(PICTURE).await;
    let group = ann.group(&[&cat]).await;
    let many = format!(
        "INSERT INTO message_media (conversation_id, seq, media_id, owner_id, role)
         SELECT '{group}', n, '{media}', '{}', 'content' FROM generate_series(1000, 2100) AS n",
        ann.id
    );
    execute(&mut app.database(), &many);
    let chat = ann.direct(&ben).await;
    ann.attach(&chat, "file", &media).await.ok(201);
    ben.attach(&chat, "file", &media).await.ok(201);
    app.finish().await;
}

#[tokio::test]
async fn smaller_forms_of_a_video_are_those_of_its_poster() {
    let (app, [ann]) = App::with(["ann"]).await;
    let chat = ann.group(&[]).await;
    let poster = encode(&quarters(1_600, 1_600), Jpeg);
    let poster = ann.upload_image("image/jpeg", &poster).await;
    let bytes = [&b"\0\0\0\x18ftypisom"[..], &[0; 300]].concat();
    let video = json!({"client_media_id": id(), "kind": "video", "name": "v.mp4", "mime": "video/mp4", "size": bytes.len(),
        "width": 1, "height": 1, "duration_ms": 1});
    let video = ann.upload_as(video, &bytes).await["id"].clone();
    let send = async |content: Value| {
        let message = json!({"client_msg_id": id(), "kind": "video", "content": content});
        ann.post_message(&chat, message).await.ok(201)
    };
    let with = send(json!({"media_id": video, "poster_media_id": poster})).await;
    let without = send(json!({"media_id": video})).await;
    let file = ann.upload(PICTURE).await;
    let file = ann.attach(&chat, "file", &file).await.ok(201);
    let variants = with["content"]["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 2);
    for variant in variants {
        let name = variant["name"].as_str().unwrap();
        let path = format!(
            "/conversations/{chat}/messages/{}/media?variant={name}",
            with["seq"]
        );
        let link = ann.link(&chat, &with["seq"], name).await;
        for read in [
            ann.read_bytes(&path, &[]).await,
            ann.open_link(&link, &[]).await,
        ] {
            assert_eq!(read.header("content-type"), "image/jpeg");
            assert_eq!(read.ok(200).len(), variant["size"]);
        }
    }
    for (sent, forms) in [
        (&with, &["original", "poster", "small", "medium"][..]),
        (&without, &["original"]),
        (&file, &["original"]),
    ] {
        for form in ["original", "poster", "small", "medium"] {
            let link = ann.link(&chat, &sent["seq"], form).await;
            assert_eq!(link.is_object(), forms.contains(&form), "{form}: {sent}");
            let path = format!(
                "/conversations/{chat}/messages/{}/media?variant={form}",
                sent["seq"]
            );
            let status = if forms.contains(&form) { 200 } else { 404 };
            ann.read_bytes(&path, &[]).await.ok(status);
        }
    }
    app.finish().await;
}
