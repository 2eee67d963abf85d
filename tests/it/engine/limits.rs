//! Rate limits: of users, addresses and login names, on one node and on two, with Redis and without.

use crate::support::{Answer, App, PASSWORD, Person, eventually, id, text, tomorrow};
use futures_util::future::join_all;
use serde_json::json;
use std::time::{Duration, Instant};
use tideline::config::{Config, RateLimit};

/// One request per second, so that the refill during a test hardly counts.
fn slow(burst: u32) -> impl FnOnce(&mut Config) {
    move |config| {
        config.rate_limit = Some(RateLimit {
            per_second: 1,
            burst,
        });
    }
}

/// Asserts a refusal with everything that a client needs.
fn refused(answer: Answer, policy: &str) -> Duration {
    let limit = answer.header("ratelimit").to_owned();
    assert!(
        limit.starts_with(&format!("\"{policy}\";r=0;t=")),
        "{limit}"
    );
    let (seconds, allowed) = (
        answer.header("retry-after").to_owned(),
        answer.header("ratelimit-policy").to_owned(),
    );
    assert!(
        allowed.starts_with(&format!("\"{policy}\";q=")),
        "{allowed}"
    );
    let body = answer.problem(429, "rate_limited");
    let wait = Duration::from_millis(body["retry_after_ms"].as_u64().unwrap());
    assert!(seconds.parse::<u64>().unwrap() >= wait.as_secs());
    assert!(wait > Duration::ZERO);
    wait
}

/// Sends requests in sequence: how many were allowed, and the seconds that they took.
async fn allowed(count: usize, mut request: impl AsyncFnMut(usize) -> Answer) -> (usize, u64) {
    let started = Instant::now();
    let mut allowed = 0;
    for n in 0..count {
        match request(n).await.status {
            429 => {}
            _ => allowed += 1,
        }
    }
    (allowed, started.elapsed().as_secs() + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn user_limit_allows_a_burst_and_then_a_rate() {
    let app = App::configured(slow(20)).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let first = ann.get("/me").await;
    assert_eq!(first.header("ratelimit-policy"), "\"user\";q=20;w=20");
    assert_eq!(first.header("ratelimit"), "\"user\";r=19;t=1");
    let (good, seconds) = allowed(40, async |_| ann.get("/me").await).await;
    assert!(
        (19..=19 + seconds as usize).contains(&good),
        "{good} in {seconds} s"
    );
    let wait = refused(ann.get("/me").await, "user");
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    // All devices of a user share the limit, other users do not.
    ben.get("/me").await.ok(200);
    // A client that waits as long as it was asked to is served.
    let again = async || ann.get("/me").await.status;
    eventually("let in again", Duration::from_secs(5), again, |status| {
        *status == 200
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_do_not_double_the_limit() {
    let mut app = App::configured(slow(60)).await;
    app.add_node().await;
    let [ann] = app.people(["ann"]).await;
    let urls = [app.url(), format!("http://{}", app.nodes[1].address)];
    let (good, seconds) = allowed(200, async |n| ann.at(&urls[n % 2]).get("/me").await).await;
    // Each node may grant a tenth of the limit without asking Redis.
    let most = 60 + 2 * 6 + 2 * seconds as usize;
    assert!((60..=most).contains(&good), "{good} in {seconds} s");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_enforces_the_limit_without_redis() {
    let app = App::configured(slow(30)).await;
    let [ann] = app.people(["ann"]).await;
    app.redis.cut();
    let (good, seconds) = allowed(100, async |_| ann.get("/me").await).await;
    assert!(
        (30..=30 + seconds as usize).contains(&good),
        "{good} in {seconds} s"
    );
    app.redis.heal();
    app.finish().await;
}

/// Sends requests concurrently: how many were allowed, and the seconds that they took.
async fn allowed_in_a_burst(count: usize, request: impl AsyncFn(usize) -> Answer) -> (usize, u64) {
    let started = Instant::now();
    let answers = join_all((0..count).map(|n| request(n))).await;
    let allowed = answers.iter().filter(|answer| answer.status != 429).count();
    (allowed, started.elapsed().as_secs() + 1)
}

/// Redis accepts commands and does not answer: requests then use the node's own bucket.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_respect_the_limit_while_redis_hangs() {
    let app = App::configured(slow(30)).await;
    let [ann] = app.people(["ann"]).await;
    app.redis.freeze();
    let (good, seconds) = allowed_in_a_burst(80, async |_| ann.get("/me").await).await;
    assert!(
        (30..=30 + seconds as usize).contains(&good),
        "user: {good} in {seconds} s"
    );
    // The sign-up cost five.
    let capabilities = async |_| app.call("GET", "/v1/capabilities", None).await;
    let (good, seconds) = allowed_in_a_burst(80, capabilities).await;
    assert!(
        (25..=30 + seconds as usize).contains(&good),
        "address: {good} in {seconds} s"
    );
    app.redis.heal();
    app.finish().await;

    let app = App::configured(slow(1_000)).await;
    let [_ann] = app.people(["ann"]).await;
    app.redis.freeze();
    let guess = async |n| {
        let body = json!({"username": "ann", "password": format!("guess {n}")});
        app.call("POST", "/v1/auth/login", Some(body)).await
    };
    let (tried, seconds) = allowed_in_a_burst(50, guess).await;
    assert!(
        (10..=10 + seconds as usize / 6).contains(&tried),
        "logins: {tried} in {seconds} s"
    );
    app.redis.heal();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_costs_one_request_per_message() {
    let app = App::configured(slow(40)).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let path = format!("/conversations/{chat}/messages/batch");
    let batch = || json!({"messages": (0..25).map(|n| text(&n.to_string())).collect::<Vec<_>>()});
    ann.post(&path, batch()).await.ok(200);
    refused_batch(&ann, &path, batch()).await;
    assert_eq!(ben.history(&chat, 0).await.len(), 25);
    app.finish().await;
}

/// The remaining quota in a response, whatever its status.
fn left(answer: &Answer) -> usize {
    let limit = answer.header("ratelimit");
    let left = limit.split(';').find_map(|part| part.strip_prefix("r="));
    left.unwrap_or_else(|| panic!("{limit}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn request_cost_depends_on_members_and_mentions() {
    let app = App::configured(slow(100)).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    let many = |count: usize| (0..count).map(|_| json!(id())).collect::<Vec<_>>();
    let make = |kind: &str, count| json!({"kind": kind, "title": "x", "member_ids": many(count)});
    let mention = |count: usize| {
        let mut message = text("look here");
        message["content"]["mentions"] = json!(many(count));
        message
    };
    let conversations = "/conversations".to_owned();
    let (members, messages, batch) = (
        format!("/conversations/{chat}/members"),
        format!("/conversations/{chat}/messages"),
        format!("/conversations/{chat}/messages/batch"),
    );
    let sent = ann.send(&chat, "x").await;
    let edited = format!("/conversations/{chat}/messages/{}", sent["seq"]);
    let edit = json!({"version": 1, "content": mention(25)["content"]});
    let scheduled = format!("/me/scheduled/{}", id());
    let later = json!({"conversation_id": chat, "send_at": tomorrow(), "kind": "text", "content": mention(25)["content"]});
    for (method, path, body) in [("PATCH", edited, edit), ("PUT", scheduled, later)] {
        let before = left(&ann.get("/me").await);
        let body = serde_json::to_vec(&body).unwrap();
        let answer = ann.send_bytes(method, &path, body).await;
        let used = before.saturating_sub(left(&answer));
        // One per second is refilled.
        assert!((2..=3).contains(&used), "{path}: {used}");
        answer.ok(200);
    }
    for (path, body, cost) in [
        (&conversations, make("group", 0), 1),
        (&conversations, make("group", 10), 1),
        (&conversations, make("group", 11), 2),
        (&conversations, make("channel", 95), 10),
        (&members, json!({"user_ids": many(10)}), 1),
        (&members, json!({"user_ids": many(101)}), 11),
        (&messages, mention(10), 1),
        (&messages, mention(25), 3),
        (
            &batch,
            json!({"messages": [mention(11), text("x"), mention(30)]}),
            6,
        ),
    ] {
        let started = Instant::now();
        let before = left(&ann.get("/me").await);
        let after = left(&ann.post(path, body).await);
        // One per second is refilled.
        let most = after + cost;
        let least = most.saturating_sub(started.elapsed().as_secs() as usize + 1);
        assert!(
            (least..=most).contains(&before),
            "{path}: {before} to {after}"
        );
    }
    app.finish().await;

    // A request larger than the bucket takes all of it, so that it is not rejected forever.
    let app = App::configured(slow(5)).await;
    let [ann] = app.people(["ann"]).await;
    let made = ann.post("/conversations", make("group", 1_000)).await;
    made.problem(404, "not_found");
    let refused = ann.post("/conversations", make("group", 0)).await;
    refused.problem(429, "rate_limited");
    app.finish().await;
}

async fn refused_batch(ann: &Person, path: &str, batch: serde_json::Value) {
    let answer = ann.post(path, batch).await;
    answer.problem(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn password_guesses_are_limited_per_username() {
    let app = App::configured(slow(1_000)).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let login = async |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        app.call("POST", "/v1/auth/login", Some(body)).await
    };
    // For existing and unknown users, and in any spelling.
    for name in ["ann", "nobody"] {
        let (tried, seconds) = allowed(15, async |n| {
            let spelling = if n % 2 == 0 {
                name.to_owned()
            } else {
                name.to_uppercase()
            };
            login(&spelling, "guess").await
        })
        .await;
        assert!(
            (10..=11 + seconds as usize / 6).contains(&tried),
            "{tried} in {seconds} s"
        );
        refused(login(name, PASSWORD).await, "login");
    }
    login("ben", PASSWORD).await.ok(200);
    // The same holds for a password change with a valid token.
    let passwords = json!({"old_password": "guess", "new_password": "battery staple"});
    let (tried, _) = allowed(15, async |_| {
        ben.put("/me/password", passwords.clone()).await
    })
    .await;
    assert!((10..=12).contains(&tried), "{tried}");
    drop(ann);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_address_comes_from_connection_or_trusted_proxy() {
    let app = App::configured(slow(12)).await;
    let guest = async |forwarded: String, token: Option<&str>| {
        let url = app.url()
            + if token.is_some() {
                "/v1/me"
            } else {
                "/v1/capabilities"
            };
        let mut request = app.http.get(url).header("x-forwarded-for", forwarded);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Answer::of(request.send().await.unwrap()).await
    };
    // A forged header changes nothing, and guessing tokens counts as well.
    let (good, seconds) = allowed(40, async |n| {
        let token = (n % 2 == 0).then_some("guess");
        guest(format!("203.0.113.{n}"), token).await
    })
    .await;
    assert!(
        (12..=13 + seconds as usize).contains(&good),
        "{good} in {seconds} s"
    );
    app.finish().await;

    let trusting = |config: &mut Config| {
        slow(12)(config);
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    };
    let app = App::configured(trusting).await;
    let guest = async |forwarded: &str| {
        let request = app.http.get(app.url() + "/v1/capabilities");
        let request = request.header("x-forwarded-for", forwarded);
        Answer::of(request.send().await.unwrap()).await
    };
    // The client itself wrote the left part.
    let (good, seconds) = allowed(30, async |n| {
        guest(&format!("192.0.2.{n}, 203.0.113.1")).await
    })
    .await;
    assert!(
        (12..=13 + seconds as usize).contains(&good),
        "{good} in {seconds} s"
    );
    refused(guest("203.0.113.1").await, "address");
    guest("203.0.113.2").await.ok(200);
    // Some proxies add the port of the connection, which changes each time.
    let (good, seconds) = allowed(30, async |n| {
        guest(&format!("203.0.113.3:{}", 4_000 + n)).await
    })
    .await;
    assert!(
        (12..=13 + seconds as usize).contains(&good),
        "{good} in {seconds} s"
    );
    // One customer of a provider has a whole IPv6 network.
    let (good, seconds) = allowed(30, async |n| guest(&format!("2001:db8::{n}")).await).await;
    assert!(
        (12..=13 + seconds as usize).contains(&good),
        "{good} in {seconds} s"
    );
    guest("2001:db8:0:1::1").await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_wait_costs_one_request() {
    let app = App::configured(slow(10)).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let wait = tokio::spawn({
        let ben = ben.clone();
        async move { ben.get("/notices?since_seq=0&timeout=20").await }
    });
    app.asleep(0, 1).await;
    ann.direct(&ben).await;
    let answer = wait.await.unwrap();
    assert!(
        answer.header("ratelimit").starts_with("\"user\";r=9;"),
        "{}",
        answer.header("ratelimit")
    );
    assert_eq!(answer.ok(200)["news"], true);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_per_address_are_limited() {
    let app = App::configured(|config| {
        config.rate_limit = Some(RateLimit {
            per_second: 100,
            burst: 1_000,
        });
        config.waits_per_address = 2;
    })
    .await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let waits = [ann, ben].map(|person| tokio::spawn(async move { person.wait(0, 25).await }));
    app.asleep(0, 2).await;
    let answer = cat.get("/notices?since_seq=0").await;
    assert_eq!(answer.header("ratelimit-policy"), "\"waits\";q=2;w=0");
    refused(answer, "waits");
    // A probe does not wait.
    cat.wait(0, 0).await;
    for wait in waits {
        wait.abort();
    }
    app.asleep(0, 0).await;
    let wait = tokio::spawn(async move { cat.wait(0, 25).await });
    app.asleep(0, 1).await;
    wait.abort();
    app.finish().await;
}

/// Hashing a password takes tens of milliseconds of a core.
#[tokio::test(flavor = "multi_thread")]
async fn password_hash_costs_five_requests() {
    let app = App::configured(slow(20)).await;
    let login = json!({"username": "nobody", "password": "guess"});
    for left_over in [15, 10, 5, 0] {
        let answer = app
            .call("POST", "/v1/auth/login", Some(login.clone()))
            .await;
        let left = left(&answer);
        answer.problem(401, "invalid_credentials");
        assert!((left_over..=left_over + 3).contains(&left), "{left}");
    }
    let account = json!({"username": "ann", "password": PASSWORD});
    let answer = app.call("POST", "/v1/auth/register", Some(account)).await;
    refused(answer, "address");
    app.finish().await;
}
