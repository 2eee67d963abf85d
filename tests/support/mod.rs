//! The test harness, in the terms of the product, on real PostgreSQL and Redis:
//!
//! ```ignore
//! let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
//! let chat = ann.direct(&ben).await;
//! ann.send(&chat, "hi").await;
//! app.finish().await;
//! ```
//!
//! Every test has its own database, copied from a migrated template, and its own proxies before PostgreSQL and Redis, so that
//! faults (`app.redis.cut()`) affect no other test. `finish` checks the world (`world`): no gap in any seq, every inbox entry
//! points at a message, every unread count equals a recount.

mod answer;
mod client;
mod cluster;
pub mod media;
pub mod online;
mod person;
mod process;
mod proxy;
pub mod requests;
pub mod schema;
mod services;
pub mod slow;
pub mod token;
pub mod waits;
mod wire;
mod world;

pub use answer::Answer;
pub use client::Client;
pub use cluster::Cluster;
pub use person::{PASSWORD, Person};
pub use process::{NodeProcess, Process, free_address};
pub use proxy::{Proxy, Stop};
pub use services::{services, throw_away, throw_away_as};
pub use wire::Wire;
pub use world::store_has_what_the_rows_say;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use serde_json::{Value, json};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use tideline::config::Config;
use tideline::node::{Node, ServeError};

/// The JWT secret of every test node.
pub const SECRET: &str = "a secret of the tests, long enough for HS256";

/// One deployment: a database, a Redis, and nodes in this process. (`add_process` starts one outside.)
pub struct App {
    pub nodes: Vec<Node>,
    /// Between the nodes and PostgreSQL.
    pub postgres: Proxy,
    /// Between the nodes and Redis.
    pub redis: Proxy,
    pub http: reqwest::Client,
    pub config: Config,
    database: String,
    finished: bool,
}

impl App {
    /// One node, without users.
    pub async fn start() -> Self {
        Self::configured(|_| ()).await
    }

    /// One node with other settings.
    pub async fn configured(set: impl FnOnce(&mut Config)) -> Self {
        let database = services::create_database();
        let url = services().database_url_of(&database);
        let postgres = Proxy::before(&url);
        let redis = Proxy::before(&services().redis_url());
        let mut config = Config::load(&|name| match name {
            "DATABASE_URL" => Some(postgres.url().to_owned()),
            "REDIS_URL" => Some(redis.url().to_owned()),
            "TIDELINE_BIND" => Some("127.0.0.1:0".to_owned()),
            "TIDELINE_JWT_SECRET" => Some(SECRET.to_owned()),
            // Off, so that tests are fast; tests of the limits set one.
            "TIDELINE_RATE_LIMIT" => Some("off".to_owned()),
            "TIDELINE_DRAIN_SECONDS" => Some("3".to_owned()),
            "TIDELINE_MEDIA_URL" => Some(services::media_url(&database)),
            "TIDELINE_DESKS" => Some("open".to_owned()),
            _ => None,
        })
        .unwrap();
        // Many nodes start simultaneously; ten connections each would overload two cores.
        config.workers = 1;
        config.db_pool = 6;
        // The disk of a machine for tests may be nearly full.
        config.media.as_mut().unwrap().least_free = 0;
        // The search reads what is not in the index: its own tests index.
        config.index_pause = None;
        config.decoder = env!("CARGO_BIN_EXE_tideline").into();
        // A node is ready after the second tick.
        config.presence_timings.tick = Duration::from_millis(50);
        set(&mut config);
        let mut app = Self {
            nodes: Vec::new(),
            postgres,
            redis,
            http: http(),
            config,
            database,
            finished: false,
        };
        app.add_node().await;
        app
    }

    /// One node and these people, each registered with one device.
    pub async fn with<const N: usize>(names: [&str; N]) -> (Self, [Person; N]) {
        let app = Self::start().await;
        let people = app.people(names).await;
        (app, people)
    }

    /// Registers people.
    pub async fn people<const N: usize>(&self, names: [&str; N]) -> [Person; N] {
        let url = self.url();
        let people = names.map(|name| Person::register(&self.http, &url, name));
        let people: Vec<Person> = futures_util::future::join_all(people).await;
        people.try_into().ok().unwrap()
    }

    /// Starts another node on the same database and Redis.
    pub async fn add_node(&mut self) {
        self.add_node_with(self.config.clone()).await;
    }

    /// Starts another node with these settings. It is ready, unless Redis is away.
    pub async fn add_node_with(&mut self, config: Config) {
        let node = Node::start(config).await.unwrap();
        let online = &node.handles.delivery.waiters.presence;
        for _ in 0..100 {
            if !online.is_on || !online.replica.is_reading() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.nodes.push(node);
    }

    /// Starts another node on the same database and Redis as a process, behind its own proxies.
    pub fn add_process(&self, variables: &[(&str, &str)]) -> NodeProcess {
        NodeProcess::serve(&self.database_url(), &services().redis_url(), variables)
    }

    /// The same, with this done to the proxy before PostgreSQL first.
    pub fn add_process_behind(&self, set: impl FnOnce(&Proxy)) -> NodeProcess {
        let database = Proxy::before(&self.database_url());
        set(&database);
        NodeProcess::behind(database, &services().redis_url(), &[])
    }

    /// Returns once this many waits sleep on a node. They have queried the head: later news must wake them.
    pub async fn asleep(&self, node: usize, count: usize) {
        let asleep = async || self.nodes[node].handles.delivery.waiters.asleep();
        let soon = Duration::from_secs(5);
        eventually("they sleep", soon, asleep, |n| *n == count).await;
    }

    /// The address of the first node.
    pub fn url(&self) -> String {
        format!("http://{}", self.nodes[0].address)
    }

    /// Sends a request without a token.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let method = method.parse().unwrap();
        let mut request = self.http.request(method, self.url() + path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    /// A connection to the database, past the proxy.
    pub fn database(&self) -> PgConnection {
        PgConnection::establish(&self.database_url()).unwrap()
    }

    /// The media store.
    pub fn media_dir(&self) -> std::path::PathBuf {
        services::media_dir(&self.database)
    }

    /// The database's URL, past the proxy.
    pub fn database_url(&self) -> String {
        services().database_url_of(&self.database)
    }

    /// Runs `tideline admin …` on this deployment, past the proxies.
    pub fn admin(&self, arguments: &[&str]) -> Output {
        admin(&self.database_url(), &services().redis_url(), arguments)
    }

    /// Deletes all keys of this deployment in Redis.
    pub async fn flush_redis(&self) {
        let client = redis::Client::open(services().redis_url()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let pattern = format!("tl:{}:*", self.nodes[0].handles.delivery.epoch);
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(pattern)
            .query_async(&mut redis)
            .await
            .unwrap();
        if !keys.is_empty() {
            let _: i64 = redis::cmd("DEL")
                .arg(keys)
                .query_async(&mut redis)
                .await
                .unwrap();
        }
    }

    /// A command on the hash of a user's unread counts, past the proxy.
    pub async fn unread_hash<T: redis::FromRedisValue>(
        &self,
        person: &Person,
        command: &str,
        arguments: &[&str],
    ) -> T {
        let client = redis::Client::open(services().redis_url()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(command)
            .arg(format!(
                "tl:{}:unread:{{{}}}",
                self.nodes[0].handles.delivery.epoch, person.id
            ))
            .arg(arguments)
            .query_async(&mut redis)
            .await
            .unwrap()
    }

    /// Checks the world, stops the nodes and drops the database.
    pub async fn finish(mut self) {
        world::check(&self).await;
        self.finished = true;
        for node in std::mem::take(&mut self.nodes) {
            match node.stop().await {
                // On a busy machine the short drain time of the tests may be too short.
                Ok(()) | Err(ServeError::Unfinished) => {}
                Err(error) => panic!("{error}"),
            }
        }
        services::drop_database(&self.database);
    }
}

impl Drop for App {
    fn drop(&mut self) {
        assert!(
            self.finished || std::thread::panicking(),
            "the test did not call app.finish(), which checks the world"
        );
    }
}

/// Runs `tideline admin …`.
pub fn admin(database_url: &str, redis_url: &str, arguments: &[&str]) -> Output {
    let variables = [
        ("DATABASE_URL", database_url),
        ("REDIS_URL", redis_url),
        ("TIDELINE_JWT_SECRET", SECRET),
    ];
    let arguments = [&["admin"], arguments].concat();
    let mut command = Process::command(&arguments, &variables);
    command.stdout(Stdio::piped()).output().unwrap()
}

/// Polls until a condition holds, or panics with the last value.
pub async fn eventually<T: std::fmt::Debug>(
    what: &str,
    within: Duration,
    mut get: impl AsyncFnMut() -> T,
    holds: impl Fn(&T) -> bool,
) -> T {
    let started = Instant::now();
    loop {
        let value = get().await;
        if holds(&value) {
            return value;
        }
        assert!(
            started.elapsed() < within,
            "{what}: still {value:?} after {within:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs SQL.
pub fn execute(conn: &mut PgConnection, sql: &str) {
    conn.batch_execute(sql).unwrap();
}

/// Waits until at least this many statements of this database wait for a lock.
pub async fn waiting_for_locks(conn: &mut PgConnection, count: i64) {
    let waiting = "SELECT count(*) AS n FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let now = async || number(conn, waiting);
    eventually("waits", Duration::from_secs(10), now, |n| *n >= count).await;
}

/// A single number, named `n` in the SQL.
pub fn number(conn: &mut PgConnection, sql: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        n: i64,
    }
    let row: Row = sql_query(sql).get_result(conn).unwrap();
    row.n
}

/// A client with a time-out longer than every wait.
pub fn http() -> reqwest::Client {
    let builder = reqwest::Client::builder().timeout(Duration::from_secs(70));
    builder.build().unwrap()
}

/// A new id.
pub fn id() -> String {
    tideline::clock::new_id().to_string()
}

/// A text message with a new id.
pub fn text(text: &str) -> Value {
    json!({"client_msg_id": id(), "kind": "text", "content": {"text": text}})
}

/// A time tomorrow.
pub fn tomorrow() -> String {
    let time = chrono::DateTime::from_timestamp(tideline::clock::unix_seconds() + 86_400, 0);
    time.unwrap()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// `me` of a conversation of a member who has joined at this seq and done nothing since.
pub fn new_member(role: &str, joined: i64) -> Value {
    let settings = json!({"notify": null, "pinned": false, "archived": false, "hidden_through": null, "nickname": null});
    json!({"role": role, "read_seq": joined, "unread": 0, "unread_mentions": 0, "joined_seq": joined, "cleared_seq": 0, "marked_unread": false, "muted_until": null, "settings": settings})
}
