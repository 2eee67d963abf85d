//! Who serves a desk. Roles change under the desk's lock, so that one admin always stays.

use crate::domain::people::privacy::{Permit, refusing};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::ids::UserId;
use crate::model::wire::desk::{MAX_SEATS, Seat, SeatRole};
use crate::model::wire::user::UserKind;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::Connection;
use crate::storage::pg::desk::seats::SeatDuties;
use crate::storage::pg::desk::{desks, seats as rows};
use crate::storage::pg::identity::users;
use crate::storage::pg::people::blocks;
use std::collections::BTreeSet;

/// The refusal to leave a desk without an admin.
const LAST_ADMIN: Error = Error::Conflict("a desk keeps at least one admin");

/// Whether the caller has a seat with at least this role. A desk does not exist for anybody else.
pub(super) fn needs(
    conn: &mut Connection,
    desk: UserId,
    caller: Caller,
    least: SeatRole,
) -> StorageResult<Result<SeatRole, Error>> {
    Ok(match rows::role(conn, desk, caller.user)? {
        None => Err(Error::NotFound),
        Some(role) if role < least => {
            Err(Error::Forbidden("the role of the seat does not allow it"))
        }
        Some(role) => Ok(role),
    })
}

/// What the rows of a desk must have, since it has staff.
pub(super) fn present<T>(found: Option<T>) -> StorageResult<T> {
    found.ok_or_else(|| StorageError::Bug("the row of a desk is missing".to_owned()))
}

/// With the presence of its user. Who is available shows it to the staff.
pub(super) fn shown(delivery: &Delivery, mut seat: Seat) -> Seat {
    if seat.available {
        seat.presence = delivery.waiters.presence.shown(seat.user.id).state;
    }
    seat
}

/// The seats of a desk, by user id.
pub async fn all(delivery: &Delivery, caller: Caller, desk: UserId) -> Result<Vec<Seat>, Error> {
    let read = move |conn: &mut Connection| {
        if let Err(refusal) = needs(conn, desk, caller, SeatRole::Agent)? {
            return Ok(Err(refusal));
        }
        let skills = present(desks::skills(conn, desk)?)?;
        rows::of_desk(conn, desk, &skills).map(Ok)
    };
    let seats = delivery.pg.read("seats", read).await??;
    Ok(seats
        .into_iter()
        .map(|seat| shown(delivery, seat))
        .collect())
}

/// What an admin decides of a seat.
#[derive(Clone, Debug)]
pub struct NewSeat {
    /// What the user may do.
    pub role: SeatRole,
    /// The name under which the user answers; none: the desk's.
    pub alias: Option<String>,
    /// Names of skills of the desk.
    pub skills: Vec<String>,
    /// How many cases the user has at most.
    pub capacity: i64,
}

/// Gives a user a seat, or changes it.
pub async fn put(
    delivery: &Delivery,
    caller: Caller,
    desk: UserId,
    user: UserId,
    new: NewSeat,
) -> Result<Seat, Error> {
    let defaults = delivery.config.privacy;
    change(
        delivery,
        caller,
        desk,
        SeatRole::Admin,
        "add_seat",
        [caller.user, user].into(),
        move |conn, skills| {
            let (seats, admins) = rows::counts(conn, desk)?;
            let before = rows::role(conn, desk, user)?;
            if before.is_none() {
                if seats >= MAX_SEATS {
                    return Ok(Err(Error::LimitReached("a desk has at most 500 seats")));
                }
                let Some(found) = users::users_by_ids(conn, &[user])?.pop() else {
                    return Ok(Err(Error::NotFound));
                };
                if !blocks::around(conn, caller.user, &[user])?.is_empty() {
                    return Ok(Err(Error::Blocked));
                }
                // A seat is as much as a group: who may not add the user to one may not give a seat either.
                let refuses = caller.user != user
                    && !refusing(conn, caller.user, &[user], Permit::GroupAdd, defaults)?
                        .is_empty();
                if refuses || found.deleted || found.kind == UserKind::Desk {
                    return Ok(Err(Error::NotAccepted));
                }
            }
            if before == Some(SeatRole::Admin) && new.role != SeatRole::Admin && admins == 1 {
                return Ok(Err(LAST_ADMIN));
            }
            let bits = match bits(&new.skills, skills) {
                Ok(bits) => bits,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let duties = SeatDuties {
                role: new.role,
                alias: new.alias.clone(),
                skills: bits,
                capacity: new.capacity,
            };
            rows::put(conn, desk, user, &duties)?;
            Ok(Ok(user))
        },
    )
    .await
}

/// What a supervisor changes of a seat. A field that is absent is not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeatChange {
    /// Names of skills of the desk.
    pub skills: Option<Vec<String>>,
    /// How many cases the user has at most.
    pub capacity: Option<i64>,
    /// The user takes no new cases.
    pub ends_availability: bool,
}

/// Changes a seat.
pub async fn update(
    delivery: &Delivery,
    caller: Caller,
    desk: UserId,
    user: UserId,
    update: SeatChange,
) -> Result<Seat, Error> {
    change(
        delivery,
        caller,
        desk,
        SeatRole::Supervisor,
        "update_seat",
        BTreeSet::new(),
        move |conn, skills| {
            let Some(before) = rows::get(conn, desk, user, skills)? else {
                return Ok(Err(Error::NotFound));
            };
            let names = update.skills.as_ref().unwrap_or(&before.skills);
            let bits = match bits(names, skills) {
                Ok(bits) => bits,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let capacity = update.capacity.unwrap_or(before.capacity);
            if *names != before.skills || capacity != before.capacity {
                let duties = SeatDuties {
                    role: before.role,
                    alias: before.alias,
                    skills: bits,
                    capacity,
                };
                rows::put(conn, desk, user, &duties)?;
            }
            if update.ends_availability && before.available {
                rows::set_available(conn, desk, user, false, Some("supervisor"))?;
            }
            Ok(Ok(user))
        },
    )
    .await
}

/// Whether the caller takes new cases, and why not.
pub async fn set_available(
    delivery: &Delivery,
    caller: Caller,
    desk: UserId,
    available: bool,
    why: Option<String>,
) -> Result<Seat, Error> {
    change(
        delivery,
        caller,
        desk,
        SeatRole::Agent,
        "set_available",
        BTreeSet::new(),
        move |conn, skills| {
            let Some(before) = rows::get(conn, desk, caller.user, skills)? else {
                return Ok(Err(Error::NotFound));
            };
            if (before.available, &before.why) != (available, &why) {
                rows::set_available(conn, desk, caller.user, available, why.as_deref())?;
            }
            Ok(Ok(caller.user))
        },
    )
    .await
}

/// Takes a seat away. The staff without the right to do so may give up their own.
pub async fn remove(
    delivery: &Delivery,
    caller: Caller,
    desk: UserId,
    user: UserId,
) -> Result<(), Error> {
    let least = match user == caller.user {
        true => SeatRole::Agent,
        false => SeatRole::Admin,
    };
    let work = move |conn: &mut Connection| {
        desks::lock(conn, desk)?;
        if let Err(refusal) = needs(conn, desk, caller, least)? {
            return Ok(Err(refusal));
        }
        let Some(role) = rows::role(conn, desk, user)? else {
            return Ok(Ok(()));
        };
        let (_, admins) = rows::counts(conn, desk)?;
        if role == SeatRole::Admin && admins == 1 {
            return Ok(Err(LAST_ADMIN));
        }
        rows::remove(conn, desk, user)?;
        Ok(Ok(()))
    };
    delivery.pg.transaction("remove_seat", work).await?
}

/// Makes a change of a seat by somebody with at least this role, under the desk's lock. The accounts of the held users do not end meanwhile.
/// `decide` has the desk's skills, and returns whose seat it has changed.
async fn change<F>(
    delivery: &Delivery,
    caller: Caller,
    desk: UserId,
    least: SeatRole,
    name: &'static str,
    held: BTreeSet<UserId>,
    decide: F,
) -> Result<Seat, Error>
where
    F: Fn(&mut Connection, &[String]) -> StorageResult<Result<UserId, Error>> + Send + 'static,
{
    let work = move |conn: &mut Connection| {
        if !held.is_empty() {
            blocks::hold(conn, &held)?;
        }
        desks::lock(conn, desk)?;
        if let Err(refusal) = needs(conn, desk, caller, least)? {
            return Ok(Err(refusal));
        }
        let skills = present(desks::skills(conn, desk)?)?;
        let user = match decide(conn, &skills)? {
            Ok(user) => user,
            Err(refusal) => return Ok(Err(refusal)),
        };
        present(rows::get(conn, desk, user, &skills)?).map(Ok)
    };
    let seat = delivery.pg.transaction(name, work).await??;
    Ok(shown(delivery, seat))
}

/// The skills with these names, as bits.
fn bits(names: &[String], skills: &[String]) -> Result<i64, Error> {
    let mut bits = 0;
    for (at, name) in names.iter().enumerate() {
        let Some(place) = skills.iter().position(|skill| skill == name) else {
            let detail = "must be a skill of the desk";
            return Err(Error::invalid(&format!("/skills/{at}"), detail));
        };
        bits |= 1 << place;
    }
    Ok(bits)
}
