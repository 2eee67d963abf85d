//! A change of what one member alone sees: settings, drafts, hidden messages.
//!
//! It locks the timeline of the member, never the conversation, so it waits for no busy group. Membership and the unread count are read
//! by a statement that starts after the lock was taken. A transaction that removes the member writes its entry under the same lock and
//! deletes these rows afterwards. So the entry of the removal is the last one, and no row stays.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::events::spec::EventSpec;
use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::time::Timestamp;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::messaging::conversations;
use crate::storage::pg::messaging::conversations::View;
use crate::storage::pg::sync::inbox;

/// A change and its entries: each an event and the seq that it refers to.
pub(super) struct OwnChange<T> {
    pub(super) answer: T,
    pub(super) entries: Vec<(&'static EventSpec, ConvSeq)>,
}

/// Makes a change in one transaction, as `decide` does under the lock. The entries are for the devices of the caller.
pub(super) async fn own_change<T, F>(
    delivery: &Delivery,
    name: &'static str,
    caller: Caller,
    id: ConversationId,
    decide: F,
) -> Result<T, Error>
where
    T: Send + 'static,
    F: Fn(&mut Connection, &View, Timestamp) -> StorageResult<Result<OwnChange<T>, Error>>
        + Send
        + 'static,
{
    let (answer, committed) = delivery
        .pg
        .transaction(name, move |conn| {
            let Some(at) = inbox::lock_timeline(conn, caller.user)? else {
                return Ok(Err(Error::NotFound));
            };
            let Some(view) = conversations::view(conn, id, caller.user)? else {
                return Ok(Err(Error::NotFound));
            };
            let OwnChange { answer, entries } = match decide(conn, &view, at)? {
                Ok(change) => change,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if entries.is_empty() {
                return Ok(Ok((answer, Vec::new())));
            }
            let entry = |(event, ref_seq)| inbox::NewEntry {
                receiver: caller.user,
                event,
                conversation: id,
                ref_seq,
                unread: view.last_seq.0 - view.read_seq.0,
                large: view.large,
            };
            let entries: Vec<_> = entries.into_iter().map(entry).collect();
            let committed = inbox::deliver(conn, &Changes::default(), &entries, at)?;
            Ok(Ok((answer, committed)))
        })
        .await??;
    delivery.writers.publish(committed);
    Ok(answer)
}
