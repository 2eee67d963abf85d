//! Pages of the inbox.

use crate::domain::sync::position::{check_position, resync};
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::reading::inbox_pages::Fetched;
use crate::model::account::Caller;
use crate::model::events::spec::Reference;
use crate::model::ids::{ConversationId, Epoch, InboxSeq};
use crate::model::page::PageSize;
use crate::model::wire::entry::{Entry, InboxPage};
use crate::storage::pg::sync::inbox::{PageOf, StoredPage};
use std::collections::HashMap;

/// The entries after `since`, without gaps.
pub async fn fetch(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    since: InboxSeq,
    limit: PageSize,
    epoch: Option<Epoch>,
) -> Result<InboxPage, Error> {
    admission.admit(Priority::Fetch)?;
    let in_line = delivery.pg.count_as_waiting();
    let asked = PageOf {
        receiver: caller.user,
        since,
        limit,
    };
    let Fetched { page, mut joined } = delivery.pages.submit(asked).await?;
    drop(in_line);
    let StoredPage {
        head,
        entries: stored,
        ..
    } = page;
    check_position(delivery, caller, since, head, epoch).await?;
    delivery.delivered.note(caller, since);
    // A page never has a gap, so a client can prove that it has every entry. A missing next entry has expired.
    let expected = (since.0 + 1..).map(InboxSeq);
    let has_gap = stored
        .iter()
        .zip(expected)
        .any(|(entry, seq)| entry.seq != seq);
    if has_gap || (head > since && stored.is_empty()) {
        return Err(Error::InboxTrimmed(resync(delivery, caller, head).await?));
    }
    let last_of: HashMap<_, _> = stored
        .iter()
        .filter(|entry| entry.refers_to(Reference::Conversation))
        .map(|entry| (entry.conversation, entry.seq))
        .collect();
    let mut entries = Vec::with_capacity(stored.len());
    for entry in stored {
        let (seq, stored_id) = (entry.seq, entry.conversation);
        let conversation_id = match entry.concerns_person() {
            true => ConversationId::NONE,
            false => stored_id,
        };
        let (at, unread) = (entry.at, entry.unread);
        let kind = entry.event.clone();
        let is_last = last_of.get(&stored_id) == Some(&seq);
        let event = joined.to_event(entry, is_last).ok_or_else(|| {
            let user = caller.user;
            Error::Internal(format!(
                "entry {seq} of {user}: the object of this {kind} is missing"
            ))
        })?;
        entries.push(Entry {
            seq,
            conversation_id,
            at,
            unread,
            event,
        });
    }
    let next_since_seq = entries.last().map_or(since, |entry| entry.seq);
    Ok(InboxPage {
        entries,
        next_since_seq,
        last_seq: head,
        has_more: next_since_seq < head,
        epoch: delivery.epoch,
    })
}
