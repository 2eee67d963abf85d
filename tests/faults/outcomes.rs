//! After the run: open uploads are continued, open sends are settled, and everything is read back over HTTP.

use crate::deployment::Deployment;
use crate::history::{Ask, Class, Op, Outcome, digest};
use crate::load::is_open;
use crate::support::Person;
use futures_util::future::join_all;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A healed deployment serves within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Continues every upload that was not seen to be ready, until it is or is refused.
pub async fn finish_uploads(deployment: &Deployment) {
    let started = Instant::now();
    for open in deployment.recorder.open_uploads() {
        let Op {
            user, device, ask, ..
        } = open;
        let Ask::Create { file } = &ask else { continue };
        for attempt in 0.. {
            let again = |ask: Ask| deployment.ask(user, device, attempt % 2, ask);
            let created = again(ask.clone()).await;
            let media = created.body["media"]["id"].as_str().unwrap_or_default();
            let parts = created.body["parts"].as_array().into_iter().flatten();
            for (at, _) in parts
                .enumerate()
                .filter(|(_, one)| one["received"] == false)
            {
                let (file, media, part) = (file.clone(), media.to_owned(), at + 1);
                again(Ask::Part { file, media, part }).await;
            }
            let mut last = created.clone();
            if created.is_ok() {
                let (file, media) = (file.clone(), media.to_owned());
                last = again(Ask::Complete { file, media }).await;
            }
            let is_over = last.ready().is_some() || last.class() == Class::Fail;
            if is_over || started.elapsed() > PATIENCE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Repeats every send of unknown outcome, in the order of the first attempts.
pub async fn settle(deployment: &Deployment) {
    let started = Instant::now();
    for open in deployment.recorder.open_sends() {
        let Op {
            user, device, ask, ..
        } = open;
        for attempt in 0.. {
            let op = deployment.ask(user, device, attempt % 2, ask.clone()).await;
            if !is_open(&op) || started.elapsed() > PATIENCE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Everything that each user can read, from the nodes of these URLs.
pub async fn read_back(deployment: &Deployment, urls: &[String; 2]) -> Vec<Outcome> {
    let users = deployment.people.iter().enumerate();
    join_all(users.map(|(user, devices)| {
        // Half of the users through each node.
        let at = |node: usize| devices[0].at(&urls[node]);
        outcome(
            at(user % 2),
            [at(0), at(1)],
            deployment.recorder.unsent(user),
        )
    }))
    .await
}

async fn outcome(person: Person, nodes: [Person; 2], unsent: Vec<String>) -> Outcome {
    let mut outcome = Outcome::default();
    for node in nodes {
        outcome.unread.push(get(&node, "/unread").await);
        outcome
            .notices
            .push(get(&node, "/notices?since_seq=0&timeout=0").await);
    }
    // A new epoch keeps nothing of the inbox before.
    let trimmed = person.try_call("GET", "/inbox?since_seq=0", None).await;
    let first = trimmed.ok().and_then(|one| one.body["first_seq"].as_i64());
    let pages = |since| format!("/inbox?since_seq={since}&limit=500");
    let from = first.map_or(0, |first| first - 1);
    read_pages(&person, pages, "entries", from, &mut outcome.inbox).await;
    let listed = get(&person, "/conversations?order=id&limit=500").await;
    outcome.conversations = listed["conversations"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for one in &outcome.conversations {
        let id = one["id"].as_str().unwrap();
        let pages = |since| format!("/conversations/{id}/messages?since_seq={since}&limit=500");
        let mut archive = Vec::new();
        read_pages(&person, pages, "messages", 0, &mut archive).await;
        let mut files = BTreeMap::new();
        for message in archive.iter().filter(|one| one["kind"] == "file") {
            let seq = message["seq"].as_i64().unwrap_or(-1);
            let path = format!("/conversations/{id}/messages/{seq}/media");
            files.insert(seq, download(&person, &path).await);
        }
        outcome.files.push(files);
        outcome.archives.push(archive);
        outcome.found.push(search(&person, id).await);
    }
    for media in unsent {
        let digest = download(&person, &format!("/media/{media}/content")).await;
        outcome.unsent.insert(media, digest);
    }
    outcome
}

/// The seqs of all messages of a conversation that a search finds: all texts have the word.
async fn search(person: &Person, id: &str) -> Vec<i64> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/search/messages?q=canary&conversation_id={id}&limit=50{cursor}");
        let page = get(person, &path).await;
        let results = page["results"].as_array().into_iter().flatten();
        found.extend(results.filter_map(|one| one["message"]["seq"].as_i64()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

async fn read_pages(
    person: &Person,
    path: impl Fn(i64) -> String,
    name: &str,
    from: i64,
    all: &mut Vec<Value>,
) {
    loop {
        let since = all
            .last()
            .and_then(|one| one["seq"].as_i64())
            .unwrap_or(from);
        let page = get(person, &path(since)).await;
        let some = page[name].as_array().cloned().unwrap_or_default();
        // A page that does not advance would be requested forever; the checker sees what is missing.
        let moves = some
            .last()
            .is_some_and(|one| one["seq"].as_i64() > Some(since));
        all.extend(some);
        if page["has_more"] != true || !moves {
            return;
        }
    }
}

/// Repeats a request until it succeeds. Null if it never does; the checker then finds everything missing.
async fn get(person: &Person, path: &str) -> Value {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        match person.try_call("GET", path, None).await {
            Ok(answer) if answer.status == 200 => return answer.body,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    Value::Null
}

/// The digest of what is there, or the refusal. Nothing if no answer comes.
async fn download(person: &Person, path: &str) -> String {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let request = person.http.get(format!("{}/v1{path}", person.url));
        if let Ok(answer) = request.bearer_auth(&person.token).send().await {
            let status = answer.status().as_u16();
            match (status, answer.bytes().await) {
                (200, Ok(bytes)) => return digest(&bytes),
                (400..500, _) => return status.to_string(),
                _ => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    String::new()
}
