//! Requests to become friends.

use crate::domain::people::contact_requests;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids, Query, limit, replayed};
use crate::http::kit::optional::present;
use crate::http::kit::problem::Problem;
use crate::http::people::contacts::PutContactRequest;
use crate::model::account::Caller;
use crate::model::ids::UserId;
use crate::model::page::from_cursor;
use crate::model::validators::chars;
use crate::model::wire::people::contact::{Contact, ContactRequest, Direction, RequestState};
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A request to become friends.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"message": "We met at the harbour"}))]
pub struct AskRequest {
    /// What the caller says, 1 to 300 Unicode code points.
    #[garde(inner(inner(custom(chars(1..=300)))))]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 300)]
    message: Option<Option<String>>,
}

/// The requested page of requests.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListRequestsQuery {
    /// Who has asked: `in`, the others; `out`, the caller.
    #[param(inline)]
    direction: Direction,
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of requests.
#[derive(Serialize, ToSchema)]
pub struct RequestPage {
    /// The requests, ordered by the id of the other person.
    requests: Vec<ContactRequest>,
    /// The `cursor` for the next page; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Ask a person to become friends
///
/// If the person has asked the caller, the two are friends now (`accepted`). The person gets a `contact_request` entry. A request
/// expires after 30 days. After it has ended, it can be made again after 7 days. Whether the person declines, or blocks the caller,
/// is not shown.
#[utoipa::path(put, path = "/v1/me/contact-requests/{user_id}", tag = "Contacts", request_body = AskRequest,
    params(("user_id" = Uuid, Path, description = "The person")),
    responses((status = 201, description = "The request is pending", body = ContactRequest,
            headers(("Location" = String, description = "The request, to take it back"))),
        (status = 200, description = "The two are friends, or the request was pending before", body = ContactRequest,
            headers(("Idempotent-Replayed" = String, description = "`true` if it was pending before")))),
    extensions(("x-problems" = json!(["blocked", "not_accepted", "not_found", "limit_reached"]))))]
pub async fn create_request(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([person]): Ids<1>,
    Body(body): Body<AskRequest>,
) -> Result<HttpResponse, Problem> {
    let message = body.message.flatten();
    let asked = contact_requests::ask(&delivery, caller, UserId(person), message).await?;
    let mut response = match (asked.is_replay, asked.request.state) {
        (true, _) => replayed(),
        (false, RequestState::Pending | RequestState::Expired) => {
            let location = format!("/v1/me/contact-requests/{person}");
            let mut response = HttpResponse::Created();
            response.insert_header((header::LOCATION, location));
            response
        }
        (false, RequestState::Accepted) => HttpResponse::Ok(),
    };
    Ok(response.json(asked.request))
}

/// Accept a request
///
/// The two are friends, and each gets a `contact` entry. A repeat notes what it says, and answers the contact again.
#[utoipa::path(post, path = "/v1/me/contact-requests/{user_id}/accept", tag = "Contacts", request_body = PutContactRequest,
    params(("user_id" = Uuid, Path, description = "The person who has asked")),
    responses((status = 200, description = "The contact", body = Contact)),
    extensions(("x-problems" = json!(["not_found", "not_accepted", "limit_reached"]))))]
pub async fn accept_request(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([person]): Ids<1>,
    Body(notes): Body<PutContactRequest>,
) -> Result<web::Json<Contact>, Problem> {
    let person = UserId(person);
    let contact = contact_requests::accept(&delivery, caller, person, notes.into()).await?;
    Ok(web::Json(contact))
}

/// Decline a request
///
/// The person who has asked is not notified: the request stays pending there until it expires.
#[utoipa::path(post, path = "/v1/me/contact-requests/{user_id}/decline", tag = "Contacts",
    params(("user_id" = Uuid, Path, description = "The person who has asked")),
    responses((status = 204, description = "There is no request of the person, now or before")),
    extensions(("x-problems" = json!(["validation", "not_found"]))))]
pub async fn decline_request(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([person]): Ids<1>,
) -> Result<HttpResponse, Problem> {
    contact_requests::decline(&delivery, caller, UserId(person)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Take a request back
#[utoipa::path(delete, path = "/v1/me/contact-requests/{user_id}", tag = "Contacts",
    params(("user_id" = Uuid, Path, description = "The person whom the caller has asked")),
    responses((status = 204, description = "There is no request to the person, now or before")),
    extensions(("x-problems" = json!(["validation", "not_found"]))))]
pub async fn remove_request(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([person]): Ids<1>,
) -> Result<HttpResponse, Problem> {
    contact_requests::cancel(&delivery, caller, UserId(person)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List requests
#[utoipa::path(get, path = "/v1/me/contact-requests", tag = "Contacts", params(ListRequestsQuery),
    responses((status = 200, description = "A page", body = RequestPage)),
    extensions(("x-problems" = json!(["validation"]))))]
pub async fn list_requests(
    delivery: Handle<Delivery>,
    caller: Caller,
    Query(query): Query<ListRequestsQuery>,
) -> Result<web::Json<RequestPage>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(from_cursor).transpose()?;
    let direction = query.direction;
    let page = contact_requests::list(&delivery, caller, direction, after, limit).await?;
    Ok(web::Json(RequestPage {
        requests: page.items,
        next_cursor: page.next_cursor,
    }))
}
