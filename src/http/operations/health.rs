//! Capabilities and health checks.

use crate::domain::identity::devices;
use crate::domain::operations::health;
use crate::domain::people::blocks;
use crate::domain::sync::notices;
use crate::domain::sync::typing::TYPING_WATCH;
use crate::engine::delivery::Delivery;
use crate::engine::lifecycle::Lifecycle;
use crate::engine::search::page::MAX_PAGE;
use crate::engine::search::query::MAX_TERMS;
use crate::http::kit::extractors::{BODY_BYTES, Guest, Handle};
use crate::http::kit::problem::Problem;
use crate::model::ids::Epoch;
use crate::model::message::MAX_BATCH;
use crate::model::page::PageSize;
use crate::model::wire::content::TEXT_BYTES;
use crate::model::wire::media::{IMAGE_BYTES, MAX_UPLOADS, PART_BYTES};
use crate::model::wire::message::{MAX_HIDDEN, MAX_PINS, MAX_VERSIONS};
use crate::model::wire::people::contact::{MAX_CONTACTS, MAX_REQUESTS, MAX_TAGS};
use crate::model::wire::people::presence::PRESENCE_IDS;
use crate::model::wire::reaction::{MAX_EMOJIS, MAX_PER_USER};
use crate::model::wire::scheduled::MAX_SCHEDULED;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// The features and limits of this server.
#[derive(Serialize, ToSchema)]
pub struct Capabilities {
    /// The version of the server.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The current epoch of the data.
    epoch: Epoch,
    /// The names of its features. An open set.
    features: Vec<&'static str>,
    /// Its limits.
    limits: Limits,
}

/// The limits of this server.
#[derive(Serialize, ToSchema)]
pub struct Limits {
    /// The largest body, in bytes.
    body_bytes: usize,
    /// The longest text, in bytes of UTF-8.
    text_bytes: usize,
    /// The most messages of one batch.
    batch: usize,
    /// The most items of one page.
    page: i64,
    /// The most members of a conversation.
    members: usize,
    /// The most devices of a user.
    devices: i64,
    /// The most people that a user can block.
    blocks: i64,
    /// The most conversations that one wait can watch.
    watch: usize,
    /// The longest wait, in seconds.
    notice_timeout_seconds: u64,
    /// How long after its send a message may be edited, in seconds. 0: never. −1: always.
    edit_seconds: i64,
    /// How long after its send its sender may recall a message, in seconds. 0: never. −1: always.
    recall_seconds: i64,
    /// The most versions of a message.
    versions: i32,
    /// In a conversation with more members, only the owner and the admins name everyone.
    mention_all: usize,
    /// The most different emojis on a message.
    emoji: usize,
    /// The most reactions of a user to a message.
    emoji_per_user: usize,
    /// The most messages of a conversation that a member can hide.
    hidden: i32,
    /// The most scheduled messages of a user.
    scheduled: i64,
    /// The most pinned messages of a conversation.
    pins: usize,
    /// The most people whose presence is read or followed together.
    presence_ids: usize,
    /// The most conversations of which one wait shows who types.
    typing_watch: usize,
    /// In a conversation with more members, and in channels, nobody sees who types. 0: nowhere.
    typing_members: i32,
    /// The most people on a user's list of contacts.
    contacts: i64,
    /// The most requests of a user to become friends that are pending.
    requests_pending: i64,
    /// The most tags of a contact.
    tags: usize,
    /// The largest upload, in bytes. 0: the server keeps no media.
    media_bytes: i64,
    /// The largest picture, in bytes.
    media_image_bytes: i64,
    /// The size of the parts of an upload, in bytes.
    media_part_bytes: i64,
    /// The most bytes of a user's media and uploads.
    media_quota_bytes: i64,
    /// The most unfinished uploads of a user.
    media_open_uploads: i32,
    /// The most terms of a search for messages.
    search_terms: usize,
    /// The most results of a page of a search for messages.
    search_page: i64,
}

/// The process is alive.
#[derive(Serialize, ToSchema)]
pub struct Live {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether this node should receive requests.
#[derive(Serialize, ToSchema)]
pub struct Ready {
    /// The node should receive requests.
    ready: bool,
    /// The reasons why it should not, as sentences.
    reasons: Vec<String>,
    /// Redis answers. Redis is not required: without it the server is slower, but correct.
    redis: bool,
}

/// Read the capabilities of the server
#[utoipa::path(get, path = "/v1/capabilities", tag = "Service",
    responses((status = 200, description = "The features and limits", body = Capabilities)), security(()))]
pub async fn get_capabilities(
    delivery: Handle<Delivery>,
    _: Guest,
) -> Result<web::Json<Capabilities>, Problem> {
    let receipts = delivery.config.receipts.then_some("receipts");
    let presence = delivery.config.presence.then_some("presence");
    let service = delivery.media.as_deref();
    let media_bytes = service.map_or(0, |service| service.config.bytes);
    let typing = (delivery.config.typing_members > 0).then_some("typing");
    Ok(web::Json(Capabilities {
        version: env!("CARGO_PKG_VERSION"),
        epoch: delivery.epoch,
        features: [
            "direct",
            "group",
            "channel",
            "blocks",
            "batch",
            "notices",
            "unread",
            "watch",
            "mentions",
            "changes",
            "edit",
            "recall",
            "reactions",
            "replies",
            "settings",
            "drafts",
            "ttl",
            "scheduled",
            "pins",
            "slow_mode",
            "profiles",
            "contacts",
            "account_ends",
            "user_search",
        ]
        .into_iter()
        .chain(receipts)
        .chain(typing)
        .chain(presence)
        .chain(service.map(|_| "media"))
        .chain(delivery.search.as_ref().map(|_| "search"))
        .collect(),
        limits: Limits {
            body_bytes: BODY_BYTES,
            text_bytes: TEXT_BYTES,
            batch: MAX_BATCH,
            page: PageSize::MAX,
            members: delivery.config.members_limit,
            devices: devices::LIMIT,
            blocks: blocks::LIMIT,
            watch: notices::WATCH,
            notice_timeout_seconds: notices::MAX_TIMEOUT.as_secs(),
            edit_seconds: delivery.config.edit_seconds,
            recall_seconds: delivery.config.recall_seconds,
            versions: MAX_VERSIONS,
            mention_all: delivery.config.mention_all_limit,
            emoji: MAX_EMOJIS,
            emoji_per_user: MAX_PER_USER,
            hidden: MAX_HIDDEN,
            scheduled: MAX_SCHEDULED,
            pins: MAX_PINS,
            presence_ids: PRESENCE_IDS,
            typing_watch: TYPING_WATCH,
            typing_members: delivery.config.typing_members,
            contacts: MAX_CONTACTS,
            requests_pending: MAX_REQUESTS,
            tags: MAX_TAGS,
            media_bytes,
            media_image_bytes: IMAGE_BYTES.min(media_bytes),
            media_part_bytes: PART_BYTES,
            media_quota_bytes: service.map_or(0, |service| service.config.quota),
            media_open_uploads: MAX_UPLOADS,
            search_terms: MAX_TERMS,
            search_page: MAX_PAGE,
        },
    }))
}

/// Check that the process is alive
#[utoipa::path(get, path = "/health/live", tag = "Service",
    responses((status = 200, description = "The process is alive", body = Live)), security(()))]
pub async fn get_live() -> web::Json<Live> {
    web::Json(Live { status: "ok" })
}

/// Check that the node is ready
///
/// A node is ready if PostgreSQL answers and commits durably, the migrations are current, and the node does not shut down. Redis
/// is reported, but not required. A new node first reads who is online, for at most ten seconds.
#[utoipa::path(get, path = "/health/ready", tag = "Service",
    responses((status = 200, description = "The node is ready", body = Ready),
        (status = 503, description = "The node is not ready", body = Ready)), security(()))]
pub async fn get_ready(
    delivery: Handle<Delivery>,
    lifecycle: Handle<Lifecycle>,
) -> Result<HttpResponse, Problem> {
    let readiness = health::readiness(&delivery, &lifecycle).await;
    let ready = readiness.reasons.is_empty();
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    Ok(response.json(Ready {
        ready,
        reasons: readiness.reasons,
        redis: readiness.redis,
    }))
}
