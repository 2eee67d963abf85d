//! Desks, and their skills. To everybody a desk is a user of kind `desk`.

use crate::clock;
use crate::domain::desk::seats::{needs, present, shown};
use crate::domain::identity::account_ends::NO_PASSWORD;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::{Caller, Username};
use crate::model::ids::{ClientDeskId, UserId};
use crate::model::wire::desk::{MAX_DESKS, Seat, SeatRole};
use crate::model::wire::user::User;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::Connection;
use crate::storage::pg::desk::seats::SeatDuties;
use crate::storage::pg::desk::{desks as rows, seats};
use crate::storage::pg::identity::{accounts, users};
use crate::storage::pg::people::{blocks, profiles};

/// A desk to create.
#[derive(Clone, Debug)]
pub struct NewDesk {
    /// The name by which customers find it.
    pub username: Username,
    /// The name that customers see.
    pub display_name: String,
    /// The creator's id of it.
    pub client_id: ClientDeskId,
}

/// Creates a desk, with its creator as its first admin, if the server is open for desks. Returns whether it is new.
pub async fn create(
    delivery: &Delivery,
    caller: Caller,
    new: NewDesk,
) -> Result<(User, bool), Error> {
    if !delivery.config.desks_open {
        return Err(Error::Forbidden("only the operator creates desks here"));
    }
    create_for(delivery, caller.user, new).await
}

/// Creates a desk with this admin.
pub async fn create_for(
    delivery: &Delivery,
    creator: UserId,
    new: NewDesk,
) -> Result<(User, bool), Error> {
    let id = UserId(clock::new_id());
    let insert = move |conn: &mut Connection| {
        // The account of the first admin does not end meanwhile, and has not ended before: its devices are logged out then.
        blocks::hold(conn, &[creator].into())?;
        if !users::is_active(conn, creator)? {
            return Ok(Err(Error::DeviceRevoked));
        }
        if !rows::reserve(conn, creator, new.client_id, id)? {
            return repeated(conn, creator, &new);
        }
        if rows::count(conn, creator)? > MAX_DESKS {
            return Ok(Err(Error::LimitReached("a user creates at most 100 desks")));
        }
        if !accounts::create_user(conn, id, &new.username, &new.display_name, NO_PASSWORD)? {
            return Ok(Err(Error::Conflict("the username is taken")));
        }
        rows::insert(conn, id)?;
        let duties = SeatDuties {
            role: SeatRole::Admin,
            alias: None,
            skills: 0,
            capacity: 1,
        };
        seats::put(conn, id, creator, &duties)?;
        Ok(Ok((desk(conn, id)?, true)))
    };
    delivery.pg.transaction("create_desk", insert).await?
}

/// The desk that the creator has created with the same id before.
fn repeated(
    conn: &mut Connection,
    creator: UserId,
    new: &NewDesk,
) -> StorageResult<Result<(User, bool), Error>> {
    let id = rows::created(conn, creator, new.client_id)?;
    let id = id.ok_or_else(|| StorageError::Bug("a reserved desk is missing".to_owned()))?;
    if seats::role(conn, id, creator)?.is_none() {
        return Ok(Err(Error::NotFound));
    }
    let desk = desk(conn, id)?;
    Ok(match desk.username == new.username.as_str() {
        true => Ok((desk, false)),
        false => Err(Error::Conflict(
            "the client_desk_id belongs to another desk",
        )),
    })
}

fn desk(conn: &mut Connection, id: UserId) -> StorageResult<User> {
    let user = users::users_by_ids(conn, &[id])?.pop();
    let missing = || StorageError::Bug("the user of a desk is missing".to_owned());
    user.ok_or_else(missing)
}

/// The desks that the caller serves, each with the caller's seat.
pub async fn of_caller(delivery: &Delivery, caller: Caller) -> Result<Vec<(User, Seat)>, Error> {
    let read = move |conn: &mut Connection| {
        let ids = seats::desks_of(conn, caller.user)?;
        let desks = users::users_by_ids(conn, &ids)?;
        let mut found = Vec::new();
        for desk in desks {
            let skills = rows::skills(conn, desk.id)?.unwrap_or_default();
            let seat = seats::get(conn, desk.id, caller.user, &skills)?;
            found.extend(seat.map(|seat| (desk, seat)));
        }
        Ok(found)
    };
    let found = delivery.pg.read("own_desks", read).await?;
    let shown = |(desk, seat)| (desk, shown(delivery, seat));
    Ok(found.into_iter().map(shown).collect())
}

/// A change of what customers see of a desk. A field that is absent is not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeskChange {
    /// The name.
    pub display_name: Option<String>,
    /// The address of the picture; `Some(None)` removes it.
    pub avatar_url: Option<Option<String>>,
}

/// Changes what customers see of a desk.
pub async fn update(
    delivery: &Delivery,
    caller: Caller,
    id: UserId,
    change: DeskChange,
) -> Result<User, Error> {
    let write = move |conn: &mut Connection| {
        if let Err(refusal) = needs(conn, id, caller, SeatRole::Admin)? {
            return Ok(Err(refusal));
        }
        profiles::lock(conn, id)?;
        let Some(mut account) = profiles::account(conn, id)? else {
            return Ok(Err(Error::NotFound));
        };
        let before = account.clone();
        let user = &mut account.profile.user;
        if let Some(name) = &change.display_name {
            user.display_name.clone_from(name);
        }
        if let Some(url) = &change.avatar_url {
            user.avatar_url.clone_from(url);
        }
        if account != before {
            account.profile.user.rev += 1;
            profiles::write(conn, &account)?;
        }
        Ok(Ok(account.profile.user))
    };
    delivery.pg.transaction("update_desk", write).await?
}

/// The skills of a desk, in their order.
pub async fn skills(delivery: &Delivery, caller: Caller, id: UserId) -> Result<Vec<String>, Error> {
    let read = move |conn: &mut Connection| {
        if let Err(refusal) = needs(conn, id, caller, SeatRole::Agent)? {
            return Ok(Err(refusal));
        }
        present(rows::skills(conn, id)?).map(Ok)
    };
    delivery.pg.read("desk_skills", read).await?
}

/// Adds skills at the end: those before them keep their places.
pub async fn put_skills(
    delivery: &Delivery,
    caller: Caller,
    id: UserId,
    skills: Vec<String>,
) -> Result<Vec<String>, Error> {
    let write = move |conn: &mut Connection| {
        rows::lock(conn, id)?;
        if let Err(refusal) = needs(conn, id, caller, SeatRole::Admin)? {
            return Ok(Err(refusal));
        }
        let before = present(rows::skills(conn, id)?)?;
        if !skills.starts_with(&before) {
            let detail = "must begin with the desk's present skills in their order";
            return Ok(Err(Error::invalid("/skills", detail)));
        }
        rows::put_skills(conn, id, &skills)?;
        Ok(Ok(skills.clone()))
    };
    delivery.pg.transaction("put_skills", write).await?
}
