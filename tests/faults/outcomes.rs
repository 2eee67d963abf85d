//! After the run: open sends are settled, and everything is read back over HTTP.

use crate::deployment::Deployment;
use crate::history::{Op, Outcome};
use crate::load::is_open;
use crate::support::Person;
use futures_util::future::join_all;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A healed deployment serves within this time.
const PATIENCE: Duration = Duration::from_secs(20);

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
        outcome(at(user % 2), [at(0), at(1)])
    }))
    .await
}

async fn outcome(person: Person, nodes: [Person; 2]) -> Outcome {
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
        outcome.archives.push(archive);
        outcome.found.push(search(&person, id).await);
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
