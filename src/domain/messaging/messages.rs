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
use crate::model::page::{PAGE_BYTES, PageSize, Range};
use crate::model::resync::Resync;
use crate::model::wire::message::Message;
use crate::model::wire::unread::ReadMark;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::conversations::View;
use crate::storage::pg::messaging::{archive, conversations};
use std::collections::BTreeSet;

/// Stores messages of the caller, in this order, and returns the result of each. After an error the messages may or may not
/// be stored, and a replay with the same `client_msg_id`s is safe.
pub async fn send(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
    messages: Vec<NewMessage>,
) -> Result<Vec<Result<Sent, Error>>, Error> {
    let send = Send {
        messages,
        mention_all_limit: delivery.config.mention_all_limit,
    };
    let answer = delivery.writers.submit(conversation, caller.user, send)?;
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
            let mut messages = archive::page(conn, conversation, view.joined_seq, range, limit)?;
            // The page ends at the head that was read with the caller's membership: later messages may have been sent after
            // the caller was removed.
            messages.retain(|message| message.seq <= view.last_seq);
            if !is_still_member(conn, caller, conversation, &view, &messages)? {
                return Ok(None);
            }
            let joined = view.joined_seq;
            let shown = messages.iter_mut().map(|one| (one, joined));
            message_views::personalise(conn, caller.user, shown)?;
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
                messages: shown(conn, caller, conversation, &view, seqs.iter().copied())?,
                last_seq: view.last_seq,
                change_seq: view.change_seq,
                has_more: false,
                replied: None,
            }))
        })
        .await?
        .ok_or(Error::NotFound)
}

/// Whether a member may see messages that were read after the membership. A message may have changed in between, and the member may
/// have left before: then the membership is read again, after the messages.
pub fn is_still_member(
    conn: &mut Connection,
    caller: Caller,
    conversation: ConversationId,
    view: &View,
    messages: &[Message],
) -> StorageResult<bool> {
    let is_later = |one: &Message| {
        let change = one.state.as_ref().and_then(|state| state.change_seq);
        change.is_some_and(|change| change > view.change_seq)
    };
    if !messages.iter().any(is_later) {
        return Ok(true);
    }
    let now = conversations::view(conn, conversation, caller.user)?;
    Ok(now.is_some_and(|now| now.joined_seq == view.joined_seq))
}

/// Those of these messages that a member may see.
fn shown(
    conn: &mut Connection,
    caller: Caller,
    conversation: ConversationId,
    view: &View,
    seqs: impl Iterator<Item = ConvSeq>,
) -> StorageResult<Vec<Message>> {
    let is_visible = |seq: &ConvSeq| view.joined_seq < *seq && *seq <= view.last_seq;
    let seqs: BTreeSet<_> = seqs.filter(is_visible).collect();
    let keys: Vec<_> = seqs.into_iter().map(|seq| (conversation, seq)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut messages = archive::some(conn, &keys)?;
    messages.sort_unstable_by_key(|one| one.seq);
    if !is_still_member(conn, caller, conversation, view, &messages)? {
        return Ok(Vec::new());
    }
    let pairs = messages.iter_mut().map(|one| (one, view.joined_seq));
    message_views::personalise(conn, caller.user, pairs)?;
    Ok(messages)
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
    shown(conn, caller, conversation, view, seqs)
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
            let is_visible = |view: &View| view.joined_seq < root && root <= view.last_seq;
            let Some(view) = view.filter(is_visible) else {
                return Ok(None);
            };
            let mut messages = archive::replies(conn, conversation, root, since, limit)?;
            let read = messages.len();
            messages.retain(|message| message.seq <= view.last_seq);
            if !is_still_member(conn, caller, conversation, &view, &messages)? {
                return Ok(None);
            }
            let pairs = messages.iter_mut().map(|one| (one, view.joined_seq));
            message_views::personalise(conn, caller.user, pairs)?;
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
                    if !is_still_member(conn, caller, conversation, &view, message.as_slice())? {
                        return Ok(None);
                    }
                    let shown = message.iter_mut().map(|one| (one, view.joined_seq));
                    message_views::personalise(conn, caller.user, shown)?;
                    Ok(message)
                }
                Some(_) | None => Ok(None),
            }
        })
        .await?
        .ok_or(Error::NotFound)
}
