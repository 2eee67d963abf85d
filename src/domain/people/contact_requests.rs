//! Requests to become friends.
//!
//! A request has a row on each side. What the person who was asked does with it, except to accept it, stays hidden from the person who
//! has asked: after a decline or a block the row of the asker stays pending until it expires, and a request to somebody who blocks the
//! asker writes that row alone.

use crate::domain::people::contacts::{
    ContactChange, MAX_COUNT, TOO_MANY, change, contact_entry, has, is_friend, present,
};
use crate::domain::people::presence;
use crate::domain::people::privacy::{Permit, refusing};
use crate::domain::people::profiles::entry;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::events::person::CONTACT_REQUEST;
use crate::model::ids::{ConversationId, UserId};
use crate::model::page::{Page, PageSize, UserCursor, by_user};
use crate::model::wire::people::contact::{
    Contact, ContactRequest, Direction, MAX_CONTACTS, MAX_REQUESTS, RequestState,
};
use crate::model::wire::people::privacy::{Audience, EffectivePrivacy};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::Connection;
use crate::storage::pg::identity::users::is_active;
use crate::storage::pg::people::contact_requests::{self as rows, Side};
use crate::storage::pg::people::{blocks, contacts, privacy};
use crate::storage::pg::sync::inbox::NewEntry;
use std::time::Duration;

/// After how many days a request expires.
const DAYS: i32 = 30;

/// How long after its end a request may be made again.
const PAUSE: Duration = Duration::from_secs(7 * 86_400);

/// How many days after their expiry rows are deleted: the pause has passed.
const KEPT_DAYS: i32 = 8;

/// How many rows one statement deletes.
const CHUNK: i64 = 1_000;

/// The result of a request.
pub struct Asked {
    /// The request, or that the two are friends.
    pub request: ContactRequest,
    /// It was pending before.
    pub is_replay: bool,
}

/// The entry of a request, for the devices of one side.
pub(super) fn request_entry(user: UserId, peer: UserId) -> NewEntry {
    entry(user, &CONTACT_REQUEST, ConversationId(peer.0))
}

/// Asks a person to become friends, or accepts their request.
pub async fn ask(
    delivery: &Delivery,
    caller: Caller,
    person: UserId,
    message: Option<String>,
) -> Result<Asked, Error> {
    let defaults = delivery.config.privacy;
    change(delivery, "contact_request", caller, person, move |conn| {
        let own = Side::asking(caller.user, person);
        let theirs = Side::asking(person, caller.user);
        let blocks = blocks::among(conn, [(caller.user, person), (person, caller.user)])?;
        if blocks.contains(&(caller.user, person)) {
            return Ok(Err(Error::Blocked));
        }
        let is_blocked = blocks.contains(&(person, caller.user));
        let contact = contacts::get(conn, caller.user, person)?;
        if is_friend(contact.as_ref()) {
            return accepted(present(contact)?, Direction::Out, Vec::new());
        }
        // Declined or not: the other's request still shows as pending to the other.
        let crosses = rows::standing(conn, theirs)?.is_some_and(|one| one.pending);
        if crosses && !is_blocked {
            if !is_active(conn, person)? {
                return Ok(Err(Error::NotAccepted));
            }
            if contact.is_none() && contacts::count(conn, caller.user)? >= MAX_CONTACTS {
                return Ok(Err(TOO_MANY));
            }
            let entries = befriend(conn, caller.user, person, defaults)?;
            let contact = present(contacts::get(conn, caller.user, person)?)?;
            return accepted(contact, Direction::In, entries);
        }
        match rows::standing(conn, own)? {
            Some(standing) if standing.pending => {
                let request = outgoing(conn, own)?;
                return Ok(Ok((
                    Asked {
                        request,
                        is_replay: true,
                    },
                    Vec::new(),
                )));
            }
            Some(standing) => {
                let ago = u64::try_from(standing.ended_ms_ago).unwrap_or_default();
                let left = PAUSE.saturating_sub(Duration::from_millis(ago));
                if !left.is_zero() {
                    let why = "a request to this person has ended within 7 days";
                    return Ok(Err(Error::LimitReachedFor(why, left)));
                }
            }
            None => {}
        }
        let policy = Permit::ContactRequest;
        if !refusing(conn, caller.user, &[person], policy, defaults)?.is_empty() {
            return Ok(Err(Error::NotAccepted));
        }
        if rows::pending(conn, caller.user)? >= MAX_REQUESTS {
            return Ok(Err(Error::LimitReached("200 requests are pending")));
        }
        rows::put(conn, own, message.as_deref(), None, DAYS)?;
        let mut entries = vec![request_entry(caller.user, person)];
        if !is_blocked {
            // Who asks shows the count to the other, unless the own setting shows it to nobody.
            let own_privacy = defaults.with(privacy::choices(conn, caller.user)?);
            let mutual = match own_privacy.contacts_visible {
                Audience::Nobody => 0,
                Audience::Everyone | Audience::Contacts => {
                    contacts::mutual_count(conn, caller.user, person, MAX_COUNT)?
                }
            };
            rows::put(conn, own.asked(), message.as_deref(), Some(mutual), DAYS)?;
            entries.push(request_entry(person, caller.user));
        }
        let request = outgoing(conn, own)?;
        Ok(Ok((
            Asked {
                request,
                is_replay: false,
            },
            entries,
        )))
    })
    .await
}

fn outgoing(conn: &mut Connection, side: Side) -> StorageResult<ContactRequest> {
    let found = rows::among(conn, side.user, &[side.peer])?.into_iter();
    let mut found = found.filter(|request| request.direction == Direction::Out);
    found
        .next()
        .ok_or_else(|| StorageError::Bug("a request is missing after its change".to_owned()))
}

/// The answer to a request of friends.
fn accepted(
    contact: Contact,
    direction: Direction,
    entries: Vec<NewEntry>,
) -> StorageResult<Result<(Asked, Vec<NewEntry>), Error>> {
    let since = contact.friends_since.unwrap_or(contact.created_at);
    let request = ContactRequest {
        user: contact.user,
        direction,
        state: RequestState::Accepted,
        message: None,
        mutual_count: None,
        created_at: since,
        expires_at: since,
    };
    Ok(Ok((
        Asked {
            request,
            is_replay: false,
        },
        entries,
    )))
}

/// Makes two people friends. All requests of the two are gone, and each gets one entry.
fn befriend(
    conn: &mut Connection,
    one: UserId,
    other: UserId,
    defaults: EffectivePrivacy,
) -> StorageResult<Vec<NewEntry>> {
    for side in [Side::asking(one, other), Side::asking(other, one)] {
        rows::remove(conn, side)?;
        rows::remove(conn, side.asked())?;
    }
    contacts::befriend(conn, one, other)?;
    // Each came onto the list of the other; the number of one of them is enough.
    presence::move_contacts_audience(conn, one, other, defaults)?;
    Ok(vec![contact_entry(one, other), contact_entry(other, one)])
}

/// Accepts a person's request.
pub async fn accept(
    delivery: &Delivery,
    caller: Caller,
    person: UserId,
    notes: ContactChange,
) -> Result<Contact, Error> {
    let defaults = delivery.config.privacy;
    change(delivery, "accept_request", caller, person, move |conn| {
        let before = contacts::get(conn, caller.user, person)?;
        let notes = notes.apply(before.as_ref());
        if is_friend(before.as_ref()) {
            let before = present(before)?;
            if has(&before, &notes) {
                return Ok(Ok((before, Vec::new())));
            }
            contacts::put(conn, caller.user, person, &notes)?;
            let contact = present(contacts::get(conn, caller.user, person)?)?;
            return Ok(Ok((contact, vec![contact_entry(caller.user, person)])));
        }
        let asked = Side::asking(person, caller.user).asked();
        if !rows::standing(conn, asked)?.is_some_and(|one| one.pending) {
            return Ok(Err(Error::NotFound));
        }
        if !is_active(conn, person)? {
            return Ok(Err(Error::NotAccepted));
        }
        if before.is_none() && contacts::count(conn, caller.user)? >= MAX_CONTACTS {
            return Ok(Err(TOO_MANY));
        }
        let entries = befriend(conn, caller.user, person, defaults)?;
        contacts::put(conn, caller.user, person, &notes)?;
        let contact = present(contacts::get(conn, caller.user, person)?)?;
        Ok(Ok((contact, entries)))
    })
    .await
}

/// Declines a person's request, if there is one. The person is not notified.
pub async fn decline(delivery: &Delivery, caller: Caller, person: UserId) -> Result<(), Error> {
    end(
        delivery,
        "decline_request",
        caller,
        person,
        |conn, own, other| {
            let asked = Side::asking(other, own).asked();
            let was_pending = rows::remove(conn, asked)?;
            let entry = was_pending.then(|| request_entry(own, other));
            Ok(entry.into_iter().collect())
        },
    )
    .await
}

/// Takes the caller's own request back, if it is pending.
pub async fn cancel(delivery: &Delivery, caller: Caller, person: UserId) -> Result<(), Error> {
    end(delivery, "remove_request", caller, person, cancelled).await
}

async fn end<F>(
    delivery: &Delivery,
    name: &'static str,
    caller: Caller,
    person: UserId,
    end: F,
) -> Result<(), Error>
where
    F: Fn(&mut Connection, UserId, UserId) -> StorageResult<Vec<NewEntry>> + Send + 'static,
{
    let ended = change(delivery, name, caller, person, move |conn| {
        let entries = end(conn, caller.user, person)?;
        Ok(Ok(((), entries)))
    })
    .await;
    match ended {
        // An unknown person has no request.
        Err(Error::NotFound) => Ok(()),
        ended => ended,
    }
}

fn cancelled(conn: &mut Connection, own: UserId, other: UserId) -> StorageResult<Vec<NewEntry>> {
    let side = Side::asking(own, other);
    let mut entries = Vec::new();
    if rows::end(conn, side)? {
        entries.push(request_entry(own, other));
    }
    if rows::remove(conn, side.asked())? {
        entries.push(request_entry(other, own));
    }
    Ok(entries)
}

/// Ends the friendship and the requests of two people when one blocks the other, under their lock. Returns the entries: a request of
/// the blocked person stays pending for that person.
pub(super) fn end_by_block(
    conn: &mut Connection,
    blocker: UserId,
    blocked: UserId,
) -> StorageResult<Vec<NewEntry>> {
    let mut entries = cancelled(conn, blocker, blocked)?;
    if rows::remove(conn, Side::asking(blocked, blocker).asked())? {
        entries.push(request_entry(blocker, blocked));
    }
    if contacts::unfriend(conn, blocker, blocked)? {
        entries.push(contact_entry(blocker, blocked));
        entries.push(contact_entry(blocked, blocker));
    }
    Ok(entries)
}

/// A page of the caller's requests in one direction, ordered by the other person's id.
pub async fn list(
    delivery: &Delivery,
    caller: Caller,
    direction: Direction,
    after: Option<UserCursor>,
    limit: PageSize,
) -> Result<Page<ContactRequest>, Error> {
    let after = after.map(|cursor| cursor.after);
    let read = move |conn: &mut _| rows::page(conn, caller.user, direction, after, limit);
    let items = delivery.pg.read("contact_requests", read).await?;
    Ok(by_user(items, limit, |request| request.user.id)?)
}

/// Deletes requests that have expired long ago.
pub async fn delete_expired(delivery: &Delivery) {
    let delete = |conn: &mut _| rows::delete_expired(conn, KEPT_DAYS, CHUNK);
    loop {
        match delivery.pg.read("delete_requests", delete).await {
            Ok(deleted) if i64::try_from(deleted).is_ok_and(|deleted| deleted == CHUNK) => {}
            // An error was logged, and the next run repeats this.
            Ok(_) | Err(_) => return,
        }
    }
}
