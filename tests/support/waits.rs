//! Waits on two nodes.

use crate::support::{App, Person, eventually};
use serde_json::Value;
use std::time::Duration;
use tideline::engine::waiting::reconcile;
use tideline::model::ids::UserId;
use tokio::task::JoinHandle;

/// Shorter than the period of the sweep: only a notice wakes a wait this quickly.
pub const IMMEDIATE: Duration = Duration::from_millis(1_500);

/// A deployment of two nodes, the URL of the second one, Ann, Ben, and their conversation.
pub async fn two_nodes() -> (App, String, Person, Person, String) {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    app.add_node().await;
    let second = format!("http://{}", app.nodes[1].address);
    let chat = ann.direct(&ben).await;
    (app, second, ann, ben, chat)
}

/// Starts a wait, and returns once it is parked on the first node.
pub async fn parked(app: &App, person: &Person, since: i64) -> JoinHandle<Value> {
    let person = person.clone();
    let wait = tokio::spawn(async move { person.wait(since, 30).await });
    app.asleep(0, 1).await;
    wait
}

/// Lets a wait time out while a sweep confirms its head. The next wait can then use the head cache.
pub async fn time_out_and_sweep(app: &App, person: &Person, since: i64) {
    let user = UserId(person.id.parse().unwrap());
    let wait = tokio::spawn({
        let person = person.clone();
        async move { person.wait(since, 1).await }
    });
    app.asleep(0, 1).await;
    let swept = async || {
        reconcile::once(&app.nodes[0].handles.delivery).await;
        app.nodes[0].handles.delivery.waiters.head_cache.head(user)
    };
    // A notice that arrives late clears the head that the first sweep has found.
    eventually("it is swept", IMMEDIATE, swept, |head| {
        head.is_some_and(|head| head.0 == since)
    })
    .await;
    assert_eq!(wait.await.unwrap()["news"], false);
}
