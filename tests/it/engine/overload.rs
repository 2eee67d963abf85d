//! Overload: slow clients, and clients that disconnect.

use crate::support::slow::{Slow, SlowClients, request};
use crate::support::{Answer, App, eventually, id, text};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_clients_are_bounded_and_disconnected() {
    let (app, [ben, eve]) = App::with(["ben", "eve"]).await;
    let slow = SlowClients::connect(&app, &eve, &ben).await;
    let node = &app.nodes[0];
    let peak = node.budget.taken();
    assert!(peak <= 16 * 1024 * 1024, "{peak}");
    // More clients disconnect while they are parked.
    let mut vanishing = Vec::new();
    let [dan] = app.people(["dan"]).await;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(node.address).unwrap();
        let wait = request(&dan, "GET", "/notices?since_seq=0&timeout=55", "\r\n");
        stream.write_all(&wait).unwrap();
        vanishing.push(stream);
    }
    drop(vanishing);

    // The kernel gives up readers after 20 s; the server gives up bodies after 10 s, and heads after 30 s.
    let nothing = |bytes: &usize| *bytes == 0;
    let taken = async || node.budget.taken();
    eventually("given up", Duration::from_secs(60), taken, nothing).await;
    for sender in &slow.senders {
        let open = async || sender.open();
        eventually("closed", Duration::from_secs(60), open, |left| *left == 0).await;
    }
    let parked = async || node.handles.delivery.waiters.count();
    eventually("nobody waits", Duration::from_secs(5), parked, |count| {
        *count == 0
    })
    .await;
    drop(slow);
    app.finish().await;
}

/// Static files are in memory once for all requests, so they do not count against the budget.
#[tokio::test(flavor = "multi_thread")]
async fn slow_file_downloads_use_no_body_budget() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let content = json!({"blob": "x".repeat(700_000)});
    let message = json!({"client_msg_id": id(), "kind": "custom", "content": content});
    ann.post_message(&chat, message).await.ok(201);
    let address = app.nodes[0].address;
    // Together, these bundles would exceed the budget.
    let ask = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    let readers = Slow::connect(address, 200, ask, None);
    let history = format!("/conversations/{chat}/messages");
    for _ in 0..10 {
        ben.get(&history).await.ok(200);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(app.nodes[0].budget.taken(), 0);
    }
    drop(readers);
    app.finish().await;
}

/// A slow reader uses its user's share of the budget, and leaves the rest to others.
#[tokio::test(flavor = "multi_thread")]
async fn one_user_cannot_exhaust_the_body_budget() {
    let app = App::configured(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse::<IpAddr>().unwrap().into()];
    })
    .await;
    let [ann, ben, eve] = app.people(["ann", "ben", "eve"]).await;
    let chat = ann.direct(&ben).await;
    let large = eve.direct(&ben).await;
    let content = json!({"blob": "x".repeat(700_000)});
    for (person, chat) in [(&ann, &chat), (&eve, &large)] {
        let message = json!({"client_msg_id": id(), "kind": "custom", "content": content});
        person.post_message(chat, message).await.ok(201);
    }
    let node = &app.nodes[0];
    let path = format!("/conversations/{large}/messages");
    // From many addresses: the share of a user covers all of them.
    let readers: Vec<_> = (0..40)
        .map(|n| {
            let from = format!("X-Forwarded-For: 198.51.100.{n}\r\n\r\n");
            Slow::connect(node.address, 1, request(&eve, "GET", &path, &from), None)
        })
        .collect();
    let full = async || {
        let from = ("x-forwarded-for", "203.0.113.1");
        let url = format!("{}/v1{path}", app.url());
        let request = app
            .http
            .get(url)
            .bearer_auth(&eve.token)
            .header(from.0, from.1);
        Answer::of(request.send().await.unwrap()).await
    };
    let answer = eventually(
        "the share is taken",
        Duration::from_secs(10),
        full,
        |answer| answer.status != 200,
    );
    answer.await.problem(503, "overloaded");
    assert!(
        node.budget.taken() <= 16 * 1024 * 1024,
        "{}",
        node.budget.taken()
    );
    ben.get(&format!("/conversations/{chat}/messages"))
        .await
        .ok(200);
    drop(readers);
    app.finish().await;
}

/// Reading half a megabyte per second is slow, and allowed.
#[tokio::test(flavor = "multi_thread")]
async fn slow_reader_receives_the_whole_response() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let content = json!({"blob": "x".repeat(700_000)});
    let message = json!({"client_msg_id": id(), "kind": "custom", "content": content});
    ann.post_message(&chat, message).await.ok(201);
    let path = format!("/conversations/{chat}/messages");
    let address = app.nodes[0].address;
    let asked = request(&ben, "GET", &path, "Connection: close\r\n\r\n");
    let read = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&asked).unwrap();
        let (mut all, mut some) = (Vec::new(), [0; 30_000]);
        loop {
            let read = stream.read(&mut some).unwrap();
            if read == 0 {
                return all;
            }
            all.extend_from_slice(&some[..read]);
            std::thread::sleep(Duration::from_millis(30));
        }
    });
    let answer = String::from_utf8(read.await.unwrap()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let page: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(page["messages"][0]["content"], content);
    assert_eq!(app.nodes[0].budget.taken(), 0);
    ben.post_message(&chat, text("thanks")).await.ok(201);
    app.finish().await;
}

/// After the loss of a node its devices reconnect together, faster than a busy node accepts them.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_node_queues_1000_connections_in_the_listen_backlog() {
    const CLIENTS: usize = 1_000;
    let app = App::start().await;
    let node = app.add_process(&[]);
    let address = node.process.url.trim_start_matches("http://").to_owned();
    node.process.signal("STOP");
    // If the backlog is full the kernel drops the SYN, and the client retries after one second and three.
    let connects = (0..CLIENTS).map(|_| {
        let connect = tokio::net::TcpStream::connect(address.clone());
        tokio::time::timeout(Duration::from_millis(900), connect)
    });
    let connected = futures_util::future::join_all(connects).await;
    node.process.signal("CONT");
    let count = connected
        .iter()
        .filter(|one| matches!(one, Ok(Ok(_))))
        .count();
    assert_eq!(count, CLIENTS);
    drop(connected);
    app.finish().await;
}
