//! Reading the inbox.

use crate::app::App;
use crate::domain::error::Error;
use crate::domain::notices::{check_position, resync};
use crate::model::account::Caller;
use crate::model::conversation::Conversation;
use crate::model::ids::{ConversationId, Epoch, InboxSeq};
use crate::model::inbox::{Entry, EntryKind, Event, InboxPage};
use crate::model::page::Limit;
use crate::storage::pg::{conversations, inbox};
use std::collections::HashMap;

/// The entries after `since`, without a hole.
pub async fn fetch(
    app: &App,
    caller: Caller,
    since: InboxSeq,
    limit: Limit,
    epoch: Option<Epoch>,
) -> Result<InboxPage, Error> {
    let (head, stored, conversations) = app
        .pg
        .read("inbox", move |conn| {
            let (head, stored) = inbox::page(conn, caller.user, since, limit)?;
            let mut ids: Vec<ConversationId> = stored
                .iter()
                .filter(|entry| entry.kind == EntryKind::Conversation.as_str())
                .map(|entry| entry.conversation)
                .collect();
            ids.sort_unstable();
            ids.dedup();
            let conversations = if ids.is_empty() {
                Vec::new()
            } else {
                conversations::by_ids(conn, caller.user, &ids)?
            };
            Ok((head, stored, conversations))
        })
        .await?;
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
    let by_id: HashMap<ConversationId, Conversation> =
        conversations.into_iter().map(|one| (one.id, one)).collect();
    let mut entries = Vec::with_capacity(stored.len());
    for entry in stored {
        let event = match (entry.kind.as_str(), entry.message) {
            ("message", Some(message)) => Event::Message { message },
            ("read", _) => Event::Read {
                read_seq: entry.ref_seq,
            },
            ("conversation", _) => Event::Conversation {
                conversation: by_id.get(&entry.conversation).cloned(),
            },
            (kind, _) => {
                let why = format!(
                    "inbox entry {} of {} is a {kind} without substance",
                    entry.seq, caller.user
                );
                return Err(Error::Internal(why));
            }
        };
        entries.push(Entry {
            seq: entry.seq,
            conversation_id: entry.conversation,
            at: entry.at,
            unread: entry.unread,
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
