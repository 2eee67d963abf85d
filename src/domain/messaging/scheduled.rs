//! Messages that are sent later.
//!
//! A node claims a message whose time has come, sends it as any other under its `client_msg_id`, and deletes its row afterwards. A node
//! that dies in between leaves the row, which another node sends again: that is a replay of the stored message.

use crate::domain::messaging::own_change::{OwnChange, own_change};
use crate::domain::messaging::sends::prepared;
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::sources;
use crate::model::account::Caller;
use crate::model::content::Content;
use crate::model::events::scheduled::SCHEDULED_FAILED;
use crate::model::ids::{ClientMsgId, ConversationId, UserId};
use crate::model::message::{NewMessage, SendOptions};
use crate::model::page::{Page, PageSize, ScheduledCursor, to_cursor};
use crate::model::strict::Strict;
use crate::model::time::Timestamp;
use crate::model::unread::CommittedEntry;
use crate::model::wire::scheduled::{
    MAX_SCHEDULED, ScheduledFailed, ScheduledMessage, SendFailure,
};
use crate::model::wire::violation::Violation;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::users;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::messaging::{conversations, scheduled as rows};
use crate::storage::pg::sync::inbox;
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::value::{RawValue, to_raw_value};
use std::convert::Infallible;

/// How far ahead a message may be scheduled.
const AHEAD: TimeDelta = TimeDelta::days(365);

/// Stores a message to send at a time, in place of an earlier one under its id.
pub async fn put(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    send_at: Timestamp,
    message: NewMessage,
) -> Result<ScheduledMessage, Error> {
    let Some(content) = message.content else {
        return Err(Error::invalid("/content", "is required"));
    };
    let scheduled = ScheduledMessage {
        client_msg_id: message.client_msg_id,
        conversation_id: id,
        send_at,
        kind: content.kind().to_owned(),
        content: RawValue::from_string(content.json().to_owned())?,
        reply_to: message.options.reply_to,
        mention_all: message.options.mention_all,
        expires_in: message.options.expires_in,
    };
    own_change(delivery, "schedule", caller, id, move |conn, _, at| {
        if send_at.0 > at.0 + AHEAD {
            let detail = "must be at most 365 days from now";
            return Ok(Err(Error::invalid("/send_at", detail)));
        }
        if rows::others(conn, caller.user, scheduled.client_msg_id)? >= MAX_SCHEDULED {
            let what = "`limits.scheduled` messages of a user";
            return Ok(Err(Error::LimitReached(what)));
        }
        // The timeline is locked before the media: a transaction that locks media for a change locks no timeline afterwards.
        if let Some(media) = content.media() {
            let held = sources::hold_for_later(conn, caller.user, content.kind(), media)?;
            if let Err(refusal) = held {
                return Ok(Err(refusal));
            }
        }
        if !rows::put(conn, caller.user, &scheduled)? {
            return Ok(Err(Error::WindowClosed("rescheduled")));
        }
        Ok(Ok(OwnChange {
            answer: scheduled.clone(),
            entries: Vec::new(),
        }))
    })
    .await
}

/// Deletes a scheduled message, if there is one.
pub async fn delete(delivery: &Delivery, caller: Caller, id: ClientMsgId) -> Result<(), Error> {
    let delete = move |conn: &mut Connection| rows::delete(conn, caller.user, id);
    match delivery.pg.read("unschedule", delete).await? {
        true => Err(Error::WindowClosed("cancelled")),
        false => Ok(()),
    }
}

/// A page of the caller's scheduled messages, ordered by id.
pub async fn page(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    after: Option<ScheduledCursor>,
    limit: PageSize,
) -> Result<Page<ScheduledMessage>, Error> {
    admission.admit(Priority::History)?;
    let after = after.map(|cursor| cursor.after);
    let page = move |conn: &mut Connection| rows::page(conn, caller.user, after, limit);
    let (items, more) = delivery.pg.read("scheduled", page).await?;
    let cursor = |last: &ScheduledMessage| {
        to_cursor(&ScheduledCursor {
            after: last.client_msg_id,
        })
    };
    let next_cursor = items.last().filter(|_| more).map(cursor).transpose()?;
    Ok(Page { items, next_cursor })
}

/// Sends all messages whose time has come.
pub async fn fire(delivery: &Delivery) {
    // `Pg` has logged an error, and the next round tries again.
    while let Ok(due) = delivery.pg.read("due_messages", rows::claim).await {
        let is_last = i64::try_from(due.len()).is_ok_and(|len| len < rows::SLICE);
        let sends = due.into_iter();
        // They are queued in the order of their times.
        join_all(sends.map(|(user, message)| send(delivery, user, message))).await;
        if is_last {
            return;
        }
    }
}

/// Sends a claimed message. After a passing failure it stays, and is sent when its claim has ended.
async fn send(delivery: &Delivery, user: UserId, scheduled: ScheduledMessage) {
    let (conversation, id) = (scheduled.conversation_id, scheduled.client_msg_id);
    let stored = to_raw_value(&scheduled).ok();
    let problem = match attempt(delivery, user, scheduled).await {
        Ok(()) => {
            let finish = move |conn: &mut Connection| rows::finish(conn, user, id);
            // If it fails, the message is sent once more, as a replay.
            let _logged = delivery.pg.read("scheduled_sent", finish).await;
            return;
        }
        Err(error) => refusal(&error),
    };
    let Some(problem) = problem else {
        return;
    };
    let failed = ScheduledFailed {
        client_msg_id: id,
        problem,
        scheduled: stored,
    };
    let fail = move |conn: &mut Connection| {
        fail(conn, user, conversation, &failed).map(Ok::<_, Infallible>)
    };
    if let Ok(Ok(committed)) = delivery.pg.transaction("scheduled_failed", fail).await {
        delivery.writers.publish(committed);
    }
}

async fn attempt(
    delivery: &Delivery,
    user: UserId,
    scheduled: ScheduledMessage,
) -> Result<(), Error> {
    let is_active = move |conn: &mut Connection| users::is_active(conn, user);
    if !delivery.pg.read("is_active", is_active).await? {
        return Err(Error::Forbidden("the account is not in use"));
    }
    let content = Strict(serde_json::from_str(scheduled.content.get())?);
    let message = NewMessage {
        client_msg_id: scheduled.client_msg_id,
        content: Some(Content::parse(&scheduled.kind, content).map_err(Error::Invalid)?),
        options: SendOptions {
            reply_to: scheduled.reply_to,
            mention_all: scheduled.mention_all,
            expires_in: scheduled.expires_in,
            forward: None,
        },
    };
    let send = prepared(delivery, user, vec![message]).await?;
    let id = scheduled.conversation_id;
    let sent = delivery.writers.submit(id, user, send)?.wait().await?;
    sent.into_iter().try_for_each(|result| result.map(drop))
}

/// Why a message can never be sent; nothing for a failure that passes.
fn refusal(error: &Error) -> Option<SendFailure> {
    let (code, detail) = match error {
        Error::Invalid(violations) => {
            let sentence = violations.first().map(Violation::sentence);
            ("validation", sentence.unwrap_or_default())
        }
        Error::NotFound => {
            let detail = "the user is not a member of the conversation any more";
            ("not_found", detail.to_owned())
        }
        Error::Forbidden(why) => ("forbidden", (*why).to_owned()),
        Error::Muted => ("muted", "the user is muted in the conversation".to_owned()),
        Error::Blocked => ("blocked", "one of the two blocks the other".to_owned()),
        Error::LimitReached(what) => ("limit_reached", (*what).to_owned()),
        Error::MessageGone => ("message_gone", "a message is gone".to_owned()),
        Error::MediaNotReady => ("media_not_ready", "the media are gone".to_owned()),
        Error::ClientMsgIdReused => {
            let detail = "another message was sent under this client_msg_id";
            ("client_msg_id_reused", detail.to_owned())
        }
        Error::Overloaded(_)
        | Error::StorageUnavailable
        | Error::RateLimited(_)
        | Error::SlowMode(_)
        | Error::Internal(_)
        | Error::Conflict(_)
        | Error::MissingParts(_)
        | Error::MediaDisabled
        | Error::SearchDisabled
        | Error::NotAccepted
        | Error::PresenceCursorInvalid
        | Error::LimitReachedFor(..)
        | Error::InvalidCredentials
        | Error::UserDeactivated
        | Error::Unauthenticated
        | Error::TokenExpired
        | Error::DeviceRevoked
        | Error::RefreshInvalid
        | Error::VersionConflict(_)
        | Error::DraftConflict(_)
        | Error::WindowClosed(_)
        | Error::ClientConversationIdReused
        | Error::CursorAhead(_)
        | Error::EpochChanged(_)
        | Error::InboxTrimmed(_) => return None,
    };
    Some(SendFailure {
        code: code.to_owned(),
        detail,
    })
}

/// Deletes a claimed message that cannot be sent, with an entry for its sender. The entry of a former member names no conversation.
fn fail(
    conn: &mut Connection,
    user: UserId,
    id: ConversationId,
    failed: &ScheduledFailed,
) -> StorageResult<Vec<CommittedEntry>> {
    let at = inbox::lock_timeline(conn, user)?;
    let is_there = rows::finish(conn, user, failed.client_msg_id)?;
    let Some(at) = at.filter(|_| is_there) else {
        return Ok(Vec::new());
    };
    let number = rows::fail(conn, user, failed)?;
    let view = conversations::view(conn, id, user)?;
    let conversation = view.map_or(ConversationId::NONE, |_| id);
    let entry = inbox::NewEntry {
        receiver: user,
        event: &SCHEDULED_FAILED,
        conversation,
        ref_seq: number,
        unread: view.map_or(0, |view| view.last_seq.0 - view.read_seq.0),
        // Without a conversation there is no count.
        large: view.is_none_or(|view| view.large),
    };
    inbox::deliver(conn, &Changes::default(), &[entry], at)
}
