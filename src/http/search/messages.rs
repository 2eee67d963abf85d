//! The search for messages.

use crate::domain::search::messages;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::search::filter::Filter;
use crate::engine::search::page::{MAX_PAGE, Search};
use crate::engine::search::position::HitPosition;
use crate::engine::search::query::Terms;
use crate::http::kit::extractors::{Handle, Query, charge, repeated};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::content::KINDS;
use crate::model::ids::{ConversationId, UserId};
use crate::model::rate_limit::Subject;
use crate::model::time::Timestamp;
use crate::model::wire::search::{FoundMessage, Has};
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The results of a page if none are asked for.
const DEFAULT_PAGE: i64 = 20;

/// The most conversations, and the most kinds, of a search.
const MAX_VALUES: usize = 50;

/// What is searched for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchMessagesQuery {
    /// The words that a message must have, all of them, 1 to 256 characters and 10 terms. Case, accents of Latin letters and width do not
    /// count. `"a phrase"` is words next to each other, `word*` the beginning of a word, `-word` excludes. The last word may be the
    /// beginning of one. A beginning has at least two characters. Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese are found at any place. Nothing else has a meaning. May
    /// be absent if there is another filter beside the times.
    #[param(example = "harbour", min_length = 1, max_length = 256)]
    q: Option<String>,
    /// Only messages of this sender.
    #[param(value_type = Option<Uuid>)]
    sender_id: Option<UserId>,
    /// Only messages with this.
    #[param(inline)]
    has: Option<Has>,
    /// Only messages of this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Only messages before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// The most results, 1 to 50. Default: 20.
    #[param(minimum = 1, maximum = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the page before. The other parameters must be the same, except `limit`.
    cursor: Option<String>,
}

/// The parameters that may be repeated.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RepeatedFilters {
    /// Only messages of these conversations. May be repeated, 50 times at most.
    #[expect(dead_code, reason = "documentation; `repeated` parses it")]
    conversation_id: Option<Vec<Uuid>>,
    /// Only messages of these kinds: `text`, `emoji`, `image`, `video`, `file`, `custom`. May be repeated.
    #[expect(dead_code, reason = "documentation; `repeated` parses it")]
    kind: Option<Vec<String>>,
}

/// A page of messages that were found, the newest first.
#[derive(Serialize, ToSchema)]
pub struct FoundMessages {
    /// The messages. A page may be short, or empty, although older messages are found later.
    results: Vec<FoundMessage>,
    /// Where the next page begins; null: there is none.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// All messages were looked at: the same as `next_cursor` being null.
    complete: bool,
}

fn ids(given: &[String]) -> Result<Vec<ConversationId>, Violation> {
    let invalid = |detail: &str| Violation::new("conversation_id", detail);
    if given.len() > MAX_VALUES {
        return Err(invalid("must not be given more than 50 times"));
    }
    let ids: Option<BTreeSet<_>> = given.iter().map(|id| Uuid::try_parse(id).ok()).collect();
    let ids = ids.ok_or_else(|| invalid("must be a UUID"))?;
    Ok(ids.into_iter().map(ConversationId).collect())
}

fn kinds(given: Vec<String>) -> Result<Vec<String>, Violation> {
    let is_known = |kind: &String| KINDS.contains(&kind.as_str());
    if given.len() > MAX_VALUES || !given.iter().all(is_known) {
        return Err(Violation::new(
            "kind",
            "must be text, emoji, image, video, file or custom, given at most 50 times",
        ));
    }
    let kinds: BTreeSet<_> = given.into_iter().collect();
    Ok(kinds.into_iter().collect())
}

/// Search for messages
///
/// In the conversations that the caller is in, among the messages that the caller may see, as they are now: recalled and expired ones are
/// not found, and edited ones by their present text. A request looks at no more than about 6,400 messages that may match, or a mebibyte of
/// contents, so go on with `next_cursor` while the page is short. There are no totals. Five searches a second, 20 in one burst.
#[utoipa::path(get, path = "/v1/search/messages", tag = "Messages", params(SearchMessagesQuery, RepeatedFilters),
    responses((status = 200, description = "A page of results", body = FoundMessages)),
    extensions(("x-problems" = json!(["validation", "not_found", "search_disabled"]))))]
pub async fn search_messages(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
) -> Result<web::Json<FoundMessages>, Problem> {
    let ([only, wanted], rest) = repeated(request.query_string(), ["conversation_id", "kind"]);
    let Query(query) = Query::<SearchMessagesQuery>::parse(&rest)?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Violation::new("limit", format!("must be 1 to {MAX_PAGE}")).into());
    }
    if let (Some(from), Some(to)) = (query.from, query.to)
        && from >= to
    {
        return Err(Violation::new("to", "must be after from").into());
    }
    let (only, kinds) = (ids(&only)?, kinds(wanted)?);
    let has_filter = query.sender_id.is_some() || query.has.is_some();
    if query.q.is_none() && only.is_empty() && kinds.is_empty() && !has_filter {
        let detail = "is required without another filter beside the times";
        return Err(Violation::new("q", detail).into());
    }
    let filter = Filter {
        terms: query.q.as_deref().map(Terms::parse).transpose()?,
        kinds,
        sender: query.sender_id,
        has: query.has,
    };
    let same = format!("{:?}", (&only, &filter, query.from, query.to));
    let service = delivery.search.as_ref().ok_or(Error::SearchDisabled)?;
    let cursor = query.cursor.as_deref().map(|cursor| {
        let position = service.cursors.open(caller.user, same.as_bytes(), cursor);
        position.ok_or_else(|| Violation::new("cursor", "is not a cursor of this listing"))
    });
    let after = cursor.transpose()?.or(query.to.map(HitPosition::before));
    charge(&request, &Subject::MessageSearch(caller.user)).await?;
    let search = Search {
        caller: caller.user,
        only,
        filter,
        from: query.from,
        after,
        limit: usize::try_from(limit).unwrap_or(1),
    };
    let found = messages::find(&delivery, search).await?;
    let seal = |position| service.cursors.seal(caller.user, same.as_bytes(), position);
    Ok(web::Json(FoundMessages {
        complete: found.next.is_none(),
        next_cursor: found.next.map(seal),
        results: found.hits.into_iter().map(FoundMessage::from).collect(),
    }))
}
