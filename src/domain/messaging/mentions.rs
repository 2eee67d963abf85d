//! The messages that name the caller.

use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::reading::{hidden_messages, message_views};
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::page::{Page, PageSize, to_cursor};
use crate::model::time::Timestamp;
use crate::model::wire::content::{EXPIRED, HIDDEN};
use crate::model::wire::message::Mention;
use crate::storage::pg::messaging::mentions::{self, MentionRow};
use crate::storage::pg::messaging::{archive, members};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// Where the next page of mentions begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MentionCursor {
    /// When the last message of the previous page named the caller, in microseconds since 1970.
    pub at_us: i64,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its seq.
    pub seq: ConvSeq,
}

/// A page of the messages that name the caller, newest first. Messages that the caller may not see any more are left out.
pub async fn page(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    before: Option<MentionCursor>,
    limit: PageSize,
) -> Result<Page<Mention>, Error> {
    admission.admit(Priority::History)?;
    let user = caller.user;
    let before = before.and_then(|cursor| {
        Some(MentionRow {
            key: (cursor.conversation, cursor.seq),
            at: Timestamp(DateTime::from_timestamp_micros(cursor.at_us)?),
        })
    });
    let (rows, messages) = delivery
        .pg
        .read("mentions", move |conn| {
            let rows = mentions::newest(conn, user, before, limit)?;
            let ids: BTreeSet<_> = rows.iter().map(|row| row.key.0).collect();
            let places: Vec<_> = ids.into_iter().map(|id| (user, id)).collect();
            let visible = members::visible(conn, &places)?;
            let is_visible = |(id, seq): &(ConversationId, ConvSeq)| {
                visible
                    .get(&(user, *id))
                    .is_some_and(|visible| visible.after < *seq)
            };
            let keys: Vec<_> = rows.iter().map(|row| row.key).filter(is_visible).collect();
            let mut messages = match keys.is_empty() {
                true => Vec::new(),
                false => archive::some(conn, &keys)?,
            };
            let views = messages.iter_mut().filter_map(|message| {
                Some(message_views::ShownMessage {
                    reader: user,
                    after: visible.get(&(user, message.conversation_id))?.after,
                    message,
                })
            });
            message_views::personalise(conn, views)?;
            hidden_messages::replace(conn, user, true, messages.iter_mut())?;
            messages.retain(|one| ![HIDDEN, EXPIRED].contains(&one.body.kind.as_str()));
            Ok((rows, messages))
        })
        .await?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|len| len == limit.get());
    let position = |last: &MentionRow| MentionCursor {
        at_us: last.at.0.timestamp_micros(),
        conversation: last.key.0,
        seq: last.key.1,
    };
    let last = rows.last().filter(|_| is_full);
    let next_cursor = last.map(|last| to_cursor(&position(last))).transpose()?;
    let mut messages: HashMap<_, _> = messages
        .into_iter()
        .map(|one| ((one.conversation_id, one.seq), one))
        .collect();
    let build = |row: MentionRow| {
        Some(Mention {
            conversation_id: row.key.0,
            seq: row.key.1,
            at: row.at,
            message: messages.remove(&row.key)?,
        })
    };
    Ok(Page {
        items: rows.into_iter().filter_map(build).collect(),
        next_cursor,
    })
}
