//! Reactions to messages.

use crate::domain::messaging::reactions;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Handle, MessageIds, Query, limit};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::page::from_cursor;
use crate::model::validators::is_emoji;
use crate::model::wire::reaction::{MessageReactions, Reaction};
use crate::model::wire::violation::Violation;
use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The requested page of reactions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListReactionsQuery {
    /// Only the users with this emoji.
    emoji: Option<String>,
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of reactions, by emoji and user.
#[derive(Serialize, ToSchema)]
pub struct ReactionPage {
    /// The users, each with an emoji.
    users: Vec<Reaction>,
    /// Send it as `cursor` to get the next page. Null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Checks an emoji of a path or a query.
fn emoji(pointer: &str, emoji: String) -> Result<String, Violation> {
    match is_emoji(&emoji, &()) {
        Ok(()) => Ok(emoji),
        Err(refusal) => Err(Violation::new(pointer, refusal.message())),
    }
}

/// Add a reaction
///
/// Reacts to a message with an emoji. The server compares emojis byte for byte. A message has at most `limits.emoji` different emojis,
/// and at most `limits.emoji_per_user` of one user. A reaction that is there already changes nothing.
#[utoipa::path(put, path = "/v1/conversations/{id}/messages/{seq}/reactions/{emoji}", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the message in the conversation", minimum = 1),
        ("emoji" = String, Path, description = "The emoji, percent-encoded, 1 to 64 bytes", example = "👍")),
    responses((status = 200, description = "The reactions to the message", body = MessageReactions)),
    extensions(("x-problems" = json!(["muted", "blocked", "not_found", "message_gone", "limit_reached"]))))]
pub async fn add_reaction(
    delivery: Handle<Delivery>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
    path: web::Path<(String, String, String)>,
) -> Result<web::Json<MessageReactions>, Problem> {
    let emoji = emoji("emoji", path.into_inner().2)?;
    let reactions = reactions::react(&delivery, caller, conversation, seq, emoji, true).await?;
    Ok(web::Json(reactions))
}

/// Remove a reaction
///
/// Removes the caller's reaction. A reaction that is not there changes nothing.
#[utoipa::path(delete, path = "/v1/conversations/{id}/messages/{seq}/reactions/{emoji}", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the message in the conversation", minimum = 1),
        ("emoji" = String, Path, description = "The emoji, percent-encoded, 1 to 64 bytes", example = "👍")),
    responses((status = 200, description = "The reactions to the message", body = MessageReactions)),
    extensions(("x-problems" = json!(["not_found", "message_gone"]))))]
pub async fn remove_reaction(
    delivery: Handle<Delivery>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
    path: web::Path<(String, String, String)>,
) -> Result<web::Json<MessageReactions>, Problem> {
    let emoji = emoji("emoji", path.into_inner().2)?;
    let reactions = reactions::react(&delivery, caller, conversation, seq, emoji, false).await?;
    Ok(web::Json(reactions))
}

/// List the users that reacted to a message
#[utoipa::path(get, path = "/v1/conversations/{id}/messages/{seq}/reactions", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the message in the conversation", minimum = 1), ListReactionsQuery),
    responses((status = 200, description = "A page", body = ReactionPage)),
    extensions(("x-problems" = json!(["not_found", "message_gone"]))))]
pub async fn list_reactions(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
    Query(query): Query<ListReactionsQuery>,
) -> Result<web::Json<ReactionPage>, Problem> {
    let of = query.emoji.map(|one| emoji("emoji", one)).transpose()?;
    let cursor = query.cursor.as_deref().map(from_cursor).transpose()?;
    let (message, size) = ((conversation, seq), limit(query.limit)?);
    let page = reactions::page(&delivery, &admission, caller, message, of, size, cursor).await?;
    Ok(web::Json(ReactionPage {
        users: page.items,
        next_cursor: page.next_cursor,
    }))
}
