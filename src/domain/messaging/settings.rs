//! The caller's own settings of a conversation.

use crate::domain::messaging::own_change::{OwnChange, own_change};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::events::own::SETTINGS;
use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::wire::settings::{ConversationSettings, MAX_PINNED, Notify};
use crate::storage::pg::messaging::settings as rows;

/// A change of settings. A field that is absent is not changed; `Some(None)` resets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// Of which messages devices notify.
    pub notify: Option<Option<Notify>>,
    /// At the top of the list.
    pub pinned: Option<bool>,
    /// In the archive.
    pub archived: Option<bool>,
    /// Hidden from the list until a message above this seq.
    pub hidden_through: Option<Option<ConvSeq>>,
    /// The caller's own name for the conversation.
    pub nickname: Option<Option<String>>,
}

impl SettingsChange {
    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn apply(&self, before: &ConversationSettings) -> ConversationSettings {
        let nickname = self.nickname.as_ref();
        ConversationSettings {
            notify: self.notify.unwrap_or(before.notify),
            pinned: self.pinned.unwrap_or(before.pinned),
            archived: self.archived.unwrap_or(before.archived),
            hidden_through: self.hidden_through.unwrap_or(before.hidden_through),
            nickname: nickname.unwrap_or(&before.nickname).clone(),
        }
    }
}

/// Changes the settings, and returns them.
pub async fn update(
    delivery: &Delivery,
    caller: Caller,
    id: ConversationId,
    change: SettingsChange,
) -> Result<ConversationSettings, Error> {
    own_change(delivery, "settings", caller, id, move |conn, view, at| {
        let head = view.last_seq;
        if change.hidden_through.flatten() > Some(head) {
            let detail = format!("must not be beyond the latest seq, {head}");
            return Ok(Err(Error::invalid("/hidden_through", detail)));
        }
        let before = rows::get(conn, caller.user, id)?;
        let settings = change.apply(&before);
        let mut entries = Vec::new();
        if settings != before {
            let pins = settings.pinned && !before.pinned;
            if pins && rows::pinned(conn, caller.user)? >= MAX_PINNED {
                let why = "50 conversations are pinned";
                return Ok(Err(Error::LimitReached(why)));
            }
            rows::put(conn, caller.user, id, &settings, at)?;
            entries.push((&SETTINGS, head));
        }
        Ok(Ok(OwnChange {
            answer: settings,
            entries,
        }))
    })
    .await
}
