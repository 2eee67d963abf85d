//! Search for messages.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::search::page::{self, Hits, Search};
use crate::storage::pg::Connection;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Answers wait for the end of the next interval of this length: how long a search takes depends a little on the words of others.
const TICK: Duration = Duration::from_millis(10);

/// The results of a search, the newest first, and whether there may be more.
pub async fn find(delivery: &Delivery, search: Search) -> Result<Hits, Error> {
    let service = delivery.search.as_ref().ok_or(Error::SearchDisabled)?;
    let began = Instant::now();
    let permit = service.gate.enter(search.caller).await?;
    let read = move |conn: &mut Connection| {
        // It ends with the statements, which go on after the client has gone.
        let _running = &permit;
        page::page(conn, &search)
    };
    let found = delivery.pg.read("search_messages", read).await;
    let took = began.elapsed();
    delivery.metrics.search_seconds.observe(took.as_secs_f64());
    let ticks = u32::try_from(took.as_nanos() / TICK.as_nanos()).unwrap_or(u32::MAX);
    sleep_until(began + TICK * ticks.saturating_add(1)).await;
    found?.ok_or(Error::NotFound)
}
