//! Messages that the caller takes from the own view, for good: some of them, or a history up to a seq.

use crate::domain::messaging::own_change::{OwnChange, own_change};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::writer::commands::clear::Clear;
use crate::model::account::Caller;
use crate::model::events::own::HIDDEN;
use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::wire::message::MAX_HIDDEN;
use crate::storage::pg::messaging::hidden as rows;
use std::collections::BTreeSet;

/// Hides messages. Those that the caller does not see anyway stay as they are.
pub async fn hide(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    seqs: BTreeSet<ConvSeq>,
) -> Result<(), Error> {
    own_change(delivery, "hide", caller, id, move |conn, view, _| {
        let head = view.last_seq;
        if seqs.last() > Some(&head) {
            let detail = format!("must not be beyond the latest seq, {head}");
            return Ok(Err(Error::invalid("/seqs", detail)));
        }
        let visible = seqs.iter().filter(|seq| **seq > view.visible_after);
        let visible: Vec<_> = visible.copied().collect();
        let mut new = Vec::new();
        if !visible.is_empty() {
            let (hidden, hides) = rows::hide(conn, caller.user, id, &visible)?;
            if hides > MAX_HIDDEN {
                let why = "`limits.hidden` messages are hidden: clear the history";
                return Ok(Err(Error::LimitReached(why)));
            }
            new = hidden;
        }
        Ok(Ok(OwnChange {
            answer: (),
            entries: new.into_iter().map(|seq| (&HIDDEN, seq)).collect(),
        }))
    })
    .await
}

/// Clears the history up to a seq.
pub async fn clear(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    seq: ConvSeq,
) -> Result<(), Error> {
    let answer = delivery.writers.submit(id, caller.user, Clear(seq))?;
    answer.wait().await?
}
