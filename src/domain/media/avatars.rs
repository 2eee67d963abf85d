//! Uploaded pictures of users, groups and channels. Every user sees those of users; members see those of their groups.

use crate::domain::media::objects::{self, ServedObject};
use crate::domain::media::service;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::links::{LinkTarget, MediaLink};
use crate::model::account::Caller;
use crate::model::ids::{ConversationId, MediaId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::media::rows::{self, StoredMedia};
use crate::storage::pg::messaging::groups;
use crate::storage::pg::people::profiles;

/// The form that is served.
const FORM: &str = "small";

/// What the file is called: the name that it was uploaded with is the owner's.
const NAME: &str = "avatar";

/// Whether a user or a group shows these media.
pub(super) fn is_shown(conn: &mut Connection, owner: UserId, id: MediaId) -> StorageResult<bool> {
    let own = profiles::avatars(conn, &[owner])?;
    Ok(own.contains(&(owner, id)) || groups::has_avatar(conn, id)?)
}

/// The picture of a user, as it is stored.
pub(super) fn stored_of_user(
    conn: &mut Connection,
    user: UserId,
) -> StorageResult<Option<StoredMedia>> {
    match profiles::avatars(conn, &[user])?.pop() {
        Some((owner, media)) => rows::get(conn, owner, media),
        None => Ok(None),
    }
}

/// The picture of a group or channel of a member, as it is stored.
pub(super) fn stored_of_group(
    conn: &mut Connection,
    member: UserId,
    id: ConversationId,
) -> StorageResult<Option<StoredMedia>> {
    match groups::avatars(conn, member, &[id])?.pop() {
        Some((_, owner, media)) => rows::get(conn, owner, media),
        None => Ok(None),
    }
}

/// What is served of a picture.
pub(super) fn object(stored: StoredMedia) -> Option<ServedObject> {
    let mut object = objects::object(stored, FORM)?;
    NAME.clone_into(&mut object.name);
    Some(object)
}

/// The picture of a user.
pub async fn of_user(delivery: &Delivery, user: UserId) -> Result<ServedObject, Error> {
    service(delivery)?;
    let read = move |conn: &mut Connection| stored_of_user(conn, user);
    let stored = delivery.pg.read("user_avatar", read).await?;
    stored.and_then(object).ok_or(Error::NotFound)
}

/// The picture of a group or channel of the caller.
pub async fn of_group(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
) -> Result<ServedObject, Error> {
    service(delivery)?;
    let read = move |conn: &mut Connection| stored_of_group(conn, caller.user, id);
    let stored = delivery.pg.read("group_avatar", read).await?;
    stored.and_then(object).ok_or(Error::NotFound)
}

/// The links to pictures: those of users, and those of groups. Each is a token and the end of its validity in seconds since 1970.
pub type AvatarTokens = [Vec<Option<(String, i64)>>; 2];

/// The links to the pictures of these users and groups; none where there is no picture, or where the caller is not a member.
pub async fn links(
    delivery: &Delivery,
    caller: Caller,
    (users, ids): (Vec<UserId>, Vec<ConversationId>),
    now: i64,
) -> Result<AvatarTokens, Error> {
    let keys = &service(delivery)?.links;
    let wanted = (users.clone(), ids.clone());
    let read = move |conn: &mut Connection| {
        let of_users = match wanted.0.is_empty() {
            true => Vec::new(),
            false => profiles::avatars(conn, &wanted.0)?,
        };
        let of_groups = match wanted.1.is_empty() {
            true => Vec::new(),
            false => groups::avatars(conn, caller.user, &wanted.1)?,
        };
        Ok((of_users, of_groups))
    };
    let (of_users, of_groups) = delivery.pg.read("avatar_links", read).await?;
    let seal = |target, media| {
        let link = MediaLink {
            user: caller.user,
            device: caller.device,
            target,
            media,
        };
        keys.seal(&link, now)
    };
    let of_user = |user: UserId| {
        let (_, media) = of_users.iter().find(|(id, _)| *id == user)?;
        Some(seal(LinkTarget::User(user), *media))
    };
    let of_group = |group: ConversationId| {
        let (_, _, media) = of_groups.iter().find(|(id, ..)| *id == group)?;
        Some(seal(LinkTarget::Conversation(group), *media))
    };
    Ok([
        users.into_iter().map(of_user).collect(),
        ids.into_iter().map(of_group).collect(),
    ])
}
