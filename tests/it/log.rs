//! A log that can be shown to anybody.

use crate::support::{App, Person, Process, SECRET, eventually, services, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
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
    // Other forms of the path of a link to media.
    let link = "canary-of-a-link".repeat(8);
    let links = ["/v1/media/%6c/", "//v1/media/l/"].map(|path| format!("{path}{link}"));
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
        (
            "GET",
            "/v1/search/messages?q=canary-of-a-search",
            &ann.token,
            None,
        ),
        (
            "GET",
            "/v1/search/messages?q=canary-of-a-search&limit=0",
            &ann.token,
            None,
        ),
        ("GET", "/v1/me", "canary-of-a-token", None),
        ("GET", "/v1/nothing", &ann.token, None),
        ("GET", &links[0], "", None),
        ("GET", &links[1], "", None),
        ("POST", "/v1/auth/logout", &phone.token, None),
        ("POST", "/v1/auth/refresh", "", Some(refresh)),
    ] {
        statuses.push(call(method, path, token, body).await.0);
    }
    assert_eq!(
        statuses,
        [
            200, 409, 401, 200, 201, 422, 400, 200, 400, 200, 400, 401, 404, 403, 404, 204, 401
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
            let leaks: Vec<_> = log.iter().filter(|line| line.contains(&secret)).collect();
            assert!(leaks.is_empty(), "{secret} is in {leaks:#?}");
        }
        app.finish().await;
    }
}

/// The fields of a line in the form of `TIDELINE_LOG=json`.
fn parsed(line: &str) -> BTreeMap<String, String> {
    let fields: BTreeMap<String, String> =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let names = ["level", "message", "target", "time"];
    assert!(fields.keys().eq(&names), "{line}");
    let time = &fields["time"];
    let is_time = chrono::DateTime::parse_from_rfc3339(time).is_ok();
    assert!(is_time && time.len() == 24 && time.ends_with('Z'), "{line}");
    let levels = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
    assert!(levels.contains(&fields["level"].as_str()), "{line}");
    fields
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_json_whatever_a_client_sends() {
    let app = App::start().await;
    let variables = [("TIDELINE_LOG", "json"), ("RUST_LOG", "debug")];
    let (database, redis) = (app.database_url(), services().redis_url());
    let mut process = Process::serve(&database, &redis, &variables);
    let (ids, _) = traffic(&app, &process.url).await;
    // An HTTP client would encode this path.
    let path = r#"/v1/"},{"level":"ERROR\%0A%1B[31m"#;
    let address = process.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nx-request-id: hostile\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404 "));
    process.signal("TERM");
    assert_eq!(process.wait(), 0, "{:#?}", process.log());
    let log = async || process.log();
    let complete = |log: &Vec<String>| log.iter().any(|line| line.contains("\"stopped\""));
    let log = eventually("the last line", Duration::from_secs(5), log, complete).await;
    let lines: Vec<_> = log.iter().map(|line| parsed(line)).collect();
    let of = |id: &str| {
        let end = format!(" request_id={id}");
        let is_its = |line: &&BTreeMap<String, String>| line["message"].ends_with(&end);
        let own: Vec<_> = lines.iter().filter(is_its).collect();
        assert!(
            own.len() == 1 && own[0]["level"] == "INFO",
            "{id}: {own:#?}"
        );
        own[0]["message"].clone()
    };
    for id in &ids {
        of(id);
    }
    let hostile = of("hostile");
    let start = format!("GET {path} 404 not_found ");
    assert!(hostile.starts_with(&start), "{hostile}");
    app.finish().await;
}

#[test]
fn the_form_of_the_lines_is_text_unless_it_is_set() {
    const WHY: &str = "DATABASE_URL is required: a libpq URL or keywords, such as \
        postgres://tideline@localhost/tideline";
    let line = |form: Option<&str>| {
        let variables: Vec<_> = form
            .map(|form| ("TIDELINE_LOG", form))
            .into_iter()
            .collect();
        let output = Process::command(&["migrate"], &variables).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let log = String::from_utf8(output.stderr).unwrap();
        let line = log.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "{log}");
        line.to_owned()
    };
    let text = |form: Option<&str>| {
        let line = line(form);
        let (time, rest) = line.split_at("[2026-11-20T09:30:00Z".len());
        let time = time.strip_prefix('[').unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
        rest.to_owned()
    };
    for form in [None, Some(""), Some("text")] {
        assert_eq!(text(form), format!(" ERROR tideline] {WHY}"));
    }
    let json = parsed(&line(Some("json")));
    assert_eq!(json["level"], "ERROR");
    assert_eq!(json["target"], "tideline");
    assert_eq!(json["message"], WHY);
    let refusal = " ERROR tideline] TIDELINE_LOG is \"xml\", but must be text or json";
    assert_eq!(text(Some("xml")), refusal);
}

#[test]
fn a_filter_that_cannot_be_read_is_refused_and_one_that_hides_all_hides_no_error() {
    let run = |filter: &str| {
        let variables = [("TIDELINE_LOG", "json"), ("RUST_LOG", filter)];
        let output = Process::command(&["migrate"], &variables).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let refused = run("info,a=b=c");
    let refused = parsed(refused.strip_suffix('\n').unwrap());
    let start = "RUST_LOG is \"info,a=b=c\", but must be a level such as info";
    assert!(refused["message"].starts_with(start), "{refused:?}");
    for hides in ["off", "diesel=debug"] {
        assert!(
            run(hides).starts_with("DATABASE_URL is required"),
            "{hides}"
        );
    }
}
