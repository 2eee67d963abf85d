//! Bans: a banned user can neither join a group or channel nor be added to it.

use crate::domain::messaging::group_change::{Change, Group, Operation, change, needs};
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::ids::{ConversationId, UserId};
use crate::model::page::by_user;
use crate::model::page::{Page, PageSize, UserCursor};
use crate::model::wire::member::Role;
use crate::model::wire::user::User;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::users;
use crate::storage::pg::messaging::{bans as rows, members};

/// Bans a user, and removes them if they are a member. Banning a member needs the right to remove them. Banning a non-member
/// needs the role of admin or owner.
pub async fn ban(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    user: UserId,
) -> Result<(), Error> {
    let decide = move |conn: &mut Connection, group: &mut Group| {
        let removed = match group.member(user) {
            Some(_) => group.below(user).map(|_| vec![user]),
            None => group.needs(Role::Admin).map(|()| Vec::new()),
        };
        let removed = match removed {
            Ok(removed) => removed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if users::users_by_ids(conn, &[user])?.is_empty() {
            return Ok(Err(Error::NotFound));
        }
        rows::insert(conn, id, user)?;
        Ok(Ok(Change::removing(removed)))
    };
    let operation = Operation::about("ban", vec![user]);
    change(delivery, operation, caller.user, id, decide).await?;
    Ok(())
}

/// Ends a ban, if it exists. This does not add a removed member again.
pub async fn unban(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    user: UserId,
) -> Result<(), Error> {
    let decide = move |conn: &mut Connection, group: &mut Group| {
        if let Err(refusal) = group.needs(Role::Admin) {
            return Ok(Err(refusal));
        }
        rows::delete(conn, id, user)?;
        Ok(Ok(Change::default()))
    };
    change(
        delivery,
        Operation::about("unban", Vec::new()),
        caller.user,
        id,
        decide,
    )
    .await?;
    Ok(())
}

/// A page of the banned users, ordered by id.
pub async fn page(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    id: ConversationId,
    after: Option<UserCursor>,
    limit: PageSize,
) -> Result<Page<User>, Error> {
    admission.admit(Priority::History)?;
    let users = delivery
        .pg
        .read("bans", move |conn| {
            let own = members::some(conn, id, &[caller.user])?.pop();
            if let Err(refusal) = needs(own, Role::Admin) {
                return Ok(Err(refusal));
            }
            let after = after.map(|cursor| cursor.after);
            Ok(Ok(rows::page(conn, id, after, limit)?))
        })
        .await??;
    Ok(by_user(users, limit, |user| user.id)?)
}
