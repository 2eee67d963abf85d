//! A node whose connections to PostgreSQL are all in use.

use crate::support::{App, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tideline::storage::pg::WAITING;

/// Fills the queue for PostgreSQL connections to this size. Requests leave it after four seconds, so new ones replace them.
async fn fill_queue(app: &App, size: usize) {
    let pg = &app.nodes[0].handles.delivery.pg;
    let waiting = async || {
        for _ in pg.usage().waiting..size {
            let pg = pg.clone();
            tokio::spawn(async move { pg.read("filler", |_| Ok(())).await });
        }
        tokio::task::yield_now().await;
        pg.usage().waiting
    };
    eventually("a queue", Duration::from_secs(3), waiting, |n| *n >= size).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn load_shedding_rejects_waits_then_history_then_fetches() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "x").await;
    let release = Arc::new(AtomicBool::new(false));
    for _ in 0..app.config.db_pool {
        let (pg, release) = (
            app.nodes[0].handles.delivery.pg.clone(),
            Arc::clone(&release),
        );
        tokio::spawn(async move {
            let hold = move |_: &mut _| {
                let started = Instant::now();
                while !release.load(Ordering::Acquire)
                    && started.elapsed() < Duration::from_secs(20)
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(())
            };
            pg.read("hold", hold).await
        });
    }
    // There are more holders than connections, so some of them wait.
    let waiting = async || app.nodes[0].handles.delivery.pg.usage().waiting;
    eventually("held", Duration::from_secs(5), waiting, |n| *n > 0).await;
    let history = format!("/conversations/{chat}/messages");
    let refused = async |path: &str| {
        let problem = ben.get(path).await.problem(503, "overloaded");
        assert_eq!(problem["retry_after_ms"], 1_000);
    };
    // An admitted request waits here, since all connections are held.
    let waits = async |path: &str| {
        let asked = tokio::time::timeout(Duration::from_millis(100), ben.get(path)).await;
        assert!(asked.is_err(), "{path}: {:?}", asked.unwrap().body);
    };
    fill_queue(&app, WAITING / 2).await;
    refused("/notices?since_seq=0").await;
    waits(&history).await;
    waits("/inbox?since_seq=0").await;
    fill_queue(&app, WAITING / 4 * 3).await;
    for path in [
        &history,
        "/conversations",
        &format!("/conversations/{chat}/members"),
    ] {
        refused(path).await;
    }
    waits("/inbox?since_seq=0").await;
    fill_queue(&app, WAITING / 8 * 7).await;
    refused("/inbox?since_seq=0").await;
    refused("/unread").await;
    waits("/me").await;
    fill_queue(&app, WAITING).await;
    refused("/me").await;
    // The writers have connections of their own.
    ann.send(&chat, "sent all the same").await;
    release.store(true, Ordering::Release);
    let back = async || ben.get("/inbox?since_seq=0").await.status;
    eventually("all is well", Duration::from_secs(10), back, |status| {
        *status == 200
    })
    .await;
    app.finish().await;
}
