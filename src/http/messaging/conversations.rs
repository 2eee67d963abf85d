//! Conversations: create, read, list, change.

use crate::domain::messaging::conversations::{self, ConversationUpdate, Created, NewGroup};
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{
    Body, Handle, Ids, Query, charge_more, limit, people_cost, replayed,
};
use crate::http::kit::optional::given;
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::{ClientConversationId, ConversationId, MediaId, UserId};
use crate::model::message::EXPIRES_IN;
use crate::model::name::{Name, is_name};
use crate::model::rate_limit::Subject;
use crate::model::validators::{items, within};
use crate::model::wire::conversation::{
    Conversation, ConversationKind, ConversationPage, MAX_SLOW_SECONDS, Order, Permission,
};
use crate::model::wire::message_ref::MessageRef;
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use garde::Validate;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most people of one request.
pub(in crate::http) const MAX_PEOPLE: usize = 1_000;

/// A conversation to create.
#[derive(Debug, Validate, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CreateConversationRequest {
    /// A conversation of the caller and one other person.
    Direct {
        /// The other person.
        #[garde(skip)]
        user_id: UserId,
    },
    /// A group of the caller, as its owner, and other people.
    Group {
        /// 1 to 128 Unicode code points, after leading and trailing white space is removed, at least one of them visible. Control
        /// characters, line breaks and text direction overrides (U+202D, U+202E) are not allowed.
        #[garde(custom(is_name(128)))]
        #[schema(value_type = String, example = "Friday", min_length = 1, max_length = 128)]
        title: Name,
        /// The members besides the caller, up to 1,000. `limits.members` of the capabilities includes the caller.
        #[garde(custom(items(0..=MAX_PEOPLE)))]
        #[schema(max_items = 1000, required = false)]
        member_ids: Vec<UserId>,
        /// The caller's own id of the group, preferably a UUIDv7. A repeat with the same id returns the existing group (200), or
        /// `not_found` if the caller has left it. With another kind, title or set of members the answer is
        /// `client_conversation_id_reused`.
        #[garde(skip)]
        client_conversation_id: Option<ClientConversationId>,
        /// The message to which the group is created. The caller must see it. A member who may not see it reads null.
        #[garde(skip)]
        parent: Option<MessageRef>,
    },
    /// A group in which only the owner and admins post. It always has read fan-out.
    Channel {
        /// As for a group.
        #[garde(custom(is_name(128)))]
        #[schema(value_type = String, example = "News", min_length = 1, max_length = 128)]
        title: Name,
        /// The members besides the caller, up to 1,000.
        #[garde(custom(items(0..=MAX_PEOPLE)))]
        #[schema(max_items = 1000, required = false)]
        member_ids: Vec<UserId>,
        /// As for a group.
        #[garde(skip)]
        client_conversation_id: Option<ClientConversationId>,
        /// Every person with the id of the channel may join, by adding themselves as a member. Default: false.
        #[garde(skip)]
        #[schema(required = false)]
        public: bool,
        /// As for a group.
        #[garde(skip)]
        parent: Option<MessageRef>,
    },
}

/// The fields of all kinds. Parsed into one struct first, because serde loses the position of a fault in a tagged enum.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyConversation {
    kind: ConversationKind,
    user_id: Option<UserId>,
    title: Option<Name>,
    #[serde(default, deserialize_with = "given")]
    member_ids: Option<Vec<UserId>>,
    client_conversation_id: Option<ClientConversationId>,
    #[serde(default, deserialize_with = "given")]
    public: Option<bool>,
    parent: Option<MessageRef>,
}

impl<'de> Deserialize<'de> for CreateConversationRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const GROUP: &[&str] = &["title", "member_ids", "client_conversation_id", "parent"];
        const CHANNEL: &[&str] = &[
            "title",
            "member_ids",
            "client_conversation_id",
            "public",
            "parent",
        ];
        let any = AnyConversation::deserialize(deserializer)?;
        let allowed = match any.kind {
            ConversationKind::Direct => &["user_id"],
            ConversationKind::Group => GROUP,
            ConversationKind::Channel => CHANNEL,
        };
        let given = [
            ("user_id", any.user_id.is_some()),
            ("title", any.title.is_some()),
            ("member_ids", any.member_ids.is_some()),
            (
                "client_conversation_id",
                any.client_conversation_id.is_some(),
            ),
            ("public", any.public.is_some()),
            ("parent", any.parent.is_some()),
        ];
        let belongs_to_other_kind =
            |(name, given): &&(&str, bool)| *given && !allowed.contains(name);
        if let Some((name, _)) = given.iter().find(belongs_to_other_kind) {
            return Err(D::Error::unknown_field(name, allowed));
        }
        let missing = D::Error::missing_field;
        if any.kind == ConversationKind::Direct {
            let user_id = any.user_id.ok_or_else(|| missing("user_id"))?;
            return Ok(Self::Direct { user_id });
        }
        let title = any.title.ok_or_else(|| missing("title"))?;
        let member_ids = any.member_ids.unwrap_or_default();
        let client_conversation_id = any.client_conversation_id;
        Ok(if any.kind == ConversationKind::Channel {
            Self::Channel {
                title,
                member_ids,
                client_conversation_id,
                public: any.public.unwrap_or(false),
                parent: any.parent,
            }
        } else {
            Self::Group {
                title,
                member_ids,
                client_conversation_id,
                parent: any.parent,
            }
        })
    }
}

/// A created conversation, or the existing one.
#[derive(Serialize, ToSchema)]
pub struct CreatedConversation {
    /// The conversation as the caller sees it.
    #[serde(flatten)]
    conversation: Conversation,
    /// The people of `member_ids` that were not added, because they block the caller, the caller blocks them, or their privacy settings
    /// do not allow it.
    refused: Vec<UserId>,
}

/// A change of a conversation, with at least one field.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, example = json!({"title": "Saturday", "posting": "all", "slow_mode_seconds": 30}))]
pub struct UpdateConversationRequest {
    /// The new title, with the same rules as of a new group.
    #[garde(inner(custom(is_name(128))))]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, example = "Saturday", min_length = 1, max_length = 128, required = false)]
    title: Option<Name>,
    /// A picture that the caller has uploaded (`kind: "image"`, `state: "ready"`); null removes the picture.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<MediaId>)]
    avatar_media_id: Option<Option<MediaId>>,
    /// Who posts. In a channel only the owner and the admins do.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Permission, required = false)]
    posting: Option<Permission>,
    /// Who pins messages.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Permission, required = false)]
    pinning: Option<Permission>,
    /// A member other than the owner and the admins sends one message in this time, in seconds. 0: any number.
    #[garde(inner(custom(within(0..=MAX_SLOW_SECONDS))))]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = i64, minimum = 0, maximum = 21600, required = false)]
    slow_mode_seconds: Option<i64>,
    /// Messages that are sent from now on expire this number of seconds after their send; null: they do not.
    #[garde(inner(inner(custom(within(EXPIRES_IN)))))]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 10, maximum = 31536000)]
    message_ttl_seconds: Option<Option<i64>>,
}

/// The requested page of the caller's conversations.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListConversationsQuery {
    /// `activity` (default): newest first, for display. `id`: stable while paging, for a resync.
    #[serde(default)]
    #[param(inline, required = false)]
    order: Order,
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Create a conversation
///
/// A pair of people has one direct conversation: a repeat by either person returns it (200). Each request creates a new group,
/// unless it repeats a `client_conversation_id`; if the caller has left that group, the answer is `not_found`. A channel always
/// has read fan-out, and a group with more members than the server's limit (500 by default) as well. A person that blocks the
/// caller, or that the caller blocks, is not added to a group (`refused`); if they are the only other person, the answer is
/// `blocked`. The same holds for a person that does not accept it (privacy settings, or an account that is not in use), with
/// `not_accepted`.
#[utoipa::path(post, path = "/v1/conversations", tag = "Conversations",
    request_body(content = CreateConversationRequest, examples(
        ("direct" = (value = json!({"kind": "direct", "user_id": "0199a3c0-0000-7000-8000-00000000000b"}))),
        ("group" = (value = json!({"kind": "group", "title": "Friday", "member_ids": ["0199a3c0-0000-7000-8000-00000000000b"],
            "client_conversation_id": "0199a3c0-0000-7000-8000-0000000000c1"}))),
        ("channel" = (value = json!({"kind": "channel", "title": "News", "member_ids": [], "public": true}))))),
    responses(
        (status = 201, description = "Created", body = CreatedConversation,
            headers(("Location" = String, description = "The conversation"))),
        (status = 200, description = "It exists already", body = CreatedConversation,
            headers(("Idempotent-Replayed" = String, description = "`true`")))),
    extensions(("x-problems" = json!([
        "not_found", "blocked", "not_accepted", "limit_reached", "client_conversation_id_reused"]))))]
pub async fn create_conversation(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Body(body): Body<CreateConversationRequest>,
) -> Result<HttpResponse, Problem> {
    let new = match body {
        CreateConversationRequest::Direct { user_id } => {
            return Ok(created(
                conversations::create_direct(&delivery, caller, user_id).await?,
            ));
        }
        CreateConversationRequest::Group {
            title,
            member_ids,
            client_conversation_id,
            parent,
        } => NewGroup {
            title: title.into(),
            members: member_ids,
            client_id: client_conversation_id,
            channel: None,
            parent,
        },
        CreateConversationRequest::Channel {
            title,
            member_ids,
            client_conversation_id,
            public,
            parent,
        } => NewGroup {
            title: title.into(),
            members: member_ids,
            client_id: client_conversation_id,
            channel: Some(public),
            parent,
        },
    };
    let cost = people_cost(new.members.len()) - 1;
    charge_more(&request, &Subject::User(caller.user), cost).await?;
    Ok(created(
        conversations::create_group(&delivery, caller, new).await?,
    ))
}

fn created(created: Created) -> HttpResponse {
    let Created {
        conversation,
        is_new,
        refused,
    } = created;
    let mut response = if is_new {
        HttpResponse::Created()
    } else {
        replayed()
    };
    response
        .insert_header((
            header::LOCATION,
            format!("/v1/conversations/{}", conversation.id),
        ))
        .json(CreatedConversation {
            conversation,
            refused,
        })
}

/// List the caller's conversations
///
/// For a resync, read all pages with `order=id`, then fetch the inbox from `inbox_seq`: the latest seq of the inbox before the
/// first page.
#[utoipa::path(get, path = "/v1/conversations", tag = "Conversations", params(ListConversationsQuery),
    responses((status = 200, description = "A page", body = ConversationPage)),
    extensions(("x-problems" = json!(["validation"]))))]
pub async fn list_conversations(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Query(query): Query<ListConversationsQuery>,
) -> Result<web::Json<ConversationPage>, Problem> {
    let limit = limit(query.limit)?;
    let cursor = query
        .cursor
        .map(|cursor| conversations::parse_cursor(&cursor, query.order))
        .transpose()?;
    let page =
        conversations::list(&delivery, &admission, caller, query.order, limit, cursor).await?;
    Ok(web::Json(page))
}

/// Read a conversation
#[utoipa::path(get, path = "/v1/conversations/{id}", tag = "Conversations",
    params(("id" = Uuid, Path, description = "The conversation")),
    responses((status = 200, description = "The conversation as the caller sees it", body = Conversation)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn get_conversation(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<web::Json<Conversation>, Problem> {
    let conversation = conversations::get(&delivery, caller, ConversationId(id)).await?;
    Ok(web::Json(conversation))
}

/// Change a conversation
///
/// The title, the picture and the rules of a group or channel, for the owner and admins. A direct conversation has only `message_ttl_seconds`, which
/// both people may change. Every member gets a `conversation` entry; with read fan-out only the caller does. A change that changes
/// nothing creates no entries.
#[utoipa::path(patch, path = "/v1/conversations/{id}", tag = "Conversations",
    params(("id" = Uuid, Path, description = "The conversation")), request_body = UpdateConversationRequest,
    responses((status = 200, description = "The conversation as the caller sees it", body = Conversation)),
    extensions(("x-problems" = json!(["not_found", "forbidden", "blocked", "media_not_ready", "media_disabled"]))))]
pub async fn update_conversation(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<UpdateConversationRequest>,
) -> Result<web::Json<Conversation>, Problem> {
    let update = ConversationUpdate {
        title: body.title.map(String::from),
        posting: body.posting,
        pinning: body.pinning,
        slow_seconds: body
            .slow_mode_seconds
            .and_then(|one| i32::try_from(one).ok()),
        ttl_seconds: body.message_ttl_seconds,
        avatar_media: body.avatar_media_id,
    };
    if update == ConversationUpdate::default() {
        return Err(Violation::new("", "must name at least one field").into());
    }
    let conversation = conversations::update(&delivery, caller, ConversationId(id), update).await?;
    Ok(web::Json(conversation))
}
