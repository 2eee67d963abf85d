//! Pages of inboxes with the objects that their entries refer to. Pages requested while a query runs share the next one.

use crate::engine::batching::query_batcher::{BatchConfig, QueryBatcher};
use crate::engine::reading::{message_views, unread_mentions};
use crate::model::events::find;
use crate::model::events::spec::{Reference, Referenced};
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::wire::conversation::Conversation;
use crate::model::wire::entry::EventOrUnknown;
use crate::model::wire::member::MembersChanged;
use crate::model::wire::message::Message;
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::{conversations, members};
use crate::storage::pg::sync::inbox::{self, PageOf, StoredEntry, StoredPage};
use crate::storage::pg::{Connection, Pg, WAITING};
use std::collections::{BTreeSet, HashMap};

/// The maximum number of pages in a query: one with large messages delays the others.
const BATCH: usize = 8;

/// Reads pages from PostgreSQL.
pub type Pages = QueryBatcher<PageOf, Fetched>;

/// Starts the batcher on the current Tokio runtime, with this number of concurrent queries. Without `receipts` nobody sees what
/// others have read.
pub fn start(pg: &Pg, concurrency: u32, receipts: bool) -> Pages {
    let config = BatchConfig {
        name: "inbox",
        batch: BATCH,
        concurrency,
        queue: WAITING,
    };
    QueryBatcher::start(pg, config, move |conn, requests| {
        let pages = inbox::pages(conn, requests)?;
        let joined = |(mut page, of): (StoredPage, &PageOf)| {
            let messages = page.entries.iter_mut();
            let messages = messages.filter_map(|entry| entry.message.as_mut());
            message_views::restrict(conn, of.receiver, messages)?;
            let joined = join(conn, of.receiver, &page.entries, receipts)?;
            Ok(Fetched { page, joined })
        };
        pages.into_iter().zip(requests).map(joined).collect()
    })
}

/// A page with the objects that its entries refer to.
pub struct Fetched {
    /// The page.
    pub page: StoredPage,
    /// The objects that its entries refer to, besides messages.
    pub joined: Joined,
}

/// The current state of the conversations and member changes that entries refer to.
pub struct Joined {
    /// Each conversation, and apart from it its last message.
    conversations: HashMap<ConversationId, (Conversation, Option<Message>)>,
    changes: HashMap<(ConversationId, ConvSeq), MembersChanged>,
}

/// Reads the objects that the entries of a page refer to. Most pages refer to messages only, and need no query here.
fn join(
    conn: &mut Connection,
    user: UserId,
    stored: &[StoredEntry],
    receipts: bool,
) -> StorageResult<Joined> {
    let of = |reference: Reference| {
        let entries = stored.iter().filter(move |one| one.refers_to(reference));
        entries.map(|one| (one.conversation, one.ref_seq))
    };
    let ids: BTreeSet<_> = of(Reference::Conversation).map(|(id, _)| id).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let changes: Vec<_> = of(Reference::MembersChange).collect();
    let mut joined = Joined {
        conversations: HashMap::new(),
        changes: HashMap::new(),
    };
    if !ids.is_empty() {
        let mut conversations = conversations::by_ids(conn, user, &ids, receipts)?;
        let last = conversations.iter_mut();
        let last = last.filter_map(|one| Some((one.last_message.as_mut()?, one.me.joined_seq)));
        message_views::personalise(conn, user, last)?;
        unread_mentions::count(conn, user, &mut conversations)?;
        let apart = |mut one: Conversation| {
            let last_message = one.last_message.take();
            (one.id, (one, last_message))
        };
        joined.conversations = conversations.into_iter().map(apart).collect();
    }
    if !changes.is_empty() {
        joined.changes = members::changes(conn, &changes)?.into_iter().collect();
    }
    Ok(joined)
}

impl Joined {
    /// The event of a stored entry; `None` if its object does not exist. Only the last entry of a conversation in a page has
    /// the conversation's last message, so that a page with 1,000 renames does not have 1,000 copies of it.
    pub fn to_event(&mut self, entry: StoredEntry, is_last: bool) -> Option<EventOrUnknown> {
        let id = entry.conversation;
        let Some(event) = find(&entry.event) else {
            return Some(EventOrUnknown::Unknown { kind: entry.event });
        };
        let referenced = match event.reference {
            Reference::Message => Referenced::Message(entry.message?),
            // Not found: the caller has left the conversation since.
            Reference::Conversation => {
                let found = self.conversations.get_mut(&id);
                Referenced::Conversation(found.map(|(one, last_message)| {
                    let last_message = last_message.take_if(|_| is_last);
                    Box::new(Conversation {
                        last_message,
                        ..one.clone()
                    })
                }))
            }
            Reference::MembersChange => {
                Referenced::MembersChange(self.changes.get(&(id, entry.ref_seq))?.clone())
            }
            Reference::Position => Referenced::Position(entry.ref_seq),
        };
        (event.wire)(referenced).map(EventOrUnknown::Event)
    }
}
