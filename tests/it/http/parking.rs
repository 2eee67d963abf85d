//! Parked connections: almost no memory is kept for them, and clients cannot tell the difference.

use crate::support::{Answer, App, Wire, eventually};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;
use tideline::config::RateLimit;
use tideline::config::origins::Origins;
use tideline::domain::identity::seeding;
use tideline::model::ids::UserId;
use tokio::net::{TcpListener, TcpStream};

/// The headers that a browser adds.
const BROWSER: &str = "Host: chat.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36\r\n\
    Accept: application/json\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Referer: https://chat.example.com/\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n";

/// The upgrade offer that the HTTP client of Java sends with every request.
const JAVA: &str = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
    HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n";

fn get(token: &str, path: &str, more: &str) -> String {
    format!("GET /v1{path} HTTP/1.1\r\n{BROWSER}Authorization: Bearer {token}\r\n{more}\r\n")
}

/// Sequential requests on one connection, with woken and timed-out waits among them.
#[tokio::test(flavor = "multi_thread")]
async fn connection_is_reusable_after_waits() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let mut wire = Wire::to(app.nodes[0].address).await;
    for seq in 1..=10 {
        let path = format!("/notices?since_seq={seq}&timeout=20");
        let named = format!("X-Request-Id: wait-{seq}\r\n");
        wire.write(&get(&ben.token, &path, &named)).await;
        app.asleep(0, 1).await;
        ann.send(&chat, "news").await;
        let answer = wire.answer().await;
        assert_eq!(answer.header("x-request-id"), format!("wait-{seq}"));
        assert_eq!(answer.ok(200)["last_seq"], seq + 1);
        let path = format!("/inbox?since_seq={seq}");
        wire.write(&get(&ben.token, &path, "")).await;
        let page = wire.answer().await.ok(200);
        assert_eq!(page["entries"][0]["message"]["content"]["text"], "news");
    }
    wire.write(&get(&ben.token, "/notices?since_seq=11&timeout=1", ""))
        .await;
    assert_eq!(wire.answer().await.ok(200)["news"], false);
    // A later request on this connection, as of a proxy, is authenticated by its own token.
    wire.write(&get("nobody", "/me", "")).await;
    wire.answer().await.problem(401, "unauthenticated");
    app.finish().await;
}

/// Requests before, with, within and after a parked wait are answered in order.
#[tokio::test(flavor = "multi_thread")]
async fn requests_pipelined_around_a_wait_are_answered() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let me = get(&ben.token, "/me", "");
    let wait = |since: i64| {
        let path = format!("/notices?since_seq={since}&timeout=20");
        get(&ben.token, &path, "")
    };
    let is_me = |answer: Answer| answer.ok(200)["username"] == "ben";
    // For each case: what is sent before the wait is parked, and what is sent while it is parked.
    let ways = |wait: String| {
        // An empty line may lack its carriage return.
        let bare = wait.replace("\r\n\r\n", "\n\n");
        [
            (wait.clone(), me.clone()),
            (format!("{wait}{me}"), String::new()),
            (format!("{wait}{}", &me[..30]), me[30..].to_owned()),
            (format!("{bare}{me}"), String::new()),
        ]
    };
    let mut seq = 1;
    for way in 0..4 {
        for before in ["", &me] {
            let mut wire = Wire::to(app.nodes[0].address).await;
            let (with_wait, meanwhile) = &ways(wait(seq))[way];
            // With a request before it, the wait arrives in two parts.
            let all = format!("{before}{before}{with_wait}");
            let (one, two) = all.split_at(2 * before.len() + before.len().min(20));
            wire.write(one).await;
            for _ in 0..(2 * before.len()) / me.len() {
                assert!(is_me(wire.answer().await), "way {way}");
            }
            wire.write(two).await;
            app.asleep(0, 1).await;
            wire.write(meanwhile).await;
            ann.send(&chat, "news").await;
            seq += 1;
            assert_eq!(wire.answer().await.ok(200)["last_seq"], seq, "way {way}");
            assert!(is_me(wire.answer().await), "way {way}");
        }
    }
    // Special cases: a late body, an empty body, upgrade offers, and connections that close after their wait. A wait that is
    // not parked uses part of the budget of large bodies.
    let taken = || app.nodes[0].budget.taken();
    for (more, version, parks, ends) in [
        ("Content-Length: 4\r\n", "HTTP/1.1", false, false),
        ("Content-Length: 0\r\n", "HTTP/1.1", true, false),
        (JAVA, "HTTP/1.1", true, false),
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
            "HTTP/1.1",
            true,
            false,
        ),
        ("Connection: close\r\n", "HTTP/1.1", true, true),
        ("", "HTTP/1.0", true, true),
        ("Connection: keep-alive\r\n", "HTTP/1.0", true, false),
    ] {
        let mut wire = Wire::to(app.nodes[0].address).await;
        let path = format!("/notices?since_seq={seq}&timeout=20");
        let wait = get(&ben.token, &path, more).replace("HTTP/1.1", version);
        wire.write(&wait).await;
        app.asleep(0, 1).await;
        let parked = async || taken() == 0;
        if parks {
            eventually("it is parked", Duration::from_secs(5), parked, |is| *is).await;
        } else {
            eventually("it is not", Duration::from_secs(5), parked, |is| !is).await;
            wire.write("late").await;
        }
        ann.send(&chat, "news").await;
        seq += 1;
        let answer = wire.answer().await;
        assert_eq!(answer.header("upgrade"), "");
        let connection = match (version, ends) {
            ("HTTP/1.0", false) => "keep-alive",
            ("HTTP/1.1", true) => "close",
            _ => "",
        };
        assert_eq!(answer.header("connection"), connection, "{more}");
        assert_eq!(answer.ok(200)["last_seq"], seq);
        if ends {
            assert!(!wire.more().await);
        } else {
            wire.write(&me).await;
            assert!(is_me(wire.answer().await));
        }
    }
    app.finish().await;
}

/// A response to an earlier request is not lost when a wait behind it is parked, nor is a second identical wait.
#[tokio::test(flavor = "multi_thread")]
async fn wait_is_not_parked_while_other_requests_are_pending() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    // While another wait of the user is parked and the head is known, a wait sleeps without a query.
    let other = ben.another_device(&app).await;
    let mut elsewhere = Wire::to(app.nodes[0].address).await;
    let wait = |token: &str| get(token, "/notices?since_seq=1&timeout=20", "");
    elsewhere.write(&wait(&other.token)).await;
    app.asleep(0, 1).await;
    let user = ben.id.parse().unwrap();
    let swept = async || {
        app.nodes[0]
            .handles
            .delivery
            .waiters
            .head_cache
            .head(UserId(user))
            .is_some()
    };
    eventually(
        "the sweep knows the head",
        Duration::from_secs(10),
        swept,
        |is| *is,
    )
    .await;

    let mut wire = Wire::to(app.nodes[0].address).await;
    let me = get(&ben.token, "/me", "");
    let slow = get(&ben.token, "/diagnostics/longpoll?timeout=1", "");
    wire.write(&format!("{me}{slow}")).await;
    assert_eq!(wire.answer().await.ok(200)["username"], "ben");
    wire.write(&wait(&ben.token)).await;
    assert_eq!(wire.answer().await.ok(200)["asked_ms"], 1_000);
    app.asleep(0, 2).await;
    // Another identical wait, while the first one sleeps.
    wire.write(&wait(&ben.token)).await;
    ann.send(&chat, "news").await;
    for wire in [&mut elsewhere, &mut wire] {
        assert_eq!(wire.answer().await.ok(200)["last_seq"], 2);
    }
    assert_eq!(wire.answer().await.ok(200)["last_seq"], 2);
    app.finish().await;
}

/// The memory that a wait keeps is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn wait_with_an_oversized_head_is_rejected() {
    let (app, [ben]) = App::with(["ben"]).await;
    for path in [
        "/notices?since_seq=0&timeout=0",
        "/diagnostics/longpoll?timeout=0",
    ] {
        for (long, status) in [(14_000, 200), (17_000, 431), (100_000, 431)] {
            // White space counts, also after an earlier request on the connection.
            for (filler, before) in [("x", 0), (" ", 0), ("x", 1)] {
                let mut wire = Wire::to(app.nodes[0].address).await;
                let cookie = format!("Cookie: {}x\r\n", filler.repeat(long));
                let me = get(&ben.token, "/me", "").repeat(before);
                wire.write(&(me + &get(&ben.token, path, &cookie))).await;
                for _ in 0..before {
                    wire.answer().await.ok(200);
                }
                let answer = wire.answer().await;
                match status {
                    200 => drop(answer.ok(200)),
                    _ => drop(answer.problem(431, "head_too_large")),
                }
            }
        }
    }
    // Other requests may have a head this long.
    let mut wire = Wire::to(app.nodes[0].address).await;
    let cookie = format!("Cookie: {}\r\n", "x".repeat(100_000));
    wire.write(&get(&ben.token, "/me", &cookie)).await;
    wire.answer().await.ok(200);
    app.finish().await;
}

/// A wait that must reconnect gets its response before the node closes all connections.
#[tokio::test(flavor = "multi_thread")]
async fn parked_wait_is_answered_during_shutdown() {
    let mut app = App::configured(|config| config.drain = Duration::from_secs(5)).await;
    let [ben] = app.people(["ben"]).await;
    app.add_node().await;
    let address = app.nodes[1].address;
    let mut wire = Wire::to(address).await;
    wire.write(&get(&ben.token, "/notices?since_seq=0&timeout=20", ""))
        .await;
    app.asleep(1, 1).await;
    // The wait ends with a query that takes until the listener is closed; from then on no new request begins.
    app.postgres.freeze();
    let stopped = tokio::spawn(app.nodes.remove(1).stop());
    let is_closed = async || TcpStream::connect(address).await.is_err();
    let soon = Duration::from_millis(3_800);
    eventually("the listener is closed", soon, is_closed, |closed| *closed).await;
    app.postgres.heal();
    assert_eq!(wire.answer().await.ok(200)["reconnect"], true);
    assert!(!wire.more().await);
    stopped.await.unwrap().unwrap();
    app.finish().await;
}

/// The response is the same to the last header, parked or not, for a notice and for a problem.
#[tokio::test(flavor = "multi_thread")]
async fn parked_and_unparked_waits_get_the_same_response() {
    let app = App::configured(|config| {
        config.cors_origins = Origins::Any;
        config.rate_limit = Some(RateLimit {
            per_second: 100,
            burst: 1_000,
        });
    })
    .await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let other = ben.another_device(&app).await;
    let named = "X-Request-Id: the-wait\r\nOrigin: https://app.example\r\n";
    for problem in [false, true] {
        let mut answers = Vec::new();
        // With half a request behind it, a wait is not parked.
        for (person, more) in [(&ben, ""), (&other, "GET ")] {
            let mut wire = Wire::to(app.nodes[0].address).await;
            let path = format!("/notices?since_seq={}&timeout=20", person.head().await);
            wire.write(&(get(&person.token, &path, named) + more)).await;
            app.asleep(0, 1).await;
            if problem {
                person.call("POST", "/auth/logout").await.ok(204);
            } else {
                ann.send(&chat, "news").await;
            }
            answers.push(wire.answer().await);
        }
        let compared = answers.iter().map(|answer| {
            let mut headers = BTreeMap::new();
            for (name, value) in &answer.headers {
                // Headers that differ between any two responses.
                let value = match name.as_str() {
                    "date" | "ratelimit" | "content-length" => "",
                    _ => value.to_str().unwrap(),
                };
                headers
                    .entry(name.as_str())
                    .or_insert_with(Vec::new)
                    .push(value);
            }
            (answer.status, headers)
        });
        let compared: Vec<_> = compared.collect();
        assert_eq!(compared[0], compared[1]);
        assert_eq!(compared[0].0, if problem { 401 } else { 200 });
        for name in [
            "access-control-allow-origin",
            "ratelimit",
            "ratelimit-policy",
            "date",
        ] {
            assert!(
                compared[0].1.contains_key(name),
                "{name}: {:?}",
                compared[0]
            );
        }
    }
    app.finish().await;
}

/// A wait is one log line, with its duration.
#[tokio::test(flavor = "multi_thread")]
async fn wait_is_logged_once() {
    let (app, [ben]) = App::with(["ben"]).await;
    let node = app.add_process(&[]);
    let mut wire = Wire::to(node.process.url[7..].parse().unwrap()).await;
    let path = "/notices?since_seq=0&timeout=1";
    wire.write(&get(&ben.token, path, "X-Request-Id: the-wait\r\n"))
        .await;
    wire.answer().await.ok(200);
    let log = async || -> Vec<String> {
        let lines = node.process.log().into_iter();
        lines.filter(|line| line.contains("the-wait")).collect()
    };
    let logged = eventually("it is logged", Duration::from_secs(5), log, |lines| {
        !lines.is_empty()
    });
    let lines = logged.await;
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    let took = line.split(' ').find_map(|word| word.strip_suffix("ms"));
    let took: f64 = took.unwrap().parse().unwrap();
    assert!(took >= 1_000.0, "{line}");
    app.finish().await;
}

/// A wait whose connection is not parked takes 15 KiB or more, and each poll a little more.
#[tokio::test(flavor = "multi_thread")]
async fn parked_wait_uses_less_than_12_kib() {
    const FEW: usize = 100;
    const MANY: usize = 900;
    let app = App::start().await;
    let people = seeding::seed(&app.nodes[0].handles.auth, 0, MANY)
        .await
        .unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = free.local_addr().unwrap().to_string();
    drop(free);
    let variables = [("RUST_LOG", "warn"), ("TIDELINE_METRICS_BIND", &metrics)];
    let node = app.add_process(&variables);
    let scrape = async || {
        let response = reqwest::get(format!("http://{metrics}/metrics")).await;
        response.unwrap().text().await.unwrap()
    };
    let address: SocketAddr = node.process.url[7..].parse().unwrap();
    let mut wires = Vec::new();
    let mut kib = Vec::new();
    for count in [FEW, MANY] {
        for person in &people[wires.len()..count] {
            let mut wire = Wire::to(address).await;
            let short = get(&person.access_token, "/notices?since_seq=0&timeout=1", "");
            wire.write(&short).await;
            wires.push((wire, &person.access_token));
        }
        for (wire, token) in &mut wires[kib.len() * FEW..] {
            wire.answer().await.ok(200);
            wire.write(&get(token, "/notices?since_seq=0&timeout=50", ""))
                .await;
        }
        let all = format!("tideline_notices_parked {count}\n");
        eventually("all park", Duration::from_secs(20), scrape, |page| {
            page.contains(&all)
        })
        .await;
        // jemalloc returns memory that has been free for half a second.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let status = fs::read_to_string(format!("/proc/{}/status", node.process.pid())).unwrap();
        let anonymous = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let anonymous = anonymous.unwrap().trim().trim_end_matches(" kB");
        kib.push(anonymous.parse::<f64>().unwrap());
    }
    let each = (kib[1] - kib[0]) / (MANY - FEW) as f64;
    assert!(each < 12.0, "{each} KiB for each wait, {kib:?}");
    app.finish().await;
}
