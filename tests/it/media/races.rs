//! Forwards against recalls and collections: a message that was accepted has its media.

use crate::support::media::file;
use crate::support::{App, Person, execute, id, number};
use diesel::PgConnection;
use futures_util::future::join_all;
use rand::RngExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tideline::config::environment;
use tideline::domain::media::collection::collect;
use tideline::model::ids::MediaId;
use tideline::storage::pg::media::rows::{ORIGINAL, object_key};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// The messages of a batch.
const BATCH: usize = 100;

/// The bytes of all media here.
const BYTES: [u8; 10] = [7; 10];

/// Media of a person as an upload leaves them, with their objects. A hundred real uploads take longer than everything else here.
fn uploaded(app: &App, conn: &mut PgConnection, owner: &Person) -> Vec<String> {
    let ids: Vec<String> = (0..BATCH).map(|_| id()).collect();
    let list = ids.join("'), ('");
    let rows = format!(
        "INSERT INTO media (owner_id, id, client_media_id, kind, name, declared, mime, size, sha256, state, object_id, reserved, created_at, expires_at)
         SELECT '{owner}', id::uuid, id::uuid, 'file', 'a', '', 'application/octet-stream', 10, sha256('\\x07070707070707070707'), 'ready', id::uuid,
             10, now(), now() + interval '1 day' FROM (VALUES ('{list}')) AS new(id);
         UPDATE media_usage SET bytes = bytes + {BATCH} * 10 WHERE owner_id = '{owner}'",
        owner = owner.id,
    );
    for one in &ids {
        let one: uuid::Uuid = one.parse().unwrap();
        let path = app
            .media_dir()
            .join(object_key(MediaId(one), one, ORIGINAL));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, BYTES).unwrap();
    }
    execute(conn, &rows);
    ids
}

/// Locks a person's inbox again and again, until it is stopped: a send to that person waits after it has read everything.
fn obstruct(mut conn: PgConnection, person: &str, stop: &AtomicBool) {
    let hold = format!(
        "BEGIN; SELECT FROM timelines WHERE user_id = '{person}' FOR UPDATE; SELECT pg_sleep(0.04); COMMIT"
    );
    while !stop.load(Ordering::Relaxed) {
        execute(&mut conn, &hold);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A thousand rounds; the environment names another number. A round is a message with media of its own, and in one moment its recall, its
/// forward by another person through another node, and collections by both nodes.
#[tokio::test]
async fn no_message_is_left_whose_media_are_gone() {
    let rounds = environment("ROUNDS").map_or(1_000, |rounds| rounds.parse().unwrap());
    let (mut app, mut people) = App::with(["ann", "ben", "cat"]).await;
    app.add_node().await;
    // Inboxes are locked in the order of their ids: a send that waits for the first one does not hold up a recall for the others.
    people.sort_by(|one, other| one.id.cmp(&other.id));
    let [cat, ann, ben] = people;
    let other = ben.at(&format!("http://{}", app.nodes[1].address));
    let mut conn = app.database();
    let (chat, elsewhere) = (ann.direct(&ben).await, ben.direct(&cat).await);
    // The first one makes the row of the usage.
    ann.begin_upload(file(1)).await;
    let mut outcomes = BTreeMap::<String, usize>::new();
    for turn in 0..rounds / BATCH {
        // Sends in one conversation hold up the recall there: some batches send to another one only, slowly.
        let is_slow = turn % 2 == 0;
        let media = uploaded(&app, &mut conn, &ann);
        let message = |media: &String| json!({"client_msg_id": id(), "kind": "file", "content": {"media_id": media}});
        let messages: Vec<Value> = media.iter().map(message).collect();
        let path = format!("/conversations/{chat}/messages");
        let batch = json!({"messages": messages});
        let sent = ann.post(&format!("{path}/batch"), batch).await.ok(200);
        let seqs = sent["results"].as_array().unwrap().iter();
        let seqs: Vec<&Value> = seqs.map(|result| &result["message"]["seq"]).collect();
        let races = media.iter().zip(seqs).enumerate().map(|(n, (media, seq))| {
            // In the conversation of the message or in another one, as a forward or by the id.
            let into = if is_slow || n % 2 == 0 {
                &elsewhere
            } else {
                &chat
            };
            let message = match n % 4 < 2 {
                true => {
                    json!({"client_msg_id": id(), "forward": {"conversation_id": chat, "seq": seq}})
                }
                false => message(media),
            };
            let recall = format!("{path}/{seq}");
            let random = |most: u64| Duration::from_micros(rand::rng().random_range(0..most));
            let sent_at = random(500_000);
            let recalled_at = match is_slow {
                true => sent_at + random(30_000),
                false => random(500_000),
            };
            let (ann, other) = (&ann, &other);
            async move {
                let recalled = async {
                    sleep(recalled_at).await;
                    ann.call("DELETE", &recall).await.ok(200);
                };
                let sent = async {
                    sleep(sent_at).await;
                    other.post_message(into, message).await
                };
                let ((), sent) = tokio::join!(recalled, sent);
                sent
            }
        });
        let collecting = app.nodes.iter().map(|node| async {
            loop {
                collect(&node.handles.delivery).await.unwrap();
                sleep(Duration::from_millis(5)).await;
            }
        });
        let stop = Arc::new(AtomicBool::new(!is_slow));
        let (database, inbox, stopped) = (app.database(), cat.id.clone(), Arc::clone(&stop));
        let obstruction = spawn_blocking(move || obstruct(database, &inbox, &stopped));
        let answers = tokio::select! {
            answers = join_all(races) => answers,
            _ = join_all(collecting) => unreachable!(),
        };
        stop.store(true, Ordering::Relaxed);
        obstruction.await.unwrap();
        collect(&app.nodes[0].handles.delivery).await.unwrap();
        for answer in answers {
            let outcome = match answer.status {
                201 => {
                    let said = &answer.body;
                    let chat = said["conversation_id"].as_str().unwrap();
                    assert!(ben.read_media(chat, &said["seq"]).await.ok(200) == BYTES);
                    "sent"
                }
                _ => answer.body["code"].as_str().unwrap(),
            };
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
    }
    let gone = "SELECT count(*) AS n FROM message_media r LEFT JOIN media m ON m.owner_id = r.owner_id AND m.id = r.media_id
        WHERE m.state IS DISTINCT FROM 'ready'";
    assert_eq!(number(&mut conn, gone), 0);
    // Both ends of the race are reached, and nothing else.
    let known = ["message_gone", "not_found", "sent"];
    let is_known = outcomes.keys().all(|code| known.contains(&code.as_str()));
    assert!(is_known && outcomes.len() >= 2, "{outcomes:?}");
    app.finish().await;
}
