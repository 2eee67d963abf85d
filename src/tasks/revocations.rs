//! Learns which devices were logged out on other nodes: every two seconds, from PostgreSQL, so that a lost message
//! between nodes keeps no stolen token alive.

use crate::app::App;
use crate::domain::accounts;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(2);

/// Every so many rounds all of them are loaded, and those whose tokens have ended are forgotten.
const ALL: u32 = 300;

/// Keeps at it until it is dropped.
pub async fn run(app: &App) {
    let mut round = 0;
    loop {
        let loaded = accounts::reload_revoked(app, round == 0).await;
        // An error was logged by the door. What was missed may be older than what a round looks at: load all again.
        round = if loaded.is_ok() { (round + 1) % ALL } else { 0 };
        tokio::time::sleep(EVERY).await;
    }
}
