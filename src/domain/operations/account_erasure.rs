//! Erases accounts whose time has come.
//!
//! The first step makes the user's row a tombstone, under its lock, so a login either comes before and calls the erasure off, or finds
//! no account. Nothing undoes that step, and nobody adds the tombstone to a conversation. Every other step can be repeated and does
//! nothing then: a node that dies leaves an account that is still due, and all steps run again. docs/SECURITY.md says what is left.

use crate::domain::media::erasure as media;
use crate::domain::messaging::members;
use crate::domain::people::erasure;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::avatars;
use crate::model::account::AccountState;
use crate::model::ids::UserId;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::{account_ends as rows, usernames};
use crate::storage::pg::messaging::{
    drafts, hidden, members as member_rows, mentions, scheduled, settings, uniqueness_keys,
};
use crate::storage::pg::sync::inbox;

/// The most accounts that are looked up together, and the most rows that a transaction deletes.
const SLICE: i64 = 500;

/// Deletes at most a number of rows of a user, and returns how many.
type EraseSome = fn(&mut Connection, UserId, i64) -> StorageResult<usize>;

/// What only the user sees. The hidden messages come before the settings, which have their number.
const OWN: [EraseSome; 7] = [
    scheduled::erase_some,
    scheduled::erase_failures,
    drafts::erase_some,
    hidden::erase_some,
    settings::erase_some,
    mentions::erase_some,
    uniqueness_keys::erase_some,
];

/// A step of an erasure. Each is one transaction or several, in the order of [`Step::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The names, the password and the profile.
    Tombstone,
    /// The groups and channels, with a successor of an owner.
    Groups,
    /// Blocks by the user, and contacts and requests of both sides.
    Relations,
    /// What only the user sees of conversations.
    Own,
    /// The names of uploaded files. After the messages to send later, which refer to them.
    Media,
    /// The devices.
    Devices,
    /// The account is due no more.
    Finish,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 7] = [
        Self::Tombstone,
        Self::Groups,
        Self::Relations,
        Self::Own,
        Self::Media,
        Self::Devices,
        Self::Finish,
    ];
}

/// Erases the accounts that are due, and frees names whose reservation has ended.
pub async fn erase_due(delivery: &Delivery) {
    // `Pg` has logged an error, and the next round tries again.
    while let Ok(due) = delivery
        .pg
        .read("accounts_to_erase", |conn| rows::due(conn, SLICE))
        .await
    {
        let mut is_last = i64::try_from(due.len()).is_ok_and(|len| len < SLICE);
        for user in due {
            // One that cannot be erased must not keep the others.
            is_last |= erase(delivery, user).await.is_err();
        }
        if is_last {
            break;
        }
    }
    let free = |conn: &mut Connection| usernames::delete_expired(conn, SLICE);
    while delivery
        .pg
        .read("expired_usernames", free)
        .await
        .is_ok_and(|freed| freed > 0)
    {}
}

/// Erases an account, if that is due.
pub async fn erase(delivery: &Delivery, user: UserId) -> Result<(), Error> {
    for step in Step::ALL {
        if !take(delivery, user, step).await? {
            break;
        }
    }
    Ok(())
}

/// Takes a step. False: the erasure is not due.
pub async fn take(delivery: &Delivery, user: UserId, step: Step) -> Result<bool, Error> {
    // Nothing brings a deleted account back, so the other steps need no lock of the row.
    let bury = step == Step::Tombstone;
    if !delivery
        .pg
        .transaction("erase_account", move |conn| {
            bury_due(conn, user, bury).map(Ok::<_, Error>)
        })
        .await??
    {
        return Ok(false);
    }
    match step {
        Step::Tombstone => {}
        Step::Groups => leave_groups(delivery, user).await?,
        Step::Relations => erasure::end_relations(delivery, user).await?,
        Step::Own => erase_own(delivery, user).await?,
        Step::Media => media::forget_names(delivery, user).await?,
        Step::Devices => {
            let erase = move |conn: &mut Connection| rows::delete_devices(conn, user);
            delivery.pg.read("erase_devices", erase).await?;
        }
        Step::Finish => {
            let finish = move |conn: &mut Connection| rows::finish(conn, user);
            delivery.pg.read("finish_erasure", finish).await?;
        }
    }
    Ok(true)
}

/// Whether an account is deleted. With `bury` one that is due becomes so now.
fn bury_due(conn: &mut Connection, user: UserId, bury: bool) -> StorageResult<bool> {
    match rows::lock(conn, user)?.map(|account| account.state) {
        Some(AccountState::Deleted) => Ok(true),
        Some(AccountState::Deactivated(_)) if bury && rows::is_due(conn, user)? => {
            usernames::orphan(conn, user)?;
            avatars::set_of_user(conn, user, None)?;
            rows::bury(conn, user)?;
            Ok(true)
        }
        Some(AccountState::Active | AccountState::Deactivated(_)) | None => Ok(false),
    }
}

/// Leaves all groups and channels, each in a transaction of its own.
async fn leave_groups(delivery: &Delivery, user: UserId) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page =
            move |conn: &mut Connection| member_rows::conversations(conn, user, after, SLICE);
        let page = delivery.pg.read("groups_to_leave", page).await?;
        for (id, can_leave) in &page {
            if !can_leave {
                continue;
            }
            match members::leave(delivery, user, *id).await {
                // Another node has left it.
                Ok(()) | Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        match page.last() {
            Some((last, _)) => after = Some(*last),
            None => return Ok(()),
        }
    }
}

/// Deletes what only the user sees, under the lock of the user's timeline, under which these rows change.
async fn erase_own(delivery: &Delivery, user: UserId) -> Result<(), Error> {
    for erase_some in OWN {
        let erase = move |conn: &mut Connection| {
            inbox::lock_timeline(conn, user)?;
            erase_some(conn, user, SLICE).map(Ok::<_, Error>)
        };
        while delivery.pg.transaction("erase_own", erase).await?? > 0 {}
    }
    Ok(())
}
