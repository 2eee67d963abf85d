//! Making, reading and listing conversations.

use crate::domain::messaging::conversations::{self, Created, NewGroup};
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{
    Body, Handle, Ids, Query, charge_more, limit, of_people, replayed,
};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::{ClientConversationId, ConversationId, UserId};
use crate::model::name::{Name, is_name};
use crate::model::rate_limit::Subject;
use crate::model::validators::items;
use crate::model::wire::conversation::{Conversation, ConversationKind, ConversationPage, Order};
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use garde::Validate;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most people of one request.
pub(in crate::http) const PEOPLE: usize = 1_000;

/// A conversation to make.
#[derive(Debug, Validate, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CreateConversationRequest {
    /// Between the caller and one other person.
    Direct {
        /// The other person.
        #[garde(skip)]
        user_id: UserId,
    },
    /// Between the caller, who owns it, and others.
    Group {
        /// 1 to 128 Unicode code points, after white space around it was taken away. Without control characters, line breaks
        /// and the overrides of the direction of text (U+202D, U+202E), and with something visible.
        #[garde(custom(is_name(128)))]
        #[schema(value_type = String, example = "Friday", min_length = 1, max_length = 128)]
        title: Name,
        /// Who is in it besides the caller, up to 1,000; `limits.members` of the capabilities counts the caller too.
        #[garde(custom(items(0..=PEOPLE)))]
        #[schema(max_items = 1000, required = false)]
        member_ids: Vec<UserId>,
        /// The caller's own id of the group, best a UUIDv7: a repeat with it finds the group that it has made (200), and
        /// is 404 once the caller has left it. With another kind or title, or other members (in any order), it is
        /// `client_conversation_id_reused`.
        #[garde(skip)]
        client_conversation_id: Option<ClientConversationId>,
    },
    /// A group in which only the owner and admins post, with read fan-out from the first member on.
    Channel {
        /// As of a group.
        #[garde(custom(is_name(128)))]
        #[schema(value_type = String, example = "News", min_length = 1, max_length = 128)]
        title: Name,
        /// Who is in it besides the caller, up to 1,000.
        #[garde(custom(items(0..=PEOPLE)))]
        #[schema(max_items = 1000, required = false)]
        member_ids: Vec<UserId>,
        /// As of a group.
        #[garde(skip)]
        client_conversation_id: Option<ClientConversationId>,
        /// Anybody who has its id may join: by adding the own id to its members. False when not given.
        #[garde(skip)]
        #[schema(required = false)]
        public: bool,
    },
}

/// The fields of all kinds. Read into one struct first, a fault keeps its place, which serde loses in a tagged enum.
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
}

/// What may be left out, but is no null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for CreateConversationRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const GROUP: &[&str] = &["title", "member_ids", "client_conversation_id"];
        const CHANNEL: &[&str] = &["title", "member_ids", "client_conversation_id", "public"];
        let any = AnyConversation::deserialize(deserializer)?;
        let takes = match any.kind {
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
        ];
        let of_others = |(name, given): &&(&str, bool)| *given && !takes.contains(name);
        if let Some((name, _)) = given.iter().find(of_others) {
            return Err(D::Error::unknown_field(name, takes));
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
            }
        } else {
            Self::Group {
                title,
                member_ids,
                client_conversation_id,
            }
        })
    }
}

/// A conversation that was made, now or before.
#[derive(Serialize, ToSchema)]
pub struct CreatedConversation {
    /// As the caller sees it.
    #[serde(flatten)]
    conversation: Conversation,
    /// Those of `member_ids` who were left out: one of the two, they and the caller, blocks the other.
    refused: Vec<UserId>,
}

/// A change of a group.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "Saturday"}))]
pub struct UpdateConversationRequest {
    /// As of a new group.
    #[garde(custom(is_name(128)))]
    #[schema(value_type = String, example = "Saturday", min_length = 1, max_length = 128)]
    title: Name,
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
/// A direct conversation exists once per pair: a repeat, by either side, finds it (200). A group is made anew each time,
/// unless `client_conversation_id` says that it is a repeat; who has left the group since gets `not_found`. A group with more
/// members than the server's limit (500 by default) has read fan-out, as every channel has. Somebody who blocks the caller, or
/// whom the caller blocks, is left out of a group (`refused`); when they are the only other one, the answer is `blocked`.
#[utoipa::path(post, path = "/v1/conversations", tag = "Conversations",
    request_body(content = CreateConversationRequest, examples(
        ("direct" = (value = json!({"kind": "direct", "user_id": "0199a3c0-0000-7000-8000-00000000000b"}))),
        ("group" = (value = json!({"kind": "group", "title": "Friday", "member_ids": ["0199a3c0-0000-7000-8000-00000000000b"],
            "client_conversation_id": "0199a3c0-0000-7000-8000-0000000000c1"}))),
        ("channel" = (value = json!({"kind": "channel", "title": "News", "member_ids": [], "public": true}))))),
    responses(
        (status = 201, description = "Made", body = CreatedConversation,
            headers(("Location" = String, description = "The conversation"))),
        (status = 200, description = "It exists already", body = CreatedConversation,
            headers(("Idempotent-Replayed" = String, description = "`true`")))),
    extensions(("x-problems" = json!([
        "not_found", "blocked", "limit_reached", "client_conversation_id_reused"]))))]
pub async fn create_conversation(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Body(body): Body<CreateConversationRequest>,
) -> Result<HttpResponse, Problem> {
    let created = match body {
        CreateConversationRequest::Direct { user_id } => {
            conversations::create_direct(&delivery, caller, user_id).await?
        }
        CreateConversationRequest::Group {
            title,
            member_ids,
            client_conversation_id,
        } => {
            charge_more(
                &request,
                &Subject::User(caller.user),
                of_people(member_ids.len()) - 1,
            )
            .await?;
            let new = NewGroup {
                title: title.into(),
                members: member_ids,
                client_id: client_conversation_id,
                channel: None,
            };
            conversations::create_group(&delivery, caller, new).await?
        }
        CreateConversationRequest::Channel {
            title,
            member_ids,
            client_conversation_id,
            public,
        } => {
            charge_more(
                &request,
                &Subject::User(caller.user),
                of_people(member_ids.len()) - 1,
            )
            .await?;
            let new = NewGroup {
                title: title.into(),
                members: member_ids,
                client_id: client_conversation_id,
                channel: Some(public),
            };
            conversations::create_group(&delivery, caller, new).await?
        }
    };
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
    Ok(response
        .insert_header((
            header::LOCATION,
            format!("/v1/conversations/{}", conversation.id),
        ))
        .json(CreatedConversation {
            conversation,
            refused,
        }))
}

/// List the caller's conversations
///
/// `inbox_seq` is the caller's inbox head from before the first page: a client that starts over pages with `order=id`
/// and then continues the inbox from there.
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

/// Rename a group or channel
///
/// For the owner and admins. Every member learns it by a `conversation` entry, of a large group only the caller; the title
/// that it has already is no change.
#[utoipa::path(patch, path = "/v1/conversations/{id}", tag = "Conversations",
    params(("id" = Uuid, Path, description = "The group")), request_body = UpdateConversationRequest,
    responses((status = 200, description = "The group as the caller sees it", body = Conversation)),
    extensions(("x-problems" = json!(["not_found", "forbidden"]))))]
pub async fn update_conversation(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<UpdateConversationRequest>,
) -> Result<web::Json<Conversation>, Problem> {
    let conversation =
        conversations::rename(&delivery, caller, ConversationId(id), body.title.into()).await?;
    Ok(web::Json(conversation))
}
