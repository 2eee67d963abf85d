//! Changes of stored messages: recall, edit, and the pages in which a device reads them.

use crate::config::EditHistory;
use crate::domain::messaging::messages::{TimelinePage, present, visible};
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::reading::{hidden_messages, message_views};
use crate::engine::writer::commands::edit::{Edit, Edited};
use crate::engine::writer::commands::recall::Recall;
use crate::model::account::Caller;
use crate::model::content::NewContent;
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, Epoch};
use crate::model::page::PageSize;
use crate::model::resync::Resync;
use crate::model::strict::Strict;
use crate::model::window::Window;
use crate::model::wire::member::Role;
use crate::model::wire::message::{Message, MessageVersion};
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::{conversations, members, states};

/// Recalls a message.
pub async fn recall(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
    seq: ConvSeq,
) -> Result<Message, Error> {
    let recall = Recall {
        seq,
        window: Window(delivery.config.recall_seconds),
    };
    let answer = delivery.writers.submit(conversation, caller.user, recall)?;
    answer.wait().await?
}

/// Replaces the content of a message of the caller, which has seen this version of it.
pub async fn edit(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
    seq: ConvSeq,
    version: i32,
    content: Strict,
) -> Result<Edited, Error> {
    let edit = Edit {
        seq,
        version,
        content: NewContent::parse(content),
        window: Window(delivery.config.edit_seconds),
        keeps_versions: delivery.config.edit_history != EditHistory::Off,
    };
    let answer = delivery.writers.submit(conversation, caller.user, edit)?;
    match answer.wait().await? {
        Ok(edited) if is_personal(&edited.message) => Ok(Edited {
            message: seen(delivery, caller, edited.message, false).await?,
            ..edited
        }),
        Err(Error::VersionConflict(message)) => {
            let message = seen(delivery, caller, *message, true).await?;
            Err(Error::VersionConflict(Box::new(message)))
        }
        settled => settled,
    }
}

/// Whether a message differs between readers.
fn is_personal(message: &Message) -> bool {
    let state = message.state.as_ref();
    message.has_reactions() || state.is_some_and(|state| state.reply_to.is_some())
}

/// A message of the writer as the caller sees it, as a stub if the caller has hidden it.
async fn seen(
    delivery: &Delivery,
    caller: Caller,
    message: Message,
    hides: bool,
) -> Result<Message, Error> {
    let seen = move |conn: &mut Connection| {
        let mut message = message.clone();
        message_views::restrict(conn, std::iter::once((caller.user, &mut message)))?;
        hidden_messages::replace(conn, caller.user, hides, std::iter::once(&mut message))?;
        Ok(message)
    };
    Ok(delivery.pg.read("seen_message", seen).await?)
}

/// The messages that changed after a number, each once and as it is now, in the order of their changes.
pub async fn changed_since(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    conversation: ConversationId,
    since: ChangeSeq,
    limit: PageSize,
    epoch: Option<Epoch>,
) -> Result<TimelinePage, Error> {
    admission.admit(Priority::History)?;
    let number = |message: &Message| message.state.as_ref().and_then(|state| state.change_seq);
    let (view, messages, read) = delivery
        .pg
        .read("changes", move |conn| {
            let Some(view) = conversations::view(conn, conversation, caller.user)? else {
                return Ok(None);
            };
            let first = view.visible_after;
            let mut messages = states::changed_since(conn, conversation, first, since, limit)?;
            let read = messages.len();
            // The page ends at the head that was read with the caller's membership. A message that has changed again since comes
            // under its new number.
            let is_known = |message: &&Message| number(message) <= Some(view.change_seq);
            messages.truncate(messages.iter().take_while(is_known).count());
            // The member may see all of them: none has changed after the membership was read.
            present(conn, caller.user, conversation, &view, &mut messages)?;
            Ok(Some((view, messages, read)))
        })
        .await?
        .ok_or(Error::NotFound)?;
    let resync = Resync {
        epoch: delivery.epoch,
        first_seq: view.visible_after.next().0,
        last_seq: view.last_seq.0,
    };
    if epoch.is_some_and(|epoch| epoch != delivery.epoch) {
        return Err(Error::EpochChanged(resync));
    }
    if since > view.change_seq {
        return Err(Error::CursorAhead(resync));
    }
    let last = messages.last().and_then(number).unwrap_or(since);
    // A page that was cut, by its size or by the head, may be followed by more.
    let has_more = !messages.is_empty() && messages.len() == read && last < view.change_seq;
    Ok(TimelinePage {
        change_seq: if has_more { last } else { view.change_seq },
        last_seq: view.last_seq,
        messages,
        has_more,
        replied: None,
    })
}

/// The versions of a message, oldest first.
pub async fn versions(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    conversation: ConversationId,
    seq: ConvSeq,
) -> Result<Vec<MessageVersion>, Error> {
    admission.admit(Priority::History)?;
    let message = visible(delivery, caller, conversation, seq).await?;
    if message.is_stub() {
        return Err(Error::MessageGone);
    }
    let needs_lead = match delivery.config.edit_history {
        EditHistory::Members => false,
        EditHistory::Leads => message.sender_id != caller.user,
        EditHistory::Off => return Err(Error::Forbidden("this server stores no old versions")),
    };
    let (member, versions) = delivery
        .pg
        .read("versions", move |conn| {
            let member = match needs_lead {
                true => members::get(conn, conversation, caller.user)?,
                false => None,
            };
            let versions = states::versions(conn, (conversation, seq))?;
            // After the versions: a member who has left sees none that is later.
            let view = conversations::view(conn, conversation, caller.user)?;
            let is_visible = view.is_some_and(|view| view.visible_after < seq);
            Ok(is_visible.then_some((member, versions)))
        })
        .await?
        .ok_or(Error::NotFound)?;
    if needs_lead && member.is_none_or(|member| member.role < Role::Admin) {
        let why = "only the sender, the owner and the admins read the old versions of a message";
        return Err(Error::Forbidden(why));
    }
    // A recall, or the end of its time, erases all versions.
    match versions.is_empty() {
        true => Err(Error::MessageGone),
        false => Ok(versions),
    }
}
