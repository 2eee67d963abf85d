//! What operators rely on: health, capabilities, settings, and a log that can be shown to anybody.

use crate::support::{App, Person, Process, SECRET, eventually, execute, services, text};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tideline::config::Config;
use tideline::server::Node;

async fn ready(app: &App) -> (u16, Value) {
    let answer = app.call("GET", "/health/ready", None).await;
    assert_eq!(answer.header("content-type"), "application/json");
    (answer.status, answer.body)
}

fn unready(reason: &str) -> (u16, Value) {
    (
        503,
        json!({"ready": false, "reasons": [reason], "redis": true}),
    )
}

/// Asserts why a node does not start. (On a busy machine it may first find PostgreSQL too slow.)
async fn refuses_to_start(app: &App, why: &str) {
    let refusal = async || {
        let refused = Node::start(app.config.clone()).await.err().unwrap();
        refused.to_string()
    };
    let says_why = |said: &String| said.contains(why);
    eventually("a node refuses", Duration::from_secs(10), refusal, says_why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_what_is_missing() {
    let app = App::start().await;
    let fine = || (200, json!({"ready": true, "reasons": [], "redis": true}));
    assert_eq!(ready(&app).await, fine());
    let draining = &app.nodes[0].app.draining;
    draining.store(true, Ordering::Release);
    assert_eq!(ready(&app).await, unready("the node is going away"));
    draining.store(false, Ordering::Release);

    let mut conn = app.database();
    execute(
        &mut conn,
        "CREATE TABLE away AS SELECT * FROM __diesel_schema_migrations;
         DELETE FROM __diesel_schema_migrations WHERE version = (SELECT max(version) FROM away)",
    );
    let behind = "there are migrations to run: tideline migrate";
    assert_eq!(ready(&app).await, unready(behind));
    // Nor does a node start on such a database.
    refuses_to_start(&app, behind).await;
    execute(
        &mut conn,
        "INSERT INTO __diesel_schema_migrations SELECT * FROM away ON CONFLICT DO NOTHING; DROP TABLE away",
    );
    assert_eq!(ready(&app).await, fine());

    // Redis is reported, not required.
    app.redis.cut();
    assert_eq!(
        ready(&app).await,
        (200, json!({"ready": true, "reasons": [], "redis": false}))
    );
    app.redis.heal();
    let healed = async || ready(&app).await;
    eventually("Redis is back", Duration::from_secs(10), healed, |now| {
        *now == fine()
    })
    .await;

    app.postgres.cut();
    // Neither a user nor an address of the database, for this answer is public.
    for _ in 0..3 {
        assert_eq!(ready(&app).await, unready("PostgreSQL does not answer"));
    }
    // The process lives all the same: restarting it would help nobody.
    let live = app.call("GET", "/health/live", None).await;
    assert_eq!(live.ok(200), json!({"status": "ok"}));
    app.postgres.heal();
    eventually(
        "PostgreSQL is back",
        Duration::from_secs(10),
        healed,
        |now| *now == fine(),
    )
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_may_lose_messages_is_not_served() {
    let app = App::start().await;
    let mut conn = app.database();
    let set = |to: &str| {
        format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = {to}', current_database()); END $$"
        )
    };
    execute(&mut conn, &set("off"));
    let sentence = "PostgreSQL is not fit to keep messages: synchronous_commit must not be \"off\"";
    refuses_to_start(&app, sentence).await;
    execute(&mut conn, &set("on"));
    Node::start(app.config.clone())
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn capabilities_name_the_limits_that_hold() {
    let app = App::start().await;
    let capabilities = app.call("GET", "/v1/capabilities", None).await.ok(200);
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": app.nodes[0].app.epoch,
        "features": capabilities["features"],
        "limits": {"body_bytes": 1_048_576, "text_bytes": 16_384, "batch": 100, "page": 500,
            "devices": 20, "notice_timeout_seconds": 55},
    });
    assert_eq!(capabilities, expected);
    let features = capabilities["features"].as_array().unwrap();
    for feature in ["direct", "batch", "notices", "unread"] {
        assert!(features.contains(&json!(feature)), "{feature}");
    }
    app.finish().await;
}

/// The variables of `.env.example`, with their defaults.
fn example() -> Vec<(&'static str, &'static str)> {
    let lines = include_str!("../../.env.example").lines();
    let mut commented = false;
    let mut variables = Vec::new();
    for line in lines {
        match line.strip_prefix('#').and_then(|line| line.split_once('=')) {
            Some((name, default)) if !name.contains(' ') => {
                assert!(commented, "{name} has no comment");
                variables.push((name, default));
                commented = false;
            }
            _ => commented = line.starts_with("# "),
        }
        assert!(
            line.is_empty() || line.starts_with('#'),
            "{line}: it sets something"
        );
    }
    variables
}

#[test]
fn the_example_lists_every_variable_and_its_default() {
    let looked_up = RefCell::new(Vec::new());
    let required = |name: &str| match name {
        "DATABASE_URL" => Some("postgres://localhost/tideline".to_owned()),
        "REDIS_URL" => Some("redis://localhost:6379".to_owned()),
        "TIDELINE_JWT_SECRET" => Some(SECRET.to_owned()),
        _ => None,
    };
    let config = Config::load(&|name| {
        looked_up.borrow_mut().push(name.to_owned());
        required(name)
    });
    let mut looked_up = looked_up.into_inner();
    looked_up.push("RUST_LOG".to_owned());
    let example = example();
    let mut listed: Vec<_> = example.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort();
    looked_up.sort();
    assert_eq!(listed, looked_up);

    // The defaults are the true ones: setting them changes nothing.
    let set = |name: &str| {
        let (_, default) = example.iter().find(|(listed, _)| *listed == name).unwrap();
        required(name).or((!default.is_empty()).then(|| (*default).to_owned()))
    };
    let from_example = Config::load(&set).unwrap();
    assert_eq!(
        format!("{from_example:?}"),
        format!("{:?}", config.unwrap())
    );
}

#[test]
fn a_bad_setting_stops_the_start_with_a_sentence() {
    let canary = "canary-of-a-secret";
    for (name, value, sentence) in [
        (
            "DATABASE_URL",
            "",
            "DATABASE_URL is required: a libpq URL or keywords",
        ),
        ("REDIS_URL", "", "REDIS_URL is required: such as redis://"),
        (
            "REDIS_URL",
            "http://canary-of-a-secret@x",
            "REDIS_URL is \"…\", but must be redis://[",
        ),
        (
            "REDIS_URL",
            "redis://u:canary-of-a-secret@h:no/0",
            "REDIS_URL is \"…\"",
        ),
        (
            "REDIS_URL",
            "redis://u:canary-of-a-secret@/0",
            "REDIS_URL is \"…\"",
        ),
        (
            "TIDELINE_BIND",
            "localhost",
            "TIDELINE_BIND is \"localhost\", but must be an address and a port",
        ),
        ("TIDELINE_BIND", "8080", "TIDELINE_BIND is \"8080\""),
        (
            "TIDELINE_JWT_SECRET",
            "",
            "TIDELINE_JWT_SECRET is required: at least 32 bytes",
        ),
        (
            "TIDELINE_JWT_SECRET",
            canary,
            "TIDELINE_JWT_SECRET is \"…\", but must be at least 32 bytes",
        ),
        (
            "TIDELINE_ACCESS_TOKEN_SECONDS",
            "0",
            "TIDELINE_ACCESS_TOKEN_SECONDS is \"0\", but must be a whole number from 1 to 86400",
        ),
        (
            "TIDELINE_ACCESS_TOKEN_SECONDS",
            "15m",
            "TIDELINE_ACCESS_TOKEN_SECONDS is \"15m\"",
        ),
        (
            "TIDELINE_REFRESH_TOKEN_DAYS",
            "3651",
            "TIDELINE_REFRESH_TOKEN_DAYS is \"3651\", but must be a whole number from 1 to 3650",
        ),
        (
            "TIDELINE_REGISTRATION",
            "shut",
            "TIDELINE_REGISTRATION is \"shut\", but must be open or closed",
        ),
        (
            "TIDELINE_WORKERS",
            "-1",
            "TIDELINE_WORKERS is \"-1\", but must be a whole number from 1 to 256",
        ),
        (
            "TIDELINE_WRITERS",
            "65",
            "TIDELINE_WRITERS is \"65\", but must be a whole number from 1 to 64",
        ),
        (
            "TIDELINE_DB_POOL",
            "1",
            "TIDELINE_DB_POOL is \"1\", but must be a whole number from ",
        ),
        (
            "TIDELINE_INBOX_RETENTION_DAYS",
            "for ever",
            "TIDELINE_INBOX_RETENTION_DAYS is \"for ever\"",
        ),
        (
            "TIDELINE_DRAIN_SECONDS",
            "1e3",
            "TIDELINE_DRAIN_SECONDS is \"1e3\", but must be a whole number from 1 to 300",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tideline"))
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", "postgres://127.0.0.1:1/none")
            .env("REDIS_URL", "redis://127.0.0.1:1")
            .env("TIDELINE_JWT_SECRET", SECRET)
            .env(name, value)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(sentence), "{name}={value}: {said}");
        assert_eq!(said.lines().count(), 1, "{name}={value}: {said}");
        assert!(!said.contains(canary), "{name}={value}: {said}");
        assert_eq!(output.status.code(), Some(1), "{name}={value}");
    }
}

#[test]
fn an_unreachable_database_stops_the_start_with_a_sentence() {
    let serve = |url: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_tideline"))
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", url)
            .env("TIDELINE_BIND", "127.0.0.1:0")
            .env("REDIS_URL", "redis://127.0.0.1:1")
            .env("TIDELINE_JWT_SECRET", SECRET)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    for (url, why) in [
        (
            "postgres://ann:canary-of-a-secret@127.0.0.1:1/none",
            "Connection refused",
        ),
        (
            "host=127.0.0.1 port=x password=canary-of-a-secret",
            "invalid integer value",
        ),
        ("nonsense", "missing \"=\" after"),
    ] {
        let said = serve(url);
        let lines: Vec<_> = said.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains(why), "{said}");
        assert!(
            lines[1].ends_with("cannot start: PostgreSQL does not answer at DATABASE_URL"),
            "{said}"
        );
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn the_secret_may_come_from_a_file() {
    let path = std::env::temp_dir().join(format!("tideline-secret-{}", std::process::id()));
    let load = || {
        Config::load(&|name| match name {
            "DATABASE_URL" => Some("postgres://localhost/tideline".to_owned()),
            "REDIS_URL" => Some("redis://localhost".to_owned()),
            "TIDELINE_JWT_SECRET_FILE" => Some(path.to_str().unwrap().to_owned()),
            _ => None,
        })
    };
    let missing = load().unwrap_err().to_string();
    assert!(
        missing.starts_with("TIDELINE_JWT_SECRET_FILE is ") && missing.contains("No such file"),
        "{missing}"
    );
    std::fs::write(&path, "too short\n").unwrap();
    let short = load().unwrap_err().to_string();
    assert!(
        short.starts_with("TIDELINE_JWT_SECRET_FILE is \"…\"") && !short.contains("too short"),
        "{short}"
    );
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let config = load();
    std::fs::remove_file(&path).unwrap();
    let config = config.unwrap();
    assert_eq!(config.jwt_secret.0, SECRET.as_bytes());
    assert!(!format!("{config:?}").contains(SECRET));
}

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

#[test]
fn a_taken_address_stops_the_start_with_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let variables = [
        ("DATABASE_URL", "postgres://127.0.0.1:1/none"),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("TIDELINE_JWT_SECRET", SECRET),
        ("TIDELINE_BIND", address.as_str()),
    ];
    let output = Process::command(&["serve"], &variables).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains(&format!("cannot listen on TIDELINE_BIND, {address}: ")),
        "{said}"
    );
}
