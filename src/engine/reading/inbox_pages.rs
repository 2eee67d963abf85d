//! Pages of inboxes with the objects that their entries refer to. Pages requested while a query runs share the next one.

use crate::engine::batching::query_batcher::{BatchConfig, QueryBatcher};
use crate::engine::reading::{hidden_messages, message_views, unread_mentions};
use crate::model::events::find;
use crate::model::events::spec::{Reference, Referenced};
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::wire::conversation::Conversation;
use crate::model::wire::draft::Draft;
use crate::model::wire::entry::EventOrUnknown;
use crate::model::wire::member::MembersChanged;
use crate::model::wire::message::Message;
use crate::model::wire::people::contact::{Contact, ContactRequest};
use crate::model::wire::scheduled::ScheduledFailed;
use crate::model::wire::settings::ConversationSettings;
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::{conversations, drafts, members, scheduled, settings};
use crate::storage::pg::people::{contact_requests, contacts};
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
        let mut pages = inbox::pages(conn, requests)?;
        let readers = pages.iter_mut().zip(requests);
        let shown = readers.flat_map(|(page, of)| messages(page).map(|one| (of.receiver, one)));
        message_views::restrict(conn, shown)?;
        let joined = |(mut page, of): (StoredPage, &PageOf)| {
            let hides = page.hides;
            hidden_messages::replace(conn, of.receiver, hides, messages(&mut page))?;
            let joined = join(conn, of.receiver, &page.entries, receipts)?;
            Ok(Fetched { page, joined })
        };
        pages.into_iter().zip(requests).map(joined).collect()
    })
}

/// The messages of a page.
fn messages(page: &mut StoredPage) -> impl Iterator<Item = &mut Message> {
    let entries = page.entries.iter_mut();
    entries.filter_map(|entry| entry.message.as_mut())
}

/// A page with the objects that its entries refer to.
pub struct Fetched {
    /// The page.
    pub page: StoredPage,
    /// The objects that its entries refer to, besides messages.
    pub joined: Joined,
}

/// The current state of what entries refer to, besides messages.
pub struct Joined {
    /// Each conversation, and apart from it its last message.
    conversations: HashMap<ConversationId, (Conversation, Option<Message>)>,
    changes: HashMap<(ConversationId, ConvSeq), MembersChanged>,
    settings: HashMap<ConversationId, ConversationSettings>,
    drafts: HashMap<ConversationId, Draft>,
    failures: HashMap<ConvSeq, ScheduledFailed>,
    contacts: HashMap<UserId, Contact>,
    requests: HashMap<UserId, ContactRequest>,
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
    let ids_of = |reference: Reference| {
        let ids: BTreeSet<_> = of(reference).map(|(id, _)| id).collect();
        ids.into_iter().collect::<Vec<_>>()
    };
    let ids = ids_of(Reference::Conversation);
    let changes: Vec<_> = of(Reference::MembersChange).collect();
    let mut joined = Joined {
        conversations: HashMap::new(),
        changes: HashMap::new(),
        settings: HashMap::new(),
        drafts: HashMap::new(),
        failures: HashMap::new(),
        contacts: HashMap::new(),
        requests: HashMap::new(),
    };
    if !ids.is_empty() {
        let mut conversations = conversations::by_ids(conn, user, &ids, receipts)?;
        message_views::last_messages(conn, user, &mut conversations)?;
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
    let failed = of(Reference::ScheduledFailure).map(|(_, number)| number);
    let failed: Vec<_> = failed.collect();
    if !failed.is_empty() {
        joined.failures = scheduled::failures(conn, user, &failed)?;
    }
    let people_of = |reference: Reference| {
        let ids = ids_of(reference).into_iter();
        ids.map(|id| UserId(id.0)).collect::<Vec<_>>()
    };
    let people = people_of(Reference::Contact);
    if !people.is_empty() {
        let contacts = contacts::among(conn, user, &people)?.into_iter();
        joined.contacts = contacts.map(|one| (one.user.id, one)).collect();
    }
    let people = people_of(Reference::ContactRequest);
    if !people.is_empty() {
        let requests = contact_requests::among(conn, user, &people)?.into_iter();
        joined.requests = requests.map(|one| (one.user.id, one)).collect();
    }
    let ids = ids_of(Reference::Settings);
    if !ids.is_empty() {
        joined.settings = settings::some(conn, user, &ids)?;
    }
    let ids = ids_of(Reference::Draft);
    if !ids.is_empty() {
        let sent = members::sent(conn, user, &ids)?;
        let drafts = drafts::some(conn, user, &ids)?.into_iter();
        let present = drafts.map(|draft| {
            let sent_seq = sent.get(&draft.conversation_id).copied();
            draft.unless_sent(sent_seq.unwrap_or_default())
        });
        let there = present.filter(|draft| draft.content.is_some());
        joined.drafts = there.map(|draft| (draft.conversation_id, draft)).collect();
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
            // A former member has none.
            Reference::Settings => {
                Referenced::Settings(self.settings.get(&id).cloned().unwrap_or_default())
            }
            Reference::Draft => Referenced::Draft(self.drafts.get(&id).cloned()),
            Reference::ScheduledFailure => {
                Referenced::ScheduledFailure(self.failures.get(&entry.ref_seq)?.clone())
            }
            Reference::Contact => {
                let person = UserId(id.0);
                let contact = self.contacts.get(&person).cloned();
                Referenced::Contact(person, contact.map(Box::new))
            }
            Reference::ContactRequest => {
                let person = UserId(id.0);
                let request = self.requests.get(&person).cloned();
                Referenced::ContactRequest(person, request.map(Box::new))
            }
        };
        (event.wire)(referenced).map(EventOrUnknown::Event)
    }
}
