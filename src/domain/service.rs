//! Whether this node should be given requests.

use crate::app::App;
use crate::storage::error::StorageResult;
use crate::storage::pg::{Pg, instance};
use std::sync::atomic::Ordering;

/// The state of a node.
#[derive(Debug)]
pub struct Readiness {
    /// What keeps it from being ready, in sentences; empty when it is.
    pub reasons: Vec<String>,
    /// Redis answers.
    pub redis: bool,
}

/// What keeps the database from being served, in sentences; empty when nothing does.
pub async fn unfit(pg: &Pg) -> StorageResult<Vec<String>> {
    pg.read("fitness", |conn| {
        let mut reasons = instance::unsafe_settings(conn)?;
        if instance::migrations_pending(conn)? {
            reasons.push("there are migrations to run: tideline migrate".to_owned());
        }
        Ok(reasons)
    })
    .await
}

/// Looks at everything that this node depends on.
pub async fn readiness(app: &App) -> Readiness {
    let (database, redis) = tokio::join!(unfit(&app.pg), app.redis.ping());
    // The door has logged why. Anybody may read this answer, and libpq names hosts and users.
    let mut reasons =
        database.unwrap_or_else(|_logged| vec!["PostgreSQL does not answer".to_owned()]);
    if app.draining.load(Ordering::Acquire) {
        reasons.push("the node is going away".to_owned());
    }
    Readiness { reasons, redis }
}
