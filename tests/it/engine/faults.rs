//! Killed and frozen servers: acknowledged messages are there, failures are documented ones, and the service recovers by
//! itself. Nodes are processes here, and PostgreSQL and Redis belong to the test alone.

use crate::support::{
    Answer, App, Person, Process, Proxy, eventually, free_address, http, text, throw_away,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tideline::dev::services::Services;
use tideline::domain::identity::seeding;
use tideline::storage::pg::operations::instance;

/// The acknowledged messages of a sender, and its slowest request.
struct Diary {
    acknowledged: Vec<Value>,
    slowest: Duration,
}

/// Sends one message after the other until `stop`, and repeats each until it is acknowledged.
async fn persist(person: &Person, chat: &str, stop: &AtomicBool) -> Diary {
    let mut diary = Diary {
        acknowledged: Vec::new(),
        slowest: Duration::ZERO,
    };
    while !stop.load(Ordering::Acquire) {
        let message = text(&diary.acknowledged.len().to_string());
        loop {
            let started = Instant::now();
            let answer = person
                .try_call(
                    "POST",
                    &format!("/conversations/{chat}/messages"),
                    Some(&message),
                )
                .await;
            diary.slowest = diary.slowest.max(started.elapsed());
            match answer {
                Ok(answer) if [200, 201].contains(&answer.status) => {
                    diary.acknowledged.push(answer.body);
                    break;
                }
                // Only documented failures that ask for a retry.
                Ok(answer) => {
                    assert!(!answer.header("retry-after").is_empty());
                    let code = answer.body["code"].clone();
                    assert!(
                        ["storage_unavailable", "overloaded"].contains(&code.as_str().unwrap()),
                        "{code}"
                    );
                }
                Err(error) => assert!(error.is_connect() || error.is_request(), "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    diary
}

/// Each acknowledged message is stored once, in the order of its sender, and the inbox has it without a gap.
async fn verify(reader: &Person, chat: &str, diaries: &[(&Person, Diary)]) {
    let mut history = Vec::new();
    loop {
        let page = reader.history(chat, history.len() as i64).await;
        if page.is_empty() {
            break;
        }
        history.extend(page);
    }
    let seqs: Vec<_> = history
        .iter()
        .map(|one| one["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=history.len() as i64).collect::<Vec<_>>());
    for (sender, diary) in diaries {
        let own: Vec<_> = history
            .iter()
            .filter(|one| one["sender_id"] == sender.id.as_str())
            .cloned()
            .collect();
        assert!(
            diary.acknowledged.len() > 20,
            "only {} sends",
            diary.acknowledged.len()
        );
        assert_eq!(own, diary.acknowledged);
    }
    let entries = reader.entries(0).await;
    let referenced: Vec<_> = entries
        .iter()
        .filter(|entry| entry["kind"] == "message")
        .map(|entry| entry["message"].clone())
        .collect();
    assert_eq!(referenced, history);
    let mine = history
        .iter()
        .rposition(|one| one["sender_id"] == reader.id.as_str());
    let unread = history.len() - mine.map_or(0, |at| at + 1);
    assert_eq!(reader.total().await, unread as i64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn service_recovers_after_postgres_and_redis_are_killed() {
    let services = Arc::new(throw_away("faults"));
    // On its own thread: it blocks, and would delay the timed requests.
    let act = async |act: fn(&Services)| {
        let services = Arc::clone(&services);
        tokio::task::spawn_blocking(move || act(&services))
            .await
            .unwrap();
    };
    instance::migrate(&services.database_url()).unwrap();
    let node = Process::serve(&services.database_url(), &services.redis_url(), &[]);
    let client = http();
    let (ann, ben) = tokio::join!(
        Person::register(&client, &node.url, "ann"),
        Person::register(&client, &node.url, "ben")
    );
    let chat = ann.direct(&ben).await;
    let stop = AtomicBool::new(false);
    let nemesis = async {
        for kill in ["postgres", "redis", "stop both", "postgres"] {
            tokio::time::sleep(Duration::from_millis(700)).await;
            match kill {
                "redis" => {
                    act(Services::kill_redis).await;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    act(|services| services.start_redis().unwrap()).await;
                }
                "stop both" => {
                    // A stopped Redis delays no sender; a stopped PostgreSQL resumes where it was.
                    act(Services::pause_redis).await;
                    ann.send(&chat, "without Redis").await;
                    act(Services::pause_postgres).await;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    act(Services::resume_postgres).await;
                    act(Services::resume_redis).await;
                    ann.send(&chat, "after both").await;
                }
                _ => {
                    act(Services::kill_postgres).await;
                    let down = ann.post_message(&chat, text("down")).await;
                    down.problem(503, "storage_unavailable");
                    assert_eq!(
                        client
                            .get(format!("{}/health/live", node.url))
                            .send()
                            .await
                            .unwrap()
                            .status(),
                        200
                    );
                    act(|services| services.start_postgres().unwrap()).await;
                    let back = Instant::now();
                    let healthy = async || ann.try_call("GET", "/me", None).await.unwrap().status;
                    eventually(
                        "service is back",
                        Duration::from_secs(2),
                        healthy,
                        |status| *status == 200,
                    )
                    .await;
                    ann.send(&chat, "back").await;
                    assert!(
                        back.elapsed() < Duration::from_secs(2),
                        "{:?}",
                        back.elapsed()
                    );
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.store(true, Ordering::Release);
    };
    // The nemesis sends as Ann, so the senders with a diary are two other users.
    let (cat, dan) = tokio::join!(
        Person::register(&client, &node.url, "cat"),
        Person::register(&client, &node.url, "dan")
    );
    let diary_chat = cat.direct(&dan).await;
    let (cat_diary, dan_diary, ()) = tokio::join!(
        persist(&cat, &diary_chat, &stop),
        persist(&dan, &diary_chat, &stop),
        nemesis
    );
    assert!(
        cat_diary.slowest < Duration::from_secs(5),
        "{:?}",
        cat_diary.slowest
    );
    verify(&dan, &diary_chat, &[(&cat, cat_diary), (&dan, dan_diary)]).await;
    assert!(
        !node.log().iter().any(|line| line.contains("bug:")),
        "{:#?}",
        node.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_node_loses_no_acknowledged_message() {
    let services = throw_away("faults");
    instance::migrate(&services.database_url()).unwrap();
    let start = || Process::serve(&services.database_url(), &services.redis_url(), &[]);
    let mut node = start();
    let (client, front) = (http(), Proxy::before(&node.url));
    let (ann, ben) = tokio::join!(
        Person::register(&client, front.url(), "ann"),
        Person::register(&client, front.url(), "ben")
    );
    let chat = ann.direct(&ben).await;
    let mut acknowledged: Vec<Value> = Vec::new();
    for round in 0..4 {
        let sends = (0..200).map(|_| text("x")).collect::<Vec<_>>();
        let results = async {
            let path = format!("/conversations/{chat}/messages");
            join_all(
                sends
                    .iter()
                    .map(|message| ann.try_call("POST", &path, Some(message))),
            )
            .await
        };
        let kill = async {
            tokio::time::sleep(Duration::from_millis(15 + 12 * round)).await;
            node.signal("KILL");
        };
        let (results, ()) = tokio::join!(results, kill);
        node = start();
        front.lead_to(&node.url);
        for (message, result) in sends.into_iter().zip(results) {
            let first = result
                .ok()
                .filter(|answer| answer.status == 201)
                .map(|answer| answer.body);
            // Repeated on the new node: an acknowledged send gets the same answer, any other is stored at most once.
            let again = ann.post_message(&chat, message).await;
            match first {
                Some(first) => assert_eq!(again.ok(200), first),
                None => assert!([200, 201].contains(&again.status)),
            }
        }
        acknowledged = Vec::new();
        loop {
            let page = ann.history(&chat, acknowledged.len() as i64).await;
            if page.is_empty() {
                break;
            }
            acknowledged.extend(page);
        }
        assert_eq!(acknowledged.len() as u64, 200 * (round + 1));
    }
    assert_eq!(ben.entries(0).await.len(), acknowledged.len() + 1);
    assert_eq!(ben.total().await, acknowledged.len() as i64);
}

/// A node without Redis that is killed has committed the recalls, and has announced none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn recall_reaches_waits_though_its_node_is_killed_before_the_announcement() {
    let services = throw_away("recall");
    instance::migrate(&services.database_url()).unwrap();
    let redis = Proxy::before(&services.redis_url());
    let doomed = Process::serve(&services.database_url(), redis.url(), &[]);
    let other = Process::serve(&services.database_url(), &services.redis_url(), &[]);
    let client = http();
    let (ann, ben, cat) = tokio::join!(
        Person::register(&client, &doomed.url, "ann"),
        Person::register(&client, &other.url, "ben"),
        Person::register(&client, &other.url, "cat")
    );
    let direct = ann.direct(&ben).await;
    let channel = json!({"kind": "channel", "title": "news"});
    let channel = ann.post("/conversations", channel).await.ok(201)["id"].clone();
    let channel = channel.as_str().unwrap();
    ann.add(channel, &[&cat]).await.ok(200);
    for chat in [direct.as_str(), channel] {
        ann.send(chat, "a canary").await;
    }
    let head = ben.head().await;
    assert_eq!(ben.total().await, 1);
    redis.cut();
    let waits = async {
        let watch = format!(
            "/notices?since_seq={}&timeout=20&watch={channel}:1:0",
            cat.head().await
        );
        let (news, change) = tokio::join!(ben.wait(head, 20), cat.get(&watch));
        (news, change.ok(200), Instant::now())
    };
    let recalls = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for chat in [direct.as_str(), channel] {
            let path = format!("/conversations/{chat}/messages/1");
            assert_eq!(ann.call("DELETE", &path).await.ok(200)["kind"], "recalled");
        }
        let recalled = Instant::now();
        doomed.signal("KILL");
        recalled
    };
    let ((news, change, woken), recalled) = tokio::join!(waits, recalls);
    let late = woken.saturating_duration_since(recalled);
    assert!(late < Duration::from_secs(5), "{late:?}");
    assert_eq!(
        (&news["news"], &news["total_unread"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(change["watched"][0]["change_seq"], 1);
    let entries = ben.entries(head).await;
    assert_eq!(entries.last().unwrap()["message"]["kind"], "recalled");
    for (person, chat) in [(&ben, direct.as_str()), (&cat, channel)] {
        assert_eq!(person.history(chat, 0).await[0]["kind"], "recalled");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn drain_spreads_1000_parked_waits_over_time() {
    let app = App::start().await;
    let people = seeding::seed(&app.nodes[0].handles.auth, 0, 1_000)
        .await
        .unwrap();
    let metrics = free_address();
    let variables = [
        ("TIDELINE_DRAIN_SECONDS", "6"),
        ("TIDELINE_METRICS_BIND", metrics.as_str()),
        ("RUST_LOG", "warn"),
    ];
    let mut node = app.add_process(&variables);
    let url = node.process.url.clone();
    let waits = people.iter().map(|person| {
        let request = app
            .http
            .get(format!("{url}/v1/notices?since_seq=0&timeout=50"))
            .bearer_auth(&person.access_token);
        tokio::spawn(async move {
            let notice = Answer::of(request.send().await.unwrap()).await.ok(200);
            (notice, Instant::now())
        })
    });
    let waits: Vec<_> = waits.collect();
    let parked = async || {
        let page = app.http.get(format!("http://{metrics}/metrics")).send();
        let page = page.await.unwrap().text().await.unwrap();
        let mut lines = page.lines();
        let count = lines.find_map(|line| line.strip_prefix("tideline_notices_parked "));
        count.unwrap().parse::<usize>().unwrap()
    };
    let soon = Duration::from_secs(20);
    eventually("all sleep", soon, parked, |n| *n == people.len()).await;
    let asked = Instant::now();
    node.process.signal("TERM");
    // While it drains: only readiness fails, new waits are asked to reconnect, sends and fetches work.
    let ready = async || {
        app.http
            .get(format!("{url}/health/ready"))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    eventually("readiness fails", Duration::from_secs(1), ready, |status| {
        *status == 503
    })
    .await;
    let person = people.last().unwrap();
    let fetch = app
        .http
        .get(format!("{url}/v1/inbox?since_seq=0"))
        .bearer_auth(&person.access_token);
    assert_eq!(fetch.send().await.unwrap().status(), 200);
    let late = app
        .http
        .get(format!("{url}/v1/notices?since_seq=0&timeout=50"))
        .bearer_auth(&person.access_token);
    assert_eq!(
        Answer::of(late.send().await.unwrap()).await.ok(200)["reconnect"],
        true
    );

    let mut answered = Vec::new();
    for wait in waits {
        let (notice, at) = wait.await.unwrap();
        let reconnects = notice["reconnect"] == true && notice["news"] == false;
        // The last person's first wait was superseded by the late one, unless it had been drained before.
        assert!(reconnects || notice["superseded"] == true, "{notice}");
        answered.push(at);
    }
    let exit = tokio::task::spawn_blocking(move || node.process.wait())
        .await
        .unwrap();
    assert_eq!(exit, 0);
    assert!(
        asked.elapsed() < Duration::from_secs(6),
        "{:?}",
        asked.elapsed()
    );
    let spread = *answered.iter().max().unwrap() - *answered.iter().min().unwrap();
    assert!(
        spread > Duration::from_millis(500),
        "a ramp, not a stampede: {spread:?}"
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn frozen_postgres_yields_503_within_5_s() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "before").await;
    app.postgres.freeze();
    let started = Instant::now();
    let probes: [(&str, String, Option<Value>); 8] = [
        (
            "POST",
            format!("/conversations/{chat}/messages"),
            Some(text("frozen")),
        ),
        (
            "PUT",
            format!("/conversations/{chat}/read"),
            Some(serde_json::json!({"seq": 1})),
        ),
        ("GET", format!("/conversations/{chat}/messages"), None),
        ("GET", "/conversations".into(), None),
        ("GET", "/inbox?since_seq=0".into(), None),
        ("GET", "/notices?since_seq=2&timeout=20".into(), None),
        ("GET", "/unread".into(), None),
        ("GET", "/me".into(), None),
    ];
    let answers = join_all(probes.iter().flat_map(|(method, path, body)| {
        let (ann, ben) = (&ann, &ben);
        // Several of each, more than there are connections.
        (0..5)
            .map(move |n| if n % 2 == 0 { ann } else { ben }.try_call(method, path, body.as_ref()))
    }))
    .await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    for answer in answers {
        let answer = answer.unwrap();
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        answer.problem(503, "storage_unavailable");
    }
    app.call("GET", "/health/live", None).await.ok(200);
    app.postgres.heal();
    let healthy = async || ann.get("/unread").await.status;
    eventually(
        "service is back",
        Duration::from_secs(5),
        healthy,
        |status| *status == 200,
    )
    .await;
    ann.send(&chat, "after").await;
    app.finish().await;
}

/// The writers, the reads and the connections of the node all wait for an answer that does not come.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn node_exits_within_drain_time_while_postgres_hangs() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let mut node = app.add_process(&[("TIDELINE_DRAIN_SECONDS", "4")]);
    let through = ann.at(&node.process.url);
    through.send(&chat, "before").await;
    node.postgres.freeze();
    let hang = tokio::spawn(async move {
        let message = text("unknown");
        tokio::join!(through.post_message(&chat, message), through.get("/me"))
    });
    for answer in <[Answer; 2]>::from(hang.await.unwrap()) {
        answer.problem(503, "storage_unavailable");
    }
    node.process.signal("TERM");
    let (asked, most) = (Instant::now(), Duration::from_secs(30));
    let (code, node) = tokio::task::spawn_blocking(move || (node.process.wait_for(most), node))
        .await
        .unwrap();
    // The drain time, plus some for a busy machine.
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    let log = node.process.log();
    assert_eq!(code, 1, "{log:#?}");
    let said = |line: &String| line.contains("the drain time has passed");
    assert!(log.iter().any(said), "{log:#?}");
    app.finish().await;
}
