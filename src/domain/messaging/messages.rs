//! Send, mark as read, and read the messages of a conversation.

use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::reading::{message_views, unread_totals};
use crate::engine::writer::commands::mark_read::MarkRead;
use crate::engine::writer::commands::send::{Send, Sent};
use crate::model::account::Caller;
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId};
use crate::model::message::NewMessage;
use crate::model::page::{PageSize, Range};
use crate::model::resync::Resync;
use crate::model::wire::message::Message;
use crate::model::wire::unread::ReadMark;
use crate::storage::pg::messaging::{archive, conversations};

/// Stores messages of the caller, in this order, and returns the result of each. After an error the messages may or may not
/// be stored, and a replay with the same `client_msg_id`s is safe.
pub async fn send(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
    messages: Vec<NewMessage>,
) -> Result<Vec<Result<Sent, Error>>, Error> {
    let answer = delivery
        .writers
        .submit(conversation, caller.user, Send(messages))?;
    let results = answer.wait().await?;
    let has_changed = |sent: &Sent| sent.message.state.is_some();
    if results.iter().flatten().any(has_changed) {
        return Ok(delivery
            .pg
            .read("replays", move |conn| {
                let mut results = results.clone();
                let messages = results.iter_mut().flatten().map(|sent| &mut sent.message);
                message_views::restrict(conn, caller.user, messages)?;
                Ok(results)
            })
            .await?);
    }
    Ok(results)
}

/// Moves the caller's read position forward.
pub async fn mark_read(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
    seq: ConvSeq,
) -> Result<ReadMark, Error> {
    let answer = delivery
        .writers
        .submit(conversation, caller.user, MarkRead(seq))?;
    let marked = answer.wait().await??;
    Ok(ReadMark {
        conversation_id: conversation,
        read_seq: marked.read_seq,
        unread: marked.unread,
        total_unread: unread_totals::total(delivery, caller.user).await?.total,
    })
}

/// A page of a conversation's timeline.
#[derive(Debug)]
pub struct TimelinePage {
    /// The messages, ascending.
    pub messages: Vec<Message>,
    /// The head.
    pub last_seq: ConvSeq,
    /// The number of changes that the page includes: later ones are after it.
    pub change_seq: ChangeSeq,
    /// Whether there are more messages in the direction of reading.
    pub has_more: bool,
}

/// A range of the messages that the caller may see in a conversation.
pub async fn page(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    conversation: ConversationId,
    range: Range<ConvSeq>,
    limit: PageSize,
) -> Result<TimelinePage, Error> {
    admission.admit(Priority::History)?;
    let (view, messages) = delivery
        .pg
        .read("messages", move |conn| {
            let Some(view) = conversations::view(conn, conversation, caller.user)? else {
                return Ok(None);
            };
            let mut messages = archive::page(conn, conversation, view.joined_seq, range, limit)?;
            // The page ends at the head that was read with the caller's membership: later messages may have been sent after
            // the caller was removed.
            messages.retain(|message| message.seq <= view.last_seq);
            message_views::mark_own_reactions(conn, caller.user, messages.iter_mut())?;
            Ok(Some((view, messages)))
        })
        .await?
        .ok_or(Error::NotFound)?;
    let has_more = match range {
        Range::Since(since) if since > view.last_seq => {
            return Err(Error::CursorAhead(Resync {
                epoch: delivery.epoch,
                first_seq: view.joined_seq.next().0,
                last_seq: view.last_seq.0,
            }));
        }
        Range::Since(_) => messages.last().is_some_and(|last| last.seq < view.last_seq),
        Range::Before(_) | Range::Newest => messages
            .first()
            .is_some_and(|first| first.seq > view.joined_seq.next()),
    };
    Ok(TimelinePage {
        has_more,
        last_seq: view.last_seq,
        change_seq: view.change_seq,
        messages,
    })
}

/// One message that the caller may see.
pub async fn get(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    conversation: ConversationId,
    seq: ConvSeq,
) -> Result<Message, Error> {
    admission.admit(Priority::History)?;
    visible(delivery, caller, conversation, seq).await
}

/// One message, if the caller may see it.
pub async fn visible(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
    seq: ConvSeq,
) -> Result<Message, Error> {
    delivery
        .pg
        .read("message", move |conn| {
            match conversations::view(conn, conversation, caller.user)? {
                Some(view) if view.joined_seq < seq && seq <= view.last_seq => {
                    let mut message = archive::get(conn, conversation, seq)?;
                    message_views::mark_own_reactions(conn, caller.user, message.iter_mut())?;
                    Ok(message)
                }
                Some(_) | None => Ok(None),
            }
        })
        .await?
        .ok_or(Error::NotFound)
}
