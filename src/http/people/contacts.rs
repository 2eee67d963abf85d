//! The caller's contacts.

use crate::domain::people::contacts::{self, ContactChange};
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids, Query, charge_more, limit};
use crate::http::kit::optional::{given, present};
use crate::http::kit::problem::{Problem, ProblemBody};
use crate::http::kit::response_context::RequestId;
use crate::model::account::Caller;
use crate::model::ids::{Epoch, InboxSeq, UserId};
use crate::model::name::{Name, is_name};
use crate::model::page::from_cursor;
use crate::model::people::contact::ContactFilter;
use crate::model::rate_limit::Subject;
use crate::model::validators::items;
use crate::model::wire::people::contact::{Contact, ContactState, MAX_TAGS};
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most contacts of one batch.
const MAX_BATCH: usize = 100;

/// What the caller notes about a person. A field that is absent is not changed.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"alias": "Ann from work", "tags": ["work"], "starred": true}))]
pub struct PutContactRequest {
    /// The caller's own name for the person, with the rules of a display name, of 1 to 64 Unicode code points; null removes it.
    #[garde(inner(inner(custom(is_name(64)))))]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    alias: Option<Option<Name>>,
    /// Up to 32 tags, each with the rules of a display name, of 1 to 32 Unicode code points. They replace those from before.
    #[garde(inner(custom(items(0..=MAX_TAGS)), inner(custom(is_name(32)))))]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<String>, required = false, max_items = 32)]
    tags: Option<Vec<Name>>,
    /// Whether the person is starred.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    starred: Option<bool>,
}

impl From<PutContactRequest> for ContactChange {
    fn from(notes: PutContactRequest) -> Self {
        Self {
            alias: notes.alias.map(|alias| alias.map(String::from)),
            tags: notes.tags.map(distinct),
            starred: notes.starred,
        }
    }
}

/// A contact of a batch, without the person.
impl From<NewContact> for PutContactRequest {
    fn from(contact: NewContact) -> Self {
        Self {
            alias: contact.alias,
            tags: contact.tags,
            starred: contact.starred,
        }
    }
}

/// Tags in their order, each once.
fn distinct(tags: Vec<Name>) -> Vec<String> {
    let mut kept = Vec::with_capacity(tags.len());
    for tag in tags.into_iter().map(String::from) {
        if !kept.contains(&tag) {
            kept.push(tag);
        }
    }
    kept
}

/// Contacts to add or change.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"contacts": [{"user_id": "0199a3c0-0000-7000-8000-000000000001", "alias": "Ann from work"}]}))]
pub struct PutContactsRequest {
    /// 1 to 100 contacts.
    #[garde(custom(items(1..=MAX_BATCH)), dive)]
    #[schema(min_items = 1, max_items = 100)]
    contacts: Vec<NewContact>,
}

/// A contact of a batch.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user_id": "0199a3c0-0000-7000-8000-000000000001", "alias": "Ann from work"}))]
pub struct NewContact {
    /// The person.
    #[garde(skip)]
    user_id: UserId,
    /// As of one contact.
    #[garde(inner(inner(custom(is_name(64)))))]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    alias: Option<Option<Name>>,
    /// As of one contact.
    #[garde(inner(custom(items(0..=MAX_TAGS)), inner(custom(is_name(32)))))]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<String>, required = false, max_items = 32)]
    tags: Option<Vec<Name>>,
    /// As of one contact.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    starred: Option<bool>,
}

/// The outcome of each contact of a batch.
#[derive(Serialize, ToSchema)]
pub struct PutContactsResults {
    /// In the order of the request.
    results: Vec<ContactResult>,
}

/// The outcome of one contact of a batch.
#[derive(Serialize, ToSchema)]
pub struct ContactResult {
    /// The person.
    user_id: UserId,
    /// The HTTP status that the contact alone would have had.
    #[schema(example = 200)]
    status: u16,
    /// The contact, if it was added or changed.
    #[schema(required = true)]
    contact: Option<Contact>,
    /// The problem, if it was refused.
    #[schema(required = true)]
    problem: Option<ProblemBody>,
}

/// The order of contacts.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ContactOrder {
    /// By the person's id.
    #[default]
    Id,
}

/// The requested page of contacts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListContactsQuery {
    /// The order: `id`, which is the default.
    #[param(inline)]
    #[expect(dead_code, reason = "there is one order")]
    order: Option<ContactOrder>,
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
    /// Only contacts in this state.
    #[param(inline)]
    state: Option<ContactState>,
    /// Only contacts with this tag.
    tag: Option<String>,
}

/// A page of contacts.
#[derive(Serialize, ToSchema)]
pub struct ContactPage {
    /// The contacts, ordered by the id of the person.
    contacts: Vec<Contact>,
    /// The `cursor` for the next page; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// The head of the inbox before the first page: changes while a client pages are in the inbox after this seq.
    inbox_seq: InboxSeq,
    /// The current epoch.
    epoch: Epoch,
}

/// How many friends two people have in common.
#[derive(Serialize, ToSchema)]
pub struct MutualCount {
    /// The count, up to 1,000.
    #[schema(minimum = 0, maximum = 1000, example = 3)]
    count: i32,
    /// There may be more.
    capped: bool,
}

/// List the contacts
///
/// After a resync, read all pages, and continue in the inbox from the `inbox_seq` of the first one.
#[utoipa::path(get, path = "/v1/me/contacts", tag = "Contacts", params(ListContactsQuery),
    responses((status = 200, description = "A page", body = ContactPage)),
    extensions(("x-problems" = json!(["validation"]))))]
pub async fn list_contacts(
    delivery: Handle<Delivery>,
    caller: Caller,
    Query(query): Query<ListContactsQuery>,
) -> Result<web::Json<ContactPage>, Problem> {
    let limit = limit(query.limit)?;
    let cursor = query.cursor.as_deref().map(from_cursor).transpose()?;
    let tag = query.tag.map(Name::from);
    if let Some(Err(refusal)) = tag.as_ref().map(|tag| is_name(32)(tag, &())) {
        return Err(Violation::new("tag", refusal.message()).into());
    }
    let filter = ContactFilter {
        state: query.state,
        tag: tag.map(String::from),
    };
    let list = contacts::list(&delivery, caller, filter, cursor, limit).await?;
    Ok(web::Json(ContactPage {
        contacts: list.page.items,
        next_cursor: list.page.next_cursor,
        inbox_seq: list.inbox_seq,
        epoch: list.epoch,
    }))
}

/// Read a contact
#[utoipa::path(get, path = "/v1/me/contacts/{user_id}", tag = "Contacts",
    params(("user_id" = Uuid, Path, description = "The person")),
    responses((status = 200, description = "The contact", body = Contact)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn get_contact(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([person]): Ids<1>,
) -> Result<web::Json<Contact>, Problem> {
    Ok(web::Json(
        contacts::get(&delivery, caller, UserId(person)).await?,
    ))
}

/// Add or change a contact
///
/// The person is not notified, and need not agree. The caller's devices get a `contact` entry, unless nothing has changed. An erased
/// account is `not_accepted`.
#[utoipa::path(put, path = "/v1/me/contacts/{user_id}", tag = "Contacts", request_body = PutContactRequest,
    params(("user_id" = Uuid, Path, description = "The person")),
    responses((status = 200, description = "The contact", body = Contact)),
    extensions(("x-problems" = json!(["not_found", "not_accepted", "limit_reached"]))))]
pub async fn update_contact(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([person]): Ids<1>,
    Body(notes): Body<PutContactRequest>,
) -> Result<web::Json<Contact>, Problem> {
    let contact = contacts::put(&delivery, caller, UserId(person), notes.into()).await?;
    Ok(web::Json(contact))
}

/// Remove a contact
///
/// A friendship ends on both sides: the other person keeps the caller as a contact.
#[utoipa::path(delete, path = "/v1/me/contacts/{user_id}", tag = "Contacts",
    params(("user_id" = Uuid, Path, description = "The person")),
    responses((status = 204, description = "The person is not on the list, now or before")),
    extensions(("x-problems" = json!(["validation", "not_found"]))))]
pub async fn remove_contact(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([person]): Ids<1>,
) -> Result<HttpResponse, Problem> {
    contacts::remove(&delivery, caller, UserId(person)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Add or change several contacts
///
/// A refused contact does not affect the others. A repeat is safe.
#[utoipa::path(post, path = "/v1/me/contacts/batch", tag = "Contacts", request_body = PutContactsRequest,
    responses((status = 200, description = "The outcome of each contact", body = PutContactsResults)))]
pub async fn update_contacts(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    request_id: RequestId,
    caller: Caller,
    Body(body): Body<PutContactsRequest>,
) -> Result<web::Json<PutContactsResults>, Problem> {
    // One contact is included in the cost of the request.
    let cost = body.contacts.len().saturating_sub(1);
    charge_more(&request, &Subject::User(caller.user), cost).await?;
    let mut results = Vec::with_capacity(body.contacts.len());
    for contact in body.contacts {
        let user_id = contact.user_id;
        let notes = PutContactRequest::from(contact);
        let put = contacts::put(&delivery, caller, user_id, notes.into()).await;
        let (status, contact, problem) = match put.map_err(Problem::from) {
            Ok(contact) => (200, Some(contact), None),
            Err(problem) => (problem.code.status().as_u16(), None, Some(problem)),
        };
        results.push(ContactResult {
            user_id,
            status,
            contact,
            problem: problem.map(|problem| problem.into_body(&request_id.0)),
        });
    }
    Ok(web::Json(PutContactsResults { results }))
}

/// Count the friends in common
///
/// The count is 0 if the person does not show it to the caller, and for an unknown person.
#[utoipa::path(get, path = "/v1/users/{id}/mutual-contacts/count", tag = "Contacts",
    params(("id" = Uuid, Path, description = "The other person")),
    responses((status = 200, description = "The count", body = MutualCount)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn get_mutual_count(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([person]): Ids<1>,
) -> Result<web::Json<MutualCount>, Problem> {
    let count = contacts::mutual_count(&delivery, caller, UserId(person)).await?;
    let capped = count == contacts::MAX_COUNT;
    Ok(web::Json(MutualCount { count, capped }))
}
