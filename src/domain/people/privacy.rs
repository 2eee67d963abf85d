//! The caller's privacy settings, and what those of others allow the caller.

use crate::domain::people::presence;
use crate::domain::people::profiles::entry;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::events::own::ME;
use crate::model::ids::{ConversationId, UserId};
use crate::model::wire::people::privacy::{Audience, EffectivePrivacy, Privacy, PrivacyChoices};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::people::{privacy as rows, profiles as accounts};
use crate::storage::pg::sync::inbox;
use std::collections::HashSet;

/// A change of privacy settings. A field that is absent is not changed; `Some(None)` returns to what the operator has set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrivacyChange {
    /// Who sees the presence.
    pub presence: Option<Option<Audience>>,
    /// Who sees the last time online.
    pub last_seen: Option<Option<Audience>>,
    /// Who may create a direct conversation.
    pub direct: Option<Option<Audience>>,
    /// Who may add to groups.
    pub group_add: Option<Option<Audience>>,
    /// Who may ask to become friends.
    pub contact_request: Option<Option<Audience>>,
    /// Who may count friends in common.
    pub contacts_visible: Option<Option<Audience>>,
    /// Whether a search finds the user.
    pub discoverable: Option<Option<bool>>,
    /// Whether others see the person's read positions, and the person theirs.
    pub read_receipts: Option<bool>,
    /// Whether forwards of the person's messages name the person.
    pub forward_name: Option<bool>,
}

impl PrivacyChange {
    fn apply(self, before: PrivacyChoices) -> PrivacyChoices {
        PrivacyChoices {
            presence: self.presence.unwrap_or(before.presence),
            last_seen: self.last_seen.unwrap_or(before.last_seen),
            direct: self.direct.unwrap_or(before.direct),
            group_add: self.group_add.unwrap_or(before.group_add),
            contact_request: self.contact_request.unwrap_or(before.contact_request),
            contacts_visible: self.contacts_visible.unwrap_or(before.contacts_visible),
            discoverable: self.discoverable.unwrap_or(before.discoverable),
        }
    }
}

/// The caller's settings.
pub async fn get(delivery: &Delivery, caller: Caller) -> Result<Privacy, Error> {
    let defaults = delivery.config.privacy;
    let read = move |conn: &mut _| load(conn, caller.user, defaults);
    let found = delivery.pg.read("privacy", read).await?;
    found.ok_or(Error::NotFound)
}

fn load(
    conn: &mut Connection,
    user: UserId,
    defaults: EffectivePrivacy,
) -> StorageResult<Option<Privacy>> {
    let Some(account) = accounts::account(conn, user)? else {
        return Ok(None);
    };
    let choices = rows::choices(conn, user)?;
    Ok(Some(Privacy {
        choices,
        read_receipts: account.read_receipts,
        forward_name: account.forward_name,
        effective: defaults.with(choices),
    }))
}

/// Changes the caller's settings.
pub async fn update(
    delivery: &Delivery,
    caller: Caller,
    change: PrivacyChange,
) -> Result<Privacy, Error> {
    let defaults = delivery.config.privacy;
    let (privacy, committed) = delivery
        .pg
        .transaction("update_privacy", move |conn| {
            let Some(at) = accounts::lock(conn, caller.user)? else {
                return Ok(Err(Error::NotFound));
            };
            let Some(before) = load(conn, caller.user, defaults)? else {
                return Ok(Err(Error::NotFound));
            };
            let choices = change.apply(before.choices);
            let privacy = Privacy {
                choices,
                read_receipts: change.read_receipts.unwrap_or(before.read_receipts),
                forward_name: change.forward_name.unwrap_or(before.forward_name),
                effective: defaults.with(choices),
            };
            if privacy == before {
                return Ok(Ok((privacy, Vec::new())));
            }
            rows::put(conn, caller.user, &privacy)?;
            presence::move_audience(conn, caller.user)?;
            let entries = [entry(caller.user, &ME, ConversationId::NONE)];
            let committed = inbox::deliver(conn, &Changes::default(), &entries, at)?;
            Ok(Ok((privacy, committed)))
        })
        .await??;
    if !committed.is_empty() {
        delivery.waiters.presence.announce(caller.user);
    }
    delivery.writers.publish(committed);
    Ok(privacy)
}

/// What a setting allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Create a direct conversation.
    Direct,
    /// Add to a group.
    GroupAdd,
    /// Ask to become friends.
    ContactRequest,
    /// Count friends in common.
    ContactsVisible,
}

/// Those of these people who do not allow this to the user.
pub fn refusing(
    conn: &mut Connection,
    user: UserId,
    people: &[UserId],
    policy: Permit,
    defaults: EffectivePrivacy,
) -> StorageResult<HashSet<UserId>> {
    let (setting, default) = match policy {
        Permit::Direct => ("direct", defaults.direct),
        Permit::GroupAdd => ("group_add", defaults.group_add),
        Permit::ContactRequest => ("contact_request", defaults.contact_request),
        Permit::ContactsVisible => ("contacts_visible", defaults.contacts_visible),
    };
    rows::refusing(conn, user, people, setting, default)
}
