//! Reads logouts on other nodes and the time from PostgreSQL every two seconds, so that neither a lost message between nodes
//! nor a wrong clock keeps a stolen token valid.

use crate::domain::identity::revocations;
use crate::engine::auth::Auth;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(2);

/// One in this number of rounds loads all revocations, and removes those whose tokens have expired.
const FULL_RELOAD_ROUNDS: u32 = 300;

/// After a longer gap (PostgreSQL was unreachable, or the process was suspended) all are loaded, too: the other rounds load
/// only the last minute, and would miss those of the gap.
const MAX_GAP: Duration = Duration::from_secs(30);

/// Runs until it is dropped.
pub async fn run(auth: &Auth) {
    let mut round = 0;
    let mut last = Instant::now();
    loop {
        let all = round == 0 || last.elapsed() > MAX_GAP;
        // `Pg` has logged an error.
        if revocations::reload_revoked(auth, all).await.is_ok() {
            round = (round + 1) % FULL_RELOAD_ROUNDS;
            last = Instant::now();
        } else {
            round = 0;
        }
        // After an error the clock continues from the last reading.
        let _logged = revocations::set_clock(auth).await;
        tokio::time::sleep(INTERVAL).await;
    }
}
