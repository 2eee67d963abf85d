//! The subscriptions to notices from other nodes: after a loss every wait looks again, and those of users who wait no
//! more are ended.

use crate::app::App;
use crate::domain::notices;
use crate::tasks::sweep;
use std::time::Duration;

/// How long a subscription outlives its last wait, about: a client that polls again at once finds it there.
const EVERY: Duration = Duration::from_secs(10);

/// How often to try whether Redis is back.
const RETRY: Duration = Duration::from_millis(200);

/// Keeps at it until it is dropped.
pub async fn run(app: &App) {
    loop {
        tokio::select! {
            () = app.notices_lost.notified() => {
                // What was published until the subscriptions stand again is lost.
                while !app.notices.ping().await {
                    tokio::time::sleep(RETRY).await;
                }
                sweep::once(app).await;
            }
            () = tokio::time::sleep(EVERY) => notices::unsubscribe_idle(app).await,
        }
    }
}
