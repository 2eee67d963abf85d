//! Readiness under many requests, and during a drain.

use crate::operations::startup::{FOUND, ready};
use crate::support::{App, eventually, execute, number};
use futures_util::future::join_all;
use std::time::{Duration, Instant};

/// Readiness is public: concurrent requests share one query.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_readiness_checks_share_one_query() {
    let app = App::start().await;
    let mut database = app.database();
    tokio::time::sleep(FOUND).await;
    execute(
        &mut database,
        "BEGIN; LOCK TABLE __diesel_schema_migrations IN ACCESS EXCLUSIVE MODE",
    );
    let asked = join_all((0..30).map(|_| ready(&app)));
    let release = async {
        let mut waiting = || {
            let waiting = "SELECT count(*) AS n FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
            number(&mut database, waiting)
        };
        let soon = Duration::from_secs(3);
        eventually("one waits", soon, async || waiting(), |n| *n == 1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(waiting(), 1);
        execute(&mut database, "ROLLBACK");
    };
    let (answers, ()) = tokio::join!(asked, release);
    assert!(answers.iter().all(|(status, _)| *status == 200));
    app.finish().await;
}

/// A load balancer that checks each second must notice before the listener closes, with or without waits.
#[tokio::test(flavor = "multi_thread")]
async fn draining_node_without_waits_keeps_serving() {
    let mut app = App::configured(|config| config.drain = Duration::from_secs(7)).await;
    app.add_node().await;
    let node = app.nodes.remove(1);
    let url = format!("http://{}", node.address);
    let stopping = tokio::spawn(node.stop());
    let started = Instant::now();
    let mut unready = 0;
    while started.elapsed() < Duration::from_millis(2_500) {
        let answer = app
            .http
            .get(format!("{url}/health/ready"))
            .send()
            .await
            .unwrap();
        unready += usize::from(answer.status() == 503);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(unready > 1, "{unready}");
    stopping.await.unwrap().unwrap();
    app.finish().await;
}
