//! Making, finding and listing conversations.

use crate::app::App;
use crate::clock;
use crate::domain::error::Error;
use crate::model::account::Caller;
use crate::model::conversation::{
    Conversation, ConversationCursor, ConversationKind, ConversationPage, Order,
};
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::inbox::EntryKind;
use crate::model::page::Limit;
use crate::model::unread::Announcement;
use crate::storage::pg::conversations as rows;
use crate::storage::pg::{accounts, inbox};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

/// Finds or makes the direct conversation of the caller with a peer. The flag says that it was made now.
pub async fn create_direct(
    app: &App,
    caller: Caller,
    peer: UserId,
) -> Result<(Conversation, bool), Error> {
    if peer == caller.user {
        return Err(Error::invalid("/user_id", "must be somebody else"));
    }
    let id = ConversationId(clock::new_id());
    let (low, high) = (caller.user.min(peer), caller.user.max(peer));
    let (conversation, announcements) = app
        .pg
        .transaction("create_direct", move |conn| {
            if accounts::users_by_ids(conn, &[peer])?.is_empty() {
                return Ok(Err(Error::NotFound));
            }
            if !rows::claim_direct(conn, low, high, id)? {
                // Lost the race, or it exists for long: a new statement sees the winner's row.
                return Ok(Ok((rows::find_direct(conn, low, high)?, Vec::new())));
            }
            let at = rows::create(conn, id, ConversationKind::Direct, &[low, high])?;
            let entries = [low, high].map(|receiver| inbox::NewEntry {
                receiver,
                kind: EntryKind::Conversation,
                conversation: id,
                ref_seq: ConvSeq(0),
                unread: 0,
            });
            let seqs = inbox::deliver(conn, &entries, at)?;
            let announcements: Vec<_> = entries
                .iter()
                .zip(seqs)
                .map(|(entry, seq)| Announcement {
                    receiver: entry.receiver,
                    seq,
                    conversation: id,
                    unread: 0,
                })
                .collect();
            Ok(Ok((Some(id), announcements)))
        })
        .await??;
    let made = !announcements.is_empty();
    app.writers.announce(announcements);
    let id =
        conversation.ok_or_else(|| Error::Internal("a pair without a conversation".to_owned()))?;
    Ok((get(app, caller, id).await?, made))
}

/// One conversation of the caller.
pub async fn get(app: &App, caller: Caller, id: ConversationId) -> Result<Conversation, Error> {
    app.pg
        .read("conversation", move |conn| {
            rows::by_ids(conn, caller.user, &[id])
        })
        .await?
        .pop()
        .ok_or(Error::NotFound)
}

/// A page of the caller's conversations.
pub async fn list(
    app: &App,
    caller: Caller,
    order: Order,
    limit: Limit,
    cursor: Option<ConversationCursor>,
) -> Result<ConversationPage, Error> {
    // Captured before the first page is read, and carried along: what changes while a client pages comes in the inbox
    // after this position.
    let inbox_seq = match &cursor {
        Some(cursor) => cursor.inbox_seq,
        None => app.heads.of(caller.user).await?,
    };
    let conversations = app
        .pg
        .read("conversations", move |conn| {
            rows::page(conn, caller.user, order, cursor.as_ref(), limit)
        })
        .await?;
    let full = i64::try_from(conversations.len()).is_ok_and(|len| len == limit.get());
    let next_cursor = match conversations.last().filter(|_| full) {
        Some(last) => Some(encode(&ConversationCursor {
            order,
            inbox_seq,
            after: last.id,
            updated_us: last.updated_at.0.timestamp_micros(),
        })?),
        None => None,
    };
    Ok(ConversationPage {
        conversations,
        next_cursor,
        inbox_seq,
        epoch: app.epoch,
    })
}

fn encode(cursor: &ConversationCursor) -> Result<String, Error> {
    let json = serde_json::to_vec(cursor).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(BASE64.encode(json))
}

/// A cursor that [`list`] has made, for the same order.
pub fn parse_cursor(text: &str, order: Order) -> Result<ConversationCursor, Error> {
    let bad = || Error::invalid("cursor", "is not a cursor of this listing");
    let json = BASE64.decode(text).map_err(|_not_base64| bad())?;
    let cursor: ConversationCursor =
        serde_json::from_slice(&json).map_err(|_not_a_cursor| bad())?;
    if cursor.order == order && (0..=crate::model::ids::MAX_SEQ).contains(&cursor.inbox_seq.0) {
        Ok(cursor)
    } else {
        Err(bad())
    }
}
