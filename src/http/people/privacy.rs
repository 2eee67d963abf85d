//! The caller's privacy settings.

use crate::domain::people::privacy::{self, PrivacyChange};
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle};
use crate::http::kit::optional::{given, present};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::wire::people::privacy::{Audience, Privacy};
use crate::model::wire::violation::Violation;
use actix_web::web;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

/// A change of privacy settings, with at least one field. Null returns to what the operator has set.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, example = json!({"last_seen": "nobody", "direct": "contacts"}))]
pub struct UpdatePrivacyRequest {
    /// Who sees the caller's presence.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Audience>)]
    presence: Option<Option<Audience>>,
    /// Who sees when the caller was last online.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Audience>)]
    last_seen: Option<Option<Audience>>,
    /// Who may create a direct conversation with the caller. Existing ones are not affected.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Audience>)]
    direct: Option<Option<Audience>>,
    /// Who may add the caller to groups.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Audience>)]
    group_add: Option<Option<Audience>>,
    /// Who may ask the caller to become friends.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Audience>)]
    contact_request: Option<Option<Audience>>,
    /// Who may count the friends in common with the caller.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Audience>)]
    contacts_visible: Option<Option<Audience>>,
    /// Whether a search by the beginning of a username finds the caller.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    discoverable: Option<Option<bool>>,
    /// Whether others see what the caller has read. Without it the caller does not see what others have read either.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    read_receipts: Option<bool>,
    /// Whether messages of the caller that others forward name the caller.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    forward_name: Option<bool>,
}

/// Read the caller's privacy settings
#[utoipa::path(get, path = "/v1/me/privacy", tag = "Accounts",
    responses((status = 200, description = "The settings, and what holds", body = Privacy)))]
pub async fn get_privacy(
    delivery: Handle<Delivery>,
    caller: Caller,
) -> Result<web::Json<Privacy>, Problem> {
    Ok(web::Json(privacy::get(&delivery, caller).await?))
}

/// Change the caller's privacy settings
///
/// `contacts` are the people on the caller's own list. A field that is absent is not changed. The caller's devices get a `me` entry,
/// unless nothing has changed.
#[utoipa::path(patch, path = "/v1/me/privacy", tag = "Accounts", request_body = UpdatePrivacyRequest,
    responses((status = 200, description = "The settings, changed", body = Privacy)))]
pub async fn update_privacy(
    delivery: Handle<Delivery>,
    caller: Caller,
    Body(body): Body<UpdatePrivacyRequest>,
) -> Result<web::Json<Privacy>, Problem> {
    let change = PrivacyChange {
        presence: body.presence,
        last_seen: body.last_seen,
        direct: body.direct,
        group_add: body.group_add,
        contact_request: body.contact_request,
        contacts_visible: body.contacts_visible,
        discoverable: body.discoverable,
        read_receipts: body.read_receipts,
        forward_name: body.forward_name,
    };
    if change == PrivacyChange::default() {
        return Err(Violation::new("", "must name at least one field").into());
    }
    let privacy = privacy::update(&delivery, caller, change).await?;
    Ok(web::Json(privacy))
}
