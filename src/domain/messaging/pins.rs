//! Pinned messages.

use crate::domain::messaging::messages::present;
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::writer::commands::pin::Pin;
use crate::model::account::Caller;
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId};
use crate::model::wire::content::EXPIRED;
use crate::model::wire::message::Message;
use crate::storage::pg::messaging::{conversations, pins as rows};

/// Pins a message, or ends its pin.
pub async fn pin(
    delivery: &Delivery,
    caller: Caller,
    conversation: ConversationId,
    seq: ConvSeq,
    pins: bool,
) -> Result<(), Error> {
    let pin = Pin { seq, pins };
    let answer = delivery.writers.submit(conversation, caller.user, pin)?;
    answer.wait().await?
}

/// The pinned messages that the caller may see, the newest pin first, and the number of changes that the list includes.
pub async fn list(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    conversation: ConversationId,
) -> Result<(Vec<Message>, ChangeSeq), Error> {
    admission.admit(Priority::History)?;
    delivery
        .pg
        .read("pins", move |conn| {
            let Some(view) = conversations::view(conn, conversation, caller.user)? else {
                return Ok(None);
            };
            let mut messages = rows::list(conn, conversation, view.visible_after)?;
            // The sweep ends the pins of expired messages a little later.
            messages.retain(|one| one.seq <= view.last_seq && one.body.kind != EXPIRED);
            let shown = present(conn, caller.user, conversation, &view, &mut messages)?;
            Ok(shown.then_some((messages, view.change_seq)))
        })
        .await?
        .ok_or(Error::NotFound)
}
