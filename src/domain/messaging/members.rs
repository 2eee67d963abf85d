//! The members of a group, and their roles and mutes.

use crate::domain::messaging::group_change::{
    Change, Group, MEMBER_LIMIT_REACHED, Operation, change,
};
use crate::domain::people::privacy::{Permit, refusing};
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::ids::{ConversationId, UserId};
use crate::model::page::{Page, PageSize, UserCursor, by_user};
use crate::model::time::Timestamp;
use crate::model::wire::member::{Member, MemberChange, Role};
use crate::storage::pg::Connection;
use crate::storage::pg::identity::users;
use crate::storage::pg::messaging::{bans, conversations, members as rows};
use crate::storage::pg::people::blocks;
use std::collections::{BTreeSet, HashSet};

/// The result of an addition. Users in neither list were members before.
pub struct Added {
    /// The new members.
    pub added: Vec<UserId>,
    /// Users with a ban, with a block between them and the caller, whose privacy settings refuse it, or whose account is not in
    /// use.
    pub refused: Vec<UserId>,
}

/// Adds members to a group. Every user may join a public one, except banned users, for whom it does not exist. A mute
/// survives leaving: a member who returns before its end is muted again.
pub async fn add(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    asked: BTreeSet<UserId>,
) -> Result<Added, Error> {
    let (fanout_limit, limit) = (delivery.config.fanout_limit, delivery.config.members_limit);
    let defaults = delivery.config.privacy;
    let operation = Operation {
        checks_blocks: true,
        ..Operation::about("add_members", asked.iter().copied().collect())
    };
    let decide = move |conn: &mut Connection, group: &mut Group| {
        let joins = group.it.public && asked.iter().all(|user| *user == caller.user);
        if !joins && let Err(refusal) = group.needs(Role::Admin) {
            return Ok(Err(refusal));
        }
        let new = asked.iter().filter(|user| group.member(**user).is_none());
        let new: Vec<_> = new.copied().collect();
        if users::users_by_ids(conn, &new)?.len() < new.len() {
            return Ok(Err(Error::NotFound));
        }
        let banned = bans::among(conn, id, &new)?;
        let blocked = blocks::around(conn, caller.user, &new)?;
        let refusing = match joins {
            true => HashSet::new(),
            false => refusing(conn, caller.user, &new, Permit::GroupAdd, defaults)?,
        };
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
        if asked.len() == 1 && !refusing.is_empty() {
            return Ok(Err(Error::NotAccepted));
        }
        let is_refused = |user: &UserId| {
            banned.contains(user) || blocked.contains(user) || refusing.contains(user)
        };
        let (refused, added): (Vec<_>, Vec<_>) = new.into_iter().partition(is_refused);
        let muted = rows::take_mutes(conn, id, &added)?.into_iter();
        let changed = muted.filter(|(_, until)| *until > group.it.at);
        let changed = changed.map(|(user_id, until)| MemberChange {
            user_id,
            role: Role::Member,
            muted_until: Some(until),
        });
        let count = group.it.member_count + added.len();
        if count > limit {
            return Ok(Err(MEMBER_LIMIT_REACHED));
        }
        Ok(Ok(Change {
            added,
            refused,
            changed: changed.collect(),
            enables_read_fanout: group.it.read_fanout_from_seq.is_none() && count > fanout_limit,
            ..Change::default()
        }))
    };
    let Change { added, refused, .. } =
        change(delivery, operation, caller.user, id, decide).await?;
    Ok(Added { added, refused })
}

/// Removes a member from a group, or leaves it. The successor of an owner who leaves is the longest-standing admin, or
/// without admins the longest-standing member.
pub async fn remove(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    user: UserId,
) -> Result<(), Error> {
    if user == caller.user {
        return leave(delivery, user, id).await;
    }
    let decide = move |_: &mut Connection, group: &mut Group| {
        Ok(group.below(user).map(|_| Change::removing(vec![user])))
    };
    let operation = Operation::about("remove_member", vec![user]);
    change(delivery, operation, caller.user, id, decide).await?;
    Ok(())
}

/// Removes a member at the member's own wish, or at the end of the member's account.
pub async fn leave(delivery: &Delivery, user: UserId, id: ConversationId) -> Result<(), Error> {
    let decide = move |conn: &mut Connection, group: &mut Group| {
        let mut changed = Vec::new();
        match group.caller() {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(own) if own.role == Role::Owner => {
                if let Some(successor) = rows::successor(conn, id, user)? {
                    changed.push(owner(successor.user));
                    if group.member(successor.user).is_none() {
                        group.members.push(successor);
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
    let operation = Operation::about("remove_member", Vec::new());
    change(delivery, operation, user, id, decide).await?;
    Ok(())
}

/// An owner is never muted, because no member has a higher role to end the mute.
fn owner(user_id: UserId) -> MemberChange {
    MemberChange {
        user_id,
        role: Role::Owner,
        muted_until: None,
    }
}

/// Changes a member's role, mute, or both. `Some(None)` ends a mute. Giving the role of owner transfers ownership, and makes
/// the caller an admin.
pub async fn update(
    delivery: &Delivery,
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
    let operation = Operation::about("update_member", vec![user]);
    change(delivery, operation, caller.user, id, decide).await?;
    delivery
        .pg
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
        // Only the owner reaches this point, and only for themselves.
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

/// A page of a conversation's members, ordered by id.
pub async fn page(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    id: ConversationId,
    after: Option<UserCursor>,
    limit: PageSize,
) -> Result<Page<Member>, Error> {
    admission.admit(Priority::History)?;
    let items = delivery
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
    Ok(by_user(items, limit, |member| member.user.id)?)
}
