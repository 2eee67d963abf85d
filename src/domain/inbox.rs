//! Reading the inbox.

use crate::app::App;
use crate::domain::error::Error;
use crate::domain::notices::{check_position, resync};
use crate::domain::overload::{Load, admit};
use crate::domain::shared::{Manner, Shared};
use crate::model::account::Caller;
use crate::model::conversation::Conversation;
use crate::model::ids::{ConvSeq, ConversationId, Epoch, InboxSeq, UserId};
use crate::model::inbox::{Entry, EntryKind, Event, InboxPage, Told};
use crate::model::member::MembersChanged;
use crate::model::page::Limit;
use crate::storage::error::StorageResult;
use crate::storage::pg::inbox::{PageOf, StoredEntry, StoredPage};
use crate::storage::pg::{Connection, Pg, WAITING, conversations, inbox, members};
use std::collections::{BTreeSet, HashMap};

/// The entries after `since`, without a hole.
pub async fn fetch(
    app: &App,
    caller: Caller,
    since: InboxSeq,
    limit: Limit,
    epoch: Option<Epoch>,
) -> Result<InboxPage, Error> {
    admit(app, Load::Fetch)?;
    let in_line = app.pg.wait();
    let asked = PageOf {
        receiver: caller.user,
        since,
        limit,
    };
    let Fetched { page, joined } = app.pages.ask(asked).await?;
    drop(in_line);
    let StoredPage {
        head,
        entries: stored,
    } = page;
    check_position(app, caller, since, head, epoch).await?;
    // A client can prove that it has everything, because a page never has a hole: what should come next and does not is
    // past the retention.
    let expected = (since.0 + 1..).map(InboxSeq);
    let has_hole = stored
        .iter()
        .zip(expected)
        .any(|(entry, seq)| entry.seq != seq);
    if has_hole || (head > since && stored.is_empty()) {
        return Err(Error::InboxTrimmed(resync(app, caller, head).await?));
    }
    let mut entries = Vec::with_capacity(stored.len());
    for entry in stored {
        let (seq, conversation_id) = (entry.seq, entry.conversation);
        let (at, unread) = (entry.at, entry.unread);
        let kind = entry.kind.clone();
        let event = told(entry, &joined).ok_or_else(|| {
            let user = caller.user;
            Error::Internal(format!("entry {seq} of {user}: a {kind} without substance"))
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
        epoch: app.epoch,
    })
}

/// How many pages share a query, at most: one of large messages holds the others up.
const BATCH: usize = 8;

/// Reads pages from PostgreSQL.
pub type Pages = Shared<PageOf, Fetched>;

/// Starts the reading, so many queries at a time, on the Tokio runtime that this is called on.
pub fn start(pg: &Pg, lanes: u32) -> Pages {
    let manner = Manner {
        name: "inbox",
        batch: BATCH,
        lanes,
        queue: WAITING,
    };
    Shared::start(pg, manner, |conn, asked| {
        let pages = inbox::pages(conn, asked)?;
        let joined = |(page, of): (StoredPage, &PageOf)| {
            let joined = join(conn, of.receiver, &page.entries)?;
            Ok(Fetched { page, joined })
        };
        pages.into_iter().zip(asked).map(joined).collect()
    })
}

/// A page with what its entries refer to.
pub struct Fetched {
    page: StoredPage,
    joined: Joined,
}

/// What entries refer to besides messages, as it is now.
struct Joined {
    conversations: HashMap<ConversationId, Conversation>,
    changes: HashMap<(ConversationId, ConvSeq), MembersChanged>,
}

/// Reads what the entries of a page refer to. Most pages refer to messages only, and cost nothing here.
fn join(conn: &mut Connection, user: UserId, stored: &[StoredEntry]) -> StorageResult<Joined> {
    let of = |kind: EntryKind| {
        let entries = stored.iter().filter(move |one| one.kind == kind.as_str());
        entries.map(|one| (one.conversation, one.ref_seq))
    };
    let ids: BTreeSet<_> = of(EntryKind::Conversation).map(|(id, _)| id).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let changes: Vec<_> = of(EntryKind::Members).collect();
    let mut joined = Joined {
        conversations: HashMap::new(),
        changes: HashMap::new(),
    };
    if !ids.is_empty() {
        let conversations = conversations::by_ids(conn, user, &ids)?;
        joined.conversations = conversations.into_iter().map(|one| (one.id, one)).collect();
    }
    if !changes.is_empty() {
        joined.changes = members::changes(conn, &changes)?.into_iter().collect();
    }
    Ok(joined)
}

/// What a stored entry tells; nothing when it refers to something that is not there.
fn told(entry: StoredEntry, joined: &Joined) -> Option<Told> {
    let id = entry.conversation;
    let Some(kind) = EntryKind::from_name(&entry.kind) else {
        return Some(Told::Unknown { kind: entry.kind });
    };
    let event = match kind {
        EntryKind::Message => Event::Message {
            message: entry.message?,
        },
        EntryKind::Mention => Event::Mention {
            message: entry.message?,
        },
        EntryKind::Read => Event::Read {
            read_seq: entry.ref_seq,
        },
        // Not found: the reader has left it since.
        EntryKind::Conversation => Event::Conversation {
            conversation: joined.conversations.get(&id).cloned().map(Box::new),
        },
        EntryKind::Left => Event::Conversation { conversation: None },
        EntryKind::Members => Event::Members(joined.changes.get(&(id, entry.ref_seq))?.clone()),
    };
    Some(Told::Event(event))
}
