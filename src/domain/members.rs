//! Who is in a conversation and what they may do there.
//!
//! Every change of a group is one transaction of the same shape (`change`): lock the conversation, look at its members
//! in a statement that starts afterwards, decide in memory, write, and tell every member in their inbox.
//!
//! A group that grows beyond `TIDELINE_FANOUT_LIMIT` becomes large, for good, by the change that lets it grow: it is the
//! last one that tells everybody. From then on messages are in no inbox, and a change looks at, and tells, only those whom
//! it concerns, however many members there are.

use crate::app::App;
use crate::domain::error::Error;
use crate::domain::overload::{Load, admit};
use crate::model::account::Caller;
use crate::model::conversation::{Conversation, ConversationKind};
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::inbox::EntryKind;
use crate::model::member::{Member, MemberChange, MembersChanged, Role};
use crate::model::page::{Limit, Page, UserCursor, to_cursor};
use crate::model::time::Timestamp;
use crate::model::unread::Announcement;
use crate::storage::error::StorageResult;
use crate::storage::pg::archive::Changes;
use crate::storage::pg::members::{Joining, MemberState};
use crate::storage::pg::{
    Connection, accounts, bans, blocks, conversations, inbox, members as rows,
};
use std::collections::BTreeSet;

/// The answer when a group would grow beyond `TIDELINE_MEMBERS_LIMIT`.
pub(super) const FULL: Error = Error::LimitReached("the group would have too many members");

/// A group under its lock.
pub(super) struct Group {
    it: conversations::Group,
    head: ConvSeq,
    /// Everybody, or of a large group those whom the change concerns.
    members: Vec<MemberState>,
    /// Nothing when somebody who is not a member asks to be let into a public one.
    caller: Option<MemberState>,
}

impl Group {
    pub(super) fn member(&self, user: UserId) -> Option<&MemberState> {
        self.members.iter().find(|member| member.user == user)
    }

    fn caller(&self) -> Result<MemberState, Error> {
        self.caller.ok_or(Error::NotFound)
    }

    pub(super) fn needs(&self, role: Role) -> Result<(), Error> {
        needs(self.caller, role)
    }

    /// Somebody whom the caller may remove, ban or mute.
    pub(super) fn below(&self, user: UserId) -> Result<&MemberState, Error> {
        self.needs(Role::Admin)?;
        let other = self.member(user).ok_or(Error::NotFound)?;
        if other.role < self.caller()?.role {
            Ok(other)
        } else {
            Err(Error::Forbidden("their role is not below the caller's"))
        }
    }
}

/// Whether a member, if it is one, has a role or a higher one.
pub(super) fn needs(member: Option<MemberState>, role: Role) -> Result<(), Error> {
    if member.ok_or(Error::NotFound)?.role >= role {
        return Ok(());
    }
    Err(Error::Forbidden(match role {
        Role::Owner => "only the owner may do this",
        Role::Admin | Role::Member => "only the owner and admins may do this",
    }))
}

/// What a verb wants changed.
#[derive(Default)]
pub(super) struct Change {
    title: Option<String>,
    added: Vec<UserId>,
    /// Who was to be added and may not be.
    refused: Vec<UserId>,
    removed: Vec<UserId>,
    changed: Vec<MemberChange>,
    /// The group becomes large.
    enlarges: bool,
}

impl Change {
    /// These people are out.
    pub(super) fn removing(removed: Vec<UserId>) -> Self {
        Self {
            removed,
            ..Self::default()
        }
    }
}

/// Renames a group.
pub async fn rename(
    app: &App,
    caller: Caller,
    id: ConversationId,
    title: String,
) -> Result<Conversation, Error> {
    let verb = Verb::about("rename", Vec::new());
    change(app, verb, caller, id, move |_, group| {
        Ok(group.needs(Role::Admin).map(|()| Change {
            title: Some(title.clone()).filter(|title| group.it.title.as_ref() != Some(title)),
            ..Change::default()
        }))
    })
    .await?;
    crate::domain::conversations::get(app, caller, id).await
}

/// What came of an addition. Who is in neither list was a member before.
pub struct Added {
    /// Who is in since now.
    pub added: Vec<UserId>,
    /// Who is banned, or blocks the caller, or is blocked by the caller.
    pub refused: Vec<UserId>,
}

/// Lets people into a group. Into a public one anybody lets themselves in, but for those who are banned, to whom it looks
/// like none. A mute outlives leaving: who comes back before its time is muted again.
pub async fn add(
    app: &App,
    caller: Caller,
    id: ConversationId,
    asked: BTreeSet<UserId>,
) -> Result<Added, Error> {
    let (fanout_limit, limit) = (app.config.fanout_limit, app.config.members_limit);
    let verb = Verb {
        minds_blocks: true,
        ..Verb::about("add_members", asked.iter().copied().collect())
    };
    let decide = move |conn: &mut Connection, group: &mut Group| {
        let joins = group.it.public && asked.iter().all(|user| *user == caller.user);
        if !joins && let Err(refusal) = group.needs(Role::Admin) {
            return Ok(Err(refusal));
        }
        let new = asked.iter().filter(|user| group.member(**user).is_none());
        let new: Vec<_> = new.copied().collect();
        if accounts::users_by_ids(conn, &new)?.len() < new.len() {
            return Ok(Err(Error::NotFound));
        }
        let banned = bans::among(conn, id, &new)?;
        let blocked = blocks::around(conn, caller.user, &new)?;
        if joins && !banned.is_empty() {
            return Ok(Err(Error::NotFound));
        }
        if asked.len() == 1 && !banned.is_empty() {
            let why = "they are banned, and can be added when the ban has been ended";
            return Ok(Err(Error::Forbidden(why)));
        }
        if asked.len() == 1 && !blocked.is_empty() {
            return Ok(Err(Error::Blocked));
        }
        let (refused, added): (Vec<_>, Vec<_>) = new
            .into_iter()
            .partition(|user| banned.contains(user) || blocked.contains(user));
        let muted = rows::take_mutes(conn, id, &added)?.into_iter();
        let changed = muted.filter(|(_, until)| *until > group.it.at);
        let changed = changed.map(|(user_id, until)| MemberChange {
            user_id,
            role: Role::Member,
            muted_until: Some(until),
        });
        let count = group.it.member_count + added.len();
        if count > limit {
            return Ok(Err(FULL));
        }
        Ok(Ok(Change {
            added,
            refused,
            changed: changed.collect(),
            enlarges: group.it.switch_seq.is_none() && count > fanout_limit,
            ..Change::default()
        }))
    };
    let Change { added, refused, .. } = change(app, verb, caller, id, decide).await?;
    Ok(Added { added, refused })
}

/// Removes somebody from a group, or leaves it. An owner who leaves is followed by the longest-standing admin, else
/// member.
pub async fn remove(
    app: &App,
    caller: Caller,
    id: ConversationId,
    user: UserId,
) -> Result<(), Error> {
    let decide = move |conn: &mut Connection, group: &mut Group| {
        if user != caller.user {
            return Ok(group.below(user).map(|_| Change::removing(vec![user])));
        }
        let mut changed = Vec::new();
        match group.caller() {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(own) if own.role == Role::Owner => {
                if let Some(heir) = rows::heir(conn, id, user)? {
                    changed.push(owner(heir.user));
                    if group.member(heir.user).is_none() {
                        group.members.push(heir);
                    }
                }
            }
            Ok(_) => {}
        }
        Ok(Ok(Change {
            changed,
            ..Change::removing(vec![user])
        }))
    };
    let verb = Verb::about("remove_member", vec![user]);
    change(app, verb, caller, id, decide).await?;
    Ok(())
}

/// An owner may post: nobody would be above them to end a mute.
fn owner(user_id: UserId) -> MemberChange {
    MemberChange {
        user_id,
        role: Role::Owner,
        muted_until: None,
    }
}

/// Changes a member's role, mute, or both. `Some(None)` ends a mute. Giving the role of the owner hands ownership over,
/// and makes the caller an admin.
pub async fn update(
    app: &App,
    caller: Caller,
    id: ConversationId,
    user: UserId,
    role: Option<Role>,
    muted_until: Option<Option<Timestamp>>,
) -> Result<Member, Error> {
    let decide = move |_: &mut Connection, group: &mut Group| {
        let changed = update_of(group, user, role, muted_until);
        Ok(changed.map(|changed| Change {
            changed,
            ..Change::default()
        }))
    };
    let verb = Verb::about("update_member", vec![user]);
    change(app, verb, caller, id, decide).await?;
    app.pg
        .read("member", move |conn| rows::get(conn, id, user))
        .await?
        .ok_or(Error::NotFound)
}

fn update_of(
    group: &Group,
    user: UserId,
    role: Option<Role>,
    muted_until: Option<Option<Timestamp>>,
) -> Result<Vec<MemberChange>, Error> {
    if role.is_some() {
        group.needs(Role::Owner)?;
    }
    let member = match muted_until {
        Some(_) => group.below(user)?,
        None => group.member(user).ok_or(Error::NotFound)?,
    };
    let after = MemberChange {
        user_id: user,
        role: role.unwrap_or(member.role),
        muted_until: muted_until.unwrap_or(member.muted_until),
    };
    if member.role == Role::Owner {
        // Only the owner gets here, and about themselves.
        return if after.role == Role::Owner {
            Ok(Vec::new())
        } else {
            let how = "must be owner: an owner gives the role up by making somebody else the owner";
            Err(Error::invalid("/role", how))
        };
    }
    if after.role == Role::Owner {
        if muted_until.flatten().is_some() {
            return Err(Error::invalid(
                "/muted_until",
                "must not be set for an owner",
            ));
        }
        let before = MemberChange {
            user_id: group.caller()?.user,
            role: Role::Admin,
            muted_until: None,
        };
        return Ok(vec![owner(user), before]);
    }
    let same = (after.role, after.muted_until) == (member.role, member.muted_until);
    Ok(if same { Vec::new() } else { vec![after] })
}

/// A page of a conversation's members, by their ids.
pub async fn page(
    app: &App,
    caller: Caller,
    id: ConversationId,
    after: Option<UserCursor>,
    limit: Limit,
) -> Result<Page<Member>, Error> {
    admit(app, Load::History)?;
    let items = app
        .pg
        .read("members", move |conn| {
            if conversations::view(conn, id, caller.user)?.is_none() {
                return Ok(None);
            }
            Ok(Some(rows::page(
                conn,
                id,
                after.map(|cursor| cursor.after),
                limit,
            )?))
        })
        .await?
        .ok_or(Error::NotFound)?;
    by_user(items, limit, |member| member.user.id)
}

/// A page of a listing of people, with the cursor of the next one.
pub(super) fn by_user<T>(
    items: Vec<T>,
    limit: Limit,
    id: fn(&T) -> UserId,
) -> Result<Page<T>, Error> {
    let full = i64::try_from(items.len()).is_ok_and(|len| len == limit.get());
    let last = items.last().filter(|_| full);
    let next_cursor = last
        .map(|last| to_cursor(&UserCursor { after: id(last) }))
        .transpose()
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Page { items, next_cursor })
}

/// What somebody wants to do with a group.
pub(super) struct Verb {
    /// The name of the transaction.
    name: &'static str,
    /// Of a large group it looks at these and the caller only.
    users: Vec<UserId>,
    /// It depends on what blocks say of the caller.
    minds_blocks: bool,
}

impl Verb {
    /// A verb that concerns these people.
    pub(super) fn about(name: &'static str, users: Vec<UserId>) -> Self {
        Self {
            name,
            users,
            minds_blocks: false,
        }
    }
}

/// Changes a group as `decide` says, in one transaction, and returns what was changed. Nothing to change is no change:
/// nobody is told.
pub(super) async fn change<F>(
    app: &App,
    mut verb: Verb,
    caller: Caller,
    id: ConversationId,
    decide: F,
) -> Result<Change, Error>
where
    F: Fn(&mut Connection, &mut Group) -> StorageResult<Result<Change, Error>> + Send + 'static,
{
    verb.users.push(caller.user);
    let (change, announcements) = app
        .pg
        .transaction(verb.name, move |conn| {
            if verb.minds_blocks {
                blocks::hold(conn, &[caller.user].into())?;
            }
            // Lock first, look after: members who came or went while we waited are seen as they are now.
            let Some(locked) = conversations::lock(conn, &[id])?.pop() else {
                return Ok(Err(Error::NotFound));
            };
            let Some(it) = conversations::group(conn, id)? else {
                return Ok(Err(Error::NotFound));
            };
            let members = match it.switch_seq {
                Some(_) => rows::some(conn, id, &verb.users)?,
                None => rows::all(conn, id)?,
            };
            let own = members.iter().find(|one| one.user == caller.user).copied();
            // Without members nobody reaches it any more: who joined would be in a group that has no owner.
            if own.is_none() && !(it.public && it.member_count > 0) {
                return Ok(Err(Error::NotFound));
            }
            if it.kind == ConversationKind::Direct {
                let why = "must not be a direct conversation, which has no title and whose two members stay";
                return Ok(Err(Error::invalid("id", why)));
            }
            let mut group = Group {
                it,
                head: locked.last_seq,
                members,
                caller: own,
            };
            match decide(conn, &mut group)? {
                Ok(change) => {
                    let announcements = write(conn, id, caller.user, group, &change)?;
                    Ok(Ok((change, announcements)))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        })
        .await??;
    app.writers.announce(announcements);
    Ok(change)
}

/// Writes a change, and an entry into the inbox of everybody who was or is a member, or of a large group of those whom it
/// concerns and of who did it.
fn write(
    conn: &mut Connection,
    id: ConversationId,
    actor_id: UserId,
    group: Group,
    change: &Change,
) -> StorageResult<Vec<Announcement>> {
    let (mut it, head) = (group.it, group.head);
    let members_changed = MembersChanged {
        actor_id,
        added: change.added.clone(),
        removed: change.removed.clone(),
        changed: change.changed.clone(),
    };
    let changes_members = !(members_changed.added.is_empty()
        && members_changed.removed.is_empty()
        && members_changed.changed.is_empty());
    if change.title.is_none() && !changes_members {
        return Ok(Vec::new());
    }
    if let Some(title) = &change.title {
        it.title = Some(title.clone());
    }
    let was_large = it.switch_seq.is_some();
    if change.enlarges {
        it.switch_seq = Some(head);
        rows::enlarge(conn, id)?;
    }
    let large = it.switch_seq.is_some();
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
    conversations::update_group(conn, id, &it)?;

    let entry = |receiver, kind, ref_seq, unread| inbox::NewEntry {
        receiver,
        kind,
        conversation: id,
        ref_seq,
        unread,
        large,
    };
    let is_told = |user: UserId| {
        !was_large
            || user == actor_id
            || change.removed.contains(&user)
            || change.changed.iter().any(|one| one.user_id == user)
    };
    let mut entries = Vec::with_capacity(group.members.len() + change.added.len());
    for member in group.members.iter().filter(|one| is_told(one.user)) {
        let user = member.user;
        if change.removed.contains(&user) {
            entries.push(entry(user, EntryKind::Left, head, 0));
            continue;
        }
        let unread = head.0 - member.read_seq.0;
        if change.title.is_some() || change.enlarges {
            entries.push(entry(user, EntryKind::Conversation, head, unread));
        }
        if changes_members {
            entries.push(entry(user, EntryKind::Members, it.last_change, unread));
        }
    }
    for user in &change.added {
        entries.push(entry(*user, EntryKind::Conversation, head, 0));
    }
    inbox::deliver(conn, &Changes::default(), &entries, it.at)
}
