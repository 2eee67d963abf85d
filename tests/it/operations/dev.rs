//! `tideline dev`: one command, no setup, and nothing left running afterwards.

use crate::support::{Person, Process, eventually, http, text};
use std::path::Path;
use std::time::Duration;

fn alive(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

/// The child processes of a node: the private PostgreSQL and Redis.
fn children(node: &Process) -> Vec<String> {
    let pid = node.pid();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .flat_map(|task| {
            let list = task.unwrap().path().join("children");
            let pids = std::fs::read_to_string(list).unwrap_or_default();
            pids.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

async fn gone(pids: &[String]) {
    let left = async || pids.iter().filter(|pid| alive(pid)).count();
    eventually("the services end", Duration::from_secs(10), left, |left| {
        *left == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_keeps_data_and_stops_all_processes() {
    let dir = std::env::temp_dir().join(format!("tideline-dev-test-{}", std::process::id()));
    let mut node = Process::dev(&dir);
    let client = http();
    let (ann, ben) = tokio::join!(
        Person::register(&client, &node.url, "ann"),
        Person::register(&client, &node.url, "ben")
    );
    let chat = ann.direct(&ben).await;
    for (round, end) in ["TERM", "INT", "KILL", "TERM"].into_iter().enumerate() {
        let services = children(&node);
        assert!(services.len() >= 2, "{services:?}");
        // Tokens of the previous run are valid, since the secret is kept.
        let (ann, ben) = (ann.at(&node.url), ben.at(&node.url));
        ann.post_message(&chat, text("kept")).await.ok(201);
        assert_eq!(ben.entries(0).await.len(), round + 2);
        assert_eq!(ben.total().await, round as i64 + 1);
        node.signal(end);
        let exit = node.wait();
        assert_eq!(
            exit,
            if end == "KILL" { -9 } else { 0 },
            "{:#?}",
            node.log()
        );
        gone(&services).await;
        node = Process::dev(&dir);
    }
    // A second instance on the same data is refused with a message, and does no harm.
    let second = Process::command(&["dev", "--dir", dir.to_str().unwrap()], &[])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    assert!(said.contains("already run by process"), "{said}");
    ann.at(&node.url).send(&chat, "still here").await;
    node.signal("TERM");
    assert_eq!(node.wait(), 0);
    std::fs::remove_dir_all(&dir).unwrap();
}
