//! Ends the relations of a user who is erased.

use crate::domain::people::blocks as own_blocks;
use crate::domain::people::contact_requests::request_entry;
use crate::domain::people::contacts::contact_entry;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::ids::{UserId, pair};
use crate::model::unread::CommittedEntry;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::people::contact_requests::{self as requests, Side};
use crate::storage::pg::people::{blocks, contacts, erasure as rows, presence};
use crate::storage::pg::sync::inbox;

/// The most relations of a kind that are looked up together.
const SLICE: i64 = 100;

/// Ends all blocks by the user, and all contacts and requests of both sides. Each person is a transaction. Blocks of the user stay.
pub async fn end_relations(delivery: &Delivery, user: UserId) -> Result<(), Error> {
    loop {
        let related = move |conn: &mut Connection| rows::related(conn, user, SLICE);
        let related = delivery.pg.read("relations", related).await?;
        if related.is_empty() {
            let forget = move |conn: &mut Connection| presence::forget_last_seen(conn, user);
            return Ok(delivery.pg.read("forget_last_seen", forget).await?);
        }
        for person in related {
            let end = move |conn: &mut Connection| end(conn, user, person).map(Ok::<_, Error>);
            let committed = delivery.pg.transaction("end_relations", end).await??;
            delivery.writers.publish(committed);
        }
    }
}

/// Ends the relations of the user with a person, whose devices learn of it.
fn end(conn: &mut Connection, user: UserId, person: UserId) -> StorageResult<Vec<CommittedEntry>> {
    let at = blocks::lock(conn, pair(user, person))?;
    own_blocks::remove(conn, user, person)?;
    let mut was_pending = false;
    for side in [Side::asking(user, person), Side::asking(person, user)] {
        for side in [side, side.asked()] {
            was_pending |= requests::remove(conn, side)? && side.user == person;
        }
    }
    contacts::remove(conn, user, person)?;
    let mut entries = Vec::new();
    if was_pending {
        entries.push(request_entry(person, user));
    }
    if contacts::remove(conn, person, user)? {
        entries.push(contact_entry(person, user));
    }
    match at {
        Some(at) if !entries.is_empty() => inbox::deliver(conn, &Changes::default(), &entries, at),
        _ => Ok(Vec::new()),
    }
}
