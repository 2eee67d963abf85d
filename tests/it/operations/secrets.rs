//! Secrets must never be in a log, at any level.

use crate::properties::newcomers;
use crate::support::requests::{Request, Scene, operations};
use crate::support::token::{claims, forge, header, with};
use crate::support::{Answer, App, PASSWORD, Person, SECRET, eventually, execute, services, text};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use tideline::clock::unix_seconds;

/// A part of every secret text of these tests.
const CANARY: &str = "canary-of-";

/// A valid request of every operation, with canaries in its texts, and the secrets in it.
async fn requests(
    app: &App,
    ann: &Person,
    ben: &Person,
    chat: &str,
) -> (Vec<Request>, Vec<String>) {
    let (mut requests, mut secrets) = (Vec::new(), Vec::new());
    for operation in operations() {
        let [stranger] = newcomers(app).await;
        let scene = Scene {
            caller: ann,
            chat,
            member: ben,
            stranger: &stranger,
        };
        let mut request = operation.good(app, &scene).await;
        secrets.extend(request.token.clone());
        if let Some(body) = &mut request.body {
            for place in [
                "/content/text",
                "/messages/0/content/text",
                "/display_name",
                "/title",
            ] {
                if let Some(text) = body.pointer_mut(place) {
                    *text = json!(format!("{CANARY}something said"));
                }
            }
            let token = body.get("refresh_token").and_then(Value::as_str);
            secrets.extend(token.map(str::to_owned));
        }
        requests.push(request);
    }
    // Requests about the member come before the removal.
    requests.sort_by_key(|one: &Request| one.method == "DELETE" && one.path.contains("/members/"));
    (requests, secrets)
}

/// Failing requests, each with a secret in a wrong place.
async fn failures(ann: &Person, requests: &[Request]) {
    let ended = with(&claims(&ann.token), "exp", Some(json!(unix_seconds() - 10)));
    let expired = forge(&header(), &ended, SECRET);
    for request in requests {
        for token in [None, Some(expired.as_str()), Some("canary-of-a-token")] {
            // It ends its own session, so it is sent only once, elsewhere.
            if request.body.is_none() || token.is_some() {
                request.send(ann, token).await;
            }
        }
        let separator = if request.path.contains('?') { '&' } else { '?' };
        let in_query = Request {
            path: format!(
                "{}{separator}access_token={}&password=canary-of-a-query",
                request.path, ann.token
            ),
            ..request.clone()
        };
        in_query.send_as(ann).await;
        if request.body.is_some() {
            for bytes in [
                r#"{"canary-of-a-name": "canary-of-a-value"}"#,
                r#"{"password": "canary-of-a-password", "username": ["canary-of-a-list"]}"#,
                r#"{"text": "canary-of-a-broken body"#,
                "canary-of-no-json",
            ] {
                let refused = request.send_bytes_as(ann, bytes).await;
                assert!((400..500).contains(&refused.status), "{}", refused.body);
            }
        }
    }
    for scheme in [
        "Basic canary-of-basic",
        "Digest canary-of-digest",
        "canary-of-nothing",
    ] {
        let request = ann.http.get(format!("{}/v1/me", ann.url));
        request
            .header("authorization", scheme)
            .send()
            .await
            .unwrap();
    }
    for (path, body) in [
        (
            "login",
            json!({"username": "ann", "password": "canary-of-a-wrong-password"}),
        ),
        (
            "login",
            json!({"username": "canary-of-a-slip", "password": "ann"}),
        ),
        (
            "register",
            json!({"username": "ann", "password": "canary-of-a-new-password"}),
        ),
        (
            "refresh",
            json!({"refresh_token": "canary-of-a-refresh-token"}),
        ),
        ("refresh", json!({"refresh_token": ann.token})),
    ] {
        let url = format!("{}/v1/auth/{path}", ann.url);
        ann.http.post(url).json(&body).send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_contain_no_secrets() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    // tideline at any level, and its dependencies at debug.
    let node = app.add_process(&[("RUST_LOG", "debug,tideline=trace")]);
    let ready = async || {
        let url = format!("{}/health/ready", node.process.url);
        app.http.get(url).send().await.unwrap().status() == 200
    };
    eventually("ready", Duration::from_secs(20), ready, |is| *is).await;
    let thief = ann.another_device(&app).await;
    let (ann, thief) = (ann.at(&node.process.url), thief.at(&node.process.url));
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "canary-of-a-first-message").await;

    let (good, mut secrets) = requests(&app, &ann, &ben, &chat).await;
    for request in &good {
        let answer = request.send_as(&ann).await;
        assert!(answer.status < 300, "{request:?}: {}", answer.body);
        let tokens = ["access_token", "refresh_token"].map(|name| answer.body[name].as_str());
        secrets.extend(tokens.into_iter().flatten().map(str::to_owned));
    }
    failures(&ann, &good).await;
    // (The password change has logged the other devices out.)
    let spent = json!({"refresh_token": thief.refresh_token});
    let url = format!("{}/v1/auth/refresh", ann.url);
    let revoked = ann.http.post(url).json(&spent).send().await.unwrap();
    assert_eq!(revoked.status(), 401);

    // PostgreSQL quotes the row when it rejects one.
    execute(
        &mut app.database(),
        "ALTER TABLE users ADD CONSTRAINT no_canary CHECK (display_name NOT LIKE 'canary%') NOT VALID;
         ALTER TABLE conversations ADD CONSTRAINT no_canary CHECK (title NOT LIKE 'canary%') NOT VALID;
         ALTER TABLE messages ADD CONSTRAINT no_canary CHECK (content::text NOT LIKE '%canary%') NOT VALID",
    );
    let broken = ann
        .patch("/me", json!({"display_name": "canary-of-a-row"}))
        .await;
    broken.problem(500, "internal");
    let message = text("canary-of-a-refused-message");
    let broken = ann.post_message(&chat, message).await;
    broken.problem(500, "internal");
    let title = json!({"title": "canary-of-a-refused-title"});
    let broken = ann.patch(&format!("/conversations/{chat}"), title).await;
    broken.problem(500, "internal");
    for request in &good {
        request.send_as(&ann).await;
    }
    execute(
        &mut app.database(),
        "ALTER TABLE users DROP CONSTRAINT no_canary; ALTER TABLE conversations DROP CONSTRAINT no_canary;
         ALTER TABLE messages DROP CONSTRAINT no_canary",
    );
    // Concurrently, since each request waits for the missing service.
    node.redis.cut();
    join_all(good.iter().map(|request| request.send_as(&ann))).await;
    node.postgres.cut();
    let answers = join_all(good.iter().map(|request| request.send_as(&ann))).await;
    let away = |answer: &&Answer| answer.body["code"] == "storage_unavailable";
    assert!(answers.iter().filter(away).count() > 10);
    node.redis.heal();
    node.postgres.heal();
    let ready = async || ann.get("/me").await.status;
    eventually("it is back", Duration::from_secs(10), ready, |s| *s == 200).await;
    let last = Request {
        path: "/v1/the-last-line".to_owned(),
        ..good[0].clone()
    };
    last.send_as(&ann).await;
    let log = async || node.process.log();
    let complete = |log: &Vec<String>| log.iter().any(|line| line.contains("/v1/the-last-line"));
    let log = eventually("the last line", Duration::from_secs(5), log, complete).await;

    for one in [&ann, &ben, &thief] {
        secrets.extend([one.token.clone(), one.refresh_token.clone()]);
    }
    // The end of a token is its signature, which suffices to forge one.
    let mut hidden: Vec<_> = secrets
        .iter()
        .map(|one| one[one.len() - 20..].to_owned())
        .collect();
    for url in [app.database_url(), services().redis_url()] {
        let (head, _) = url.rsplit_once('@').unwrap();
        let password = head.rsplit_once(':').unwrap().1;
        assert!(!password.is_empty(), "{url} proves nothing");
        hidden.push(password.to_owned());
    }
    hidden.extend([CANARY, PASSWORD, SECRET, "$argon2", "Bearer", "Basic "].map(str::to_owned));
    assert!(log.len() > 300, "{log:#?}");
    for secret in hidden {
        assert!(secret.len() > 4, "{secret:?} proves nothing");
        let leaks: Vec<_> = log.iter().filter(|line| line.contains(&secret)).collect();
        assert!(leaks.is_empty(), "{secret} is in {leaks:#?}");
    }
    drop(node);
    app.finish().await;
}
