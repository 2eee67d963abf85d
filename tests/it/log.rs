//! A log that can be shown to anybody.

use crate::support::{App, Person, Process, SECRET, eventually, services, text};
use serde_json::{Value, json};
use std::time::Duration;

/// Calls of every kind, successes and failures, each with a request id of its own; and what must not be in a log.
async fn traffic(app: &App, url: &str) -> (Vec<String>, Vec<String>) {
    let mut ids = Vec::new();
    let mut call = async |method: &str, path: &str, token: &str, body: Option<Value>| {
        let id = format!("canary-request-{}", ids.len());
        let request = app
            .http
            .request(method.parse().unwrap(), format!("{url}{path}"));
        let mut request = request.bearer_auth(token).header("x-request-id", &id);
        if let Some(body) = body {
            request = request.json(&body);
        }
        ids.push(id);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    };
    let account = json!({"username": "ann", "password": "canary-of-a-password"});
    let (_, session) = call("POST", "/v1/auth/register", "", Some(account.clone())).await;
    let ann = Person::of_session(app, &session);
    let (status, session) = call("POST", "/v1/auth/login", "", Some(account.clone())).await;
    let phone = Person::of_session(app, &session);
    let wrong = json!({"username": "ann", "password": "canary-of-a-wrong-password"});
    let refresh = json!({"refresh_token": phone.refresh_token});
    let other = json!({"username": "ben", "password": "canary-of-a-password"});
    let (_, ben) = call("POST", "/v1/auth/register", "", Some(other)).await;
    let direct = json!({"kind": "direct", "user_id": ben["user"]["id"]});
    let (_, chat) = call("POST", "/v1/conversations", &ann.token, Some(direct)).await;
    let sends = format!(
        "/v1/conversations/{}/messages",
        chat["id"].as_str().unwrap()
    );
    let message = text("canary-of-a-text");
    let mut reused = message.clone();
    reused["content"]["text"] = json!("canary-of-another-text");
    let in_query = format!("/v1/me?access_token={}", ann.token);
    let mut statuses = vec![status];
    for (method, path, token, body) in [
        ("POST", "/v1/auth/register", "", Some(account)),
        ("POST", "/v1/auth/login", "", Some(wrong)),
        ("POST", "/v1/auth/refresh", "", Some(refresh.clone())),
        ("POST", sends.as_str(), &ann.token, Some(message)),
        ("POST", sends.as_str(), &ann.token, Some(reused)),
        (
            "POST",
            sends.as_str(),
            &ann.token,
            Some(json!({"password": "canary-of-a-password"})),
        ),
        ("GET", "/v1/inbox?since_seq=0", &ann.token, None),
        ("GET", &in_query, &ann.token, None),
        ("GET", "/v1/me", "canary-of-a-token", None),
        ("GET", "/v1/nothing", &ann.token, None),
        ("POST", "/v1/auth/logout", &phone.token, None),
        ("POST", "/v1/auth/refresh", "", Some(refresh)),
    ] {
        statuses.push(call(method, path, token, body).await.0);
    }
    assert_eq!(
        statuses,
        [
            200, 409, 401, 200, 201, 422, 400, 200, 400, 401, 404, 204, 401
        ]
    );
    let secrets = [
        ann.token,
        ann.refresh_token,
        phone.token,
        phone.refresh_token,
    ];
    let mut hidden: Vec<_> = secrets
        .iter()
        .map(|secret| secret[secret.len() - 24..].to_owned())
        .collect();
    hidden.extend([
        "canary-of".to_owned(),
        SECRET.to_owned(),
        "$argon2".to_owned(),
    ]);
    (ids, hidden)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_line_for_each_request_and_no_secret() {
    for level in ["info", "debug"] {
        let app = App::start().await;
        let process = Process::serve(
            &app.database_url(),
            &services().redis_url(),
            &[("RUST_LOG", level)],
        );
        let (ids, mut hidden) = traffic(&app, &process.url).await;
        for url in [app.database_url(), services().redis_url()] {
            let (head, _) = url.rsplit_once('@').unwrap();
            hidden.extend(
                head.rsplit_once(':')
                    .map(|(_, password)| password.to_owned()),
            );
        }
        let last = ids.last().unwrap().clone();
        let log = async || process.log();
        let complete = |log: &Vec<String>| log.iter().any(|line| line.ends_with(&last));
        let log = eventually("the last line", Duration::from_secs(5), log, complete).await;
        for id in &ids {
            let lines: Vec<_> = log
                .iter()
                .filter(|line| line.ends_with(&format!("request_id={id}")))
                .collect();
            assert!(
                lines.len() == 1 && lines[0].contains(" INFO "),
                "{id}: {lines:#?}"
            );
        }
        for secret in hidden {
            assert!(secret.len() > 4, "{secret:?} proves nothing");
            let told: Vec<_> = log.iter().filter(|line| line.contains(&secret)).collect();
            assert!(told.is_empty(), "{secret} is in {told:#?}");
        }
        app.finish().await;
    }
}
