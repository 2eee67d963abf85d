//! Create, find, change and list conversations.

use crate::clock;
use crate::domain::messaging::group_change::{
    Change, Group, MEMBER_LIMIT_REACHED, Operation, change,
};
use crate::domain::people::privacy::{Permit, refusing};
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::reading::{message_views, unread_mentions};
use crate::engine::waiting::head_query;
use crate::model::account::Caller;
use crate::model::events::membership::CONVERSATION;
use crate::model::ids::{
    ClientConversationId, ConvSeq, ConversationId, MAX_SEQ, MediaId, UserId, pair,
};
use crate::model::page::ConversationCursor;
use crate::model::page::{PageSize, from_cursor, to_cursor};
use crate::model::unread::CommittedEntry;
use crate::model::wire::conversation::{
    Conversation, ConversationKind, ConversationPage, Order, Permission,
};
use crate::model::wire::member::Role;
use crate::model::wire::message_ref::MessageRef;
use crate::model::wire::user::UserKind;
use crate::model::wire::violation::Violation;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::Connection;
use crate::storage::pg::identity::users;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::messaging::conversations as rows;
use crate::storage::pg::messaging::groups::GroupRules;
use crate::storage::pg::messaging::members::Joining;
use crate::storage::pg::messaging::uniqueness_keys::ReservedGroup;
use crate::storage::pg::messaging::{members as member_rows, uniqueness_keys};
use crate::storage::pg::people::blocks;
use crate::storage::pg::sync::inbox;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The result of a create.
#[derive(Debug)]
pub struct Created {
    /// The conversation.
    pub conversation: Conversation,
    /// It was created by this request.
    pub is_new: bool,
    /// Users who were not added, because of a block between them and the caller, their privacy settings, or an account that is not
    /// in use.
    pub refused: Vec<UserId>,
}

/// Finds or creates the direct conversation of the caller with a peer.
pub async fn create_direct(
    delivery: &Delivery,
    caller: Caller,
    peer: UserId,
) -> Result<Created, Error> {
    if peer == caller.user {
        return Err(Error::invalid("/user_id", "must be somebody else"));
    }
    let id = ConversationId(clock::new_id());
    let pair = pair(caller.user, peer);
    let defaults = delivery.config.privacy;
    let settled = delivery
        .pg
        .transaction("create_direct", move |conn| {
            let Some(found) = users::users_by_ids(conn, &[peer])?.pop() else {
                return Ok(Err(Error::NotFound));
            };
            if found.kind == UserKind::Desk {
                let detail = "must be a person: a desk has conversations of its own kind";
                return Ok(Err(Error::invalid("/user_id", detail)));
            }
            blocks::hold(conn, &[caller.user, peer].into())?;
            if !uniqueness_keys::reserve_direct_pair(conn, pair, id)? {
                // It exists, or another transaction has just created it: a new statement sees the committed row.
                let id =
                    uniqueness_keys::find_direct(conn, pair)?.ok_or_else(missing_conversation)?;
                return Ok(Ok(Settled::found(id, Vec::new())));
            }
            if !blocks::around(conn, caller.user, &[peer])?.is_empty() {
                return Ok(Err(Error::Blocked));
            }
            if !refusing(conn, caller.user, &[peer], Permit::Direct, defaults)?.is_empty() {
                return Ok(Err(Error::NotAccepted));
            }
            let people = [(pair.0, Role::Member), (pair.1, Role::Member)];
            let row = rows::NewConversation {
                id,
                kind: ConversationKind::Direct,
                title: None,
                member_count: people.len(),
                large: false,
                public: false,
                parent: None,
            };
            let committed = insert(conn, &row, &people)?;
            Ok(Ok(Settled {
                id,
                committed,
                refused: Vec::new(),
            }))
        })
        .await??;
    created(delivery, caller, settled).await
}

/// A group or channel to create.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// The title.
    pub title: String,
    /// The members besides the creator.
    pub members: Vec<UserId>,
    /// The creator's `client_conversation_id`.
    pub client_id: Option<ClientConversationId>,
    /// `Some` for a channel: whether it is public, so that every user with its id may join.
    pub channel: Option<bool>,
    /// The message to which it is created. Others see it if they may see the message.
    pub parent: Option<MessageRef>,
}

/// Creates a group or channel that the caller owns, or finds the one that the same request with this `client_id` has
/// created. A creator who has left it since gets `NotFound`: only members see a conversation. Users with a block between
/// them and the caller, and those whose privacy settings refuse it, are not added. A channel always has read fan-out: few members post, and many read.
pub async fn create_group(
    delivery: &Delivery,
    caller: Caller,
    new: NewGroup,
) -> Result<Created, Error> {
    let others: BTreeSet<_> = new.members.iter().copied().collect();
    let others: Vec<_> = others.into_iter().filter(|u| *u != caller.user).collect();
    let id = ConversationId(clock::new_id());
    let (fanout_limit, limit) = (delivery.config.fanout_limit, delivery.config.members_limit);
    let defaults = delivery.config.privacy;
    let mut request = serde_json::to_vec(&(&new.title, new.channel, &others))?;
    if let Some(parent) = &new.parent {
        request.extend(serde_json::to_vec(parent)?);
    }
    let request_hash = Sha256::digest(request).to_vec();
    let settled = delivery
        .pg
        .transaction("create_group", move |conn| {
            let people = others.iter().copied().chain([caller.user]);
            blocks::hold(conn, &people.collect())?;
            let blocked = blocks::around(conn, caller.user, &others)?;
            let refusing = refusing(conn, caller.user, &others, Permit::GroupAdd, defaults)?;
            let (refused, added): (Vec<_>, Vec<_>) = others
                .iter()
                .partition(|user| blocked.contains(user) || refusing.contains(user));
            if let Some(client_id) = new.client_id {
                let claim = ReservedGroup {
                    conversation_id: id,
                    request_hash: Some(request_hash.clone()),
                    refused: refused.clone(),
                };
                // Before blocks, limits and unknown users are checked: they may have changed since the first request.
                if !uniqueness_keys::reserve_group_id(conn, caller.user, client_id, &claim)? {
                    let group = uniqueness_keys::find_group(conn, caller.user, client_id)?;
                    let group = group.ok_or_else(missing_conversation)?;
                    let is_same = |hash: Vec<u8>| hash == request_hash;
                    return Ok(match group.request_hash.is_none_or(is_same) {
                        true => Ok(Settled::found(group.conversation_id, group.refused)),
                        false => Err(Error::ClientConversationIdReused),
                    });
                }
            }
            if let Some(parent) = new.parent {
                let view = rows::view(conn, parent.conversation_id, caller.user)?;
                let is_visible = |view: rows::View| {
                    view.visible_after < parent.seq && parent.seq <= view.last_seq
                };
                if !view.is_some_and(is_visible) {
                    return Ok(Err(Error::NotFound));
                }
            }
            if added.len() + 1 > limit {
                return Ok(Err(MEMBER_LIMIT_REACHED));
            }
            if users::users_by_ids(conn, &others)?.len() < others.len() {
                return Ok(Err(Error::NotFound));
            }
            if others.len() == 1 && added.is_empty() {
                let is_blocked = !blocked.is_empty();
                return Ok(Err(if is_blocked {
                    Error::Blocked
                } else {
                    Error::NotAccepted
                }));
            }
            let owner = std::iter::once((caller.user, Role::Owner));
            let people: Vec<_> = owner
                .chain(added.iter().map(|user| (*user, Role::Member)))
                .collect();
            let row = rows::NewConversation {
                id,
                kind: match new.channel {
                    Some(_) => ConversationKind::Channel,
                    None => ConversationKind::Group,
                },
                title: Some(&new.title),
                member_count: people.len(),
                large: new.channel.is_some() || people.len() > fanout_limit,
                public: new.channel.unwrap_or(false),
                parent: new.parent,
            };
            let committed = insert(conn, &row, &people)?;
            Ok(Ok(Settled {
                id,
                committed,
                refused,
            }))
        })
        .await??;
    created(delivery, caller, settled).await
}

/// The result of the transaction of a create.
struct Settled {
    id: ConversationId,
    /// Empty if the conversation existed before.
    committed: Vec<CommittedEntry>,
    refused: Vec<UserId>,
}

impl Settled {
    fn found(id: ConversationId, refused: Vec<UserId>) -> Self {
        Self {
            id,
            committed: Vec::new(),
            refused,
        }
    }
}

fn missing_conversation() -> StorageError {
    StorageError::Bug("a uniqueness key without a conversation".to_owned())
}

fn insert(
    conn: &mut Connection,
    new: &rows::NewConversation<'_>,
    people: &[(UserId, Role)],
) -> StorageResult<Vec<CommittedEntry>> {
    let at = rows::create(conn, new)?;
    let joining = Joining {
        head: ConvSeq(0),
        at,
        large: new.large,
    };
    member_rows::insert(conn, new.id, people, joining)?;
    let entries: Vec<_> = people
        .iter()
        .map(|(receiver, _)| inbox::NewEntry {
            receiver: *receiver,
            event: &CONVERSATION,
            conversation: new.id,
            ref_seq: ConvSeq(0),
            unread: 0,
            large: new.large,
        })
        .collect();
    inbox::deliver(conn, &Changes::default(), &entries, at)
}

/// Publishes the committed entries, and returns the conversation.
async fn created(delivery: &Delivery, caller: Caller, settled: Settled) -> Result<Created, Error> {
    let is_new = !settled.committed.is_empty();
    delivery.writers.publish(settled.committed);
    Ok(Created {
        conversation: get(delivery, caller, settled.id).await?,
        is_new,
        refused: settled.refused,
    })
}

/// A change of a conversation; nothing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationUpdate {
    /// The title.
    pub title: Option<String>,
    /// Who posts.
    pub posting: Option<Permission>,
    /// Who pins messages.
    pub pinning: Option<Permission>,
    /// The least time between two messages of a member, in seconds.
    pub slow_seconds: Option<i32>,
    /// After how many seconds new messages expire; `Some(None)`: they do not.
    pub ttl_seconds: Option<Option<i64>>,
    /// A picture of the caller's own uploads; `Some(None)` removes it.
    pub avatar_media: Option<Option<MediaId>>,
}

/// Changes the title, the picture and the rules of a group or channel. A direct conversation has only `ttl_seconds`, which both users may change.
pub async fn update(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    update: ConversationUpdate,
) -> Result<Conversation, Error> {
    let of_direct = ConversationUpdate {
        ttl_seconds: update.ttl_seconds,
        ..ConversationUpdate::default()
    };
    let picture = update.avatar_media.flatten();
    if picture.is_some() && delivery.media.is_none() {
        return Err(Error::MediaDisabled);
    }
    let operation = Operation {
        allows_direct: update == of_direct,
        picture,
        ..Operation::about("update_conversation", Vec::new())
    };
    change(delivery, operation, caller.user, id, move |_, group| {
        Ok(decide(group, caller.user, &update))
    })
    .await?;
    get(delivery, caller, id).await
}

fn decide(group: &mut Group, caller: UserId, update: &ConversationUpdate) -> Result<Change, Error> {
    match group.it.kind {
        ConversationKind::Direct if group.blocked => return Err(Error::Blocked),
        ConversationKind::Direct => group.needs(Role::Member)?,
        ConversationKind::Group | ConversationKind::Channel => group.needs(Role::Admin)?,
    }
    let is_channel = group.it.kind == ConversationKind::Channel;
    if is_channel && update.posting == Some(Permission::All) {
        return Err(Error::invalid("/posting", "must be admins in a channel"));
    }
    std::mem::replace(&mut group.picture, Ok(()))?;
    let avatar = update.avatar_media;
    let avatar = avatar.map(|media| media.map(|id| (caller, id)));
    let before = group.it.rules;
    let leads = |new: Option<Permission>| new.map(|one| one == Permission::Admins);
    let rules = GroupRules {
        leads_post: leads(update.posting).unwrap_or(before.leads_post),
        leads_pin: leads(update.pinning).unwrap_or(before.leads_pin),
        slow_seconds: update.slow_seconds.unwrap_or(before.slow_seconds),
        ttl_seconds: update.ttl_seconds.unwrap_or(before.ttl_seconds),
    };
    let title = update.title.clone();
    Ok(Change {
        title: title.filter(|title| group.it.title.as_ref() != Some(title)),
        rules: Some(rules).filter(|rules| *rules != before),
        avatar: avatar.filter(|avatar| *avatar != group.it.avatar),
        ..Change::default()
    })
}

/// One conversation of the caller.
pub async fn get(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
) -> Result<Conversation, Error> {
    let receipts = delivery.config.receipts;
    delivery
        .pg
        .read("conversation", move |conn| {
            let mut found = rows::by_ids(conn, caller.user, &[id], receipts)?;
            personalise(conn, caller, &mut found)?;
            Ok(found)
        })
        .await?
        .pop()
        .ok_or(Error::NotFound)
}

/// A page of the caller's conversations.
pub async fn list(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    order: Order,
    limit: PageSize,
    cursor: Option<ConversationCursor>,
) -> Result<ConversationPage, Error> {
    admission.admit(Priority::History)?;
    // Read before the first page, and kept in the cursor: changes while a client pages are in the inbox after this position.
    let inbox_seq = match &cursor {
        Some(cursor) => cursor.inbox_seq,
        None => {
            head_query::load_heads(&delivery.heads, caller.user, Vec::new())
                .await?
                .head
        }
    };
    let receipts = delivery.config.receipts;
    let (conversations, more) = delivery
        .pg
        .read("conversations", move |conn| {
            let (mut found, more) =
                rows::page(conn, caller.user, order, cursor.as_ref(), limit, receipts)?;
            personalise(conn, caller, &mut found)?;
            Ok((found, more))
        })
        .await?;
    let position = |last: &Conversation| ConversationCursor {
        order,
        inbox_seq,
        after: last.id,
        updated_us: last.updated_at.0.timestamp_micros(),
    };
    let last = conversations.last().filter(|_| more);
    let next_cursor = last
        .map(|last| to_cursor(&position(last)))
        .transpose()
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok(ConversationPage {
        conversations,
        next_cursor,
        inbox_seq,
        epoch: delivery.epoch,
    })
}

/// Shows the last messages as the caller may see them, and counts unread mentions.
fn personalise(
    conn: &mut Connection,
    caller: Caller,
    conversations: &mut [Conversation],
) -> StorageResult<()> {
    message_views::last_messages(conn, caller.user, conversations)?;
    unread_mentions::count(conn, caller.user, conversations)
}

/// Parses a cursor of [`list`] for the same order.
pub fn parse_cursor(text: &str, order: Order) -> Result<ConversationCursor, Violation> {
    let cursor: ConversationCursor = from_cursor(text)?;
    // No conversation changed before 1970, and PostgreSQL cannot represent the earliest times of a cursor.
    let is_possible = (0..=MAX_SEQ).contains(&cursor.inbox_seq.0) && cursor.updated_us >= 0;
    if cursor.order == order && is_possible {
        Ok(cursor)
    } else {
        Err(Violation::new("cursor", "is not a cursor of this listing"))
    }
}
