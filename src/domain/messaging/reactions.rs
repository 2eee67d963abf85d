//! Reactions to messages.

use crate::domain::messaging::messages::visible;
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::writer::commands::react::React;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::page::{Page, PageSize, to_cursor};
use crate::model::wire::reaction::{MessageReactions, Reaction};
use crate::storage::pg::messaging::reactions as rows;
use serde::{Deserialize, Serialize};

/// Adds or removes a reaction of the caller.
pub async fn react(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
    seq: ConvSeq,
    emoji: String,
    adds: bool,
) -> Result<MessageReactions, Error> {
    let react = React {
        seq,
        emoji,
        adds,
        fanout: delivery.config.reaction_fanout,
    };
    let answer = delivery.writers.submit(conversation, caller.user, react)?;
    answer.wait().await?
}

/// Where the next page of reactions begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReactionCursor {
    /// The emoji of the last reaction of the previous page.
    pub emoji: String,
    /// Its user.
    pub after: UserId,
}

/// A page of the reactions to a message, of one emoji or of all.
pub async fn page(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    (conversation, seq): (ConversationId, ConvSeq),
    emoji: Option<String>,
    limit: PageSize,
    cursor: Option<ReactionCursor>,
) -> Result<Page<Reaction>, Error> {
    admission.admit(Priority::History)?;
    if visible(delivery, caller, conversation, seq)
        .await?
        .is_stub()
    {
        return Err(Error::MessageGone);
    }
    let items = delivery
        .pg
        .read("reactions", move |conn| {
            let after = cursor.as_ref().map(|one| (one.emoji.as_str(), one.after));
            rows::page(conn, (conversation, seq), emoji.as_deref(), after, limit)
        })
        .await?;
    let is_full = i64::try_from(items.len()).is_ok_and(|len| len == limit.get());
    let position = |last: &Reaction| ReactionCursor {
        emoji: last.emoji.clone(),
        after: last.user_id,
    };
    let last = items.last().filter(|_| is_full);
    let next_cursor = last.map(|last| to_cursor(&position(last))).transpose()?;
    Ok(Page { items, next_cursor })
}

/// Deletes the reactions of recalled messages.
pub async fn erase_recalled(delivery: &Delivery) {
    // `Pg` has logged an error, and the next round tries again.
    while let Ok(true) = delivery.pg.read("erase_reactions", rows::erase_some).await {}
}
