//! Learns which devices were logged out on other nodes, and what time it is: every two seconds, from PostgreSQL, so that neither
//! a lost message between nodes nor a clock that is wrong keeps a stolen token alive.

use crate::domain::identity::revocations;
use crate::engine::auth::Auth;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(2);

/// Every so many rounds all of them are loaded, and those whose tokens have ended are forgotten.
const ALL: u32 = 300;

/// After a longer gap (PostgreSQL was out of reach, the process stood still) all are loaded, too: a round asks for the
/// last minute only, and would miss those of the gap.
const GAP: Duration = Duration::from_secs(30);

/// Keeps at it until it is dropped.
pub async fn run(auth: &Auth) {
    let mut round = 0;
    let mut last = Instant::now();
    loop {
        let all = round == 0 || last.elapsed() > GAP;
        // An error was logged by the door.
        if revocations::reload_revoked(auth, all).await.is_ok() {
            round = (round + 1) % ALL;
            last = Instant::now();
        } else {
            round = 0;
        }
        // Without an answer it goes on from the last one.
        let _logged = revocations::set_clock(auth).await;
        tokio::time::sleep(EVERY).await;
    }
}
