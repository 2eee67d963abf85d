//! Startup checks, readiness, capabilities and settings.

use crate::support::{Answer, App, Process, SECRET, eventually, execute, http, throw_away};
use diesel::{Connection, PgConnection};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tideline::config::Config;
use tideline::node::Node;
use tideline::storage::pg::operations::instance;

/// Longer than a node caches its readiness.
pub const FOUND: Duration = Duration::from_millis(550);

/// The readiness of a node, without the cache.
async fn ready_now(app: &App) -> (u16, Value) {
    tokio::time::sleep(FOUND).await;
    ready(app).await
}

pub async fn ready(app: &App) -> (u16, Value) {
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

/// Asserts why a node does not start. (On a busy machine PostgreSQL may first be too slow.)
async fn refuses_to_start(app: &App, why: &str) {
    let refusal = async || {
        let refused = Node::start(app.config.clone()).await.err().unwrap();
        refused.to_string()
    };
    let says_why = |said: &String| said.contains(why);
    eventually("a node refuses", Duration::from_secs(10), refusal, says_why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_reports_what_is_missing() {
    let app = App::start().await;
    let fine = || (200, json!({"ready": true, "reasons": [], "redis": true}));
    assert_eq!(ready_now(&app).await, fine());
    let draining = &app.nodes[0].handles.lifecycle.draining;
    draining.store(true, Ordering::Release);
    assert_eq!(ready_now(&app).await, unready("the node is shutting down"));
    draining.store(false, Ordering::Release);

    let mut conn = app.database();
    execute(
        &mut conn,
        "CREATE TABLE away AS SELECT * FROM __diesel_schema_migrations;
         DELETE FROM __diesel_schema_migrations WHERE version = (SELECT max(version) FROM away)",
    );
    let behind = "there are migrations to run: tideline migrate";
    assert_eq!(ready_now(&app).await, unready(behind));
    // A node does not start on such a database either.
    refuses_to_start(&app, behind).await;
    execute(
        &mut conn,
        "INSERT INTO __diesel_schema_migrations SELECT * FROM away ON CONFLICT DO NOTHING; DROP TABLE away;
         INSERT INTO __diesel_schema_migrations VALUES ('99991231000001')",
    );
    // A newer version has migrated already: this one serves until it is replaced.
    assert_eq!(ready_now(&app).await, fine());

    // Redis is reported, not required.
    app.redis.cut();
    assert_eq!(
        ready_now(&app).await,
        (200, json!({"ready": true, "reasons": [], "redis": false}))
    );
    app.redis.heal();
    let healed = async || ready_now(&app).await;
    eventually("Redis is back", Duration::from_secs(10), healed, |now| {
        *now == fine()
    })
    .await;

    app.postgres.cut();
    // The answer is public, so it names neither a user nor an address.
    for _ in 0..3 {
        assert_eq!(ready_now(&app).await, unready("PostgreSQL does not answer"));
    }
    // The process is alive: a restart would not help.
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
async fn unsafe_database_settings_are_rejected() {
    let services = throw_away("unsafe");
    let (url, redis) = (services.database_url(), services.redis_url());
    instance::migrate(&url).unwrap();
    let mut conn = PgConnection::establish(&url).unwrap();
    let node = Process::serve(&url, &redis, &[]);
    let client = http();
    let ready = async || {
        let asked = client.get(format!("{}/health/ready", node.url)).send();
        let answer = Answer::of(asked.await.unwrap()).await;
        (answer.status, answer.body)
    };
    let fine = || (200, json!({"ready": true, "reasons": [], "redis": true}));
    let within = Duration::from_secs(10);
    eventually("it has started", within, ready, |now| *now == fine()).await;
    for name in ["synchronous_commit", "fsync", "full_page_writes"] {
        execute(&mut conn, &format!("ALTER SYSTEM SET {name} = off"));
        execute(&mut conn, "SELECT pg_reload_conf()");
        let sentence = format!("{name} must not be \"off\"");
        eventually(name, within, ready, |now| *now == unready(&sentence)).await;
        let variables = [
            ("DATABASE_URL", url.as_str()),
            ("REDIS_URL", &redis),
            ("TIDELINE_JWT_SECRET", SECRET),
            ("TIDELINE_BIND", "127.0.0.1:0"),
        ];
        let mut start = Process::command(&["serve"], &variables);
        let refused = start.stderr(Stdio::piped()).output().unwrap();
        assert!(!refused.status.success());
        let said = String::from_utf8(refused.stderr).unwrap();
        let sentence = format!("PostgreSQL is not fit to keep messages: {sentence}");
        assert!(said.contains(&sentence), "{said}");
        execute(&mut conn, "ALTER SYSTEM RESET ALL");
        execute(&mut conn, "SELECT pg_reload_conf()");
        eventually(name, within, ready, |now| *now == fine()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capabilities_report_the_effective_limits() {
    let app = App::start().await;
    let capabilities = app.call("GET", "/v1/capabilities", None).await.ok(200);
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": app.nodes[0].handles.delivery.epoch,
        "features": capabilities["features"],
        "limits": {"body_bytes": 1_048_576, "text_bytes": 16_384, "batch": 100, "page": 500,
            "members": 100_000, "devices": 20, "blocks": 1_000, "watch": 100, "notice_timeout_seconds": 55,
            "edit_seconds": 172_800, "recall_seconds": 172_800, "versions": 100, "mention_all": 50, "emoji": 20,
            "emoji_per_user": 5, "hidden": 10_000, "scheduled": 100, "pins": 100,
            "presence_ids": 100, "typing_watch": 4, "typing_members": 100,
            "contacts": 5000, "requests_pending": 200, "tags": 32,
            "media_bytes": 104_857_600, "media_image_bytes": 33_554_432, "media_part_bytes": 8_388_608,
            "media_quota_bytes": 10_737_418_240_i64, "media_open_uploads": 20,
            "search_terms": 10, "search_page": 50},
    });
    assert_eq!(capabilities, expected);
    let features = capabilities["features"].as_array().unwrap();
    for feature in [
        "direct",
        "group",
        "channel",
        "blocks",
        "batch",
        "notices",
        "unread",
        "watch",
        "mentions",
        "changes",
        "edit",
        "recall",
        "reactions",
        "replies",
        "pins",
        "slow_mode",
        "profiles",
        "contacts",
        "typing",
        "account_ends",
        "user_search",
        "search",
    ] {
        assert!(features.contains(&json!(feature)), "{feature}");
    }
    app.finish().await;
}

/// The variables of `.env.example`, with their defaults.
fn example() -> Vec<(&'static str, &'static str)> {
    let lines = include_str!("../../../.env.example").lines();
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
fn env_example_lists_every_variable_and_default() {
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
    // Read by others: the logger, and the TLS of Redis.
    looked_up.extend(["RUST_LOG", "SSL_CERT_FILE"].map(str::to_owned));
    let example = example();
    let mut listed: Vec<_> = example.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort();
    looked_up.sort();
    assert_eq!(listed, looked_up);

    // The listed defaults are the real ones: setting them changes nothing.
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
fn invalid_setting_stops_startup_with_a_message() {
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
            "TIDELINE_RECEIPTS",
            "yes",
            "TIDELINE_RECEIPTS is \"yes\", but must be on or off",
        ),
        (
            "TIDELINE_ERASE_DAYS",
            "-1",
            "TIDELINE_ERASE_DAYS is \"-1\", but must be a whole number from 0 to 3650",
        ),
        (
            "REDIS_URL",
            "rediss://u:canary-of-a-secret@h:6379/#insecure",
            "REDIS_URL is \"…\", but must be redis://[user:password@]host[:port][/database], or redis+cluster://[user:password@]host[:port],… \
             with some servers of a cluster, or either with rediss for TLS",
        ),
        (
            "REDIS_URL",
            "redis+sentinel://u:canary-of-a-secret@h:6379",
            "REDIS_URL is \"…\"",
        ),
        (
            "REDIS_URL",
            "redis+cluster://u:canary-of-a-secret@h:6379,",
            "REDIS_URL is \"…\"",
        ),
        (
            "REDIS_URL",
            "redis+cluster://u:canary-of-a-secret@h:6379,i:no",
            "REDIS_URL is \"…\"",
        ),
        (
            "REDIS_URL",
            "redis+cluster://u:canary-of-a-secret@h:6379/0",
            "REDIS_URL is \"…\"",
        ),
        (
            "REDIS_URL",
            "rediss+cluster://u:canary-of-a-secret@h:6379#insecure",
            "REDIS_URL is \"…\"",
        ),
        (
            "TIDELINE_CORS_ORIGINS",
            "https://app.example/",
            "TIDELINE_CORS_ORIGINS is \"https://app.example/\", but must be *, or origins with commas between them",
        ),
        (
            "TIDELINE_CORS_ORIGINS",
            "*,https://app.example",
            "TIDELINE_CORS_ORIGINS is \"*,https://app.example\"",
        ),
        (
            "TIDELINE_TRUSTED_MEDIA_HOSTS",
            "https://media.example",
            "TIDELINE_TRUSTED_MEDIA_HOSTS is \"https://media.example\", but must be *, or hosts with commas between them",
        ),
        (
            "TIDELINE_TRUSTED_MEDIA_HOSTS",
            "media.example,*.\"><script>",
            "TIDELINE_TRUSTED_MEDIA_HOSTS is",
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
            "without end",
            "TIDELINE_INBOX_RETENTION_DAYS is \"without end\"",
        ),
        (
            "TIDELINE_DRAIN_SECONDS",
            "1e3",
            "TIDELINE_DRAIN_SECONDS is \"1e3\", but must be a whole number from 2 to 300",
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
fn unreachable_database_stops_startup_with_a_message() {
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
fn jwt_secret_can_be_read_from_a_file() {
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

#[test]
fn address_in_use_stops_startup_with_a_message() {
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
