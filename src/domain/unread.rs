//! Unread counts: from Redis when they are proved exact, otherwise from PostgreSQL.
//!
//! Redis is read first and the head in PostgreSQL second. If the watermark equals the head, every entry was applied and
//! none came after: the counts are exact. If it is behind, announcements are on their way or were lost with a node:
//! PostgreSQL answers and its snapshot is merged. If it is ahead, Redis belongs to another life of the database.

use crate::app::App;
use crate::domain::error::Error;
use crate::model::ids::{InboxSeq, UserId};
use crate::model::unread::Unread;
use crate::storage::pg;
use crate::storage::redis::unread as cache;
use crate::storage::redis::unread::Total;

/// All counts of a user.
pub async fn all(app: &App, user: UserId) -> Result<Unread, Error> {
    let cached = cache::all(&app.redis, app.epoch, user).await.ok().flatten();
    let head = app.heads.of(user).await?;
    match cached {
        Some(counts) if counts.as_of_seq == head => Ok(counts),
        counts => rebuild(app, user, counts.map(|counts| counts.as_of_seq), head).await,
    }
}

/// The unread total of a user and the inbox head that it belongs to.
pub async fn total(app: &App, user: UserId) -> Result<Total, Error> {
    let cached = cache::total(&app.redis, app.epoch, user)
        .await
        .ok()
        .flatten();
    let head = app.heads.of(user).await?;
    match cached {
        Some(total) if total.as_of == head => Ok(total),
        total => {
            let counts = rebuild(app, user, total.map(|total| total.as_of), head).await?;
            Ok(Total {
                as_of: counts.as_of_seq,
                total: counts.total,
            })
        }
    }
}

/// Counts in PostgreSQL, and merges the result into Redis; the answer is the snapshot, whether or not the merge won.
async fn rebuild(
    app: &App,
    user: UserId,
    mark: Option<InboxSeq>,
    head: InboxSeq,
) -> Result<Unread, Error> {
    let counts = app
        .pg
        .read("unread", move |conn| pg::unread::counts(conn, user))
        .await?;
    if mark.is_some_and(|mark| mark > counts.as_of_seq && mark > head) {
        log::warn!("unread counts of {user} are ahead of the database: forgotten");
        // Redis away or not, the truth was answered; here and below the circuit breaker has logged it.
        let _away = cache::forget(&app.redis, app.epoch, user).await;
    }
    let _away = cache::merge(&app.redis, app.epoch, user, &counts).await;
    Ok(counts)
}
