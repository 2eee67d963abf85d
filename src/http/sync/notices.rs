//! The long-poll.

use crate::domain::people::presence;
use crate::domain::sync::notices::{self, Looks, Position, WATCH, Wait};
use crate::domain::sync::typing::TYPING_WATCH;
use crate::engine::admission::Admission;
use crate::engine::auth::Auth;
use crate::engine::delivery::Delivery;
use crate::engine::lifecycle::Lifecycle;
use crate::http::kit::extractors::{Handle, Query, repeated, timeout};
use crate::http::kit::problem::Problem;
use crate::http::transport::parking;
use crate::model::account::Caller;
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, Epoch, InboxSeq};
use crate::model::moved::WatchPosition;
use crate::model::wire::people::presence::Activity;
use crate::model::wire::signals::{Signals, TypingMark};
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The position of the device, and how long to wait.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitNoticesQuery {
    /// The last seq of the inbox that the device has.
    #[param(minimum = 0)]
    since_seq: i64,
    /// The longest wait, in seconds, 0 to 55. Default: 25. With 0 the response is immediate.
    #[param(minimum = 0, maximum = 55)]
    timeout: Option<i64>,
    /// The epoch of `since_seq`; checked if given.
    #[param(value_type = Option<Uuid>)]
    epoch: Option<Epoch>,
    /// What the user of this device does. Default: `active`. A device with the platform `bot` is shown online only if it is given. A
    /// change is sent with a new wait, which ends the one before.
    #[param(inline)]
    activity: Option<Activity>,
    /// The cursor of the people whose presence the device shows, of `POST /v1/presence/cursors` or of the last `signals.presence`. The
    /// response then has the changes since.
    presence: Option<String>,
    /// A change of presence ends the wait, at most once in 10 seconds. Only with `presence`.
    presence_wake: Option<bool>,
}

/// Parses the values of `watch`, without duplicates.
fn watched(given: &[String]) -> Result<Vec<(ConversationId, WatchPosition)>, Violation> {
    let invalid = |detail: String| Violation::new("watch", detail);
    if given.len() > WATCH {
        return Err(invalid(format!(
            "must not be given more than {WATCH} times"
        )));
    }
    let mut watched = BTreeMap::new();
    for text in given {
        let (id, last_seq, change_seq) = parts(text).ok_or_else(|| {
            invalid(
                "must be <conversation_id>:<seq> or <conversation_id>:<seq>:<change_seq>"
                    .to_owned(),
            )
        })?;
        let position = WatchPosition {
            last_seq: ConvSeq::parse("watch", last_seq)?,
            change_seq: change_seq
                .map(|change| ChangeSeq::parse("watch", change))
                .transpose()?,
        };
        if watched.insert(ConversationId(id), position).is_some() {
            return Err(invalid(format!("must not name {id} twice")));
        }
    }
    Ok(watched.into_iter().collect())
}

/// Parses the values of `typing`, without duplicates.
fn typing(given: &[String]) -> Result<Vec<(ConversationId, TypingMark)>, Violation> {
    let invalid = |detail: String| Violation::new("typing", detail);
    if given.len() > TYPING_WATCH {
        return Err(invalid(format!(
            "must not be given more than {TYPING_WATCH} times"
        )));
    }
    let mut typing = BTreeMap::new();
    for text in given {
        let parts = text.split_once(':');
        let id = parts.and_then(|(id, _)| Uuid::try_parse(id).ok());
        let mark = parts.and_then(|(_, mark)| TypingMark::parse(mark));
        let (id, mark) = id.zip(mark).ok_or_else(|| {
            invalid("must be <conversation_id>:<mark>, with 0 as the first mark".to_owned())
        })?;
        if typing.insert(ConversationId(id), mark).is_some() {
            return Err(invalid(format!("must not name {id} twice")));
        }
    }
    Ok(typing.into_iter().collect())
}

/// The parts of a value of `watch`.
fn parts(text: &str) -> Option<(Uuid, i64, Option<i64>)> {
    let mut parts = text.split(':');
    let id = Uuid::try_parse(parts.next()?).ok()?;
    let last_seq = parts.next()?.parse().ok()?;
    let change_seq = match parts.next() {
        Some(change) => Some(change.parse().ok()?),
        None => None,
    };
    parts.next().is_none().then_some((id, last_seq, change_seq))
}

/// The result of a wait. It contains no messages: fetch the inbox.
#[derive(Serialize, ToSchema)]
#[schema(as = Notice)]
pub struct NoticeBody {
    /// The inbox has entries after `since_seq`: fetch them.
    news: bool,
    /// The latest seq of the inbox.
    last_seq: InboxSeq,
    /// The sum of the unread counts.
    #[schema(minimum = 0)]
    total_unread: i64,
    /// The current epoch of the data.
    epoch: Epoch,
    /// The watched conversations with messages after the given seq, or with changes after the given number: fetch those. Also one
    /// with `reads_moved`.
    watched: Vec<Watched>,
    /// This node shuts down: wait again after `retry_after_ms`, on a new connection.
    reconnect: bool,
    /// A newer wait of this device has replaced this one: do not wait again here.
    superseded: bool,
    /// With `reconnect`: wait again after this time, in milliseconds.
    #[schema(required = true)]
    retry_after_ms: Option<u64>,
    /// What the wait has asked for with `typing` and `presence`. Absent otherwise, and with `superseded` and `reconnect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    signals: Option<Box<Signals>>,
}

/// A watched conversation with new messages or changes.
#[derive(Serialize, ToSchema)]
pub struct Watched {
    /// The conversation.
    conversation_id: ConversationId,
    /// Its latest seq.
    last_seq: ConvSeq,
    /// The number of the latest change of its messages.
    change_seq: ChangeSeq,
    /// Another member has read more: read the receipts or `peer_read_seq` again, if they are shown. Moves can be missed: read them also
    /// when the conversation is opened.
    reads_moved: bool,
}

/// Wait for news
///
/// Responds as soon as the inbox has entries after `since_seq`, or a watched conversation has messages after its seq or
/// changes after its number, or in a small watched conversation with a change number another member has read more; at the latest after the timeout, or when the access token expires, then with `news: false`. Each device has one wait: a newer wait
/// ends the older one. If the caller is not a member of a watched conversation, the response is `not_found`: fetch the inbox,
/// which has an entry for each conversation that the caller has left. A seq beyond the conversation's latest is `cursor_ahead`.
/// `signals` are best effort. A response that only has signals has `news: false`.
#[utoipa::path(get, path = "/v1/notices", tag = "Sync", params(WaitNoticesQuery,
        ("watch" = Option<Vec<String>>, Query, style = Form, explode, max_items = 100, description = "A conversation \
            to wait for, as `<conversation_id>:<seq>:<change_seq>` with the last seq and the last change of it that the device \
            has. Without the third part, changes of messages do not end the wait. Repeat the parameter for each, up to 100 \
            times."),
        ("typing" = Option<Vec<String>>, Query, style = Form, explode, max_items = 4, description = "A conversation of which \
            the device shows who types, as `<conversation_id>:<mark>` with the mark of its last signal, 0 at first. The wait \
            ends after one second at the earliest when other people type than the mark says. Repeat the parameter for each, up to \
            `limits.typing_watch` times. A conversation that the caller is not in is not refused, and has no signals.")),
    responses((status = 200, description = "The result of the wait", body = NoticeBody)),
    extensions(("x-problems" = json!(["validation", "not_found", "presence_cursor_invalid", "head_too_large", "epoch_changed", "cursor_ahead"]))))]
pub async fn wait_notices(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    auth: Handle<Auth>,
    admission: Handle<Admission>,
    lifecycle: Handle<Lifecycle>,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    parking::check_head(&request)?;
    let ([watch, looks_at], rest) = repeated(request.query_string(), ["watch", "typing"]);
    let Query(query) = Query::<WaitNoticesQuery>::parse(&rest)?;
    let presence = query.presence.as_deref();
    if query.presence_wake.is_some() && presence.is_none() {
        let detail = "must be given with presence only";
        return Err(Violation::new("presence_wake", detail).into());
    }
    let now = auth.tokens.clock.now();
    let cursor = |text| presence::parse_cursor(&delivery, caller, text, now);
    let looks = Looks {
        typing: typing(&looks_at)?,
        presence: presence.map(cursor).transpose()?.map(Arc::new),
        wakes: query.presence_wake == Some(true),
    };
    let has_looks = !looks.typing.is_empty() || looks.presence.is_some();
    let position = Position {
        since: InboxSeq::parse("since_seq", query.since_seq)?,
        epoch: query.epoch,
        watch: watched(&watch)?,
        activity: query.activity,
        looks: has_looks.then(|| Box::new(looks)),
    };
    let timeout = timeout(query.timeout)?;
    let epoch = delivery.epoch;
    match notices::wait(
        &delivery, &auth, &admission, &lifecycle, caller, position, timeout,
    )
    .await?
    {
        Wait::Over(notice) => Ok(response(epoch, notice)),
        Wait::Asleep(asleep) => {
            let asleep = asleep.map(move |notice| Ok(response(epoch, notice?)));
            parking::park(&request, Box::pin(asleep)).await
        }
    }
}

fn response(epoch: Epoch, notice: notices::Notice) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if notice.reconnect_after.is_some() {
        response.force_close();
    }
    response.json(NoticeBody {
        news: notice.news,
        last_seq: notice.last_seq,
        total_unread: notice.total_unread,
        epoch,
        watched: notice
            .watched
            .into_iter()
            .map(|(conversation_id, heads)| Watched {
                conversation_id,
                last_seq: heads.last_seq,
                change_seq: heads.change_seq,
                reads_moved: notice.reads_moved == Some(conversation_id),
            })
            .collect(),
        reconnect: notice.reconnect_after.is_some(),
        superseded: notice.superseded,
        retry_after_ms: notice
            .reconnect_after
            .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        signals: notice.signals,
    })
}
