//! Profiles, and the settings of the caller's own account.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::avatars;
use crate::model::account::{Caller, Username};
use crate::model::events::own::ME;
use crate::model::events::spec::EventSpec;
use crate::model::ids::{ConvSeq, ConversationId, MediaId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::media::user_avatar;
use crate::model::wire::people::profile::{Account, Profile};
use crate::model::wire::user::{Availability, Status, User};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::usernames;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::people::profiles as rows;
use crate::storage::pg::sync::inbox::{self, NewEntry};
use serde_json::Value;

/// The most bytes of all attributes, as JSON.
pub const ATTRIBUTE_BYTES: usize = 4_096;

/// The most attributes.
pub const MAX_ATTRIBUTES: usize = 32;

/// The most levels of attributes: the values of the outer object are on the first one.
const LEVELS: usize = 3;

/// The longest key.
const KEY_BYTES: usize = 32;

/// A change of an account; nothing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The username.
    pub username: Option<Username>,
    /// The display name.
    pub display_name: Option<String>,
    /// The address of a picture elsewhere; `Some(None)` removes the picture.
    pub avatar_url: Option<Option<String>>,
    /// An uploaded picture, in place of an address; `Some(None)` removes the picture.
    pub avatar_media: Option<Option<MediaId>>,
    /// The text about the user; `Some(None)` removes it.
    pub bio: Option<Option<String>>,
    /// A merge patch (RFC 7396) of the attributes; null removes all.
    pub attributes: Option<Value>,
    /// Whether others see the person's read positions, and the person theirs.
    pub read_receipts: Option<bool>,
    /// Whether forwards of the person's messages name the person.
    pub forward_name: Option<bool>,
}

/// What a person shows others.
pub async fn profile(delivery: &Delivery, id: UserId) -> Result<Profile, Error> {
    let read = move |conn: &mut _| rows::account(conn, id);
    let account = delivery.pg.read("profile", read).await?;
    account.map(shown).ok_or(Error::NotFound)
}

/// The caller's account.
pub async fn account(delivery: &Delivery, caller: Caller) -> Result<Account, Error> {
    let read = move |conn: &mut _| rows::account(conn, caller.user);
    delivery
        .pg
        .read("account", read)
        .await?
        .ok_or(Error::NotFound)
}

/// What others see of an account: not the availability, which is part of the presence.
fn shown(account: Account) -> Profile {
    let mut profile = account.profile;
    let status = profile.user.status.take();
    let said = status.filter(|status| status.emoji.is_some() || status.text.is_some());
    profile.user.status = said.map(|status| Status {
        availability: None,
        ..status
    });
    profile
}

/// Changes the caller's account.
pub async fn update(
    delivery: &Delivery,
    caller: Caller,
    update: AccountChange,
) -> Result<Account, Error> {
    if update.avatar_media.flatten().is_some() && delivery.media.is_none() {
        return Err(Error::MediaDisabled);
    }
    let decide = move |conn: &mut Connection, account: &mut Account, _| {
        let update = update.clone();
        if let Some(username) = &update.username
            && let Err(refusal) = rename(conn, &mut account.profile.user, username)?
        {
            return Ok(Err(refusal));
        }
        let profile = &mut account.profile;
        let user = &mut profile.user;
        if let Err(refusal) = set_picture(conn, user, &update)? {
            return Ok(Err(refusal));
        }
        if let Some(patch) = &update.attributes {
            let mut attributes = Value::Object(std::mem::take(&mut profile.attributes));
            json_patch::merge(&mut attributes, patch);
            profile.attributes = match attributes {
                Value::Object(attributes) => attributes,
                _ => serde_json::Map::new(),
            };
            if let Err(refusal) = check_attributes(&profile.attributes) {
                return Ok(Err(refusal));
            }
        }
        user.display_name = update.display_name.unwrap_or(user.display_name.clone());
        profile.bio = update.bio.unwrap_or(profile.bio.take());
        account.read_receipts = update.read_receipts.unwrap_or(account.read_receipts);
        account.forward_name = update.forward_name.unwrap_or(account.forward_name);
        Ok(Ok(()))
    };
    change(delivery, "update_account", caller, decide).await
}

/// Changes the picture. Under the lock of the user's row.
fn set_picture(
    conn: &mut Connection,
    user: &mut User,
    update: &AccountChange,
) -> StorageResult<Result<(), Error>> {
    let is_path = |url: &Option<String>| url.as_deref().is_some_and(|url| url.starts_with('/'));
    let (url, media) = match (&update.avatar_url, update.avatar_media) {
        (_, Some(media)) => (media.map(|id| user_avatar(user.id, id)), media),
        // A client may send back what it has read.
        (Some(url), None) if *url == user.avatar_url => return Ok(Ok(())),
        (Some(url), None) if is_path(url) => {
            let detail = "must be an http or https URL, or the caller's present avatar_url";
            return Ok(Err(Error::invalid("/avatar_url", detail)));
        }
        (Some(url), None) => (url.clone(), None),
        (None, None) => return Ok(Ok(())),
    };
    if let Some(id) = media
        && let Err(refusal) = avatars::hold(conn, user.id, id)?
    {
        return Ok(Err(refusal));
    }
    if media.is_some() || is_path(&user.avatar_url) {
        avatars::set_of_user(conn, user.id, media)?;
    }
    user.avatar_url = url;
    Ok(Ok(()))
}

/// Changes a username, once in 14 days. A former name may be taken back at any time. Under the lock of the user's row.
fn rename(
    conn: &mut Connection,
    user: &mut User,
    username: &Username,
) -> StorageResult<Result<(), Error>> {
    if user.username == username.as_str() {
        return Ok(Ok(()));
    }
    let was_own = usernames::take_back(conn, user.id, username)?;
    if !was_own {
        if usernames::is_renamed(conn, user.id)? {
            let what = "a username changes at most once in 14 days";
            return Ok(Err(Error::LimitReached(what)));
        }
        if !usernames::claim(conn, user.id, username)? {
            return Ok(Err(Error::Conflict("the username is taken or reserved")));
        }
    }
    usernames::rename(conn, user.id, username, !was_own)?;
    username.as_str().clone_into(&mut user.username);
    Ok(Ok(()))
}

fn check_attributes(attributes: &serde_json::Map<String, Value>) -> Result<(), Error> {
    let refuse = |detail: &str| Err(Error::invalid("/attributes", detail));
    if attributes.len() > MAX_ATTRIBUTES {
        return refuse("must have at most 32 keys");
    }
    if !attributes
        .iter()
        .all(|(key, value)| is_key(key) && fits(value, LEVELS))
    {
        return refuse("must have keys of 1 to 32 of a-z, 0-9, '_' and '.', and at most 3 levels");
    }
    if serde_json::to_vec(attributes)?.len() > ATTRIBUTE_BYTES {
        return refuse("must be at most 4096 bytes long as JSON");
    }
    Ok(())
}

fn is_key(key: &str) -> bool {
    let is_allowed = |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
    (1..=KEY_BYTES).contains(&key.len()) && key.bytes().all(is_allowed)
}

/// Whether a value has at most this number of levels, and allowed keys.
fn fits(value: &Value, levels: usize) -> bool {
    match value {
        Value::Object(members) => {
            levels > 1
                && members
                    .iter()
                    .all(|(key, value)| is_key(key) && fits(value, levels - 1))
        }
        Value::Array(items) => levels > 1 && items.iter().all(|item| fits(item, levels - 1)),
        _ => true,
    }
}

/// Sets the caller's status, or with nothing but `auto` ends it.
pub async fn update_status(
    delivery: &Delivery,
    caller: Caller,
    status: Status,
) -> Result<Account, Error> {
    let says = status.emoji.is_some() || status.text.is_some();
    let is_set = says || status.availability != Some(Availability::Auto);
    let decide = move |_: &mut Connection, account: &mut Account, at: Timestamp| {
        if status.until.is_some_and(|until| until <= at) {
            return Ok(Err(Error::invalid("/until", "must not be in the past")));
        }
        account.profile.user.status = Some(status.clone()).filter(|_| is_set);
        Ok(Ok(()))
    };
    change(delivery, "update_status", caller, decide).await
}

/// Changes the caller's account as `decide` does, under its lock. A change gets an entry for the caller's devices; one that others can
/// see also a new number.
async fn change<F>(
    delivery: &Delivery,
    name: &'static str,
    caller: Caller,
    decide: F,
) -> Result<Account, Error>
where
    F: Fn(&mut Connection, &mut Account, Timestamp) -> StorageResult<Result<(), Error>>
        + Send
        + 'static,
{
    let (account, committed) = delivery
        .pg
        .transaction(name, move |conn| {
            let Some(at) = rows::lock(conn, caller.user)? else {
                return Ok(Err(Error::NotFound));
            };
            let Some(before) = rows::account(conn, caller.user)? else {
                return Ok(Err(Error::NotFound));
            };
            let mut account = before.clone();
            if let Err(refusal) = decide(conn, &mut account, at)? {
                return Ok(Err(refusal));
            }
            if account == before {
                return Ok(Ok((account, Vec::new())));
            }
            if shown(account.clone()) != shown(before) {
                account.profile.user.rev += 1;
            }
            rows::write(conn, &account)?;
            let entries = [entry(caller.user, &ME, ConversationId::NONE)];
            let committed = inbox::deliver(conn, &Changes::default(), &entries, at)?;
            Ok(Ok((account, committed)))
        })
        .await??;
    if !committed.is_empty() {
        delivery.waiters.presence.announce(caller.user);
    }
    delivery.writers.publish(committed);
    Ok(account)
}

/// An entry that concerns no conversation. Its row has the id that the event refers to in place of a conversation's.
pub(super) fn entry(
    receiver: UserId,
    event: &'static EventSpec,
    about: ConversationId,
) -> NewEntry {
    NewEntry {
        receiver,
        event,
        conversation: about,
        ref_seq: ConvSeq(0),
        unread: 0,
        // Without a conversation there is no count.
        large: true,
    }
}
