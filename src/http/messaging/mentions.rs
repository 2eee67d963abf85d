//! The messages that name the caller.

use crate::domain::messaging::mentions::{self, MentionCursor};
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Handle, Query, limit};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::page::from_cursor;
use crate::model::wire::message::Mention;
use crate::model::wire::violation::Violation;
use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The requested page of mentions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListMentionsQuery {
    /// The `next_cursor` of the previous page.
    before: Option<String>,
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
}

/// A page of messages that name the caller.
#[derive(Serialize, ToSchema)]
pub struct MentionPage {
    /// Newest first.
    mentions: Vec<Mention>,
    /// Send it as `before` to get the next page. Null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List the messages that name the caller
///
/// Messages that mention the caller by name, reply to a message of the caller or, in a small conversation, name everyone; of all
/// conversations, newest first. A page may have
/// fewer messages than `limit`: those that the caller may not see any more are left out.
#[utoipa::path(get, path = "/v1/mentions", tag = "Messages", params(ListMentionsQuery),
    responses((status = 200, description = "A page", body = MentionPage)))]
pub async fn list_mentions(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Query(query): Query<ListMentionsQuery>,
) -> Result<web::Json<MentionPage>, Problem> {
    let invalid = |_| Violation::new("before", "is not a cursor of this listing");
    let before = query.before.as_deref().map(from_cursor::<MentionCursor>);
    let before = before.transpose().map_err(invalid)?;
    let page = mentions::page(&delivery, &admission, caller, before, limit(query.limit)?).await?;
    Ok(web::Json(MentionPage {
        mentions: page.items,
        next_cursor: page.next_cursor,
    }))
}
