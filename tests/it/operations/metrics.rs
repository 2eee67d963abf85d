//! Metrics: each is documented, changes when it should, and has bounded labels.

use crate::support::{App, Person, Process, SECRET, eventually, id, text};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::time::Duration;
use tideline::config::{Config, Secret};
use tideline::node::Node;

const SOON: Duration = Duration::from_secs(10);

async fn measured<const N: usize>(names: [&str; N]) -> (App, [Person; N]) {
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let app = App::configured(|config| config.metrics_bind = Some(anywhere)).await;
    let people = app.people(names).await;
    (app, people)
}

/// The metrics of a node.
struct Metrics(String);

/// Only the nonzero series, to be readable when a test fails.
impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_shown = |(series, value): &(&str, f64)| *value > 0.0 && !series.contains("_bucket");
        f.debug_map()
            .entries(self.series().into_iter().filter(is_shown))
            .finish()
    }
}

impl Metrics {
    async fn of(node: &Node) -> Self {
        let url = format!("http://{}/metrics", node.metrics_address.unwrap());
        let answer = reqwest::get(url).await.unwrap();
        assert_eq!(answer.status(), 200);
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        Self(answer.text().await.unwrap())
    }

    /// Name and labels of every series, and its value.
    fn series(&self) -> BTreeMap<&str, f64> {
        let samples = self.0.lines().filter(|line| !line.starts_with('#'));
        samples
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(series, value)| (series, value.parse().unwrap()))
            .collect()
    }

    /// The value of a series; 0 when there is none.
    fn get(&self, series: &str) -> f64 {
        self.series().get(series).copied().unwrap_or(0.0)
    }

    /// The type of every metric, and the labels of its series.
    fn kinds(&self) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let types = self
            .0
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "));
        types
            .map(|line| {
                let (name, kind) = line.split_once(' ').unwrap();
                let of_it = |series: &&&str| {
                    let (bare, _) = series.split_once('{').unwrap_or((series, ""));
                    let part = bare.strip_prefix(name);
                    part.is_some_and(|part| ["", "_bucket", "_sum", "_count"].contains(&part))
                };
                let series = self.series();
                let labels = series.keys().filter(of_it).flat_map(|series| {
                    let (_, labels) = series.split_once('{').unwrap_or((series, ""));
                    let names = labels.split("\",").filter_map(|one| one.split_once("=\""));
                    names.map(|(name, _)| name.to_owned())
                });
                let labels = labels.filter(|label| label != "le").collect();
                (name.to_owned(), (kind.to_owned(), labels))
            })
            .collect()
    }
}

const OPERATIONS: &str = include_str!("../../../docs/OPERATIONS.md");

/// The rows of the table of metrics.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let rows = OPERATIONS.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 8, "{row}");
        cells
    })
}

fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    rows()
        .map(|cells| {
            let plain = |text: &str| text.trim_matches('`').to_owned();
            let labels = cells[4].split(", ").filter(|label| !label.is_empty());
            let (name, kind) = (plain(cells[1]), cells[2].to_owned());
            assert!(!cells[5].is_empty(), "{name} says nothing");
            (name, (kind, labels.map(plain).collect()))
        })
        .collect()
}

/// The names that follow this word in a text.
fn names<'a>(text: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    let no_name = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(after)
        .skip(1)
        .map(move |rest| rest.split(no_name).next().unwrap())
}

/// The alerts of `deploy/prometheus/rules.yml` with their expressions. (`make check` runs promtool on the file.)
fn alerts() -> BTreeMap<&'static str, &'static str> {
    let rules = include_str!("../../../deploy/prometheus/rules.yml");
    let alerts = rules.split("- alert: ").skip(1).map(|rule| {
        let (name, rest) = rule.split_once('\n').unwrap();
        let expression = rest.trim_start().lines().next().unwrap();
        let section = format!("runbook: docs/OPERATIONS.md#{}\n", name.to_lowercase());
        assert_eq!(rest.matches(&section).count(), 1, "{name}");
        (name, expression.strip_prefix("expr: ").unwrap())
    });
    alerts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_metrics_match_exported_metrics() {
    let (app, [ann, ben]) = measured(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "x").await;
    let exported = Metrics::of(&app.nodes[0]).await.kinds();
    assert_eq!(exported, documented());
    for (name, (kind, _)) in exported {
        let ours = name.starts_with("tideline_") || name.starts_with("process_");
        let counts = name.ends_with("_total");
        assert!(ours && counts == (kind == "counter"), "{name} is a {kind}");
    }
    app.finish().await;
}

#[test]
fn every_alert_has_a_runbook_section_and_metrics() {
    let alerts = alerts();
    assert!(alerts.len() > 20, "{alerts:?}");
    let sections: BTreeSet<_> = names(OPERATIONS, "\n### Tideline").collect();
    let known = alerts.keys().map(|name| name.strip_prefix("Tideline"));
    assert_eq!(sections, known.map(Option::unwrap).collect());
    let tested = include_str!("../../../deploy/prometheus/rules.test.yml");

    let metrics: BTreeSet<_> = documented().into_keys().collect();
    let mut used = BTreeSet::new();
    for (alert, expression) in &alerts {
        assert!(tested.contains(&format!("\"{alert}\"")), "{alert}");
        for prefix in ["tideline_", "process_"] {
            for rest in names(expression, prefix) {
                let series = format!("{prefix}{rest}");
                let of_histogram = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|part| series.strip_suffix(part));
                let name = of_histogram.unwrap_or(&series).to_owned();
                assert!(metrics.contains(&name), "{alert} asks for {name}");
                used.insert((name, (*alert).to_owned()));
            }
        }
    }
    let listed = rows().flat_map(|cells| {
        let name = cells[1].trim_matches('`').to_owned();
        names(cells[6], "](#").map(move |anchor| (name.clone(), anchor))
    });
    let lower = used
        .iter()
        .map(|(name, alert)| (name.clone(), alert.to_lowercase()));
    assert_eq!(
        listed
            .map(|(name, alert)| (name, alert.to_owned()))
            .collect::<BTreeSet<_>>(),
        lower.collect()
    );
    let document = tideline::http::openapi::json().unwrap();
    for expression in alerts.values() {
        for rest in expression.split("{route=").skip(1) {
            let route = rest.split_inclusive('"').take(2).collect::<String>();
            assert!(
                rest.starts_with('~') || document.contains(&route),
                "{route}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn send_and_wait_update_their_metrics() {
    let (app, [ann, ben]) = measured(["ann", "ben"]).await;
    let node = &app.nodes[0];
    let chat = ann.direct(&ben).await;
    let now = async || Metrics::of(node).await;
    let announced = |now: &Metrics| now.get("tideline_commit_to_wake_seconds_count") == 1.0;
    let before = eventually("the conversation is announced", SOON, now, announced).await;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        before.get(&format!("tideline_build_info{{version=\"{version}\"}}")),
        1.0
    );
    let ahead = before.get("tideline_inbox_partitions_ahead_days");
    assert!((28.0..=35.0).contains(&ahead), "{ahead}");
    assert_eq!(before.get("tideline_redis_available"), 1.0);
    assert_eq!(before.get("tideline_postgres_connections_max"), 6.0);
    assert!(before.get("process_resident_memory_bytes") > 1e6);
    assert!(before.get("process_open_fds") > 3.0);

    assert_eq!(before.get("tideline_notices_parked"), 0.0);
    let wait = tokio::spawn({
        let ben = ben.clone();
        async move { ben.wait(1, 20).await }
    });
    let parked = |now: &Metrics| now.get("tideline_notices_parked") == 1.0;
    eventually("it parks", SOON, now, parked).await;
    let message = text("x");
    ann.post_message(&chat, message.clone()).await.ok(201);
    ann.post_message(&chat, message).await.ok(200);
    assert_eq!(wait.await.unwrap()["news"], true);
    let done = |now: &Metrics| now.get("tideline_notices_parked") == 0.0;
    let after = eventually("it is gone", SOON, now, done).await;
    let moved = |series: &str| after.get(series) - before.get(series);
    let request = |route: &str, method: &str, status: u16| {
        format!(
            "tideline_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
        )
    };
    let send = "/v1/conversations/{id}/messages";
    assert_eq!(moved(&request(send, "POST", 201)), 1.0, "{after:?}");
    assert_eq!(moved(&request(send, "POST", 200)), 1.0);
    assert_eq!(moved(&request("/v1/notices", "GET", 200)), 1.0);
    let took = "tideline_http_request_duration_seconds";
    assert_eq!(moved(&format!("{took}_count{{route=\"{send}\"}}")), 2.0);
    // The sleep of the wait is in a separate series.
    assert_eq!(
        moved(&format!("{took}_count{{route=\"/v1/notices\"}}")),
        1.0
    );
    assert_eq!(moved("tideline_writer_batch_commands_sum"), 2.0);
    assert_eq!(moved("tideline_writer_batch_commands_count"), 2.0);
    assert_eq!(moved("tideline_writer_batch_duration_seconds_count"), 2.0);
    assert_eq!(moved("tideline_commit_to_wake_seconds_count"), 1.0);
    assert_eq!(moved("tideline_writer_batch_failures_total"), 0.0);

    // The first read after Redis lost its data counts in PostgreSQL, the next one does not.
    ben.total().await;
    let rebuilds = async || now().await.get("tideline_unread_rebuilds_total");
    let known = rebuilds().await;
    ben.total().await;
    assert_eq!(rebuilds().await, known);
    app.flush_redis().await;
    ben.total().await;
    assert_eq!(rebuilds().await, known + 1.0);
    assert_eq!(now().await.get("tideline_unread_drift_total"), 0.0);
    let _: i64 = app.unread_hash(&ben, "HINCRBY", &["total", "1"]).await;
    let user = tideline::model::ids::UserId(ben.id.parse().unwrap());
    tideline::domain::sync::unread::audit(&node.handles.delivery, &[user])
        .await
        .unwrap();
    let after = now().await;
    assert_eq!(after.get("tideline_unread_drift_total"), 1.0);
    assert!(after.get("tideline_unread_audited_total") >= 1.0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn recovered_notice_is_counted() {
    let (mut app, [ann, ben]) = measured(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    // The second node cannot publish.
    let mut config = app.config.clone();
    config.redis_url = Secret("redis://127.0.0.1:1".to_owned());
    app.nodes.push(Node::start(config).await.unwrap());
    let recovered = "tideline_notices_recovered_total";
    let elsewhere = ann.at(&format!("http://{}", app.nodes[1].address));
    let first = async || Metrics::of(&app.nodes[0]).await.get(recovered);
    assert_eq!(first().await, 0.0);
    let wait = tokio::spawn(async move { ben.wait(1, 20).await });
    app.asleep(0, 1).await;
    elsewhere.send(&chat, "x").await;
    assert_eq!(wait.await.unwrap()["last_seq"], 2);
    eventually("it is counted", SOON, first, |n| *n == 1.0).await;
    let dropped = |now: &Metrics| {
        now.get("tideline_announcements_dropped_total{reason=\"redis_unavailable\"}") >= 2.0
    };
    let second = async || Metrics::of(&app.nodes[1]).await;
    let second = eventually("it gives up", SOON, second, dropped).await;
    assert_eq!(second.get("tideline_redis_available"), 0.0);
    assert_eq!(second.get(recovered), 0.0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_and_postgres_state_is_exported() {
    let (app, [ann, ben]) = measured(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let now = async || Metrics::of(&app.nodes[0]).await;
    let redis = async || now().await.get("tideline_redis_available");
    assert_eq!(redis().await, 1.0);
    app.redis.cut();
    eventually("Redis is away", SOON, redis, |up| *up == 0.0).await;
    app.redis.heal();
    eventually("Redis is back", SOON, redis, |up| *up == 1.0).await;

    // More requests than connections, and sends behind a batch that hangs. Reading metrics does not wait.
    app.postgres.hold_answers();
    let reads = join_all((0..12).map(|_| ann.get("/me")));
    let mut sends = Vec::new();
    let look = async {
        let queue = |now: &Metrics| {
            let queues = now.series().into_iter();
            queues
                .filter(|(series, _)| series.starts_with("tideline_writer_queue_commands{"))
                .map(|(_, waiting)| waiting)
                .sum::<f64>()
        };
        let busy = |now: &Metrics| {
            now.get("tideline_postgres_waiting_requests") >= 6.0
                && now.get("tideline_postgres_connections_in_use") >= 4.0
                && queue(now) >= 1.0
        };
        // A writer takes all waiting commands, so each round adds one more.
        let send_and_look = async || {
            let (ann, chat) = (ann.clone(), chat.clone());
            let send = async move { ann.post_message(&chat, text("x")).await };
            sends.push(tokio::spawn(send));
            now().await
        };
        eventually("they wait", Duration::from_secs(3), send_and_look, busy).await;
        app.postgres.heal();
    };
    tokio::join!(reads, look);
    for sent in sends {
        sent.await.unwrap().ok(201);
    }
    let calm = |now: &Metrics| now.get("tideline_postgres_waiting_requests") == 0.0;
    eventually("nobody waits", SOON, now, calm).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_cannot_create_metric_labels() {
    let (app, [ann]) = measured(["ann"]).await;
    let now = async || Metrics::of(&app.nodes[0]).await;
    let canary = id();
    for (method, path) in [
        ("GET", format!("/{canary}")),
        ("GET", format!("/v1/{canary}?{canary}")),
        ("BREW", format!("/v1/{canary}")),
        ("BREW", "/v1/me".to_owned()),
        ("GET", format!("/v1/conversations/{canary}")),
        ("GET", format!("/docs/{canary}")),
        ("GET", "/docs".to_owned()),
    ] {
        app.call(method, &path, None).await;
    }
    ann.get("/me").await.ok(200);
    let metrics = now().await;
    assert!(
        !metrics.0.contains(&canary) && !metrics.0.contains("BREW"),
        "{metrics:?}"
    );
    let count = |labels: &str| metrics.get(&format!("tideline_http_requests_total{{{labels}}}"));
    for (labels, times) in [
        ("method=\"GET\",route=\"unmatched\",status=\"404\"", 3.0),
        ("method=\"other\",route=\"unmatched\",status=\"404\"", 1.0),
        ("method=\"other\",route=\"/v1/me\",status=\"405\"", 1.0),
        ("method=\"GET\",route=\"/v1/me\",status=\"200\"", 1.0),
        ("method=\"GET\",route=\"/docs/{page}\",status=\"200\"", 1.0),
        (
            "method=\"GET\",route=\"/v1/conversations/{id}\",status=\"401\"",
            1.0,
        ),
    ] {
        assert_eq!(count(labels), times, "{labels}: {metrics:?}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_use_their_own_listener_until_shutdown() {
    let (mut app, [ben]) = measured(["ben"]).await;
    // Metrics are not on the public listener, and nothing else is on theirs.
    app.call("GET", "/metrics", None)
        .await
        .problem(404, "not_found");
    let address = app.nodes[0].metrics_address.unwrap();
    let head = app.http.head(format!("http://{address}/metrics"));
    assert_eq!(head.send().await.unwrap().status(), 200);
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/health/live"),
        ("GET", "/metrics/"),
        ("POST", "/metrics"),
    ] {
        let request = app
            .http
            .request(method.parse().unwrap(), format!("http://{address}{path}"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 404, "{method} {path}");
        assert_eq!(answer.text().await.unwrap(), "");
    }
    // By default this listener is off.
    let mut config = app.config.clone();
    config.metrics_bind = None;
    let quiet = Node::start(config).await.unwrap();
    assert_eq!(quiet.metrics_address, None);
    quiet.stop().await.unwrap();

    // Metrics are readable during the drain.
    app.add_node().await;
    let node = app.nodes.remove(0);
    let wait = tokio::spawn(async move { ben.wait(0, 20).await });
    let asleep = async || node.handles.delivery.waiters.asleep();
    eventually("it sleeps", SOON, asleep, |count| *count == 1).await;
    let handles = std::sync::Arc::downgrade(&node.handles.delivery);
    let stop = tokio::spawn(node.stop());
    assert_eq!(wait.await.unwrap()["reconnect"], true);
    let url = format!("http://{address}/metrics");
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 200);
    stop.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).is_err());
    assert!(handles.upgrade().is_none(), "somebody holds a stopped node");
    app.finish().await;
}

#[test]
fn unusable_metrics_address_is_reported() {
    let load = |value: &str| {
        Config::load(&|name| match name {
            "DATABASE_URL" => Some("postgres://localhost/tideline".to_owned()),
            "REDIS_URL" => Some("redis://localhost".to_owned()),
            "TIDELINE_JWT_SECRET" => Some(SECRET.to_owned()),
            "TIDELINE_METRICS_BIND" => Some(value.to_owned()),
            _ => None,
        })
    };
    let sentence = "TIDELINE_METRICS_BIND is \"8081\", but must be an address and a port";
    let refusal = load("8081").unwrap_err().to_string();
    assert!(refusal.starts_with(sentence), "{refusal}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let variables = [
        ("DATABASE_URL", "postgres://127.0.0.1:1/none"),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("TIDELINE_JWT_SECRET", SECRET),
        ("TIDELINE_BIND", "127.0.0.1:0"),
        ("TIDELINE_METRICS_BIND", address.as_str()),
    ];
    let output = Process::command(&["serve"], &variables).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let sentence = format!("cannot listen on TIDELINE_METRICS_BIND, {address}: ");
    assert!(said.contains(&sentence), "{said}");
}
