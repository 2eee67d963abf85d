//! A change of a group: the same transaction for every operation.
//!
//! It locks the conversation, reads its members in a statement that starts afterwards, decides in memory, writes, and
//! delivers an entry to the inbox of every member.
//!
//! The change by which a group grows beyond `TIDELINE_FANOUT_LIMIT` enables read fan-out permanently, and is the last one
//! with an entry for every member. From then on messages have no inbox entries, and a change reads and notifies only the
//! members whom it affects.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::avatars;
use crate::model::events::membership::{CONVERSATION, LEFT, MEMBERS};
use crate::model::ids::{ConvSeq, ConversationId, MediaId, UserId};
use crate::model::unread::CommittedEntry;
use crate::model::wire::conversation::ConversationKind;
use crate::model::wire::member::{MemberChange, MembersChanged, Role};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::messaging::groups::{GroupRow, GroupRules};
use crate::storage::pg::messaging::members::{Joining, MemberState};
use crate::storage::pg::messaging::{conversations, groups, members as rows, settings};
use crate::storage::pg::people::blocks;
use crate::storage::pg::sync::inbox;

/// The error if a group would grow beyond `TIDELINE_MEMBERS_LIMIT`.
pub(in crate::domain) const MEMBER_LIMIT_REACHED: Error =
    Error::LimitReached("the group would have too many members");

/// A group under its lock.
pub(in crate::domain) struct Group {
    pub(in crate::domain) it: GroupRow,
    pub(in crate::domain) head: ConvSeq,
    /// All messages up to this one are gone, and count as read.
    pub(in crate::domain) floor: ConvSeq,
    /// It is direct, and one of the two people blocks the other.
    pub(in crate::domain) blocked: bool,
    /// All members, or in a large group the members whom the change affects.
    pub(in crate::domain) members: Vec<MemberState>,
    /// `None` if the caller is not a member and joins a public group.
    pub(in crate::domain) caller: Option<MemberState>,
    /// Whether the new picture of the operation can be used.
    pub(in crate::domain) picture: Result<(), Error>,
}

impl Group {
    pub(in crate::domain) fn member(&self, user: UserId) -> Option<&MemberState> {
        self.members.iter().find(|member| member.user == user)
    }

    pub(in crate::domain) fn caller(&self) -> Result<MemberState, Error> {
        self.caller.ok_or(Error::NotFound)
    }

    pub(in crate::domain) fn needs(&self, role: Role) -> Result<(), Error> {
        needs(self.caller, role)
    }

    /// A member whom the caller may remove, ban or mute.
    pub(in crate::domain) fn below(&self, user: UserId) -> Result<&MemberState, Error> {
        self.needs(Role::Admin)?;
        let other = self.member(user).ok_or(Error::NotFound)?;
        if other.role < self.caller()?.role {
            Ok(other)
        } else {
            Err(Error::Forbidden("their role is not below the caller's"))
        }
    }
}

/// Checks that the user is a member with this role or a higher one.
pub(in crate::domain) fn needs(member: Option<MemberState>, role: Role) -> Result<(), Error> {
    if member.ok_or(Error::NotFound)?.role >= role {
        return Ok(());
    }
    Err(Error::Forbidden(match role {
        Role::Owner => "only the owner may do this",
        Role::Admin | Role::Member => "only the owner and admins may do this",
    }))
}

/// The changes of an operation.
#[derive(Default)]
pub(in crate::domain) struct Change {
    pub(in crate::domain) title: Option<String>,
    pub(in crate::domain) rules: Option<GroupRules>,
    /// The new picture and its owner; `Some(None)` removes it.
    pub(in crate::domain) avatar: Option<Option<(UserId, MediaId)>>,
    pub(in crate::domain) added: Vec<UserId>,
    /// Users who may not be added.
    pub(in crate::domain) refused: Vec<UserId>,
    pub(in crate::domain) removed: Vec<UserId>,
    pub(in crate::domain) changed: Vec<MemberChange>,
    /// The group gets read fan-out.
    pub(in crate::domain) enables_read_fanout: bool,
}

impl Change {
    /// Removes these members.
    pub(in crate::domain) fn removing(removed: Vec<UserId>) -> Self {
        Self {
            removed,
            ..Self::default()
        }
    }
}

/// An operation that changes a group.
pub(in crate::domain) struct Operation {
    /// The name of the transaction.
    pub(in crate::domain) name: &'static str,
    /// In a large group, only these members and the caller are read.
    pub(in crate::domain) users: Vec<UserId>,
    /// It depends on blocks between the caller and other users, and on whether their accounts are in use.
    pub(in crate::domain) checks_blocks: bool,
    /// A direct conversation can be changed so.
    pub(in crate::domain) allows_direct: bool,
    /// A new picture, of the caller's own media.
    pub(in crate::domain) picture: Option<MediaId>,
}

impl Operation {
    /// An operation that affects these users.
    pub(in crate::domain) fn about(name: &'static str, users: Vec<UserId>) -> Self {
        Self {
            name,
            users,
            checks_blocks: false,
            allows_direct: false,
            picture: None,
        }
    }
}

/// Changes a group in one transaction, as `decide` returns, and returns the change. An empty change writes no entries.
pub(in crate::domain) async fn change<F>(
    delivery: &Delivery,
    mut operation: Operation,
    actor: UserId,
    id: ConversationId,
    decide: F,
) -> Result<Change, Error>
where
    F: Fn(&mut Connection, &mut Group) -> StorageResult<Result<Change, Error>> + Send + 'static,
{
    operation.users.push(actor);
    let (change, committed) = delivery
        .pg
        .transaction(operation.name, move |conn| {
            if operation.checks_blocks {
                blocks::hold(conn, &operation.users.iter().copied().collect())?;
            }
            let picture = match operation.picture {
                Some(id) => avatars::hold(conn, actor, id)?,
                None => Ok(()),
            };
            // Lock first, read afterwards: the statements below see members who joined or left during the wait for the lock.
            let Some(locked) = conversations::lock(conn, &[id])?.pop() else {
                return Ok(Err(Error::NotFound));
            };
            let Some(it) = groups::get(conn, id)? else {
                return Ok(Err(Error::NotFound));
            };
            let members = match it.read_fanout_from_seq {
                Some(_) => rows::some(conn, id, &operation.users)?,
                None => rows::all(conn, id)?,
            };
            let own = members.iter().find(|one| one.user == actor).copied();
            // A public group without members cannot be joined: it would have no owner.
            if own.is_none() && !(it.public && it.member_count > 0) {
                return Ok(Err(Error::NotFound));
            }
            if it.kind == ConversationKind::Direct && !operation.allows_direct {
                let why = "must not be a direct conversation, which has no title and whose two members stay";
                return Ok(Err(Error::invalid("id", why)));
            }
            let mut group = Group {
                it,
                head: locked.last_seq,
                floor: locked.floor_seq,
                blocked: locked.blocked,
                members,
                caller: own,
                picture,
            };
            match decide(conn, &mut group)? {
                Ok(change) => {
                    let committed = write(conn, id, actor, group, &change)?;
                    Ok(Ok((change, committed)))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        })
        .await??;
    delivery.writers.publish(committed);
    Ok(change)
}

/// Writes a change and its inbox entries: for all former and current members, or in a large group for the affected members
/// and the actor.
fn write(
    conn: &mut Connection,
    id: ConversationId,
    actor_id: UserId,
    group: Group,
    change: &Change,
) -> StorageResult<Vec<CommittedEntry>> {
    let (mut it, head, floor) = (group.it, group.head, group.floor);
    let members_changed = MembersChanged {
        actor_id,
        added: change.added.clone(),
        removed: change.removed.clone(),
        changed: change.changed.clone(),
    };
    let changes_members = !(members_changed.added.is_empty()
        && members_changed.removed.is_empty()
        && members_changed.changed.is_empty());
    let changes_itself =
        change.title.is_some() || change.rules.is_some() || change.avatar.is_some();
    if !changes_itself && !changes_members {
        return Ok(Vec::new());
    }
    if let Some(title) = &change.title {
        it.title = Some(title.clone());
    }
    it.rules = change.rules.unwrap_or(it.rules);
    let was_large = it.read_fanout_from_seq.is_some();
    if change.enables_read_fanout {
        it.read_fanout_from_seq = Some(head);
        rows::enable_read_fanout(conn, id)?;
    }
    let large = it.read_fanout_from_seq.is_some();
    if changes_members {
        it.last_change = it.last_change.next();
        let joining = Joining {
            head,
            at: it.at,
            large,
        };
        rows::change(conn, id, it.last_change, &members_changed, joining)?;
    }
    it.member_count = it.member_count + change.added.len() - change.removed.len();
    let before = it.avatar;
    // Nobody sees a group without members, or can join it.
    it.avatar = change
        .avatar
        .unwrap_or(before)
        .filter(|_| it.member_count > 0);
    if let Some((owner, media)) = before.filter(|_| it.avatar != before) {
        avatars::release(conn, owner, media)?;
    }
    groups::update(conn, id, &it)?;

    let entry = |receiver, event, ref_seq, unread| inbox::NewEntry {
        receiver,
        event,
        conversation: id,
        ref_seq,
        unread,
        large,
    };
    let is_notified = |user: UserId| {
        !was_large
            || user == actor_id
            || change.removed.contains(&user)
            || change.changed.iter().any(|one| one.user_id == user)
    };
    let mut entries = Vec::with_capacity(group.members.len() + change.added.len());
    for member in group.members.iter().filter(|one| is_notified(one.user)) {
        let user = member.user;
        if change.removed.contains(&user) {
            entries.push(entry(user, &LEFT, head, 0));
            continue;
        }
        let unread = head.0 - member.read_seq.max(floor).0;
        if changes_itself || change.enables_read_fanout {
            entries.push(entry(user, &CONVERSATION, head, unread));
        }
        if changes_members {
            entries.push(entry(user, &MEMBERS, it.last_change, unread));
        }
    }
    for user in &change.added {
        entries.push(entry(*user, &CONVERSATION, head, 0));
    }
    let committed = inbox::deliver(conn, &Changes::default(), &entries, it.at)?;
    // Under the lock of the former member's timeline, so that no change of that member's own comes later.
    for user in &change.removed {
        settings::forget(conn, *user, id)?;
    }
    Ok(committed)
}
