//! Making, finding and listing conversations.

use crate::clock;
use crate::domain::messaging::group_change::{Change, MEMBER_LIMIT_REACHED, Verb, change};
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::waiting::head_query;
use crate::model::account::Caller;
use crate::model::events::membership::CONVERSATION;
use crate::model::ids::{ClientConversationId, ConvSeq, ConversationId, MAX_SEQ, UserId, pair};
use crate::model::page::ConversationCursor;
use crate::model::page::{PageSize, from_cursor, to_cursor};
use crate::model::unread::CommittedEntry;
use crate::model::wire::conversation::{Conversation, ConversationKind, ConversationPage, Order};
use crate::model::wire::member::Role;
use crate::model::wire::violation::Violation;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::Connection;
use crate::storage::pg::identity::accounts;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::messaging::conversations as rows;
use crate::storage::pg::messaging::members::Joining;
use crate::storage::pg::messaging::uniqueness_keys::ReservedGroup;
use crate::storage::pg::messaging::{members as member_rows, uniqueness_keys};
use crate::storage::pg::people::blocks;
use crate::storage::pg::sync::inbox;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// What came of a create.
#[derive(Debug)]
pub struct Created {
    /// The conversation.
    pub conversation: Conversation,
    /// It was made now.
    pub is_new: bool,
    /// Who was left out, because one of the two blocks the other.
    pub refused: Vec<UserId>,
}

/// Finds or makes the direct conversation of the caller with a peer.
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
    let settled = delivery
        .pg
        .transaction("create_direct", move |conn| {
            if accounts::users_by_ids(conn, &[peer])?.is_empty() {
                return Ok(Err(Error::NotFound));
            }
            blocks::hold(conn, &[caller.user].into())?;
            if !uniqueness_keys::reserve_direct_pair(conn, pair, id)? {
                // Lost the race, or it exists for long: a new statement sees the winner's row.
                let id = uniqueness_keys::find_direct(conn, pair)?.ok_or_else(claimed_by_none)?;
                return Ok(Ok(Settled::found(id, Vec::new())));
            }
            if !blocks::around(conn, caller.user, &[peer])?.is_empty() {
                return Ok(Err(Error::Blocked));
            }
            let people = [(pair.0, Role::Member), (pair.1, Role::Member)];
            let row = rows::NewConversation {
                id,
                kind: ConversationKind::Direct,
                title: None,
                member_count: people.len(),
                large: false,
                public: false,
            };
            let announcements = make(conn, &row, &people)?;
            Ok(Ok(Settled {
                id,
                announcements,
                refused: Vec::new(),
            }))
        })
        .await??;
    told(delivery, caller, settled).await
}

/// A group or channel to make.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// Its title.
    pub title: String,
    /// Who is in it besides its maker.
    pub members: Vec<UserId>,
    /// The maker's own id of it.
    pub client_id: Option<ClientConversationId>,
    /// It is a channel; whether anybody who has its id may join.
    pub channel: Option<bool>,
}

/// Makes a group or channel of the caller, who owns it, and others; or finds the one that the caller has made under this id
/// by the same request. Who has left it since is not shown it again: what a conversation is, only its members see.
/// Whom a block keeps from the caller is left out. A channel is large from its first member on: there the few speak to the many.
pub async fn create_group(
    delivery: &Delivery,
    caller: Caller,
    new: NewGroup,
) -> Result<Created, Error> {
    let others: BTreeSet<_> = new.members.iter().copied().collect();
    let others: Vec<_> = others.into_iter().filter(|u| *u != caller.user).collect();
    let id = ConversationId(clock::new_id());
    let (fanout_limit, limit) = (delivery.config.fanout_limit, delivery.config.members_limit);
    let asked = serde_json::to_vec(&(&new.title, new.channel, &others))
        .map_err(|error| Error::Internal(error.to_string()))?;
    let request_hash = Sha256::digest(asked).to_vec();
    let settled = delivery
        .pg
        .transaction("create_group", move |conn| {
            blocks::hold(conn, &[caller.user].into())?;
            let blocked = blocks::around(conn, caller.user, &others)?;
            let (refused, added): (Vec<_>, Vec<_>) =
                others.iter().partition(|user| blocked.contains(user));
            if let Some(client_id) = new.client_id {
                let claim = ReservedGroup {
                    conversation_id: id,
                    request_hash: Some(request_hash.clone()),
                    refused: refused.clone(),
                };
                // A repeat is one whatever has happened since: before blocks, limits and unknown users are judged.
                if !uniqueness_keys::reserve_group_id(conn, caller.user, client_id, &claim)? {
                    let group = uniqueness_keys::find_group(conn, caller.user, client_id)?;
                    let group = group.ok_or_else(claimed_by_none)?;
                    let is_same = |hash: Vec<u8>| hash == request_hash;
                    return Ok(match group.request_hash.is_none_or(is_same) {
                        true => Ok(Settled::found(group.conversation_id, group.refused)),
                        false => Err(Error::ClientConversationIdReused),
                    });
                }
            }
            if added.len() + 1 > limit {
                return Ok(Err(MEMBER_LIMIT_REACHED));
            }
            if accounts::users_by_ids(conn, &others)?.len() < others.len() {
                return Ok(Err(Error::NotFound));
            }
            if others.len() == 1 && added.is_empty() {
                return Ok(Err(Error::Blocked));
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
            };
            let announcements = make(conn, &row, &people)?;
            Ok(Ok(Settled {
                id,
                announcements,
                refused,
            }))
        })
        .await??;
    told(delivery, caller, settled).await
}

/// The transaction of a create is done.
struct Settled {
    id: ConversationId,
    /// None when it was made before.
    announcements: Vec<CommittedEntry>,
    refused: Vec<UserId>,
}

impl Settled {
    fn found(id: ConversationId, refused: Vec<UserId>) -> Self {
        Self {
            id,
            announcements: Vec::new(),
            refused,
        }
    }
}

fn claimed_by_none() -> StorageError {
    StorageError::Bug("a claim without a conversation".to_owned())
}

fn make(
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

async fn told(delivery: &Delivery, caller: Caller, settled: Settled) -> Result<Created, Error> {
    let is_new = !settled.announcements.is_empty();
    delivery.writers.publish(settled.announcements);
    Ok(Created {
        conversation: get(delivery, caller, settled.id).await?,
        is_new,
        refused: settled.refused,
    })
}

/// Renames a group.
pub async fn rename(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    title: String,
) -> Result<Conversation, Error> {
    let verb = Verb::about("rename", Vec::new());
    change(delivery, verb, caller, id, move |_, group| {
        Ok(group.needs(Role::Admin).map(|()| Change {
            title: Some(title.clone()).filter(|title| group.it.title.as_ref() != Some(title)),
            ..Change::default()
        }))
    })
    .await?;
    get(delivery, caller, id).await
}

/// One conversation of the caller.
pub async fn get(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
) -> Result<Conversation, Error> {
    delivery
        .pg
        .read("conversation", move |conn| {
            rows::by_ids(conn, caller.user, &[id])
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
    // Captured before the first page is read, and carried along: what changes while a client pages comes in the inbox
    // after this position.
    let inbox_seq = match &cursor {
        Some(cursor) => cursor.inbox_seq,
        None => {
            head_query::load_heads(&delivery.heads, caller.user, Vec::new())
                .await?
                .head
        }
    };
    let (conversations, more) = delivery
        .pg
        .read("conversations", move |conn| {
            rows::page(conn, caller.user, order, cursor.as_ref(), limit)
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

/// A cursor that [`list`] has made, for the same order.
pub fn parse_cursor(text: &str, order: Order) -> Result<ConversationCursor, Violation> {
    let cursor: ConversationCursor = from_cursor(text)?;
    // Nothing changed before 1970, and there are times before that which PostgreSQL cannot hold.
    let can_be = (0..=MAX_SEQ).contains(&cursor.inbox_seq.0) && cursor.updated_us >= 0;
    if cursor.order == order && can_be {
        Ok(cursor)
    } else {
        Err(Violation::new("cursor", "is not a cursor of this listing"))
    }
}
