//! Contacts: the people on a user's list. The other person is not notified. Friends are on the list of each other, by a request that was
//! accepted.
//!
//! A change locks the rows of both users first, and reads afterwards, so of concurrent changes of a pair each sees the one before.

use crate::domain::people::presence;
use crate::domain::people::privacy::{Permit, refusing};
use crate::domain::people::profiles::entry;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::waiting::head_query;
use crate::model::account::Caller;
use crate::model::events::own::ME;
use crate::model::events::person::CONTACT;
use crate::model::ids::{ConversationId, Epoch, InboxSeq, UserId, pair};
use crate::model::page::{ContactCursor, Page, PageSize, to_cursor};
use crate::model::people::contact::{ContactFilter, ContactNotes};
use crate::model::time::Timestamp;
use crate::model::unread::CommittedEntry;
use crate::model::wire::people::contact::{Contact, ContactState, MAX_CONTACTS};
use crate::model::wire::people::privacy::EffectivePrivacy;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::Connection;
use crate::storage::pg::identity::users::users_by_ids;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::people::blocks;
use crate::storage::pg::people::contacts as rows;
use crate::storage::pg::sync::inbox;
use crate::storage::pg::sync::inbox::NewEntry;

/// The greatest count of friends in common.
pub const MAX_COUNT: i32 = 1_000;

/// The refusal of one more contact.
pub(super) const TOO_MANY: Error = Error::LimitReached("5000 people are on the list");

/// A change of what the owner of a contact has noted. A field that is absent is not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactChange {
    /// The owner's own name for the person; `Some(None)` removes it.
    pub alias: Option<Option<String>>,
    /// The tags.
    pub tags: Option<Vec<String>>,
    /// Whether it is starred.
    pub starred: Option<bool>,
}

impl ContactChange {
    pub(super) fn apply(&self, before: Option<&Contact>) -> ContactNotes {
        let alias = before.and_then(|contact| contact.alias.clone());
        let tags = before.map(|contact| contact.tags.clone());
        let starred = before.is_some_and(|contact| contact.starred);
        ContactNotes {
            alias: self.alias.clone().unwrap_or(alias),
            tags: self.tags.clone().or(tags).unwrap_or_default(),
            starred: self.starred.unwrap_or(starred),
        }
    }
}

/// The entry of a contact, for the owner's devices.
pub(super) fn contact_entry(owner: UserId, person: UserId) -> NewEntry {
    entry(owner, &CONTACT, ConversationId(person.0))
}

/// After somebody came onto the list of the user or went from it: the entry for the user's devices, if only contacts see the user.
fn audience_entry(
    conn: &mut Connection,
    user: UserId,
    person: UserId,
    defaults: EffectivePrivacy,
) -> StorageResult<Option<NewEntry>> {
    let decides = presence::move_contacts_audience(conn, user, person, defaults)?;
    Ok(decides.then(|| entry(user, &ME, ConversationId::NONE)))
}

/// Makes a change of the relations of the caller with a person in one transaction, under the lock of the pair.
pub(super) async fn change<T, F>(
    delivery: &Delivery,
    name: &'static str,
    caller: Caller,
    person: UserId,
    decide: F,
) -> Result<T, Error>
where
    T: Send + 'static,
    F: Fn(&mut Connection) -> StorageResult<Result<(T, Vec<NewEntry>), Error>> + Send + 'static,
{
    if person == caller.user {
        return Err(Error::invalid("user_id", "must be somebody else"));
    }
    let (answer, committed) = delivery
        .pg
        .transaction(name, move |conn| {
            let Some(at) = blocks::lock(conn, pair(caller.user, person))? else {
                return Ok(Err(Error::NotFound));
            };
            let (answer, entries) = match decide(conn)? {
                Ok(decided) => decided,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let committed = deliver(conn, &entries, at)?;
            Ok(Ok((answer, committed)))
        })
        .await??;
    if !committed.is_empty() {
        delivery.waiters.presence.announce(caller.user);
    }
    delivery.writers.publish(committed);
    Ok(answer)
}

fn deliver(
    conn: &mut Connection,
    entries: &[NewEntry],
    at: Timestamp,
) -> StorageResult<Vec<CommittedEntry>> {
    match entries {
        [] => Ok(Vec::new()),
        entries => inbox::deliver(conn, &Changes::default(), entries, at),
    }
}

/// Adds a person to the caller's list, or changes what the caller has noted.
pub async fn put(
    delivery: &Delivery,
    caller: Caller,
    person: UserId,
    update: ContactChange,
) -> Result<Contact, Error> {
    let defaults = delivery.config.privacy;
    change(delivery, "update_contact", caller, person, move |conn| {
        // An erased account stays away from the lists that it has left.
        if users_by_ids(conn, &[person])?
            .iter()
            .any(|user| user.deleted)
        {
            return Ok(Err(Error::NotAccepted));
        }
        let before = rows::get(conn, caller.user, person)?;
        let notes = update.apply(before.as_ref());
        let is_new = before.is_none();
        if let Some(same) = before.filter(|before| has(before, &notes)) {
            return Ok(Ok((same, Vec::new())));
        }
        if is_new && rows::count(conn, caller.user)? >= MAX_CONTACTS {
            return Ok(Err(TOO_MANY));
        }
        rows::put(conn, caller.user, person, &notes)?;
        let contact = present(rows::get(conn, caller.user, person)?)?;
        let mut entries = vec![contact_entry(caller.user, person)];
        if is_new {
            entries.extend(audience_entry(conn, caller.user, person, defaults)?);
        }
        Ok(Ok((contact, entries)))
    })
    .await
}

/// Whether the owner of a contact has noted this.
pub(super) fn has(contact: &Contact, notes: &ContactNotes) -> bool {
    (&contact.alias, &contact.tags, contact.starred) == (&notes.alias, &notes.tags, notes.starred)
}

/// A contact that this transaction has written.
pub(super) fn present(contact: Option<Contact>) -> StorageResult<Contact> {
    contact.ok_or_else(|| StorageError::Bug("a contact is missing after its change".to_owned()))
}

/// Removes a person from the caller's list. If they were friends, the other keeps the caller as a contact.
pub async fn remove(delivery: &Delivery, caller: Caller, person: UserId) -> Result<(), Error> {
    let defaults = delivery.config.privacy;
    change(delivery, "remove_contact", caller, person, move |conn| {
        let mut entries = Vec::new();
        if rows::unfriend(conn, caller.user, person)? {
            entries.push(contact_entry(person, caller.user));
        }
        if rows::remove(conn, caller.user, person)? {
            entries.push(contact_entry(caller.user, person));
            entries.extend(audience_entry(conn, caller.user, person, defaults)?);
        }
        Ok(Ok(((), entries)))
    })
    .await
}

/// One contact of the caller.
pub async fn get(delivery: &Delivery, caller: Caller, person: UserId) -> Result<Contact, Error> {
    let read = move |conn: &mut _| rows::get(conn, caller.user, person);
    delivery
        .pg
        .read("contact", read)
        .await?
        .ok_or(Error::NotFound)
}

/// A page of contacts, and where the inbox was before the first page.
pub struct ContactList {
    /// The contacts.
    pub page: Page<Contact>,
    /// Changes while a client pages are in the inbox after this seq.
    pub inbox_seq: InboxSeq,
    /// The epoch.
    pub epoch: Epoch,
}

/// A page of the caller's contacts, ordered by id.
pub async fn list(
    delivery: &Delivery,
    caller: Caller,
    filter: ContactFilter,
    cursor: Option<ContactCursor>,
    limit: PageSize,
) -> Result<ContactList, Error> {
    let inbox_seq = match &cursor {
        Some(cursor) => cursor.inbox_seq,
        None => {
            head_query::load_heads(&delivery.heads, caller.user, Vec::new())
                .await?
                .head
        }
    };
    let after = cursor.map(|cursor| cursor.after);
    let read = move |conn: &mut _| rows::page(conn, caller.user, &filter, after, limit);
    let items = delivery.pg.read("contacts", read).await?;
    let is_full = i64::try_from(items.len()).is_ok_and(|len| len == limit.get());
    let last = items.last().filter(|_| is_full);
    let position = |last: &Contact| ContactCursor {
        after: last.user.id,
        inbox_seq,
    };
    let next_cursor = last.map(|last| to_cursor(&position(last))).transpose()?;
    Ok(ContactList {
        page: Page { items, next_cursor },
        inbox_seq,
        epoch: delivery.epoch,
    })
}

/// How many friends the caller has in common with a person, up to [`MAX_COUNT`]: 0 if the person does not show that to the caller.
pub async fn mutual_count(
    delivery: &Delivery,
    caller: Caller,
    person: UserId,
) -> Result<i32, Error> {
    let defaults = delivery.config.privacy;
    let count = delivery
        .pg
        .read("mutual_count", move |conn| {
            let permit = Permit::ContactsVisible;
            let hides = refusing(conn, caller.user, &[person], permit, defaults)?;
            let blocked = blocks::around(conn, caller.user, &[person])?;
            if !hides.is_empty() || !blocked.is_empty() {
                return Ok(0);
            }
            rows::mutual_count(conn, caller.user, person, MAX_COUNT)
        })
        .await?;
    Ok(count)
}

/// Whether two people are friends, by the contact of one of them.
pub(super) fn is_friend(contact: Option<&Contact>) -> bool {
    contact.is_some_and(|contact| contact.state == ContactState::Friend)
}
