//! A thousand slow or vanishing clients, beside the users whose guarantees are checked.

use crate::deployment::Deployment;
use crate::support::slow::{Slow, request};
use crate::support::{Person, http, id};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Clients of each kind on each node: slow heads, slow bodies, slow readers, and clients that disconnect while they wait.
const EACH: usize = 125;

/// The most that a node may grow: the budget of large bodies, and as much again for everything else.
const MEMORY: u64 = 512 * 1024 * 1024;

/// Open files that vary with the users, who reconnect after failures.
const FILES: usize = 100;

/// Connects slow clients to both nodes until this time, and checks memory and open files.
pub async fn connect_slow(deployment: &Deployment, until: Instant) {
    let nodes = [0, 1].map(|node| {
        let node = deployment.nodes[node].lock().unwrap();
        (node.process.url.clone(), node.process.pid())
    });
    let client = http();
    let url = &nodes[0].0;
    let eve = Person::register(&client, url, "eve").await;
    let dan = Person::register(&client, url, "dan").await;
    let chat = eve.direct(&dan).await;
    for _ in 0..2 {
        let content = json!({"blob": "x".repeat(500_000)});
        let message = json!({"client_msg_id": id(), "kind": "custom", "content": content});
        eve.post_message(&chat, message).await.ok(201);
    }
    let before = nodes.clone().map(|(_, pid)| usage(pid));
    let path = format!("/conversations/{chat}/messages");
    let body = "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{\"";
    let mut clients = Vec::new();
    for (url, _) in &nodes {
        let address: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
        let head = b"GET /v1/me HTTP/1.1\r\nX-Slow: ".to_vec();
        clients.push(Slow::connect(address, EACH, head, Some(b'x')));
        let body = request(&eve, "POST", &path, body);
        clients.push(Slow::connect(address, EACH, body, Some(b'x')));
        let read = request(&eve, "GET", &path, "\r\n");
        clients.push(Slow::connect(address, EACH, read, None));
    }
    let wait = format!("/notices?since_seq={}&timeout=55", dan.head().await);
    let wait = request(&dan, "GET", &wait, "\r\n");
    while Instant::now() < until {
        for (node, (url, pid)) in nodes.iter().enumerate() {
            let address = url.trim_start_matches("http://");
            let vanishing = (0..EACH).map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(&wait).unwrap();
                stream
            });
            let vanishing: Vec<_> = vanishing.collect();
            let (memory, files) = usage(*pid);
            drop(vanishing);
            let most = before[node].0 + MEMORY;
            assert!(memory < most, "{memory} bytes, from {:?}", before[node]);
            let most = before[node].1 + 4 * EACH + FILES;
            assert!(files < most, "{files} files, from {:?}", before[node]);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drop(clients);
    let gone = Instant::now();
    for (node, (_, pid)) in nodes.iter().enumerate() {
        while usage(*pid).1 > before[node].1 + FILES {
            assert!(gone.elapsed() < Duration::from_secs(10), "files stay open");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Bytes of memory and open files of a process.
fn usage(pid: u32) -> (u64, usize) {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    (pages * 4_096, files.count())
}
