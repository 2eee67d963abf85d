//! Blocks. If one of two people blocks the other, neither can send direct messages to the other or add the other to a group,
//! and mentions by the blocked person do not reach the blocker.

use crate::domain::people::contact_requests;
use crate::domain::people::presence;
use crate::domain::people::profiles::entry;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::events::own::ME;
use crate::model::ids::pair;
use crate::model::ids::{ConversationId, UserId};
use crate::model::page::by_user;
use crate::model::page::{Page, PageSize, UserCursor};
use crate::model::wire::user::User;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::messaging::{conversations, uniqueness_keys};
use crate::storage::pg::people::blocks;
use crate::storage::pg::sync::inbox::{self, NewEntry};

/// The maximum number of people that a user may block.
pub const LIMIT: i64 = 1_000;

/// Blocks a user. After this has returned, no direct message between the two is stored, no mention by that user reaches the
/// caller's inbox, and that user cannot add the caller to a group. A friendship and requests of the two end.
pub async fn block(delivery: &Delivery, caller: Caller, user: UserId) -> Result<(), Error> {
    if user == caller.user {
        return Err(Error::invalid("user_id", "must be somebody else"));
    }
    let committed = delivery
        .pg
        .transaction("block", move |conn| {
            let Some(at) = blocks::lock(conn, pair(caller.user, user))? else {
                return Ok(Err(Error::NotFound));
            };
            let count = blocks::count(conn, caller.user)?;
            let is_new = blocks::insert(conn, caller.user, user)?;
            if count >= LIMIT && blocks::count(conn, caller.user)? > count {
                return Ok(Err(Error::LimitReached("too many people are blocked")));
            }
            update_direct(conn, caller.user, user)?;
            let mut entries = contact_requests::end_by_block(conn, caller.user, user)?;
            if is_new {
                presence::move_audience(conn, caller.user)?;
                entries.push(me(caller));
            }
            Ok(Ok(inbox::deliver(conn, &Changes::default(), &entries, at)?))
        })
        .await??;
    delivery.waiters.presence.announce(caller.user);
    delivery.writers.publish(committed);
    forget_access(delivery, [caller.user, user]);
    Ok(())
}

/// Ends a block, if it exists.
pub async fn unblock(delivery: &Delivery, caller: Caller, user: UserId) -> Result<(), Error> {
    let committed = delivery
        .pg
        .transaction("unblock", move |conn| {
            let at = blocks::lock(conn, pair(caller.user, user))?;
            let was_there = remove(conn, caller.user, user)?;
            Ok(Ok::<_, Error>(match at.filter(|_| was_there) {
                Some(at) => {
                    presence::move_audience(conn, caller.user)?;
                    inbox::deliver(conn, &Changes::default(), &[me(caller)], at)?
                }
                None => Vec::new(),
            }))
        })
        .await??;
    delivery.waiters.presence.announce(caller.user);
    delivery.writers.publish(committed);
    forget_access(delivery, [caller.user, user]);
    Ok(())
}

/// Other devices of the caller learn that the list has changed, and nodes that what they have cached of the caller is void.
fn me(caller: Caller) -> NewEntry {
    entry(caller.user, &ME, ConversationId::NONE)
}

/// The other person has no entry that would end what this node has cached.
fn forget_access(delivery: &Delivery, pair: [UserId; 2]) {
    for user in pair {
        delivery.waiters.typing.forget_access(user);
    }
}

/// Removes a block, if it exists. Under the lock of the two users.
pub(in crate::domain) fn remove(
    conn: &mut Connection,
    blocker: UserId,
    blocked: UserId,
) -> StorageResult<bool> {
    let was_there = blocks::delete(conn, blocker, blocked)?;
    update_direct(conn, blocker, blocked)?;
    Ok(was_there)
}

/// Updates the flag `blocked` of the direct conversation of two people, under its lock.
fn update_direct(conn: &mut Connection, one: UserId, other: UserId) -> StorageResult<()> {
    let pair = pair(one, other);
    if let Some(id) = uniqueness_keys::find_direct(conn, pair)? {
        conversations::lock(conn, &[id])?;
        let blocked = !blocks::around(conn, one, &[other])?.is_empty();
        conversations::set_blocked(conn, id, blocked)?;
    }
    Ok(())
}

/// A page of the people that the caller blocks, ordered by id.
pub async fn page(
    delivery: &Delivery,
    caller: Caller,
    after: Option<UserCursor>,
    limit: PageSize,
) -> Result<Page<User>, Error> {
    let users = delivery
        .pg
        .read("blocks", move |conn| {
            blocks::page(conn, caller.user, after.map(|cursor| cursor.after), limit)
        })
        .await?;
    Ok(by_user(users, limit, |user| user.id)?)
}
