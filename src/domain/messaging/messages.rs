//! Mark as read, and read the messages of a conversation.

use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::reading::{hidden_messages, message_views, unread_totals};
use crate::engine::writer::commands::mark_read::MarkRead;
use crate::engine::writer::commands::mark_unread::MarkUnread;
use crate::model::account::Caller;
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, UserId};
use crate::model::page::{PAGE_BYTES, PageSize, Range};
use crate::model::resync::Resync;
use crate::model::wire::message::Message;
use crate::model::wire::unread::ReadMark;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::conversations::View;
use crate::storage::pg::messaging::{archive, conversations};
use std::collections::BTreeSet;

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
    if marked.moved && delivery.config.receipts {
        delivery.waiters.reads.note(conversation, caller.user);
    }
    Ok(ReadMark {
        conversation_id: conversation,
        read_seq: marked.read_seq,
        unread: marked.unread,
        total_unread: unread_totals::total(delivery, caller.user).await?.total,
    })
}

/// Marks a conversation as unread, until the caller marks it as read or sends a message.
pub async fn mark_unread(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
) -> Result<(), Error> {
    let answer = delivery
        .writers
        .submit(conversation, caller.user, MarkUnread)?;
    answer.wait().await?
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
    /// The messages to which those of the page reply, if they were asked for.
    pub replied: Option<Vec<Message>>,
}

/// A range of the messages that the caller may see in a conversation.
pub async fn page(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    conversation: ConversationId,
    range: Range<ConvSeq>,
    limit: PageSize,
    with_replied: bool,
) -> Result<TimelinePage, Error> {
    admission.admit(Priority::History)?;
    let (view, messages, replied) = delivery
        .pg
        .read("messages", move |conn| {
            let Some(view) = conversations::view(conn, conversation, caller.user)? else {
                return Ok(None);
            };
            let mut messages = archive::page(conn, conversation, view.visible_after, range, limit)?;
            // The page ends at the head that was read with the caller's membership: later messages may have been sent after
            // the caller was removed.
            messages.retain(|message| message.seq <= view.last_seq);
            if !present(conn, caller.user, conversation, &view, &mut messages)? {
                return Ok(None);
            }
            let replied = match with_replied {
                true => Some(replied(conn, caller, conversation, &view, &messages)?),
                false => None,
            };
            Ok(Some((view, messages, replied)))
        })
        .await?
        .ok_or(Error::NotFound)?;
    let has_more = match range {
        Range::Since(since) if since > view.last_seq => {
            return Err(Error::CursorAhead(Resync {
                epoch: delivery.epoch,
                first_seq: view.visible_after.next().0,
                last_seq: view.last_seq.0,
            }));
        }
        Range::Since(_) => messages.last().is_some_and(|last| last.seq < view.last_seq),
        Range::Before(_) | Range::Newest => messages
            .first()
            .is_some_and(|first| first.seq > view.visible_after.next()),
    };
    Ok(TimelinePage {
        has_more,
        last_seq: view.last_seq,
        change_seq: view.change_seq,
        messages,
        replied,
    })
}

/// Those of these messages that the caller may see.
pub async fn some(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    conversation: ConversationId,
    seqs: Vec<ConvSeq>,
) -> Result<TimelinePage, Error> {
    admission.admit(Priority::History)?;
    delivery
        .pg
        .read("some_messages", move |conn| {
            let Some(view) = conversations::view(conn, conversation, caller.user)? else {
                return Ok(None);
            };
            Ok(Some(TimelinePage {
                messages: shown(conn, caller.user, conversation, &view, seqs.iter().copied())?,
                last_seq: view.last_seq,
                change_seq: view.change_seq,
                has_more: false,
                replied: None,
            }))
        })
        .await?
        .ok_or(Error::NotFound)
}

/// Shows messages as the member sees them. False: the caller may not see them.
///
/// The messages were read after the membership. If one has changed in between, the member may have left before that change: then the
/// membership is read again.
pub fn present(
    conn: &mut Connection,
    user: UserId,
    conversation: ConversationId,
    view: &View,
    messages: &mut [Message],
) -> StorageResult<bool> {
    let is_later = |one: &Message| {
        let change = one.state.as_ref().and_then(|state| state.change_seq);
        change.is_some_and(|change| change > view.change_seq)
    };
    if messages.iter().any(is_later) {
        let now = conversations::view(conn, conversation, user)?;
        if now.is_none_or(|now| now.visible_after != view.visible_after) {
            return Ok(false);
        }
    }
    hidden_messages::replace(conn, user, view.hides, messages.iter_mut())?;
    let views = messages
        .iter_mut()
        .map(|message| message_views::ShownMessage {
            reader: user,
            message,
            after: view.visible_after,
        });
    message_views::personalise(conn, views)?;
    Ok(true)
}

/// Those of these messages that a member may see.
pub fn shown(
    conn: &mut Connection,
    user: UserId,
    conversation: ConversationId,
    view: &View,
    seqs: impl Iterator<Item = ConvSeq>,
) -> StorageResult<Vec<Message>> {
    let is_visible = |seq: &ConvSeq| view.visible_after < *seq && *seq <= view.last_seq;
    let seqs: BTreeSet<_> = seqs.filter(is_visible).collect();
    let keys: Vec<_> = seqs.into_iter().map(|seq| (conversation, seq)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut messages = archive::some(conn, &keys)?;
    messages.sort_unstable_by_key(|one| one.seq);
    match present(conn, user, conversation, view, &mut messages)? {
        true => Ok(messages),
        false => Ok(Vec::new()),
    }
}

/// The messages to which messages of a page reply, without those of the page.
fn replied(
    conn: &mut Connection,
    caller: Caller,
    conversation: ConversationId,
    view: &View,
    page: &[Message],
) -> StorageResult<Vec<Message>> {
    let there: BTreeSet<_> = page.iter().map(|one| one.seq).collect();
    let to = |one: &Message| Some(one.state.as_ref()?.reply_to?.seq);
    let seqs = page.iter().filter_map(to);
    let seqs = seqs.filter(|seq| !there.contains(seq));
    shown(conn, caller.user, conversation, view, seqs)
}

/// A page of the replies to a message and to its replies.
pub async fn replies(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    (conversation, root): (ConversationId, ConvSeq),
    since: ConvSeq,
    limit: PageSize,
) -> Result<TimelinePage, Error> {
    admission.admit(Priority::History)?;
    delivery
        .pg
        .read("replies", move |conn| {
            let view = conversations::view(conn, conversation, caller.user)?;
            let is_visible = |view: &View| view.visible_after < root && root <= view.last_seq;
            let Some(view) = view.filter(is_visible) else {
                return Ok(None);
            };
            let mut messages = archive::replies(conn, conversation, root, since, limit)?;
            let read = messages.len();
            messages.retain(|message| message.seq <= view.last_seq);
            if !present(conn, caller.user, conversation, &view, &mut messages)? {
                return Ok(None);
            }
            // A page that was cut may be followed by more.
            let is_full = i64::try_from(read).is_ok_and(|len| len == limit.get());
            let bytes: usize = messages
                .iter()
                .map(|one| one.body.content.get().len())
                .sum();
            let may_be_cut = i64::try_from(bytes).is_ok_and(|bytes| bytes >= PAGE_BYTES);
            Ok(Some(TimelinePage {
                has_more: is_full || may_be_cut,
                last_seq: view.last_seq,
                change_seq: view.change_seq,
                replied: None,
                messages,
            }))
        })
        .await?
        .ok_or(Error::NotFound)
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

/// One message, if the caller may see it; a stub, if the caller has hidden it.
pub async fn visible(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
    seq: ConvSeq,
) -> Result<Message, Error> {
    delivery
        .pg
        .read("message", move |conn| {
            let view = conversations::view(conn, conversation, caller.user)?;
            let is_visible = |view: &View| view.visible_after < seq && seq <= view.last_seq;
            let Some(view) = view.filter(is_visible) else {
                return Ok(None);
            };
            let Some(mut message) = archive::get(conn, conversation, seq)? else {
                return Ok(None);
            };
            let one = std::slice::from_mut(&mut message);
            Ok(present(conn, caller.user, conversation, &view, one)?.then_some(message))
        })
        .await?
        .ok_or(Error::NotFound)
}
