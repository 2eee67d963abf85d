//! The collection: what nobody refers to goes, what somebody refers to stays, whatever happens at the same time.

use crate::people::account_end::{delete, due_immediately, erase_due, proof};
use crate::support::{App, Person, execute, id, number};
use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tideline::clock::unix_seconds;
use tideline::domain::media::collection::collect;
use tideline::model::time::Timestamp;

pub async fn round(app: &App) {
    collect(&app.nodes[0].handles.delivery).await.unwrap();
}

/// The objects of media in the store, without those to delete.
pub fn objects(app: &App, media: &str) -> usize {
    let count = |dir: std::path::PathBuf| std::fs::read_dir(dir).map_or(0, Iterator::count);
    let Ok(first) = std::fs::read_dir(app.media_dir()) else {
        return 0;
    };
    let dirs = first.flat_map(|dir| std::fs::read_dir(dir.unwrap().path().join(media)));
    let runs = dirs.flatten().map(|run| count(run.unwrap().path()));
    runs.sum()
}

fn later(app: &App, media: &str) {
    let passed = format!(
        "UPDATE media SET expires_at = now() WHERE id = '{media}' AND expires_at IS NOT NULL;
         UPDATE blob_deletions SET due_at = now()"
    );
    app.database().batch_execute(&passed).unwrap();
}

#[tokio::test]
async fn media_live_as_long_as_a_message_refers_to_them() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let media = ann.upload(&[7; 100]).await;
    let first = ann.attach(&chat, "file", &media).await.ok(201);
    let second = ben.attach(&chat, "file", &media).await.ok(201);
    let recall = async |who: &Person, sent: &Value| {
        let path = format!("/conversations/{chat}/messages/{}", sent["seq"]);
        who.call("DELETE", &path).await.ok(200);
    };
    later(&app, &media);
    round(&app).await;
    ben.read_media(&chat, &first["seq"]).await.ok(200);
    recall(&ann, &first).await;
    round(&app).await;
    ann.read_media(&chat, &second["seq"]).await.ok(200);
    assert_eq!(ann.get("/media").await.ok(200)["used_bytes"], 100);
    recall(&ben, &second).await;
    round(&app).await;
    assert_eq!(objects(&app, &media), 0);
    assert_eq!(ann.get("/media").await.ok(200)["used_bytes"], 0);
    ann.get(&format!("/media/{media}"))
        .await
        .problem(404, "not_found");
    // Nobody sends them again.
    ann.attach(&chat, "file", &media)
        .await
        .problem(404, "not_found");
    app.finish().await;
}

#[tokio::test]
async fn what_is_not_sent_goes_after_its_time() {
    let (app, [ann]) = App::with(["ann"]).await;
    let ready = ann.upload(&[7; 100]).await;
    let upload = ann.begin_upload(crate::support::media::file(10)).await;
    ann.put_parts(&upload, &[7; 10]).await;
    let open = upload["media"]["id"].as_str().unwrap().to_owned();
    round(&app).await;
    assert_eq!((objects(&app, &ready), objects(&app, &open)), (1, 1));
    for media in [&ready, &open] {
        later(&app, media);
    }
    round(&app).await;
    assert_eq!((objects(&app, &ready), objects(&app, &open)), (0, 0));
    let page = ann.get("/media").await.ok(200);
    assert_eq!(
        (&page["used_bytes"], &page["media"]),
        (&json!(0), &json!([]))
    );
    // A repeated deletion is answered as long as the row lasts.
    let path = format!("/media/{ready}");
    ann.call("DELETE", &path).await.ok(204);
    later(&app, &ready);
    round(&app).await;
    ann.call("DELETE", &path).await.problem(404, "not_found");
    app.finish().await;
}

/// The name of a file is part of the messages with it. When they are gone, and its owner is erased, nothing has it.
#[tokio::test(flavor = "multi_thread")]
async fn name_of_a_file_goes_with_its_last_message_and_its_owner() {
    let app = App::configured(due_immediately).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ben.group(&[&ann]).await;
    let [sent, recalled, unsent] = [1, 2, 3].map(|byte| [byte; 10]);
    let [sent, recalled, unsent] = [
        ann.upload(&sent).await,
        ann.upload(&recalled).await,
        ann.upload(&unsent).await,
    ];
    let shown = ann.attach(&chat, "file", &sent).await.ok(201);
    let gone = ann.attach(&chat, "file", &recalled).await.ok(201);
    let recall = async |who: &Person, sent: &Value| {
        let path = format!("/conversations/{chat}/messages/{}", sent["seq"]);
        who.call("DELETE", &path).await.ok(200);
    };
    let named = |media: &str| {
        let count = format!(
            "SELECT count(*) FILTER (WHERE name = 'plan.bin') * 10 + count(*) FILTER (WHERE declared LIKE '%plan.bin%') AS n
             FROM media WHERE id = '{media}'"
        );
        number(&mut app.database(), &count)
    };
    assert_eq!(
        [&sent, &recalled, &unsent].map(|media| named(media)),
        [11; 3]
    );
    recall(&ann, &gone).await;
    delete(&ann, &proof()).await.ok(202);
    erase_due(&app).await;
    assert_eq!(
        [&sent, &recalled, &unsent].map(|media| named(media)),
        [10, 0, 0]
    );
    let read = ben.read_media(&chat, &shown["seq"]).await;
    assert!(read.header("content-disposition").contains("plan.bin"));
    recall(&ben, &shown).await;
    round(&app).await;
    let left = format!("SELECT count(*) AS n FROM media WHERE id = '{sent}' AND state = 'deleted'");
    assert_eq!((named(&sent), number(&mut app.database(), &left)), (0, 1));
    app.finish().await;
}

#[tokio::test]
async fn expired_message_gives_up_its_media() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let media = ann.upload(&[7; 100]).await;
    let message = json!({"client_msg_id": id(), "kind": "file", "content": {"media_id": media}, "expires_in": 10});
    let sent = ann.post_message(&chat, message).await.ok(201);
    let passed = format!(
        "UPDATE expiring SET expires_at = now() - interval '1 second' WHERE conversation_id = '{chat}';
         UPDATE messages SET extra = json_build_object('expires_at', now() - interval '1 second') WHERE conversation_id = '{chat}'"
    );
    app.database().batch_execute(&passed).unwrap();
    assert_eq!(ben.read_media(&chat, &sent["seq"]).await.status, 404);
    tideline::domain::operations::expiry::sweep(&app.nodes[0].handles.delivery).await;
    round(&app).await;
    assert_eq!(objects(&app, &media), 0);
    app.finish().await;
}

#[tokio::test]
async fn deletion_wins_over_the_processing() {
    let (app, [ann]) = App::with(["ann"]).await;
    let uploads = (0..10).map(|_| async {
        let upload = ann.begin_upload(crate::support::media::file(10)).await;
        let media = upload["media"]["id"].as_str().unwrap();
        ann.put_parts(&upload, &[7; 10]).await;
        let (complete, path) = (
            format!("/media/{media}/complete"),
            format!("/media/{media}"),
        );
        let (completed, deleted) =
            tokio::join!(ann.post(&complete, Value::Null), ann.call("DELETE", &path));
        deleted.ok(204);
        assert!([200, 404].contains(&completed.status), "{}", completed.body);
        ann.get(&path).await.problem(404, "not_found");
    });
    // Two parts at a time.
    for upload in uploads {
        join_all([upload]).await;
    }
    round(&app).await;
    assert_eq!(ann.get("/media").await.ok(200)["used_bytes"], 0);
    app.finish().await;
}

/// The message that is never sent is the last that refers to them, and they were posted before.
#[tokio::test]
async fn cancelled_message_gives_up_media_that_were_recalled() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let media = ann.upload(&[7; 100]).await;
    let sent = ann.attach(&chat, "file", &media).await.ok(201);
    later(&app, &media);
    round(&app).await;
    let at = Timestamp::of_seconds(unix_seconds() + 3_600);
    let message = json!({"conversation_id": chat, "send_at": at, "kind": "file", "content": {"media_id": media}});
    let scheduled = format!("/me/scheduled/{}", id());
    ann.put(&scheduled, message).await.ok(200);
    let recall = format!("/conversations/{chat}/messages/{}", sent["seq"]);
    ann.call("DELETE", &recall).await.ok(200);
    round(&app).await;
    ann.call("DELETE", &scheduled).await.ok(204);
    later(&app, &media);
    round(&app).await;
    assert_eq!(objects(&app, &media), 0);
    assert_eq!(ann.get("/media").await.ok(200)["used_bytes"], 0);
    app.finish().await;
}

#[tokio::test]
async fn nobody_waits_behind_the_recalls_of_another_user() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let media = ann.upload(&[7; 100]).await;
    let sent = ann.attach(&chat, "file", &media).await.ok(201);
    let recalls = format!(
        "INSERT INTO media_candidates (owner_id, media_id, at)
             SELECT '{0}'::uuid, gen_random_uuid(), now() - interval '1 hour' FROM generate_series(1, 250)
         UNION ALL SELECT '{0}', '{1}'::uuid, now() - n * interval '1 minute' FROM generate_series(60, 300) AS n",
        ben.id,
        id()
    );
    execute(&mut app.database(), &recalls);
    let recall = format!("/conversations/{chat}/messages/{}", sent["seq"]);
    ann.call("DELETE", &recall).await.ok(200);
    round(&app).await;
    assert_eq!(objects(&app, &media), 0);
    let left = "SELECT count(*) AS n FROM media_candidates";
    assert_eq!(number(&mut app.database(), left), 0);
    app.finish().await;
}
