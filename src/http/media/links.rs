//! Links to media, for pages.

use crate::domain::media::reading::{self, WantedLink};
use crate::domain::media::service;
use crate::engine::auth::Auth;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle};
use crate::http::kit::problem::Problem;
use crate::http::kit::response_context::MEDIA_LINKS;
use crate::http::media::content::form;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, MAX_SEQ};
use crate::model::time::Timestamp;
use crate::model::validators::{items as items_within, within};
use actix_web::web;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most links of one request.
const MAX_LINKS: usize = 100;

/// The media for which links are made.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [{"conversation_id": "0199a3c0-0000-7000-8000-0000000000a1", "seq": 12, "variant": "small"}]}))]
pub struct CreateMediaLinksRequest {
    /// 1 to 100 of them.
    #[garde(custom(items_within(1..=MAX_LINKS)), dive)]
    #[schema(min_items = 1, max_items = 100)]
    items: Vec<MediaLinkItem>,
}

/// Media of a message.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MediaLinkItem {
    /// The conversation.
    #[garde(skip)]
    conversation_id: ConversationId,
    /// The message.
    #[garde(custom(within(0..=MAX_SEQ)))]
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    seq: i64,
    /// `original`, `medium`, `small` or `poster`.
    #[garde(skip)]
    #[schema(example = "small")]
    variant: String,
}

/// Links to media.
#[derive(Serialize, ToSchema)]
pub struct MediaLinks {
    /// In the order of the request; null where the caller may not read the message, or where it has no such media.
    links: Vec<Option<MediaLinkAnswer>>,
}

/// A link to media of a message.
#[derive(Serialize, ToSchema)]
pub struct MediaLinkAnswer {
    /// The conversation.
    conversation_id: ConversationId,
    /// The message.
    seq: ConvSeq,
    /// The form.
    #[schema(example = "small")]
    variant: &'static str,
    /// Where the bytes are: an address of the host of media (`TIDELINE_MEDIA_PUBLIC_URL`), or a path of this server.
    #[schema(example = "/v1/media/l/a2V5")]
    url: String,
    /// The link is valid until then: one to two hours.
    expires_at: Timestamp,
}

/// Make links to media
///
/// For `<img>` and `<video>`, which send no token. A link is a secret of the caller: everybody who has it reads the media as long as the caller
/// may read the message and the device is logged in. The link to the same media stays the same for up to an hour, so that caches work.
#[utoipa::path(post, path = "/v1/media/links", tag = "Media", request_body = CreateMediaLinksRequest,
    responses((status = 200, description = "The links", body = MediaLinks)),
    extensions(("x-problems" = json!(["media_disabled"]))))]
pub async fn create_media_links(
    delivery: Handle<Delivery>,
    auth: Handle<Auth>,
    caller: Caller,
    Body(body): Body<CreateMediaLinksRequest>,
) -> Result<web::Json<MediaLinks>, Problem> {
    let mut wanted = Vec::new();
    for (at, item) in body.items.iter().enumerate() {
        wanted.push(WantedLink {
            conversation: item.conversation_id,
            seq: ConvSeq(item.seq),
            form: form(&item.variant, &format!("/items/{at}/variant"))?,
        });
    }
    let now = auth.tokens.clock.now();
    let made = reading::links(&delivery, caller, wanted.clone(), now).await?;
    let base = service(&delivery)?.config.public_url.as_deref();
    let answer = |(one, link): (WantedLink, Option<(String, i64)>)| {
        let (token, end) = link?;
        Some(MediaLinkAnswer {
            conversation_id: one.conversation,
            seq: one.seq,
            variant: one.form,
            url: format!("{}{MEDIA_LINKS}{token}", base.unwrap_or_default()),
            expires_at: Timestamp::of_seconds(end),
        })
    };
    let links = wanted.into_iter().zip(made).map(answer);
    Ok(web::Json(MediaLinks {
        links: links.collect(),
    }))
}
