//! Changes of stored messages: recall, edit, and what a device reads of them.

use crate::config::EditHistory;
use crate::domain::messaging::messages::{TimelinePage, visible};
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::reading::message_views;
use crate::engine::writer::commands::edit::{Edit, Edited};
use crate::engine::writer::commands::recall::Recall;
use crate::model::account::Caller;
use crate::model::content::Content;
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, Epoch};
use crate::model::page::PageSize;
use crate::model::resync::Resync;
use crate::model::strict::Strict;
use crate::model::window::Window;
use crate::model::wire::member::Role;
use crate::model::wire::message::{Message, MessageVersion};
use crate::storage::pg::messaging::{conversations, members, states};

/// The kinds whose content may be edited.
const EDITABLE: [&str; 2] = ["text", "custom"];

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
    // The kind, which never changes, says how the content is checked.
    let message = visible(delivery, caller, conversation, seq).await?;
    if message.is_stub() {
        return Err(Error::MessageGone);
    }
    let kind = &message.body.kind;
    if !EDITABLE.contains(&kind.as_str()) {
        let detail = format!(
            "must be that of a text or custom message: a message of kind {kind} cannot be edited"
        );
        return Err(Error::invalid("/content", detail));
    }
    let edit = Edit {
        seq,
        version,
        content: Content::parse(kind, content).map_err(Error::Invalid)?,
        window: Window(delivery.config.edit_seconds),
        keeps_versions: delivery.config.edit_history != EditHistory::Off,
    };
    let answer = delivery.writers.submit(conversation, caller.user, edit)?;
    match answer.wait().await? {
        Ok(edited) => Ok(Edited {
            message: with_own_reactions(delivery, caller, edited.message).await?,
            ..edited
        }),
        Err(Error::VersionConflict(message)) => {
            let message = with_own_reactions(delivery, caller, *message).await?;
            Err(Error::VersionConflict(Box::new(message)))
        }
        Err(error) => Err(error),
    }
}

/// A message of the writer as the caller sees it.
async fn with_own_reactions(
    delivery: &Delivery,
    caller: Caller,
    message: Message,
) -> Result<Message, Error> {
    if !message.has_reactions() {
        return Ok(message);
    }
    let marked = move |conn: &mut _| {
        let mut message = message.clone();
        let shown = std::iter::once((&mut message, ConvSeq(0)));
        message_views::personalise(conn, caller.user, shown)?;
        Ok(message)
    };
    Ok(delivery.pg.read("own_reactions", marked).await?)
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
    let (view, messages) = delivery
        .pg
        .read("changes", move |conn| {
            let Some(view) = conversations::view(conn, conversation, caller.user)? else {
                return Ok(None);
            };
            let joined = view.joined_seq;
            let mut messages = states::changed_since(conn, conversation, joined, since, limit)?;
            let shown = messages.iter_mut().map(|one| (one, joined));
            message_views::personalise(conn, caller.user, shown)?;
            Ok(Some((view, messages)))
        })
        .await?
        .ok_or(Error::NotFound)?;
    let resync = Resync {
        epoch: delivery.epoch,
        first_seq: view.joined_seq.next().0,
        last_seq: view.last_seq.0,
    };
    if epoch.is_some_and(|epoch| epoch != delivery.epoch) {
        return Err(Error::EpochChanged(resync));
    }
    if since > view.change_seq {
        return Err(Error::CursorAhead(resync));
    }
    // The page ends at the head that was read with the caller's membership. A message that has changed again since comes under
    // its new number.
    let number = |message: &Message| message.state.as_ref().and_then(|state| state.change_seq);
    let read = messages.len();
    let is_known = |message: &Message| number(message) <= Some(view.change_seq);
    let messages: Vec<_> = messages.into_iter().take_while(is_known).collect();
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
            let is_visible = view.is_some_and(|view| view.joined_seq < seq);
            Ok(is_visible.then_some((member, versions)))
        })
        .await?
        .ok_or(Error::NotFound)?;
    if needs_lead && member.is_none_or(|member| member.role < Role::Admin) {
        let why = "only the sender, the owner and the admins read the old versions of a message";
        return Err(Error::Forbidden(why));
    }
    // A recall erases all versions.
    match versions.is_empty() {
        true => Err(Error::MessageGone),
        false => Ok(versions),
    }
}
