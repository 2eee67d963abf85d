//! Making, reading and listing conversations.

use crate::domain::conversations;
use crate::http::extract::{Body, Ids, Query, app, limit, replayed};
use crate::http::problem::Problem;
use crate::model::account::Caller;
use crate::model::conversation::{Conversation, ConversationPage, Order};
use crate::model::ids::{ConversationId, UserId};
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use garde::Validate;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// A conversation to make.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CreateConversationRequest {
    /// Between the caller and one other person.
    Direct {
        /// The other person.
        #[garde(skip)]
        user_id: UserId,
    },
}

/// Which page of the caller's conversations.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListConversationsQuery {
    /// `activity` (newest first, the default) for screens, `id` (stable while one pages) for starting over.
    #[serde(default)]
    #[param(inline, required = false)]
    order: Order,
    /// The size of the page, 1 to 500; 100 when not given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Make a conversation
///
/// A direct conversation exists once per pair: a repeat, by either side, finds it (200).
#[utoipa::path(post, path = "/v1/conversations", tag = "Conversations", request_body = CreateConversationRequest,
    responses(
        (status = 201, description = "Made", body = Conversation,
            headers(("Location" = String, description = "The conversation"))),
        (status = 200, description = "It exists already", body = Conversation,
            headers(("Idempotent-Replayed" = String, description = "`true`")))),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn create_conversation(
    request: HttpRequest,
    caller: Caller,
    Body(body): Body<CreateConversationRequest>,
) -> Result<HttpResponse, Problem> {
    let CreateConversationRequest::Direct { user_id } = body;
    let (conversation, made) =
        conversations::create_direct(&*app(&request)?, caller, user_id).await?;
    let mut response = if made {
        HttpResponse::Created()
    } else {
        replayed()
    };
    Ok(response
        .insert_header((
            header::LOCATION,
            format!("/v1/conversations/{}", conversation.id),
        ))
        .json(conversation))
}

/// List the caller's conversations
///
/// `inbox_seq` is the caller's inbox head from before the first page: a client that starts over pages with `order=id`
/// and then continues the inbox from there.
#[utoipa::path(get, path = "/v1/conversations", tag = "Conversations", params(ListConversationsQuery),
    responses((status = 200, description = "A page", body = ConversationPage)),
    extensions(("x-problems" = json!(["validation", "overloaded"]))))]
pub async fn list_conversations(
    request: HttpRequest,
    caller: Caller,
    Query(query): Query<ListConversationsQuery>,
) -> Result<web::Json<ConversationPage>, Problem> {
    let limit = limit(query.limit)?;
    let cursor = query
        .cursor
        .map(|cursor| conversations::parse_cursor(&cursor, query.order))
        .transpose()?;
    let app = app(&request)?;
    let page = conversations::list(&app, caller, query.order, limit, cursor).await?;
    Ok(web::Json(page))
}

/// Read a conversation
#[utoipa::path(get, path = "/v1/conversations/{id}", tag = "Conversations",
    params(("id" = Uuid, Path, description = "The conversation")),
    responses((status = 200, description = "The conversation as the caller sees it", body = Conversation)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn get_conversation(
    request: HttpRequest,
    caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<web::Json<Conversation>, Problem> {
    let conversation = conversations::get(&*app(&request)?, caller, ConversationId(id)).await?;
    Ok(web::Json(conversation))
}
