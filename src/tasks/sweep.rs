//! The sweep: whatever happened to a notice, a wait answers within five seconds.
//!
//! Every few seconds this asks PostgreSQL for the heads of all waiting users, in large batches, and wakes those whose
//! inbox has moved: the notice was lost with a node, or Redis was slow.

use crate::app::App;
use crate::storage::pg::inbox;
use std::time::Duration;

/// Sweep and query together stay below the promised five seconds.
const EVERY: Duration = Duration::from_secs(3);

/// Heads of one query.
const BATCH: usize = 10_000;

/// Sweeps until it is dropped.
pub async fn run(app: &App) {
    loop {
        tokio::time::sleep(EVERY).await;
        once(app).await;
    }
}

/// Looks at the heads of all waiting users, once.
pub async fn once(app: &App) {
    let positions = app.waiters.positions();
    for chunk in positions.chunks(BATCH) {
        let users: Vec<_> = chunk.iter().map(|(user, _)| *user).collect();
        // An error was logged by the door; the next round looks again.
        let Ok(heads) = app
            .pg
            .read("sweep", move |conn| inbox::heads(conn, &users))
            .await
        else {
            return;
        };
        let late: usize = chunk
            .iter()
            .filter_map(|(user, since)| {
                let head = heads.get(user).filter(|head| *head > since)?;
                Some(app.waiters.news(*user, *head, None))
            })
            .sum();
        if late > 0 {
            log::info!("sweep: {late} waits had missed their notice");
        }
    }
}
