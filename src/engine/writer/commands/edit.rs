//! Edits a message: a new version of its content.

use crate::engine::error::Error;
use crate::engine::writer::command::{CommandTarget, Rule};
use crate::engine::writer::state::{ConversationState, Plan, State, Urgency, key};
use crate::model::content::NewContent;
use crate::model::events::message::{EDIT, MENTION};
use crate::model::ids::{ConvSeq, UserId};
use crate::model::rate_limit::Policy;
use crate::model::window::Window;
use crate::model::wire::message::{MAX_VERSIONS, Message};
use crate::storage::pg::messaging::mentions::NamedUser;
use crate::storage::pg::messaging::states::OldVersion;
use crate::storage::pg::people::blocks::Block;
use crate::storage::pg::sync::inbox::NewEntry;
use serde_json::value::RawValue;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// A message gets a version at most every second, also without a general rate limit.
const POLICY: Policy = Policy {
    name: "edits",
    interval: Duration::from_secs(1),
    burst: 1,
};

/// Replaces the content of a message of the caller.
pub struct Edit {
    /// The message.
    pub seq: ConvSeq,
    /// The version that the caller has seen.
    pub version: i32,
    /// The new content.
    pub content: NewContent,
    /// How long a message may be edited.
    pub window: Window,
    /// Whether old versions are stored.
    pub keeps_versions: bool,
}

/// An edited message.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The message as it is now.
    pub message: Message,
    /// The same edit was stored before.
    pub replayed: bool,
}

impl Rule for Edit {
    type Answer = Result<Edited, Error>;

    fn messages(&self) -> Vec<ConvSeq> {
        vec![self.seq]
    }

    fn mentions(&self) -> Vec<UserId> {
        self.content.mentions().to_vec()
    }

    fn names_users(&self) -> bool {
        true
    }

    fn entries(&self, receivers: i64) -> i64 {
        let named = i64::try_from(self.content.mentions().len()).unwrap_or(i64::MAX);
        receivers.saturating_add(named)
    }

    fn settle(&self, at: CommandTarget, plan: &mut Plan, state: &mut State) -> Self::Answer {
        let (id, user, seq) = (at.conversation, at.user, self.seq);
        let conversation = state.conversations.get_mut(&id).ok_or(Error::NotFound)?;
        let own = *conversation.member(user)?;
        let message = state.messages.get_mut(&(id, seq));
        let message = message
            .filter(|_| own.visible_after < seq)
            .ok_or(Error::NotFound)?;
        if message.is_stub() {
            return Err(Error::MessageGone);
        }
        let content = self
            .content
            .of(&message.body.kind)
            .map_err(Error::Invalid)?;
        let is_same = content.is_same(&message.body);
        let version = message.version();
        if Some(version) == self.version.checked_add(1) && is_same && message.sender_id == user {
            return Ok(Edited {
                message: message.clone(),
                replayed: true,
            });
        }
        if version != self.version {
            return Err(Error::VersionConflict(Box::new(message.clone())));
        }
        if message.sender_id != user {
            return Err(Error::Forbidden("only the sender edits a message"));
        }
        if message
            .state
            .as_ref()
            .is_some_and(|state| state.forward.is_some())
        {
            return Err(Error::Forbidden("a forwarded message cannot be edited"));
        }
        if own.muted_until.is_some_and(|until| until > own.now) {
            return Err(Error::Muted);
        }
        if conversation.blocked {
            return Err(Error::Blocked);
        }
        if !self.window.is_open(message.created_at, own.now) {
            return Err(Error::WindowClosed("edited"));
        }
        if is_same {
            return Ok(Edited {
                message: message.clone(),
                replayed: false,
            });
        }
        let edited_at = message.state.as_ref().and_then(|state| state.edited_at);
        if let Some(quota) = edited_at.and_then(|last| POLICY.too_soon(last, own.now)) {
            return Err(Error::RateLimited(quota));
        }
        if version >= MAX_VERSIONS {
            return Err(Error::LimitReached("`limits.versions` of a message"));
        }
        // The archive has the first version.
        if let Some(stored_at) = edited_at.filter(|_| self.keeps_versions) {
            let old = OldVersion {
                content: message.body.content.get().to_owned(),
                at: stored_at,
            };
            plan.states.versions.insert(((id, seq), version), old);
        }
        conversation.change_seq = conversation.change_seq.next();
        message.body.content = RawValue::from_string(content.json().to_owned())
            .map_err(|error| Error::Internal(error.to_string()))?;
        let changed = message.change(conversation.change_seq);
        changed.version = Some(version + 1);
        changed.edited_at = Some(conversation.at);
        let message = message.clone();
        plan.states.rewritten.insert((id, seq));
        plan.change(id, conversation, message.clone(), Urgency::Now);
        let (head, large) = (conversation.last_seq, conversation.large);
        // A message of before a member joined is not shown to that member.
        let receivers = conversation.members.iter();
        let receivers = receivers.filter(|member| !large && member.visible_after < seq);
        plan.entries.extend(receivers.map(|member| NewEntry {
            receiver: member.user,
            event: &EDIT,
            conversation: id,
            ref_seq: seq,
            unread: head.0 - member.read_seq.0,
            large,
        }));
        name(
            at,
            content.mentions(),
            &message,
            plan,
            conversation,
            state.named.entry((id, seq)).or_default(),
            &state.blocks,
        );
        if let Some(stored) = state.stored.get_mut(&key(&message)) {
            stored.message = message.clone();
        }
        Ok(Edited {
            message,
            replayed: false,
        })
    }
}

/// Names users that the message has not named before, and no longer names others. Each user is notified at most once of a message.
fn name(
    at: CommandTarget,
    mentions: &[UserId],
    message: &Message,
    plan: &mut Plan,
    conversation: &mut ConversationState,
    ever_named: &mut BTreeSet<UserId>,
    blocks: &HashSet<Block>,
) {
    let (id, seq) = (at.conversation, message.seq);
    let (head, large, now) = (conversation.last_seq, conversation.large, conversation.at);
    let replied = message
        .state
        .as_ref()
        .and_then(|state| state.reply_to?.sender_id);
    // In a small conversation a message to everyone names all who have an entry, whatever its text names.
    let names_all = !large
        && message
            .state
            .as_ref()
            .is_some_and(|state| state.mention_all);
    let is_named = |user: &UserId| mentions.contains(user) || replied == Some(*user);
    for user in ever_named.iter() {
        let named = NamedUser {
            at: now,
            is_gone: !names_all && !is_named(user),
        };
        plan.mentions.named.insert(((id, seq), *user), named);
    }
    for member in &mut conversation.members {
        let user = member.user;
        let is_new = is_named(&user) && !ever_named.contains(&user);
        let may =
            user != at.user && member.visible_after < seq && !blocks.contains(&(user, at.user));
        if !is_new || !may {
            continue;
        }
        ever_named.insert(user);
        member.mentioned_seq = member.mentioned_seq.max(seq);
        plan.changes
            .positions
            .insert(member.place, member.positions());
        let named = NamedUser {
            at: now,
            is_gone: false,
        };
        plan.mentions.named.insert(((id, seq), user), named);
        plan.entries.push(NewEntry {
            receiver: user,
            event: &MENTION,
            conversation: id,
            ref_seq: seq,
            unread: head.0 - member.read_seq.0,
            large,
        });
    }
}
