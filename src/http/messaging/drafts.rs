//! Drafts of messages.

use crate::domain::messaging::drafts::{self, NewDraft};
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids, Query, limit, replayed};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::content::Content;
use crate::model::ids::{ConvSeq, ConversationId, MAX_SEQ};
use crate::model::page::from_cursor;
use crate::model::strict::Strict;
use crate::model::validators::within;
use crate::model::wire::draft::{DRAFT_BYTES, Draft};
use crate::model::wire::violation::Violation;
use actix_web::{HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A draft to store.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"version": 0, "content": {"text": "hi B"}, "after_seq": 12}))]
pub struct UpdateDraftRequest {
    /// The version that the device has seen; 0 before the first draft of the conversation.
    #[garde(custom(within(0..=MAX_SEQ)))]
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    version: i64,
    /// Any JSON object, of at most 16384 bytes and 100 levels. The server does not read it.
    #[garde(skip)]
    #[schema(value_type = Object)]
    content: Strict,
    /// The latest seq of the conversation that the device knows.
    #[garde(custom(within(0..=MAX_SEQ)))]
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    after_seq: i64,
}

/// Which draft to delete.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteDraftQuery {
    /// The version that the device has seen.
    #[param(minimum = 0, maximum = 9007199254740991i64)]
    version: i64,
}

/// The requested page of the caller's drafts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListDraftsQuery {
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of drafts.
#[derive(Serialize, ToSchema)]
pub struct DraftPage {
    /// The drafts, ordered by conversation, without deleted and void ones. A page may be shorter than `limit`.
    drafts: Vec<Draft>,
    /// The `cursor` for the next page; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Store a draft
///
/// For all devices of the caller, which get a `draft` entry. `version` is the one that the device has seen: if it is not the present
/// one, nothing is changed, and the problem has the draft as it is now. A repeat is safe. A draft is void when the caller has sent a
/// message above `after_seq`. A draft is stored at most every two seconds.
#[utoipa::path(put, path = "/v1/conversations/{id}/draft", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")), request_body = UpdateDraftRequest,
    responses((status = 200, description = "The draft as stored", body = Draft,
        headers(("Idempotent-Replayed" = String, description = "`true`, if the same draft was stored before")))),
    extensions(("x-problems" = json!(["not_found", "version_conflict"]))))]
pub async fn update_draft(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<UpdateDraftRequest>,
) -> Result<HttpResponse, Problem> {
    let content = Content::parse("custom", body.content).map_err(Problem::invalid)?;
    if content.json().len() > DRAFT_BYTES {
        let detail = format!("must be at most {DRAFT_BYTES} bytes long as JSON");
        return Err(Violation::new("/content", detail).into());
    }
    let new = NewDraft {
        version: body.version,
        content,
        after_seq: ConvSeq(body.after_seq),
    };
    let stored = drafts::put(&delivery, caller, ConversationId(id), new).await?;
    let mut response = match stored.replayed {
        true => replayed(),
        false => HttpResponse::Ok(),
    };
    Ok(response.json(stored.draft))
}

/// Delete a draft
///
/// Its version stays: the next draft continues from it. A repeat is safe.
#[utoipa::path(delete, path = "/v1/conversations/{id}/draft", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"), DeleteDraftQuery),
    responses((status = 204, description = "There is no draft")),
    extensions(("x-problems" = json!(["not_found", "version_conflict"]))))]
pub async fn delete_draft(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Query(query): Query<DeleteDraftQuery>,
) -> Result<HttpResponse, Problem> {
    if !(0..=MAX_SEQ).contains(&query.version) {
        return Err(Violation::new("version", format!("must be 0 to {MAX_SEQ}")).into());
    }
    drafts::delete(&delivery, caller, ConversationId(id), query.version).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List the caller's drafts
///
/// For a device that starts. Later changes are `draft` entries of the inbox.
#[utoipa::path(get, path = "/v1/drafts", tag = "Messages", params(ListDraftsQuery),
    responses((status = 200, description = "A page", body = DraftPage)),
    extensions(("x-problems" = json!(["validation"]))))]
pub async fn list_drafts(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Query(query): Query<ListDraftsQuery>,
) -> Result<web::Json<DraftPage>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(from_cursor).transpose()?;
    let page = drafts::page(&delivery, &admission, caller, after, limit).await?;
    Ok(web::Json(DraftPage {
        drafts: page.items,
        next_cursor: page.next_cursor,
    }))
}
