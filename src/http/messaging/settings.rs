//! The caller's own settings of a conversation.

use crate::domain::messaging::settings::{self, SettingsChange};
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids};
use crate::http::kit::optional::{given, present};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, MAX_SEQ};
use crate::model::name::{Name, is_name};
use crate::model::validators::within;
use crate::model::wire::settings::{ConversationSettings, Notify};
use crate::model::wire::violation::Violation;
use actix_web::web;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

/// A change of settings, with at least one field.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, example = json!({"notify": {"level": "mentions"}, "pinned": true}))]
pub struct UpdateSettingsRequest {
    /// Of which messages the caller's devices notify; null: of those that the caller's own default says.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Notify>)]
    notify: Option<Option<Notify>>,
    /// Pin the conversation, or end that. At most 50 are pinned.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pinned: Option<bool>,
    /// Move the conversation into the archive, or out of it.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    archived: Option<bool>,
    /// Hide the conversation while its latest seq is not above this one; null shows it.
    #[garde(inner(inner(custom(within(0..=MAX_SEQ)))))]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 9007199254740991i64)]
    hidden_through: Option<Option<i64>>,
    /// The caller's own name for the conversation, with the rules of a title, of 1 to 64 Unicode code points; null removes it.
    #[garde(inner(inner(custom(is_name(64)))))]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    nickname: Option<Option<Name>>,
}

/// Change the caller's settings of a conversation
///
/// Other members do not see them. A field that is absent is not changed. The caller's devices get a `settings` entry, unless nothing
/// has changed.
#[utoipa::path(patch, path = "/v1/conversations/{id}/settings", tag = "Conversations",
    params(("id" = Uuid, Path, description = "The conversation")), request_body = UpdateSettingsRequest,
    responses((status = 200, description = "The settings as changed", body = ConversationSettings)),
    extensions(("x-problems" = json!(["not_found", "limit_reached"]))))]
pub async fn update_settings(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<UpdateSettingsRequest>,
) -> Result<web::Json<ConversationSettings>, Problem> {
    let change = SettingsChange {
        notify: body.notify,
        pinned: body.pinned,
        archived: body.archived,
        hidden_through: body.hidden_through.map(|seq| seq.map(ConvSeq)),
        nickname: body.nickname.map(|name| name.map(String::from)),
    };
    if change.is_empty() {
        return Err(Violation::new("", "must name at least one setting").into());
    }
    let settings = settings::update(&delivery, caller, ConversationId(id), change).await?;
    Ok(web::Json(settings))
}
